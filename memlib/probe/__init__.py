"""Linear probing of frozen features as in Table 9 of the LayerMem paper, and weighted kNN as a quick check.

Seeds, and encoders of a grid, are separate problems that are solved together as one batched problem. Features are
standardised without learned parameters, with mean and standard deviation of the training points: what MAE's probe
does with a BatchNorm without affine parameters, but for all points at once instead of batch by batch.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memlib import data
from memlib.augment import augmentation
from memlib.encoders import Encoder
from memlib.measure import as_images
from memlib.measure.repeats import unrepeatable
from memlib.measure.subjects import device_of, feeder, own
from memlib.measure.views import hinted
from memlib.probe.classifiers import TABLE_9, Accuracy, grid, knn, linear, whole
from memlib.progress import progress
from memlib.seeded import seeded

__all__ = ["TABLE_9", "Accuracy", "features", "first", "grid", "knn", "linear", "probe"]


def features(encoder: nn.Module, images: Any, batch: int = 256, device: torch.device | str | None = None) -> Tensor:
    """What an encoder in evaluation mode makes of images that are normalised as in training, and not augmented.

    Args:
        encoder: Any module that puts out [N, D]. A copy runs, in its dtype and memory layout: it stays as it is.
        images: uint8, or float in 0..1, [N, 3, H, W]; or a data set. Brought to squares of their shorter side.
        batch: Images in a forward pass.
        device: Where the passes run; None: where the encoder is.

    Returns:
        float32 [N, D], on the CPU.

    Raises:
        ValueError: Images are not as above, or the encoder puts out something else than [N, D].

    Warns:
        UserWarning: As `measure.alignment` does.
    """
    pixels = as_images(images)
    whole("batch", batch)
    prepare, unused = augmentation("none", min(pixels.shape[2:])), torch.Generator()
    copy = own(encoder, hooked=False).eval()
    there = device_of(copy) if device is None else torch.device(device)
    feed, draws = feeder(copy.to(there)), False

    def run(x: Tensor) -> Tensor:
        return checked(copy(feed(x)), len(x))

    found: list[Tensor] = []
    with torch.no_grad(), progress(len(pixels), "features", "image") as done:
        if not isinstance(copy, Encoder):  # memlib's own do the same each time
            with hinted(copy, pixels), seeded(None, there):
                draws, said = unrepeatable(run, prepare(pixels[:1].to(there), unused))
            if said:
                warnings.warn(f"{type(encoder).__name__}: {said}", stacklevel=2)
        for part in pixels.split(int(batch)):
            with seeded(len(found), there) if draws else nullcontext():
                found.append(run(prepare(part.to(there), unused)).float().cpu())
            done(len(part))
    return torch.cat(found)


def checked(output: Any, n: int) -> Tensor:
    """What an encoder puts out for n images, which is to be [N, D].

    Raises:
        ValueError: It is not.
    """
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != n:
        given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"the encoder puts out {given} for {n} images: allowed is [N, D]")
    return output


def probe(
    encoder: nn.Module,
    dataset: str,
    size: int = 32,
    points: int | None = None,
    tested: int | None = None,
    *,
    root: Path | str | None = None,
    device: torch.device | str | None = None,
    **choices: Any,
) -> Accuracy:
    """Accuracy of a linear probe on a data set: trained on its training split, tested on its test split.

    Args:
        dataset: As `load` knows it; both splits need labels.
        size: Side of the images in pixels.
        points: How many training points, the first in canonical order; None: all.
        tested: How many test points, likewise.
        root: Where the data set lies; by default MEMLIB_DATA.
        device: Of the encoder's passes, see `features`.
        choices: Those of `linear`.

    Raises:
        KeyError: The data set is unknown, or as `linear`.
        ValueError: The data set has no labels or fewer points, or as `linear`.
        FileNotFoundError: The data set has no test split.
    """
    train, test = (data.load(dataset, split, root, size) for split in ("train", "test"))
    (images, labels), (others, expected) = first(train, "points", points), first(test, "tested", tested)
    known, asked = (features(encoder, some, device=device) for some in (images, others))
    return linear(known, labels, asked, expected, **choices)


def first(dataset: data.Dataset, name: str, count: int | None) -> tuple[Tensor, Tensor]:
    """The first images and labels of a data set, so many; None: all.

    Args:
        name: What the count is called.

    Raises:
        ValueError: The data set has no labels or fewer points, or there would be fewer than two.
    """
    labels = dataset.labels  # images without labels fail here
    if count is not None and not 2 <= count <= len(dataset):
        raise ValueError(
            f"{name}={count!r}: allowed is None, or 2 to {len(dataset)}, the {dataset.split} points of {dataset.name}"
        )
    return dataset.images[:count], labels[:count]
