"""Models by name with weights from files: what the commands in the shell, and pages on a reader's own encoders, load.

A file is never unpickled beyond tensors and plain values: a checkpoint from elsewhere could run code.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memlib import store
from memlib.augment import IMAGENET_MEAN, IMAGENET_STD
from memlib.models.weights import fit, read_weights, some
from memlib.specs import EncoderSpec, nearest

__all__ = ["Loaded", "Vectors", "fit", "load_model", "read_weights"]

KINDS = ("timm:NAME", "torchvision:NAME", "hf:FOLDER", "memlib:NAME", "memlib:SPEC.json", "module:function", "FILE")


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, and what its makers say of its images.

    Attributes:
        model: On the CPU.
        said: What was done with its weights and heads, a sentence each.
        size: Side of the images that it was made for; None: it does not say.
        mean, std: How its images are normalised, by channel.
    """

    model: nn.Module
    said: tuple[str, ...]
    size: int | None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


def load_model(name: str, weights: str | Path | None = None) -> Loaded:
    """A model by its name, with the weights of a file.

    Args:
        name: `timm:NAME`; `torchvision:NAME`; `hf:FOLDER`, a model that transformers saved; `memlib:NAME`, one of our
            architectures, or `memlib:SPEC.json`, the fields of an `EncoderSpec`; `module:function` of your own, which
            is called without arguments; or an encoder's file in memlib's store. Classification layers of timm and
            torchvision are left out: what is measured is the encoder.
        weights: safetensors or a state dict; `pretrained` for the published ones of timm and torchvision. None: those
            of the folder, the store or the function, and random ones, always the same, otherwise.

    Raises:
        KeyError: There is no such model.
        ValueError: The weights do not fit or are not safe to read.
        ImportError: A library is missing.
        FileNotFoundError: There is no such file.
        ConnectionError: Published weights cannot be downloaded.
    """
    kind, _, rest = name.partition(":")
    path = Path(name.removeprefix("hf:")).expanduser()
    if weights == "pretrained" and kind not in ("timm", "torchvision"):
        raise ValueError(f"weights 'pretrained' of {name}: allowed for timm:NAME and torchvision:NAME")
    if path.is_file():
        build = _of_store(path)
    elif path.is_dir():
        build = _of_transformers(path, weights)
    else:
        build = _builder(kind, rest, name, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loaded = build()
    said = loaded.said
    if weights is not None and str(weights) != "pretrained":
        said = (*said, *fit(loaded.model, read_weights(weights), f"{weights}"))
    elif kind in ("timm", "torchvision") or (kind == "memlib" and not name.endswith(".json")):
        said = (*said, f"{name} has {'its published' if weights else 'random'} weights.")
    return replace(loaded, model=loaded.model.eval(), said=said)


Build = Callable[[], Loaded]


def _builder(kind: str, rest: str, name: str, weights: str | Path | None) -> Build:
    """What makes the model of a name that is no file or folder."""
    if kind == "timm":
        return _of_timm(rest, weights == "pretrained")
    if kind == "torchvision":
        return _of_torchvision(rest, weights == "pretrained")
    if kind == "hf":
        raise FileNotFoundError(f"no folder {rest}: hf:FOLDER is one that transformers saved, with its config.json")
    if kind == "memlib":
        return _of_spec(Path(rest).expanduser(), weights) if rest.endswith(".json") else _ours(rest)
    return lambda: _of_function(kind, rest, name)


def _of_function(kind: str, rest: str, name: str) -> Loaded:
    here = os.getcwd()  # as `python -m` has it; a console script does not
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(kind) if rest and kind.replace(".", "").isidentifier() else None
        if module is None:
            raise nearest(name, KINDS, "model")
        if not callable(make := getattr(module, rest, None)):
            raise KeyError(f"{kind} has no function {rest!r}: allowed is one that is called without arguments")
        made = make()  # which may import what lies beside it
    except ModuleNotFoundError as error:
        if error.name not in (kind, kind.partition(".")[0]):
            raise
        raise nearest(name, KINDS, "model") from error
    finally:
        sys.path.remove(here)
    if not isinstance(made, nn.Module):
        raise ValueError(f"{name} gives {type(made).__name__}: needed is a torch.nn.Module")
    return _plain(made)


def _plain(model: nn.Module, *said: str) -> Loaded:
    from memlib.measure.views import made_for

    return Loaded(model, said, made_for(model) or None)


def _unknown(name: str, known: Iterable[str], library: str) -> KeyError:
    close = difflib.get_close_matches(name, [*known], n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return KeyError(f"{library} has no model {name!r}: {hint}{library}.list_models() lists them")


def _of_timm(name: str, pretrained: bool) -> Build:
    import timm

    if name.split(".")[0] not in timm.list_models():
        raise _unknown(name, timm.list_models(), "timm")

    def build() -> Loaded:
        model = _published(lambda: timm.create_model(name, pretrained=pretrained, num_classes=0), pretrained, name)
        stated: Any = model.pretrained_cfg
        loaded = _plain(model, "The classification layer is left out.")
        return replace(loaded, mean=stated["mean"], std=stated["std"])

    return build


def _of_torchvision(name: str, pretrained: bool) -> Build:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise _unknown(name, models.list_models(module=models), "torchvision.models")

    def build() -> Loaded:
        weights = "DEFAULT" if pretrained else None
        model = _published(lambda: models.get_model(name, weights=weights), pretrained, name)
        for part in ("fc", "head", "heads", "classifier"):
            if not isinstance(head := getattr(model, part, None), nn.Module):
                continue
            if layers := [at for at, layer in head.named_modules(prefix=part) if isinstance(layer, nn.Linear)]:
                model.set_submodule(layers[-1], nn.Identity())
                return _plain(model, f"The classification layer {layers[-1]!r} is left out.")
        return _plain(model)

    return build


def _published(make: Callable[[], nn.Module], pretrained: bool, name: str) -> nn.Module:
    try:
        return make()
    except Exception as error:  # each library has errors of its own for a machine without internet
        if not pretrained:
            raise
        raise ConnectionError(
            f"the published weights of {name} cannot be had here ({type(error).__name__}: {error}): bring them as a "
            "file, and name it as weights"
        ) from error


def _ours(name: str) -> Build:
    from memlib.encoders import build_encoder
    from memlib.specs import ARCHITECTURES

    if name not in ARCHITECTURES:
        raise nearest(name, [*ARCHITECTURES, "SPEC.json"], "encoder of memlib")
    return lambda: _encoder(build_encoder(name))


def _encoder(model: nn.Module, *said: str, size: int | None = None) -> Loaded:
    embed = getattr(model, "embed", None)
    return Loaded(model, said, size or (None if embed is None else embed.grid[0] * embed.patch))


def _of_spec(path: Path, weights: str | Path | None) -> Build:
    from memlib import data, train
    from memlib.train.__main__ import spec_of

    spec = spec_of([str(path)])
    if weights is not None:
        return lambda: _encoder(train.initial(spec), size=spec.size)
    stored = store.home() / "encoders" / f"{spec.key(data.fingerprint(spec.dataset))}.safetensors"
    if not stored.exists():
        raise FileNotFoundError(f"{path} is not trained yet: `python -m memlib.train {path}` makes {stored}")
    return _of_store(stored)


def _of_store(path: Path) -> Build:
    from memlib import train

    metadata = store.peek(path) if path.suffix == ".safetensors" else {}
    header = json.loads(metadata.get("header", "{}"))
    if "spec" not in header:
        raise ValueError(
            f"{path} does not say which model its weights are of: name that, and the file as its weights"
        )
    spec = EncoderSpec.of(header["spec"])
    arrays, _ = store.read(path)
    said = f"{path} is {spec.arch}, {spec.framework} on {header['points']} images of {spec.dataset}; heads left out."
    return lambda: _encoder(train.restored(spec, arrays), said, size=spec.size)


def _of_transformers(folder: Path, weights: str | Path | None) -> Build:
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} has no config.json: a model's folder is one that transformers' save_pretrained made"
        )
    try:
        import transformers  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImportError(f"{folder} is a model of transformers: `pip install transformers` first") from error

    def build() -> Loaded:
        said = []
        if weights is None:
            model, info = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, use_safetensors=True
            )
            missing = [name for name in info["missing_keys"] if "pooler" not in name]
            if missing:
                raise ValueError(f"the weights in {folder} do not fit. missing: {some(missing)}")
            if info["missing_keys"]:
                said.append("The folder has no weights for the pooler: they are random, and so is what it puts out.")
            if info["unexpected_keys"]:
                said.append(f"Left out, as no part of the encoder: {some(info['unexpected_keys'])}.")
        else:
            model = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(folder))
        stated = folder / "preprocessor_config.json"
        images = json.loads(stated.read_text(encoding="utf-8")) if stated.is_file() else {}
        mean, std = images.get("image_mean", IMAGENET_MEAN), images.get("image_std", IMAGENET_STD)
        return replace(_plain(model, *said), mean=tuple(mean), std=tuple(std))

    return build


class Vectors(nn.Module):
    """A model that puts out vectors [N, D], for images that are normalised as memlib's are.

    Of what transformers puts out the class token, or the mean over space.
    """

    def __init__(self, model: nn.Module, mean: Iterable[float], std: Iterable[float]) -> None:
        super().__init__()
        self.model = model
        ours, theirs = ((torch.tensor(m).view(3, 1, 1), torch.tensor(s).view(3, 1, 1)) for m, s in (
            (IMAGENET_MEAN, IMAGENET_STD), (tuple(mean), tuple(std)),
        ))  # fmt: skip
        self.scale, self.shift = ours[1] / theirs[1], (ours[0] - theirs[0]) / theirs[1]

    def forward(self, x: Tensor) -> Tensor:
        found = self.model(x * self.scale.to(x.device) + self.shift.to(x.device))
        found = getattr(found, "last_hidden_state", found)
        if isinstance(found, Tensor) and found.ndim > 2:
            return found[:, 0] if found.ndim == 3 else found.flatten(2).mean(2)
        return found
