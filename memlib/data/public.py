"""Data sets that torchvision and scikit-learn know: digits, CIFAR10, CIFAR100, SVHN, STL10."""

from __future__ import annotations

import shutil
import warnings
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch

from memlib import store
from memlib.data.dataset import Dataset
from memlib.data.packs import pack_path, write_pack

TORCHVISION = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "svhn": "SVHN", "stl10": "STL10"}
SPLITS = ("train", "test")


def digits(split: str) -> Dataset:
    """The 1,797 digits of scikit-learn, 8x8 grey as RGB: always there, without a download.

    scikit-learn has no split, so `test` is the first fifth of each class in the order of the hashes (355 images),
    and `train` the rest (1,442).
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    grey = torch.from_numpy(np.round(found.images * (255 / 16)).astype(np.uint8))  # 0..16 -> 0..255
    images = grey[:, None].expand(-1, 3, -1, -1).contiguous()  # [N, 8, 8] -> [N, 3, 8, 8]
    labels = torch.from_numpy(found.target.astype(np.int64))
    everything = Dataset(images, labels, map(str, range(10)), "digits")
    test = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(10):
        points = (everything.labels == label).nonzero()[:, 0]
        test[points[: len(points) // 5]] = True
    chosen = test if split == "test" else ~test
    return Dataset(everything.images[chosen], everything.labels[chosen], everything.classes, "digits", split)


def files(name: str, split: str, root: Path) -> list[tuple[Path, str | None]]:
    """The files and md5 sums that torchvision wants in a root for a data set."""
    known = _known(name)
    if name == "svhn":
        return [(root / known.split_list[split][1], known.split_list[split][2])]
    names = (known.class_names_file, None) if name == "stl10" else (known.meta["filename"], known.meta["md5"])
    return [(root / known.base_folder / file, md5) for file, md5 in (*known.train_list, *known.test_list, names)]


def read_files(name: str, split: str, root: Path) -> Dataset:
    """A data set from torchvision's files in a root, read and checked by torchvision.

    Raises:
        ValueError: A file is missing or has the wrong checksum; says which.
    """
    try:
        found = _open(name, split, root)
    except RuntimeError as error:
        raise ValueError(_what_is_wrong(name, split, root) or str(error)) from error
    images = torch.from_numpy(np.ascontiguousarray(found.data))
    if name.startswith("cifar"):
        images = images.permute(0, 3, 1, 2).contiguous()  # [N, H, W, 3] -> [N, 3, H, W]
    labels = torch.from_numpy(np.asarray(found.targets if name.startswith("cifar") else found.labels, dtype=np.int64))
    classes = map(str, range(10)) if name == "svhn" else found.classes
    return Dataset(images, labels, classes, name, split)


def download(name: str, root: Path) -> None:
    """Bring a data set from the internet into a root, as packs of both splits.

    torchvision downloads, checks and reads it in a folder that is removed again, so that a root holds a whole split
    or nothing of it.

    Raises:
        ConnectionError: There is no way to it; says what to put where.
        ValueError: What came has the wrong checksum.
    """
    draft = root / f".{name}.download"
    with store.lock(root / name):
        missing = [split for split in SPLITS if not pack_path(root, name, split).exists()]
        shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
        try:
            for split in missing:  # none, where another process has brought them meanwhile
                draft.mkdir(exist_ok=True)
                _open(name, split, draft, download=True)
            for split in missing:
                write_pack(read_files(name, split, draft), name, root, f"torchvision {TORCHVISION[name]}")
        except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
            raise ConnectionError(
                f"{name} is not in {root} and could not be downloaded ({error}). {remedy(name, root)}"
            ) from error
        except RuntimeError as error:
            raise ValueError(
                f"{name}: what was downloaded has the wrong checksum ({error}); nothing of it was kept. Try again "
                f"later. {remedy(name, root)}"
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def remedy(name: str, root: Path) -> str:
    """What to put where on a machine without internet."""
    wanted = sorted(
        {str(path.relative_to(root).parts[0]) for split in SPLITS for path, _ in files(name, split, root)}
    )
    return (
        f"On a machine with internet run `python -m memlib.data pack {name} --to DIR` and copy DIR/{name} to "
        f"{root / name}; or put torchvision's {' and '.join(wanted)} into {root}"
    )


def _known(name: str) -> Any:
    import torchvision.datasets

    return getattr(torchvision.datasets, TORCHVISION[name])


def _open(name: str, split: str, root: Path, download: bool = False) -> Any:
    chosen: dict[str, Any] = {"train": split == "train"} if name.startswith("cifar") else {"split": split}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of the old pickles in which CIFAR comes, tarfile of archives
        return _known(name)(root, download=download, **chosen)


def _what_is_wrong(name: str, split: str, root: Path) -> str | None:
    from torchvision.datasets.utils import check_integrity

    for path, md5 in files(name, split, root):
        if not path.exists():
            return f"{name}: {path} is missing. {remedy(name, root)}"
        if not check_integrity(path, md5):
            return f"{name}: {path} has the wrong checksum (md5 {md5} wanted). Remove it. {remedy(name, root)}"
    return None
