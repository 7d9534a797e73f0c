"""Linear probing of frozen features as in Table 9 of paper A, and weighted kNN as a quick check.

Seeds, and encoders of a grid, are separate problems that are solved together as one batched problem. Features are
standardised without learned parameters, with mean and standard deviation of the training points: what MAE's probe
does with a BatchNorm without affine parameters, but for all points at once instead of batch by batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memlib import data
from memlib.augment import augmentation
from memlib.measure import as_images
from memlib.probe.classifiers import TABLE_9, Accuracy, grid, knn, linear, whole

__all__ = ["TABLE_9", "Accuracy", "features", "grid", "knn", "linear", "probe"]


def features(encoder: nn.Module, images: Any, batch: int = 256, device: torch.device | str | None = None) -> Tensor:
    """What an encoder in evaluation mode makes of images that are normalised as in training, and not augmented.

    Args:
        encoder: Any module that puts out [N, D]. Its mode, that of every part, and its device are afterwards as
            they were.
        images: uint8, or float in 0..1, [N, 3, H, W]; or a data set. Brought to squares of their shorter side.
        batch: Images in a forward pass.
        device: Where the passes run; None: where the encoder is.

    Returns:
        float32 [N, D], on the CPU.

    Raises:
        ValueError: Images are not as above, or the encoder puts out something else than [N, D].
    """
    pixels = as_images(images)
    whole("batch", batch)
    prepare, unused = augmentation("none", min(pixels.shape[2:])), torch.Generator()
    home = next((x.device for x in (*encoder.parameters(), *encoder.buffers())), torch.device("cpu"))
    there = home if device is None else torch.device(device)
    modes = {module: module.training for module in encoder.modules()}
    found = []
    try:
        encoder.to(there).eval()
        with torch.no_grad():
            for part in pixels.split(batch):
                output = encoder(prepare(part.to(there), unused))
                if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(part):
                    given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                    raise ValueError(f"the encoder puts out {given} for {len(part)} images: allowed is [N, D]")
                found.append(output.float().cpu())
    finally:
        encoder.to(home)
        for module, training in modes.items():
            module.training = training
    return torch.cat(found)


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
    labels, expected = train.labels, test.labels  # before the passes: images without labels fail here
    for name, value, split in (("points", points, train), ("tested", tested, test)):
        if value is not None and not 2 <= value <= len(split):
            raise ValueError(
                f"{name}={value!r}: allowed is None, or 2 to {len(split)}, the {split.split} points of {dataset}"
            )
    known, asked = (
        features(encoder, images, device=device) for images in (train.images[:points], test.images[:tested])
    )
    return linear(known, labels[:points], asked, expected[:tested], **choices)
