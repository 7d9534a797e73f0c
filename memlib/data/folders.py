"""Folders of image files of any size: ImageNet, and `folder:PATH`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memlib.data.dataset import Dataset, canonical, hash_bytes, square
from memlib.progress import progress

IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
LITTER = (
    *("__MACOSX", "__pycache__", "$RECYCLE.BIN", "RECYCLER", "System Volume Information", "lost+found"),
    *("@eaDir", "@Recycle", "@tmp", "#recycle", "#snapshot"),
)
ORIENTATION = 0x0112  # of EXIF: from 5 on height and width are exchanged


def split_folder(base: Path, split: str) -> Path | None:
    """Where a folder keeps a split: `train`, and `test` or `val`; without these all of it is `train`."""
    inside = [base / "train"] if split == "train" else [base / "test", base / "val"]
    found = next((path for path in inside if path.is_dir()), None)
    whole = split == "train" and base.is_dir() and not any((base / s).is_dir() for s in ("train", "test", "val"))
    return base if found is None and whole else found


def read_folder(name: str, split: str, folder: Path, size: int | None = None, count: int | None = None) -> Dataset:
    """The images in a folder: of a class a subfolder, as ImageNet's, or flat and without labels.

    A point's hash is that of its file's bytes and label: the same at any size and with any version of the decoder.
    The test split counts its classes as the training split does, whose names come first. Images are turned as their
    EXIF data say, and brought from 16 bits to 8.

    Args:
        size: side to which all are brought (their largest centred square, antialiased); None where they have one
            size already.
        count: read no more than this many, the first in canonical order; None reads all.

    Raises:
        ValueError: There is no image, one cannot be read, the sizes differ and none was stated, or the images do
            not fit into memory; said before they are read.
    """
    paths, labels, classes = _scan(folder, split)
    hashes = _hashes(paths, labels)
    chosen = canonical(hashes)[:count]
    paths, hashes = [paths[i] for i in chosen.tolist()], hashes[chosen]
    labels = None if labels is None else labels[chosen]
    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding Python's lock
        found = pool.map(_shape, paths) if size is None else [(size, size)] * len(paths)
        shapes = dict(zip(found, paths, strict=True))
        if len(shapes) > 1:
            (a, first), (b, second), *_ = shapes.items()
            raise ValueError(
                f"{folder} holds images of several sizes ({first.name} {a[0]}x{a[1]}, {second.name} {b[0]}x{b[1]}): "
                f"state one, as in load({name!r}, size=64)"
            )
        ((height, width),) = shapes
        room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if (need := len(paths) * 3 * height * width) > room:
            raise ValueError(
                f"{folder}: {len(paths):,} images of {height}x{width} are {need / 1e9:.0f} GB, and this machine has "
                f"{room / 1e9:.0f} GB of memory. Take fewer: `python -m memlib.data pack {name} --to DIR --size "
                f"{size or min(height, width)} --count N`, and set MEMLIB_DATA to DIR"
            )
        images = torch.empty(len(paths), 3, height, width, dtype=torch.uint8)

        with progress(len(paths), f"reading {folder.name}", "image") as done:

            def fill(i: int) -> None:
                images[i] = _decode(paths[i], size)
                done(1)

            list(pool.map(fill, range(len(paths))))
    return Dataset(images, labels, classes, name, split, hashes)


def folder_fingerprint(folder: Path, split: str) -> str:
    """The fingerprint of `read_folder`, without decoding an image."""
    paths, labels, classes = _scan(folder, split)
    blank = torch.zeros(len(paths), 3, 1, 1, dtype=torch.uint8)
    return Dataset(blank, labels, classes, "", "", _hashes(paths, labels)).fingerprint


def list_files(folder: Path) -> list[Path]:
    """Every image file in a folder."""
    return _scan(folder)[0]


def ordered_files(folder: Path) -> list[Path]:
    """The files behind the points of `read_folder`'s training split, in their order."""
    paths, labels, _ = _scan(folder)
    return [paths[i] for i in canonical(_hashes(paths, labels)).tolist()]


