"""The encoders by name, each with the table of its layers in the papers' names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from memlib.encoders.base import Encoder, Layer, Step, previous
from memlib.encoders.resnet9 import ResNet9
from memlib.specs import ARCHITECTURES, PATCHES, EncoderSpec, nearest

if TYPE_CHECKING:
    from memlib.encoders.resnets import ResNet
    from memlib.encoders.vits import Block, ViT

__all__ = [
    "BUILDERS",
    "Block",
    "Encoder",
    "Layer",
    "ResNet",
    "ResNet9",
    "Step",
    "ViT",
    "build_encoder",
    "from_spec",
    "previous",
]

OF_TIMM = {"ResNet": "resnets", "Block": "vits", "ViT": "vits"}  # imported when they are used


def __getattr__(name: str) -> Any:
    if name in OF_TIMM:
        return getattr(import_module(f"memlib.encoders.{OF_TIMM[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _of_timm(name: str, *values: Any, **options: Any) -> Encoder:
    return __getattr__(name)(*values, **options)


BUILDERS: dict[str, Callable[..., Encoder]] = {
    "resnet9": ResNet9,
    "resnet18": partial(_of_timm, "ResNet", 18),
    "resnet34": partial(_of_timm, "ResNet", 34),
    "resnet50": partial(_of_timm, "ResNet", 50),
    "vit_tiny": partial(_of_timm, "ViT", width=192, heads=3, size=32, patch=PATCHES["vit_tiny"]),
    "vit_base": partial(_of_timm, "ViT", width=768, heads=12, size=224, patch=PATCHES["vit_base"]),
}


def build_encoder(name: str, **options: Any) -> Encoder:
    """An encoder by its name, with weights drawn from torch's global generator.

    Args:
        options: Of ResNet18 to 50 `stem` ("7x7", "3x3"); of ViTs `size`, the images' pixels, `patch`, and `depth`.

    Raises:
        KeyError: The name or the stem is unknown.
        ValueError: The patch does not divide the size.
    """
    if name not in BUILDERS:
        raise nearest(name, ARCHITECTURES, "encoder")
    return BUILDERS[name](**options)


def from_spec(spec: EncoderSpec) -> Encoder:
    """The encoder that a spec names, not trained, with weights drawn from torch's global generator."""
    if spec.arch in PATCHES:
        return build_encoder(spec.arch, size=spec.size, patch=spec.size_of_patch)
    return build_encoder(spec.arch, **({} if spec.arch == "resnet9" else {"stem": spec.stem}))
