"""Transforms of torchvision and kornia as a pass calls augmentations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def taking(augment: Any) -> tuple[Callable[[Tensor, torch.Generator], Tensor], bool]:
    """An augmentation as a callable of (images, generator); whether it draws for one image after the other.

    Those of torchvision and kornia draw from the global generators, which a pass seeds. torchvision's get one image
    at a time, as they draw once for all that they are given; kornia's get all, in 0..1.

    Raises:
        ValueError: It is not callable.
    """
    if not callable(augment):
        raise ValueError(
            f"augment is {type(augment).__name__}: allowed are the name of a set, a transform of torchvision or "
            "kornia, and a callable of (images, generator)"
        )
    parts = list(augment.modules()) if isinstance(augment, nn.Module) else [augment]
    parts += getattr(augment, "transforms", [])  # of torchvision's Compose, which need not be a module
    libraries = {type(part).__module__.partition(".")[0] for part in parts}
    if "kornia" in libraries:
        return lambda images, generator: augment(as_floats(images)), False
    if "torchvision" in libraries:
        return lambda images, generator: torch.stack([_one(augment, image) for image in images]), True
    return augment, False


def _one(transform: Any, image: Tensor) -> Tensor:
    try:
        view = transform(image)
    except TypeError as error:
        raise ValueError(
            f"{type(transform).__name__} of torchvision does not take tensors ({error}): where it has ToTensor, "
            "PILToTensor or ToPILImage, take v2.ToDtype(torch.float32, scale=True)"
        ) from error
    if not isinstance(view, Tensor) or not view.is_floating_point():
        raise ValueError(
            f"{type(transform).__name__} of torchvision puts out {getattr(view, 'dtype', type(view).__name__)}: "
            "end it with v2.ToDtype(torch.float32, scale=True), and Normalize where the model wants it"
        )
    return view


def as_floats(images: Tensor) -> Tensor:
    """Images as float32: those of uint8 in 0..1, others as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()
