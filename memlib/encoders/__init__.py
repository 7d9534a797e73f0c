"""The encoders by name, each with the table of its layers in the papers' names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from memlib.encoders.base import Encoder, Layer, previous
from memlib.encoders.resnet9 import ResNet9
from memlib.encoders.resnets import ResNet
from memlib.encoders.vits import Block, ViT
from memlib.specs import ARCHITECTURES, PATCHES, EncoderSpec, nearest

__all__ = [
    "BUILDERS",
    "Block",
    "Encoder",
    "Layer",
    "ResNet",
    "ResNet9",
    "ViT",
    "build_encoder",
    "from_spec",
    "previous",
]

BUILDERS: dict[str, Callable[..., Encoder]] = {
    "resnet9": ResNet9,
    "resnet18": partial(ResNet, 18),
    "resnet34": partial(ResNet, 34),
    "resnet50": partial(ResNet, 50),
    "vit_tiny": partial(ViT, width=192, heads=3, size=32, patch=PATCHES["vit_tiny"]),
    "vit_base": partial(ViT, width=768, heads=12, size=224, patch=PATCHES["vit_base"]),
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
