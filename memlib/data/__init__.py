"""Named data sets as uint8 images and labels.

Names are `digits` (in scikit-learn, always there), `cifar10`, `cifar100`, `svhn`, `stl10` (torchvision), `imagenet`
(a folder on this machine), `folder:PATH` (any folder of images), and every pack in the root; `cifar100:20` means the
first 20 classes of one. A root is searched for a pack first, then for torchvision's own files; what is in neither is
downloaded.

    python -m memlib.data list | prepare NAME | pack NAME --to DIR
"""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from memlib import store
from memlib.data.dataset import Dataset
from memlib.data.folders import (
    class_names,
    folder_fingerprint,
    list_files,
    missing_classes,
    read_folder,
    split_folder,
)
from memlib.data.packs import pack_path, read_pack, write_pack
from memlib.data.public import SPLITS, TORCHVISION, digits, download, files, read_files, remedy
from memlib.specs import nearest

__all__ = ["FINGERPRINTS", "Dataset", "default_root", "fingerprint", "load", "pack", "where"]

NAMES = ("digits", *TORCHVISION, "imagenet")
FINGERPRINTS = {  # of the complete data sets, so that keys are known where the images are not
    ("digits", "train"): "c5b4a693ac7b3ec0",
    ("digits", "test"): "c32541a115a35222",
    ("cifar10", "train"): "c117ecc2d9a57c39",
    ("cifar10", "test"): "37a8bbe5a915280d",
}


def load(name: str, split: str = "train", root: Path | str | None = None, size: int | None = None) -> Dataset:
    """A split of a named data set, in canonical order; downloaded first if that can be done. Do not write into it.

    Args:
        split: "train" or "test".
        root: where packs and torchvision's files lie; by default MEMLIB_DATA, or `data` in memlib's home.
        size: side to which images are brought; None keeps theirs, which then must be one size.

    Raises:
        KeyError: Unknown name or split.
        ValueError: What was found is damaged, foreign, or of several sizes; or it has fewer classes than wanted.
        FileNotFoundError: A folder is not there.
        ConnectionError: The download failed; says what to put where.
    """
    name, count = _classes(name)
    found = _load(name, split, default_root(root), size)
    return found if count is None else found.of_classes(count)


def fingerprint(name: str, split: str = "train", root: Path | str | None = None) -> str:
    """The fingerprint that keys carry: of the images here, or the known one where a public data set is not here.

    Raises:
        KeyError: Unknown name or split.
        FileNotFoundError: The images are not here, and their fingerprint is not known.
    """
    root = default_root(root)
    whole, classes = _classes(name)
    found = where(whole, split, root)
    if found is not None and found.kind == "folder" and not classes:
        return folder_fingerprint(found.paths[0], split)
    if found is not None and (found.kind != "built in" or classes):
        any_size = 8 if found.kind == "folder" else None  # points of folders are their files, of whatever size
        return load(name, split, root, any_size).fingerprint
    if (name, split) not in FINGERPRINTS:
        raise FileNotFoundError(
            f"{name} is not in {root}, and without its images its fingerprint is not known: "
            f"`python -m memlib.data prepare {whole}` downloads it. {remedy(whole, root)}"
        )
    return FINGERPRINTS[name, split]


def pack(
    name: str, to: Path, root: Path | str | None = None, size: int | None = None, count: int | None = None
) -> list[Path]:
    """Write the splits of a data set as packs below a folder, each with no more than `count` points.

    The points kept are the first in canonical order, which is as good as random.
    """
    root, packs = default_root(root), []
    for split in SPLITS:
        try:
            dataset = _load(name, split, root, size, count)
        except FileNotFoundError:
            if split == "train":
                raise
            continue  # a folder and a pack need not have a test split
        plain = Path(name.removeprefix("folder:")).expanduser().resolve().name  # a folder's pack has its name
        packs.append(write_pack(dataset, plain, Path(to), f"{name}, packed by memlib"))
    return packs


