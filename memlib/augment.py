"""The papers' augmentation sets on whole batches: random per image, on the images' device, repeatable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from memlib.seeded import seeded
from memlib.specs import AUGMENTATIONS, is_whole, nearest

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Augmentation:
    """An augmentation set with its image size and normalisation (appendix B; C.7).

    Calling it with images uint8 or float in 0..1 [N, 3, H, W] and a CPU generator gives one random view of
    each, float32 [N, 3, size, size], normalised. The same images and generator state give the same views.
    The order of the colour jitter's four operations is drawn once a batch, all else once an image. With `of`, N or
    more, the images are the first of a batch of that many: they get the views that they get in the whole batch.

    Raises:
        ValueError: The images are not [N, 3, H, W], not uint8 or float, or floats outside 0..1.
    """

    def __init__(self, name: str, size: int, ops: list[Any], mean, std) -> None:
        self.name, self.size = name, size
        self.ops = ops
        self.mean = torch.tensor(mean).view(3, 1, 1)
        self.std = torch.tensor(std).view(3, 1, 1)

    def __call__(self, images: Tensor, generator: torch.Generator, of: int | None = None) -> Tensor:
        x = _unit_range(images)
        of = of or len(x)
        seed = int(torch.randint(2**62, (), generator=generator))
        # kornia takes no generator: its draws come from the global one
        with torch.no_grad(), seeded(seed, x.device):
            for op in self.ops:
                drawn = op.forward_parameters(torch.Size((of, *x.shape[1:])))  # type: ignore[operator]
                x = op(x, params=_first(drawn, x))
            if x.shape[-2:] != (self.size, self.size):
                x = nn.functional.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
            x = (x - self.mean.to(x.device)) / self.std.to(x.device)
            return _mask_patches(x, of) if self.name == "masking" else x

    def __repr__(self) -> str:
        return f"Augmentation({self.name!r}, size={self.size})"


def augmentation(
    name: str,
    size: int = 32,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    flip: float = 0.5,
    crop: tuple[float, float] | None = None,
) -> Augmentation:
    """An augmentation set by its name: those of the LayerMem paper's appendix B, and MAE's own.

    Args:
        name: `weak`, `normal`, `strong`, `independent`, `masking` (75 % of an 8 by 8 grid of patches), `crop`
            (random resized crop and flip, which MAE is trained with beside its masks) or `none` (resized where
            needed, and normalised).
        size: Height and width of the views, in pixels.
        mean, std: Of the three channels, for pixels in 0..1.
        flip: Probability of each flip; the papers print 1, their code has .5.
        crop: Least and largest share of the image's area that a random resized crop takes; None: (.08, 1), as
            torchvision's, or (.2, 1) for `crop`.

    Raises:
        KeyError: The name is unknown.
        ValueError: The size is no integer from 1 up.
    """
    import kornia.augmentation as K

    if name not in AUGMENTATIONS:
        raise nearest(name, AUGMENTATIONS, "augmentation set")
    if not is_whole(size, 1):
        raise ValueError(f"size={size!r}: allowed is 1 or more pixels")
    size, scale = int(size), crop or ((0.2, 1.0) if name == "crop" else (0.08, 1.0))
    resized = K.RandomResizedCrop((size, size), scale=scale, cropping_mode="resample")
    horizontal, vertical = K.RandomHorizontalFlip(p=flip), K.RandomVerticalFlip(p=flip)
    # ColorJitter, not ColorJiggle: it follows PIL's arithmetic
    sets: dict[str, list[Any]] = {
        "weak": [resized, K.ColorJitter(0.9, 0.9, 0.9, 0.5, p=0.4), horizontal, K.RandomGrayscale(p=0.1)],
        "normal": [resized, K.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8), horizontal, K.RandomGrayscale(p=0.2)],
        "strong": [
            resized,
            K.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.9),
            horizontal,
            K.RandomGrayscale(p=0.5),
            vertical,
        ],
        # printed with a kernel of 4, which does not exist: 3
        "independent": [
            resized,
            K.RandomGaussianBlur((3, 3), (0.1, 5.0), p=0.8),
            K.RandomInvert(p=0.2),
            vertical,
        ],
        "masking": [],
        "crop": [resized, horizontal],
        "none": [],
    }
    return Augmentation(name, size, sets[name], mean, std)


def _unit_range(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images of shape {tuple(images.shape)}: allowed is [N, 3, H, W]")
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise ValueError(f"images of {images.dtype}: allowed are uint8 in 0..255 and floats in 0..1")
    if len(images) and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images as floats in {images.min():.3g}..{images.max():.3g}: allowed is 0..1; "
            "pass them before they are normalised"
        )
    return images.float()


def _first(drawn: dict[str, Any], x: Tensor) -> dict[str, Any]:
    """Of what was drawn for a batch, what belongs to its first images, which are x."""
    once = {name: drawn[name] for name in ("order",) if name in drawn}  # not a row an image
    rows = {name: value[: len(x)] for name, value in drawn.items()}
    return rows | once | {"forward_input_shape": torch.tensor(x.shape)}


def _mask_patches(x: Tensor, of: int) -> Tensor:
    """48 of the 8 x 8 patches of each image set to the mean colour: 0 after normalisation."""
    order = torch.rand(of, 64)[: len(x)].argsort(1)  # drawn on the CPU, so that every device gets the same
    keep = (order >= 48).view(-1, 1, 8, 8).to(x)
    return x * nn.functional.interpolate(keep, x.shape[-2:], mode="nearest")
