"""Whether a model puts out the same for an image each time, and whatever stands beside it in its batch."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

IMAGES, FEWER, ORDER = 3, 2, [2, 0, 1]
SHARE = 0.01  # of the differences between images: a smaller change is rounding


def unrepeatable(run: Callable[[Tensor], Tensor], x: Tensor) -> tuple[bool, str]:
    """Run a model on a few different images, again, in another order, and on fewer.

    Args:
        run: From images to what is put out for each, [N, ...].
        x: An image, [1, 3, H, W].

    Returns:
        Whether it draws from the global generators, and what to say of it; nothing if it is the same each time.
    """
    images = different(x)
    fewer = run(images[:FEWER])  # what is made when a model first runs is there from now on
    before = states(x.device)
    first, again, turned = run(images), run(images), run(images[ORDER])
    draws, eps = before != states(x.device), max(1e-3, 8 * torch.finfo(first.dtype).eps)
    known, same, moved, some = (prints(output, 0) for output in (first, again, turned, fewer))
    still = alike(same, known, known, eps)
    alone = alike(moved, known[ORDER], known, eps) and alike(some, known[:FEWER], known, eps)
    return draws, "" if still and alone and not draws else sentence(draws, [] if still else ["output"], ["output"])


def different(x: Tensor) -> Tensor:
    """Images that differ, in the range of one, [3, 3, H, W]."""
    noise = torch.randn(IMAGES, *x.shape[1:], generator=torch.Generator().manual_seed(0)).to(x)
    strength = torch.tensor([0.5, 0.2, 1.5]).to(x).view(-1, 1, 1, 1)  # so that their statistics differ, too
    return (x + strength * noise).clamp(min(0.0, float(x.min())), max(1.0, float(x.max())))


def states(device: torch.device) -> list[Any]:
    """Those of the global generators, which `seeded` sets."""
    there = [torch.cuda.get_rng_state(device).tolist()] if device.type == "cuda" else []
    _, key, *place = np.random.get_state(legacy=True)
    return [torch.get_rng_state().tolist(), *there, random.getstate(), np.asarray(key).tolist(), place]


def prints(output: Tensor, axis: int) -> Tensor:
    """Of what lies at each place on an axis a projection and the norm, [places, 2]."""
    rows = output.detach().movedim(axis, 0).reshape(output.shape[axis], -1).float().nan_to_num()
    weights = torch.arange(rows.shape[1], device=rows.device).float().cos_()
    return torch.stack([rows @ weights, rows.norm(dim=1)], 1)


def alike(a: Tensor, b: Tensor, whole: Tensor, eps: float) -> bool:
    """Whether prints are the same, but for what is little beside the norms and beside the differences of images."""
    spread = (whole - whole.mean(0)).abs().amax()
    return bool((a - b).abs().amax() <= SHARE * spread + eps * whole[..., 1].amax())


def sentence(draws: bool, noisy: list[str], restless: list[str]) -> str:
    """What to say of a model that does not put out the same for an image each time."""
    if draws or noisy:
        where = f" (from layer {noisy[0]!r} on)" if noisy else ""
        same = "are drawn as the seed says, the same for all models"
        other = "come from a generator of its own, which no seed reaches, and may differ from pass to pass"
        return (
            f"It takes random numbers in evaluation{where}: dropout that stays on, or noise. They "
            f"{same if draws else other}; what they add to the distances is not memorization."
        )
    return (
        f"What it puts out for an image depends on the other images in its batch (from layer {restless[0]!r} on): "
        "BatchNorm without running statistics, or attention across images. Numbers change with the batch."
    )