def _classes(name: str) -> tuple[str, int | None]:
    """The data set that a name means, and how many of its classes; None: all. A folder of that name comes first."""
    whole, _, count = name.rpartition(":")
    path = name.removeprefix("folder:")
    if not count.isdecimal() or whole in ("", "folder") or (path != name and Path(path).expanduser().is_dir()):
        return name, None
    return whole, int(count)


def default_root(root: Path | str | None = None) -> Path:
    """The folder of data sets: the one given, MEMLIB_DATA, or `data` in memlib's home."""
    chosen = root or os.environ.get("MEMLIB_DATA")
    return Path(chosen).expanduser().resolve() if chosen else store.home() / "data"


class Place(NamedTuple):
    """Where a split lies: "built in", "pack", "files" (torchvision's) or "folder", and its path or paths."""

    kind: str
    paths: tuple[Path, ...] = ()


def where(name: str, split: str, root: Path) -> Place | None:
    """Where a split lies on this machine; None where it can only be downloaded.

    Raises:
        KeyError: Unknown name or split.
        FileNotFoundError: It is not here and cannot be downloaded.
    """
    if split not in SPLITS:
        raise nearest(split, SPLITS, "split")
    if name == "digits":
        return Place("built in")
    if name.startswith("folder:"):
        return _folder(Path(name.removeprefix("folder:")).expanduser(), split)
    if (path := pack_path(root, name, split)).exists():
        return Place("pack", (path,))
    if name == "imagenet":
        return _folder(root / name, split)
    if name in TORCHVISION:
        paths = tuple(path for path, _ in files(name, split, root))
        return Place("files", paths) if all(path.exists() for path in paths) else None
    packs = [path.parent.name for path in sorted(root.glob("*/train.safetensors"))]
    if name in packs:
        raise FileNotFoundError(f"the pack {name} in {root} has no {split} split: {path} is missing")
    raise nearest(name, dict.fromkeys([*NAMES, *packs, "folder:PATH"]), f"data set (in {root})")


def _folder(base: Path, split: str) -> Place:
    if (found := split_folder(base, split)) is None:
        raise FileNotFoundError(
            f"no {split} images in {base}: put them into {base / split}, in one subfolder a class"
            + (f", or without any split into {base}" if split == "train" else "")
        )
    return Place("folder", (found,))


def _load(name: str, split: str, root: Path, size: int | None, count: int | None = None) -> Dataset:
    found = where(name, split, root)
    if found is None:
        download(name, root)
        found = Place("pack", (pack_path(root, name, split),))
    if found.kind == "folder":
        paths, form = list_files(found.paths[0]), (size, count)
    else:
        paths, form = list(found.paths), (None, None)
    stamps: tuple = tuple((status.st_mtime_ns, status.st_size) for status in map(os.stat, paths))
    if found.kind == "folder":
        stamps += class_names(found.paths[0], split)  # the training split's count, too
    dataset = _read(name, split, root, found, *form, stamps)
    if count is not None and count < len(dataset):
        labels = dataset.labels[:count] if dataset.labelled else None
        dataset = Dataset(dataset.images[:count], labels, dataset.classes, name, split, dataset.hashes[:count])
    return dataset if size is None else dataset.resized(size)


@lru_cache(maxsize=8)
def _read(
    name: str, split: str, root: Path, found: Place, size: int | None, count: int | None, stamps: tuple
) -> Dataset:
    """Kept in memory while the files stay as they are (`stamps`)."""
    if found.kind == "built in":
        dataset = digits(split)
    elif found.kind == "pack":
        dataset = read_pack(found.paths[0], name, split)
    elif found.kind == "files":
        dataset = read_files(name, split, root)
    else:
        dataset = read_folder(name, split, found.paths[0], size, count)
        if split == "test" and (said := missing_classes(found.paths[0])):
            warnings.warn(f"{said}: labels are those of the names in both", stacklevel=4)
    if dataset.fingerprint != FINGERPRINTS.get((name, split), dataset.fingerprint):
        warnings.warn(
            f"{name} {split} in {root} is not the complete published one: its fingerprint is {dataset.fingerprint}, "
            f"not {FINGERPRINTS[name, split]}, and so are the keys of what is made from it",
            stacklevel=4,
        )
    return dataset
