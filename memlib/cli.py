"""memlib unitmem | layermem | probe | prune: what memlib measures, on a checkpoint of your own, from a shell.

memlib unitmem --model timm:vit_small_patch16_224 --weights w.safetensors --images seen/ --control unseen/ --out new/
memlib layermem --model torchvision:resnet18 --f f.pt --g g.pt --images seen/ --control unseen/ --mirror of-g/
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from memlib.data import Dataset
    from memlib.models import Loaded

PICTURES = 24  # images on a report's page
SHARES = (0.1, 0.2, 0.5)  # of the units of each layer that `prune` silences
DRAWS = 3  # of random units, beside those that memorize most and least
EXPECTED = (KeyError, ValueError, OSError, ImportError)  # what a user can put right


def main(arguments: list[str] | None = None) -> int:
    """The command line; errors are one line and exit code 1."""
    chosen = _parser().parse_args(arguments)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            chosen.run(chosen, said := _Said())
        except EXPECTED as error:
            print(f"error: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
            print(*getattr(error, "__notes__", ()), sep="\n", end="", file=sys.stderr)
            return 1
        finally:
            for warning in dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning):
                print(f"note: {warning}", file=sys.stderr)
    if chosen.out:
        print(f"open {said.page}")
    return 0


class _Said(list[str]):
    """Sentences of a report, printed as they come; and where its page is."""

    page: Path | None = None

    def append(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)
        super().append(sentence)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="memlib", description="What an encoder of your own memorizes.")
    commands = parser.add_subparsers(dest="command", required=True)
    views = argparse.ArgumentParser(add_help=False)
    views.add_argument("--images", required=True, help="folder of images that the encoder was trained on")
    views.add_argument("--augment", default="normal", help="set of augmentations of the views (%(default)s)")
    views.add_argument("--views", type=int, default=10, help="of each image (%(default)s)")
    views.add_argument("--layers", nargs="+", metavar="PATTERN", help="names or patterns (default: all)")
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("--size", type=int, help="side of the images (default: what the model was made for)")
    both.add_argument("--mean", nargs=3, type=float, help="of the channels, in 0..1 (default: the model's)")
    both.add_argument("--std", nargs=3, type=float, help="likewise")
    both.add_argument("--out", type=Path, help="folder that gets CSV, figure and an HTML page")
    one = argparse.ArgumentParser(add_help=False)
    names = "timm:NAME, torchvision:NAME, hf:FOLDER, memlib:NAME, memlib:SPEC.json, module:function, a stored encoder"
    one.add_argument("--model", action="append", required=True, help=names)
    one.add_argument("--weights", action="append", help="safetensors or state dict; or: pretrained")
    control = argparse.ArgumentParser(add_help=False)
    control.add_argument("--control", help="folder of images that no encoder was trained on")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", required=True, help="a labelled data set by name, or a folder with train/ and test/")
    data.add_argument("--points", type=int, help="images that the probe is trained on (default: all)")
    data.add_argument("--tested", type=int, help="images that it is tested on (default: all)")

    command = commands.add_parser(
        "unitmem", parents=[one, views, control, both], help="which units memorize, and what"
    )
    command.set_defaults(run=unitmem)
    command = commands.add_parser("layermem", parents=[views, control, both], help="where f memorizes, beside g")
    command.add_argument(
        "--f", action="append", required=True, help="a model; with --model a file of weights. Repeat it"
    )
    command.add_argument("--g", action="append", required=True, help="of the same pair: not trained on the images")
    command.add_argument("--model", help=f"which model the weights are of: {names}")
    command.add_argument("--mirror", help="folder of images that g was trained on and f was not")
    command.set_defaults(run=layermem)
    command = commands.add_parser("probe", parents=[one, data, both], help="accuracy of a linear probe")
    command.set_defaults(run=probe)
    command = commands.add_parser(
        "prune", parents=[one, views, data, both], help="what pruning by UnitMem costs a probe"
    )
    command.add_argument("--share", nargs="+", type=float, default=SHARES, help="of the units of each layer")
    command.set_defaults(run=prune)
    return parser


# ---------------------------------------------------------------- the commands


def unitmem(chosen: argparse.Namespace, said: _Said) -> None:
    """UnitMem of every unit, and the images behind the highest."""
    from memlib import report
    from memlib.report.page import Picture

    models = _models(chosen.model, chosen.weights, said)
    images, control = _images(chosen, models[0], said, chosen.images, chosen.control)
    augment = _augmentation(chosen, models[0], images)
    found = report.unitmem([one.model for one in models], images, control, augment, chosen.layers, chosen.views)
    said.append(found.summary())
    layers, units = found.by_layer(), found.table()
    files = _files(chosen.images, len(images))
    units["file"] = [files[point] for point in units["point"]]
    units = units.sort_values("unitmem", ascending=False, kind="stable")
    _show(layers)
    top = [
        Picture(images[u.point], f"{u.layer}, unit {u.unit}: {u.score:.3f}, {files[u.point]}")
        for u in found.top(PICTURES)
    ]
    pictures = {"Images behind the units with the highest UnitMem": top}
    _write(chosen, said, "UnitMem", {"layers": layers, "units": units}, found.plot, len(layers), pictures)


def layermem(chosen: argparse.Namespace, said: _Said) -> None:
    """LayerMem of every layer, over the points of a pair or over pairs."""
    from memlib import report
    from memlib.report.page import Picture

    if chosen.model is None:
        f, g = (_models(names, None, said) for names in (chosen.f, chosen.g))
    else:
        f, g = (_models([chosen.model], files, said) for files in (chosen.f, chosen.g))
    images, control = _images(chosen, f[0], said, chosen.images, chosen.control)
    mirror = _images(chosen, f[0], said, chosen.mirror)[0] if chosen.mirror else None
    fs, gs = ([one.model for one in side] for side in (f, g))
    augment = _augmentation(chosen, f[0], images)
    found = report.layermem(fs, gs, images, control, mirror, augment, chosen.layers, chosen.views)
    said.append(found.summary())
    table, files = found.table(), _files(chosen.images, len(images))
    _show(table)
    import pandas as pd

    column = next(name for name in ("mirrored", "excess", "layermem") if name in table)
    most = table.loc[table[column].idxmax(), "layer"]
    points = pd.DataFrame({"file": files} | {layer: score.numpy() for layer, score in found.scores.items()})
    best = found.scores[most].argsort(descending=True)[:PICTURES].tolist()
    top = [Picture(images[i], f"{found.scores[most][i]:.3f}, {files[i]}") for i in best]
    pictures = {f"Images with the highest SSLMem at {most}": top}
    _write(chosen, said, "LayerMem", {"layers": table, "points": points}, found.plot, len(table), pictures)


def probe(chosen: argparse.Namespace, said: _Said) -> None:
    """Accuracy of a linear probe on each model."""
    import pandas as pd

    models = _models(chosen.model, chosen.weights, said)
    rows = []
    names = chosen.weights if chosen.weights and len(chosen.model) == 1 else chosen.model
    for name, one in zip(names, models, strict=True):
        accuracy = _Probe(chosen, one)(one.model)
        rows.append({"model": name, "accuracy": accuracy.mean, "std over seeds": accuracy.std})
    table = pd.DataFrame(rows)
    _show(table)
    _write(chosen, said, f"Linear probe on {chosen.data}", {"accuracy": table})


def prune(chosen: argparse.Namespace, said: _Said) -> None:
    """A share of every layer's units silenced, by UnitMem and at random, and the probe's accuracy then."""
    import pandas as pd
    import torch

    from memlib import report
    from memlib.encoders import Encoder
    from memlib.surgery import silenced

    if max(len(chosen.model), len(chosen.weights or ())) > 1:
        raise ValueError("prune takes one model: allowed is --model once, and --weights once at most")
    (one,) = _models(chosen.model, chosen.weights, said)
    for share in chosen.share:
        if not 0 < share < 1:
            raise ValueError(f"share={share}: allowed is above 0 and below 1")
    if chosen.layers is None and not isinstance(one.model, Encoder):
        raise ValueError(
            "prune needs --layers for a model that is not memlib's: the modules whose units are to be silent, each "
            "once and behind its non-linearity, as 'blocks.*.mlp.act' of timm's ViTs and '*.act2' of its ResNets"
        )
    rows_of = one.model.layers if isinstance(one.model, Encoder) else ()
    layers = chosen.layers or [row.name for row in rows_of if row.unit_module]
    (images,) = _images(chosen, one, said, chosen.images)
    units = report.unitmem(one.model, images, None, _augmentation(chosen, one, images), layers, chosen.views)
    scores = {layer: peaks.unitmem() for layer, peaks in units.peaks[0].items()}
    accuracy = _Probe(chosen, one)
    whole = accuracy(one.model).mean
    rows: list[dict[str, Any]] = [{"pruned": "nothing", "share": 0.0, "accuracy": whole, "cost": 0.0}]
    draw = torch.Generator().manual_seed(0)
    for share in chosen.share:
        orders = {"highest UnitMem": {n: -s for n, s in scores.items()}, "lowest UnitMem": scores}
        orders |= {
            f"random {k + 1}": {n: torch.rand(len(s), generator=draw) for n, s in scores.items()}
            for k in range(DRAWS)
        }
        for name, order in orders.items():
            gone = {layer: score.argsort(stable=True)[: round(share * len(score))] for layer, score in order.items()}
            with silenced(one.model, gone):
                left = accuracy(one.model).mean
            rows.append({"pruned": name, "share": share, "accuracy": left, "cost": whole - left})
    table = pd.DataFrame(rows)
    said.append(f"Units of {len(scores)} layers, the same share of each; their probe on {chosen.data}.")
    _show(table)

    def draw_costs(ax: Any) -> None:
        means = table.assign(pruned=table["pruned"].str.replace(r" \d+$", "", regex=True))
        for name, part in means[means["share"] > 0].groupby("pruned"):
            mean = part.groupby("share")["accuracy"].mean()
            ax.plot(mean.index, mean, "o-", label=name)
        ax.axhline(whole, linestyle=":", color="0.5", label="nothing pruned")
        ax.set_xlabel("share of the units of each layer")
        ax.set_ylabel("accuracy of the probe")
        ax.legend(frameon=False)

    _write(chosen, said, "Pruning by UnitMem", {"accuracy": table}, draw_costs)


# ---------------------------------------------------------------- what they share


def _models(names: Sequence[str], weights: Sequence[str] | None, said: _Said) -> list[Loaded]:
    """Models on the device: each name with its weights, or one name with several."""
    from memlib.models import load_model
    from memlib.train import device

    files: list[str | None] = list(weights) if weights else [None] * len(names)
    names = list(names) * len(files) if len(names) == 1 else list(names)
    if len(names) != len(files):
        raise ValueError(
            f"{len(names)} --model and {len(files)} --weights: allowed is as many, or one --model for all"
        )
    found = []
    for name, file in zip(names, files, strict=True):
        loaded = load_model(name, file)
        for sentence in loaded.said:
            if sentence not in said:
                said.append(sentence)
        loaded.model.to(device())
        found.append(loaded)
    return found


def _images(chosen: argparse.Namespace, model: Loaded, said: _Said, *folders: str | None) -> list[Any]:
    """The images of folders, of each as many as the smallest has; None for a folder that is None."""
    from memlib import data

    size = chosen.size or model.size
    found: list[Dataset | None] = []
    for folder in folders:
        if folder is not None and not Path(folder).expanduser().is_dir():
            raise FileNotFoundError(f"no folder {folder}: --images and the like are folders of images")
        try:
            found.append(None if folder is None else data.load(f"folder:{folder}", size=size))
        except ValueError as error:
            error.add_note("state the size as --size 64\n")
            raise
    least = min(len(one) for one in found if one is not None)
    for folder, one in zip(folders, found, strict=True):
        if one is not None and len(one) > least:
            said.append(f"{least:,} of the {len(one):,} images in {folder} are taken: as many as beside.")
    return [None if one is None else one.images[:least] for one in found]


def _augmentation(chosen: argparse.Namespace, model: Loaded, images: Tensor) -> Any:
    from memlib.augment import augmentation

    return augmentation(chosen.augment, min(images.shape[2:]), chosen.mean or model.mean, chosen.std or model.std)


def _files(folder: str, count: int) -> list[str]:
    """The names of the files behind the points, below their folder."""
    from memlib.data.folders import ordered_files, split_folder

    base = Path(folder).expanduser()
    inside = split_folder(base, "train") or base
    return [str(path.relative_to(base)) for path in ordered_files(inside)[:count]]


class _Probe:
    """The accuracy of a linear probe, on images that are read once."""

    def __init__(self, chosen: argparse.Namespace, model: Loaded) -> None:
        from memlib import data, probe

        name = f"folder:{chosen.data}" if Path(chosen.data).expanduser().is_dir() else chosen.data
        train, test = (data.load(name, split, size=chosen.size or model.size) for split in ("train", "test"))
        self.train, self.train_labels = probe.first(train, "points", chosen.points)
        self.test, self.test_labels = probe.first(test, "tested", chosen.tested)
        self.mean, self.std = chosen.mean or model.mean, chosen.std or model.std

    def __call__(self, model: Any) -> Any:
        from memlib import probe
        from memlib.models import Vectors

        vectors = Vectors(model, self.mean, self.std)
        known, asked = (probe.features(vectors, images) for images in (self.train, self.test))
        return probe.linear(known, self.train_labels, asked, self.test_labels)


def _show(table: pd.DataFrame) -> None:
    """A table in the terminal: its first rows, where it is long."""
    from memlib.report.page import SHOWN, rounded

    print(rounded(table.head(SHOWN)).to_string(index=False, na_rep="–"))
    if len(table) > SHOWN:
        print(f"the first {SHOWN} of {len(table)} rows; --out DIR keeps all")


def _write(chosen: argparse.Namespace, said: _Said, title: str, tables: dict[str, pd.DataFrame], *more: Any) -> None:
    from memlib.report.page import write

    if chosen.out:
        said.page = write(chosen.out, title, said, tables, *more)
