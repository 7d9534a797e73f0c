"""Which encoders and measurements each notebook needs: plain data and no torch, so that an engine plans in a moment.

python -m memlib.studies plan SCALE                  what there is to train and measure
python -m memlib.studies train SCALE DIGEST          train the encoder of a spec's digest, if it is missing
python -m memlib.studies measure SCALE DIGEST ...    make measurements, their encoders first if these are missing
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from memlib.specs import EncoderSpec, nearest
from memlib.store import digest

RECIPE = 1  # changes when the meaning of measuring does

NOTEBOOKS = {  # the designs that each notebook reads
    "03_sslmem": ("papers", "halves"),
    "04_1_layermem": ("halves", "papers"),
    "04_1_resnets": ("resnet18", "resnet34", "resnet50"),
    "04_1_vit": ("vit_blocks",),
    "04_1_frameworks": (
        "resnet9_simclr",
        "resnet9_simsiam",
        "resnet9_byol",
        "resnet9_dino",
        "vit_mae",
        "vit_dino",
    ),
    "05_1_unitmem": ("halves", "papers"),
    "05_1_ssl_vs_sl": ("ssl", "sl", "sl_converged"),
    "05_1_privacy": ("vit_mae", "dp20", "dp8"),
}
SCALES = ("smoke", "laptop", "paper")
KINDS = ("halves", "papers")
OF_TRAINING = ("stop", "until", "check", "epsilon", "delta", "clip")  # what an untrained encoder knows nothing of


@dataclass(frozen=True)
class Measurement:
    """One encoder, measured on its design's points and on as many as `external` test images (S_E).

    `name` says which it is among its design's: `halves-0`, `papers-f1`, `halves-0-untrained`. With `classes`
    ClassMem is measured, too; `probe` names the data sets on which a linear probe of the encoder is fitted and
    tested, on `probe_points` images of each split at most (None: on all).
    """

    name: str
    encoder: EncoderSpec
    views: int
    external: int
    classes: bool = False
    probe: tuple[str, ...] = ()
    probe_points: int | None = None

    def values(self) -> dict[str, Any]:
        """The fields that decide the numbers, as plain values; what is not measured leaves no trace."""
        values = {"recipe": RECIPE, "encoder": self.encoder.digest, "views": self.views, "external": self.external}
        classes = {"classes": True} if self.classes else {}
        probe = {"probe": list(self.probe), "probe_points": self.probe_points} if self.probe else {}
        return values | classes | probe

    @property
    def digest(self) -> str:
        """The name of this measurement before its images are known: 16 hexadecimal digits."""
        return digest(self.values())

    def key(self, *fingerprints: str) -> str:
        """The key of this measurement on training and test images of these fingerprints, and those of its probes."""
        return digest({"images": fingerprints, **self.values()})


@dataclass(frozen=True)
class Pair:
    """f and g of a pair, and both before training."""

    f: Measurement
    g: Measurement
    f_untrained: Measurement
    g_untrained: Measurement


def scale(name: str) -> dict[str, Any]:
    """The sizes of a scale, from `notebooks/scales/<name>.yaml`, or from a file of that form by its path.

    Raises:
        KeyError: There is no such scale.
    """
    path = Path(__file__).parents[1] / "notebooks" / "scales" / f"{name}.yaml"
    if name not in SCALES:
        path = Path(name)
        if path.suffix != ".yaml" or not path.exists():
            raise nearest(name, SCALES, "scale")
    return deepcopy(_parsed(path.read_text()))


@lru_cache(maxsize=8)
def _parsed(text: str) -> dict[str, Any]:
    """The content of a scale's file, read once: every design asks for it."""
    import yaml

    return yaml.safe_load(text)


def designs(scale_name: str) -> tuple[str, ...]:
    """The designs of a scale, as its file has them.

    Raises:
        KeyError: There is no such scale.
    """
    return tuple(scale(scale_name)["designs"])


