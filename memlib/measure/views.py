"""The views of points, block by block: the same for each point, whatever is measured beside it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from memlib.augment import Augmentation, augmentation
from memlib.measure.foreign import taking
from memlib.seeded import seeded

BLOCK = 64  # points whose views are drawn together: part of what a seed means

Augment = str | Callable[[Tensor, torch.Generator], Tensor]


class Views:
    """The views of every point, in blocks of `BLOCK` consecutive points.

    The generator of a block's view is seeded with (seed, block, view) and draws for a whole block, also where fewer
    points are left: the views of a point depend neither on how many are processed at once nor on what follows it,
    and the first views stay what they are when more are drawn. What a callable other than an `Augmentation` draws
    for a whole block is its own affair: it gets one, filled up with the last point, unless it draws image by image.

    Args:
        pixels: [N, 3, H, W].
        anchor: Whether the image itself stands before its views.
    """

    def __init__(self, pixels: Tensor, augment: Augment, views: int, seed: int, anchor: bool) -> None:
        self.pixels, self.seed = pixels, seed
        self.augment: Callable[..., Tensor]
        if isinstance(augment, str):
            self.augment, self.one_by_one = augmentation(augment, min(pixels.shape[-2:])), False
        else:
            self.augment, self.one_by_one = taking(augment)
        self.draws: list[int | None] = [*([None] if anchor else []), *range(views)]
        if anchor:
            if not isinstance(self.augment, Augmentation):
                raise ValueError(
                    f"pairs='anchor' needs the image itself normalised as its views are, which {augment!r} does not "
                    "tell: pass a name or memlib.augmentation(...)"
                )
            mean, std = (x.flatten().tolist() for x in (self.augment.mean, self.augment.std))
            self.plain = augmentation("none", self.augment.size, mean, std)

    def block(self, start: int, device: torch.device) -> Tensor:
        """The views of up to `BLOCK` points from `start` on, point by point: float32 [points * each, 3, s, s]."""
        images = self.pixels[start : start + BLOCK].to(device)
        drawn = [self._view(images, start // BLOCK, draw) for draw in self.draws]
        return torch.stack(drawn, 1).flatten(0, 1).contiguous(memory_format=torch.channels_last)

    def _view(self, images: Tensor, block: int, draw: int | None) -> Tensor:
        key = hashlib.sha256(f"{self.seed}/{block}/{draw}".encode()).digest()
        drawn = int.from_bytes(key[:8], "big")
        generator = torch.Generator().manual_seed(drawn)
        images = images.clone()  # whatever is done to it in place, the next view is of the image itself
        if draw is None:
            return self.plain(images, generator)
        if isinstance(self.augment, Augmentation):
            return self.augment(images, generator, of=BLOCK)
        n = len(images)
        images = images if self.one_by_one else images[torch.arange(BLOCK).clamp(max=n - 1)]
        with seeded(drawn, images.device):  # for augmentations that do not use the generator
            view = self.augment(images, generator)
        if view.ndim != 4 or len(view) != len(images) or not view.is_floating_point():
            raise ValueError(
                f"the augmentation put out {view.dtype} of shape {tuple(view.shape)} for {len(images)} images: "
                f"needed are floats [{len(images)}, channels, height, width]"
            )
        return view[:n].float().clone()  # it may be handed out again


@contextmanager
def hinted(model: nn.Module, pixels: Tensor) -> Iterator[None]:
    """Says, in the log or with an error, that a model was made for images at least twice as large as these."""
    made, side = made_for(model), min(pixels.shape[-2:])
    hint = (
        f"{type(model).__name__} was made for images of {made} pixels, and these have {side}, as their views will: "
        f"bring them to that size first, as load(name, size={made}) does"
    )
    try:
        yield
    except Exception as error:
        if side != made > 0:
            error.add_note(hint)
        raise
    if 2 * side <= made:
        _say(hint)


@cache
def _say(hint: str) -> None:
    """Once, however many passes there are."""
    logging.getLogger("memlib").warning(hint)


def made_for(model: nn.Module) -> int:
    """Side of the images that a model says it was made for; 0 where it does not: timm, torchvision, transformers."""
    for holder in (getattr(model, "patch_embed", None), model, getattr(model, "config", None)):
        for name in ("img_size", "image_size"):
            found = getattr(holder, name, None)
            side = min(found) if isinstance(found, tuple | list) and found else found
            if isinstance(side, int):
                return side
    stated = getattr(model, "pretrained_cfg", None)
    return stated.get("input_size", (0,))[-1] if isinstance(stated, dict) else 0
