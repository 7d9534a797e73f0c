"""Images and labels in an order that depends on nothing but themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import repeat

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

HASH = 16  # bytes of sha256 that stand for a point


class Dataset:
    """Images, labels and names of the classes, in canonical order: ascending by the hash of image and label.

    The order is the same wherever the images came from and however they were shuffled, so that an index names the
    same image everywhere.

    Args:
        images: uint8 [N, 3, H, W], RGB.
        labels: int64 [N], indices into the classes; None where the images have none.
        hashes: uint8 [N, 16]; None takes them from images and labels. Files bring the hashes of what they hold,
            so that a point stays the same point at any size.

    Raises:
        ValueError: Shape, dtype or range is not as above, or there is no image.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None,
        classes: Iterable[str],
        name: str,
        split: str = "train",
        hashes: Tensor | None = None,
    ) -> None:
        classes = tuple(classes)
        _check(images, labels, classes, hashes, f"{name} {split}")
        hashes = hash_images(images, labels) if hashes is None else hashes
        order = canonical(hashes)
        if not torch.equal(order, torch.arange(len(order))):
            images, hashes = images[order], hashes[order]
            labels = None if labels is None else labels[order]
        self.images, self.hashes, self._labels = images, hashes, labels
        self.classes, self.name, self.split = classes, name, split

    @property
    def labelled(self) -> bool:
        """Whether the images have labels."""
        return self._labels is not None

    @property
    def labels(self) -> Tensor:
        """Index of each image's class, int64 [N].

        Raises:
            ValueError: The images have no labels.
        """
        if self._labels is None:
            raise ValueError(
                f"{self.name} has no labels, and these are needed here: put its images in one subfolder a class, "
                "or take what does without labels"
            )
        return self._labels

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change when any image or label does, and not with order or size."""
        return hashlib.sha256(self.hashes.numpy().tobytes()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        _, _, height, width = self.images.shape
        return (
            f"<{self.name} {self.split}: {len(self):,} images of {height}x{width}, "
            f"{len(self.classes) or 'no'} classes, fingerprint {self.fingerprint}>"
        )

    def resized(self, size: int) -> Dataset:
        """The same points with images of size x size, antialiased, in the same order with the same fingerprint."""
        if self.images.shape[2:] == (size, size):
            return self
        return Dataset(square(self.images, size), self._labels, self.classes, self.name, self.split, self.hashes)

    def of_classes(self, count: int) -> Dataset:
        """The points of the first `count` classes, in the same order.

        Raises:
            ValueError: There are fewer classes, or no labels.
        """
        if not 1 <= count <= len(self.classes):
            raise ValueError(f"{count} classes of {self.name} wanted: allowed are 1 to {len(self.classes)}")
        kept = self.labels < count
        name = f"{self.name}:{count}"
        return Dataset(
            self.images[kept], self.labels[kept], self.classes[:count], name, self.split, self.hashes[kept]
        )


def square(images: Tensor, size: int) -> Tensor:
    """The largest centred square of each image, brought to size x size: uint8 [N, 3, size, size]."""
    if size < 1:
        raise ValueError(f"size={size}: allowed is 1 or more pixels")
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = images[:, :, top : top + side, left : left + side]
    if side == size:
        return cut.contiguous()
    blocks = [  # in float32, because torch's kernel for uint8 is another one on each processor
        interpolate(block.float(), size=(size, size), mode="bilinear", antialias=True).round_().to(torch.uint8)
        for block in cut.split(1024)
    ]
    return torch.cat(blocks)


def canonical(hashes: Tensor) -> Tensor:
    """Indices of points in canonical order, ascending by hash: int64 [N]."""
    high, low = hashes.numpy().view(">u8").T  # big-endian: numbers in the order of their bytes
    return torch.from_numpy(np.lexsort((low, high)))


def hash_images(images: Tensor, labels: Tensor | None) -> Tensor:
    """Hash of each image's pixels, shape and label: uint8 [N, 16]."""
    shape = np.array(images.shape[1:], dtype="<i8").tobytes()
    rows = images.numpy().reshape(len(images), -1)
    return hash_bytes((row.data for row in rows), labels, shape)


def hash_bytes(contents: Iterable[memoryview | bytes], labels: Tensor | None, shape: bytes = b"") -> Tensor:
    """Hash of each content followed by its label, -1 without labels, and a shape: uint8 [N, 16]."""
    found = bytearray()
    for content, label in zip(contents, repeat(-1) if labels is None else labels.tolist(), strict=False):
        point = hashlib.sha256(content)
        point.update(label.to_bytes(8, "little", signed=True) + shape)
        found += point.digest()[:HASH]
    return torch.frombuffer(found, dtype=torch.uint8).view(-1, HASH)


def _check(images: Tensor, labels: Tensor | None, classes: Sequence[str], hashes: Tensor | None, what: str) -> None:
    def need(true: bool, allowed: str, given: object) -> None:
        if not true:
            raise ValueError(f"{what}: {allowed} wanted, and it has {given}")

    given = f"{images.dtype} {list(images.shape)}"
    need(
        images.dtype == torch.uint8 and images.ndim == 4 and images.shape[1] == 3, "uint8 images [N, 3, H, W]", given
    )
    need(min(images.shape) > 0, "one image or more, of one pixel or more", given)
    if labels is None:
        need(not classes, "labels for its classes", "none")
    else:
        right = labels.dtype == torch.int64 and labels.shape == (len(images),)
        need(right, f"int64 labels [{len(images)}]", f"{labels.dtype} {list(labels.shape)}")
        low, high = int(labels.min()), int(labels.max())
        need(low >= 0 and high < len(classes), f"labels from 0 to {len(classes) - 1}", f"{low} to {high}")
    if hashes is not None:
        right = hashes.dtype == torch.uint8 and hashes.shape == (len(images), HASH)
        need(right, f"uint8 hashes [{len(images)}, {HASH}]", f"{hashes.dtype} {list(hashes.shape)}")