def pairs(scale_name: str, design: str, **overrides: Any) -> list[Pair]:
    """The pairs of encoders of a design at a scale.

    What a design does not state of the encoder and of measuring stands in the scale's `encoder` and `measure`.
    Its `kind`, where its name is not one, is `halves` (complementary halves) or `papers` (S_S shared; S_C of f;
    S_I of g).

    Args:
        design: One of `designs(scale_name)`.
        overrides: Fields of `EncoderSpec` but its points; `pairs`; fields of `Measurement` but its name. None: as
            the scale has it.

    Raises:
        KeyError: The scale, the design or a field is unknown.
        ValueError: A value is out of its range.
    """
    sizes = scale(scale_name)
    if design not in sizes["designs"]:
        raise nearest(design, sizes["designs"], "design")
    values = {**sizes["encoder"], **sizes["measure"], **sizes["designs"][design]}
    kind = values.pop("kind", design)
    values.pop("resources", None)  # of jobs: they change no number
    if kind not in KINDS:
        raise nearest(kind, KINDS, f"kind of design {design!r}")
    measured = [field.name for field in fields(Measurement) if field.name not in ("name", "encoder")]
    known = [field.name for field in fields(EncoderSpec) if field.name != "points"] + ["pairs", *measured]
    for name, value in overrides.items():
        if name not in known:
            raise nearest(name, known, "override")
        if value is not None:
            values[name] = value
    measure = {name: values.pop(name) for name in measured if name in values}
    measure["probe"] = tuple(measure.get("probe", ()))
    count, seed = values.pop("pairs"), values.pop("seed")
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"pairs={count!r}: allowed is a whole number of 1 or more")
    plain = {name: value for name, value in values.items() if name not in OF_TRAINING}

    def both(points: str, name: str, seed: int) -> tuple[Measurement, Measurement]:
        spec = EncoderSpec.of({**values, "points": points, "seed": seed})
        untrained = EncoderSpec.of({**plain, "epochs": 0, "points": points, "seed": seed})
        return Measurement(name, spec, **measure), Measurement(f"{name}-untrained", untrained, **measure)

    result = []
    for j in range(count):
        first, second = 2 * j, 2 * j + 1
        halves = kind == "halves"
        sides = (f"half:{first}/{2 * count}", f"half:{second}/{2 * count}") if halves else ("f", "g")
        names = (f"{design}-{first}", f"{design}-{second}") if halves else (f"{design}-f{j}", f"{design}-g{j}")
        f, f_untrained = both(sides[0], names[0], seed + first)
        g, g_untrained = both(sides[1], names[1], seed + second)
        result.append(Pair(f, g, f_untrained, g_untrained))
    return result


def measurements(scale_name: str, notebook: str | None = None) -> dict[str, Measurement]:
    """What a notebook reads at a scale (None: all that the scale has), by digest; encoders of early pairs first.

    Raises:
        KeyError: The scale or the notebook is unknown.
    """
    if notebook is not None and notebook not in NOTEBOOKS:
        raise nearest(notebook, NOTEBOOKS, "notebook")
    wanted = NOTEBOOKS[notebook] if notebook else designs(scale_name)
    by_turns = sorted((t for d in wanted for t in enumerate(pairs(scale_name, d))), key=lambda t: t[0])
    return {m.digest: m for _, pair in by_turns for m in _members(pair)}


def _members(pair: Pair) -> Iterator[Measurement]:
    yield from (pair.f, pair.g, pair.f_untrained, pair.g_untrained)


def _line(m: Measurement) -> str:
    """A measurement in words, for the plan."""
    spec = m.encoder
    said = [f"{spec.framework} {spec.arch} {spec.dataset}", f"{spec.end} epochs", f"seed {spec.seed}"]
    said += [f"until the probe reaches {spec.until:g}"] if spec.until else []
    said += [f"epsilon {spec.epsilon:g}"] if spec.epsilon else []
    said += ["ClassMem"] if m.classes else []
    said += [f"probed on {', '.join(m.probe)}"] if m.probe else []
    return ", ".join(said)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m memlib.studies", description=(__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="list what a scale trains and measures")
    plan.add_argument("scale")
    train = commands.add_parser("train", help="train one encoder, if it is missing")
    measure = commands.add_parser("measure", help="make measurements, their encoders first if these are missing")
    for command, count in ((train, 1), (measure, "+")):
        command.add_argument("scale")
        command.add_argument("digests", nargs=count, metavar="digest", help="as `plan` lists them")
        command.add_argument("--done", type=Path, help="write what was made here, as JSON, when it is done")
    options = parser.parse_args(arguments)
    try:
        listed = measurements(options.scale)
        if options.command == "plan":
            for key, m in listed.items():
                print(f"{key}  {m.encoder.digest}  {m.name:26s} {_line(m)}")
            return 0
        specs = {m.encoder.digest: m.encoder for m in listed.values()}
        what, known = ("encoder", [*specs]) if options.command == "train" else ("measurement", [*listed])
        for key in options.digests:
            if key not in known:
                raise nearest(key, known, f"{what} of scale {options.scale}")
    except (KeyError, ValueError) as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if options.command == "train":
        made = [_trained(specs[key]) for key in options.digests]
    else:
        made = [_measured(listed[key], options.scale) for key in options.digests]
    if options.done and all(made):
        options.done.parent.mkdir(parents=True, exist_ok=True)
        options.done.write_text(json.dumps(made, indent=1))
    return 0


def _trained(spec: EncoderSpec) -> dict[str, Any]:
    """Train an encoder, if it is missing; what is to be said of it, by the first of several processes."""
    from memlib import processes, train

    processes.start()
    header = train.artefact(spec)[1]
    if processes.rank():
        return {}
    print(f"{spec.digest}: {header['steps']} steps")
    return {"encoder": asdict(spec), "header": header}


def _measured(measurement: Measurement, scale_name: str) -> dict[str, Any]:
    """Make a measurement, if it is missing; what is to be said of it."""
    from memlib import tables

    path, header = tables.make(measurement, scale_name)
    print(f"{measurement.name}: {path}")
    return {"measurement": asdict(measurement), "header": header}


if __name__ == "__main__":
    sys.exit(main())