def class_names(folder: Path, split: str = "train") -> tuple[str, ...]:
    """The names behind a split's labels: the training split's, then those that the test split alone has."""
    own = sorted(path.name for path in _seen(folder) if path.is_dir())
    beside = folder.parent / "train"
    if split == "train" or not own or not beside.is_dir():
        return tuple(own)
    known = class_names(beside)
    return (*known, *(name for name in own if name not in known))


def _scan(folder: Path, split: str = "train") -> tuple[list[Path], Tensor | None, tuple[str, ...]]:
    """Files, labels [N] or None, and classes."""
    flat = [path for path in _seen(folder) if _is_image(path)]
    own = [path for path in _seen(folder) if path.is_dir()]
    if flat and own:
        raise ValueError(
            f"{folder} holds images ({flat[0].name}, ...) beside subfolders: with labels, all images belong into "
            "one subfolder a class; without, there is no subfolder"
        )
    if flat:
        return flat, None, ()
    files = {path.name: list(_below(path, (_identity(folder),))) for path in own}
    if empty := [name for name, found in files.items() if not found] or (not files and [folder.name]):
        raise ValueError(f"no images in {folder}: no file of {', '.join(IMAGES)} in {', '.join(empty)}")
    classes = class_names(folder, split)
    labels = [label for label, name in enumerate(classes) for _ in files.get(name, ())]
    return [path for name in classes for path in files.get(name, ())], torch.tensor(labels), classes


def missing_classes(folder: Path) -> str | None:
    """Which classes a test split and the training split beside it do not share, in words; None if they do."""
    beside = folder.parent / "train"
    own, known = (set(class_names(one)) if one.is_dir() else set() for one in (folder, beside))
    said = [
        f"{where} has no images of {', '.join(sorted(names))}"
        for where, names in ((folder, known - own), (beside, own - known))
        if own and known and names
    ]
    return "; ".join(said) or None


def _seen(folder: Path) -> list[Path]:
    """What is in a folder, without what systems and programs leave there.

    Raises:
        ValueError: There is a link to nothing: what it should give would be missing without a word.
    """
    found = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.name not in LITTER)
    for path in found:
        if path.is_symlink() and not path.exists():
            raise ValueError(f"{path} is a link to {os.readlink(path)}, which is not there: repair or remove it")
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGES and path.is_file()


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _below(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    """Every image file below a folder; links are followed, but to none of the folders above."""
    if (here := _identity(folder)) in above:
        return
    for path in _seen(folder):
        if path.is_dir():
            yield from _below(path, (*above, here))
        elif _is_image(path):
            yield path


def _hashes(paths: list[Path], labels: Tensor | None) -> Tensor:
    return hash_bytes((path.read_bytes() for path in paths), labels)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An image file that is open in Pillow; whatever goes wrong names it."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            yield picture
    except Exception as error:  # each decoder has errors of its own
        raise ValueError(f"{path} cannot be read as an image ({error}): repair or remove it") from error


def _shape(path: Path) -> tuple[int, int]:
    """Height and width of an image, from its header."""
    with _opened(path) as picture:
        width, height = picture.size
        return (width, height) if picture.getexif().get(ORIENTATION, 1) >= 5 else (height, width)


def _decode(path: Path, size: int | None) -> Tensor:
    """uint8 [3, H, W]."""
    from PIL import ImageOps

    with _opened(path) as picture:
        # of 16 bits
        deep = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM"))
        if picture.mode in ("I", "F") and not deep:
            raise ValueError(f"of {picture.mode!r}, 32 bits, whose range nobody states; allowed are 8 and 16")
        upright = ImageOps.exif_transpose(picture)
        if deep:
            grey = np.round(np.asarray(upright).astype(np.float64) / 257).astype(np.uint8)  # 65,535 -> 255
            pixels = np.stack([grey] * 3, 2)
        else:
            pixels = np.array(upright.convert("RGB"))
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # [H, W, 3] -> [1, 3, H, W]
    return (image if size is None else square(image, size))[0]
