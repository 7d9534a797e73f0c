"""Folders of image files of any size: ImageNet, and `folder:PATH`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memlib.data.dataset import Dataset, hash_bytes, square


def split_folder(base: Path, split: str) -> Path | None:
    """Where a folder keeps a split: `train`, and `test` or `val`; without these all of it is `train`."""
    inside = [base / "train"] if split == "train" else [base / "test", base / "val"]
    found = next((path for path in inside if path.is_dir()), None)
    whole = split == "train" and base.is_dir() and not any((base / s).is_dir() for s in ("train", "test", "val"))
    return base if found is None and whole else found


def read_folder(name: str, split: str, folder: Path, size: int | None = None, count: int | None = None) -> Dataset:
    """The images in a folder: of a class a subfolder, as ImageNet's, or flat and without labels.

    A point's hash is that of its file's bytes and label: the same at any size and with any version of the decoder.

    Args:
        size: side to which all are brought (their largest centred square, antialiased); None where they have one
            size already.
        count: read no more than this many, the first in canonical order; None reads all.

    Raises:
        ValueError: There is no image, one cannot be read, the sizes differ and none was stated, or the images do
            not fit into memory.
    """
    paths, labels, classes = _scan(folder)
    hashes = _hashes(paths, labels)
    if count is not None and count < len(paths):
        chosen = np.lexsort(hashes.numpy().view(">u8").T[::-1])[:count]
        paths, hashes = [paths[i] for i in chosen], hashes[chosen]
        labels = None if labels is None else labels[chosen]
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size is not None and (need := len(paths) * 3 * size**2) > room:
        raise ValueError(
            f"{folder}: {len(paths):,} images of {size}x{size} are {need / 1e9:.0f} GB, and this machine has "
            f"{room / 1e9:.0f} GB of memory. Take fewer: `python -m memlib.data pack {name} --to DIR --size {size} "
            "--count N`, and set MEMLIB_DATA to DIR"
        )
    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding Python's lock
        images = list(pool.map(lambda path: _decode(path, size), paths))
    shapes = {image.shape: path for image, path in zip(images, paths, strict=True)}
    if len(shapes) > 1:
        (a, first), (b, second), *_ = shapes.items()
        raise ValueError(
            f"{folder} holds images of several sizes ({first.name} {a[2]}x{a[3]}, {second.name} {b[2]}x{b[3]}): "
            f"state one, as in load({name!r}, size=64)"
        )
    return Dataset(torch.cat(images), labels, classes, name, split, hashes)


def folder_fingerprint(folder: Path) -> str:
    """The fingerprint of `read_folder`, without decoding an image."""
    paths, labels, _ = _scan(folder)
    blank = torch.zeros(len(paths), 3, 1, 1, dtype=torch.uint8)
    names = map(str, range(0 if labels is None else int(labels.max()) + 1))
    return Dataset(blank, labels, names, "", "", _hashes(paths, labels)).fingerprint


def list_files(folder: Path) -> list[Path]:
    """Every image file in a folder."""
    return _scan(folder)[0]


def _scan(folder: Path) -> tuple[list[Path], Tensor | None, tuple[str, ...]]:
    """Files, labels [N] or None, and classes."""
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import IMG_EXTENSIONS

    flat = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMG_EXTENSIONS and path.is_file())
    nested = any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir())
    if flat and nested:
        raise ValueError(
            f"{folder} holds images ({flat[0].name}, ...) beside subfolders: with labels, all images belong into "
            "one subfolder a class; without, there is no subfolder"
        )
    if flat:
        return flat, None, ()
    try:
        found = ImageFolder(folder)
    except FileNotFoundError as error:
        raise ValueError(f"no images in {folder}: {error}") from error
    labels = torch.tensor([label for _, label in found.samples])
    return [Path(path) for path, _ in found.samples], labels, tuple(found.classes)


def _hashes(paths: list[Path], labels: Tensor | None) -> Tensor:
    ends = np.full(len(paths), -1) if labels is None else labels.numpy()
    return hash_bytes((path.read_bytes() for path in paths), (end.tobytes() for end in ends.astype("<i8")))


def _decode(path: Path, size: int | None) -> Tensor:
    """uint8 [1, 3, H, W]."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            pixels = np.array(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # Pillow raises these for damaged files
        raise ValueError(f"{path} cannot be read as an image ({error}): repair or remove it") from error
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # [H, W, 3] -> [1, 3, H, W]
    return image.contiguous() if size is None else square(image, size)
