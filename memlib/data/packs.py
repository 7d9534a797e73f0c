"""Packs: one safetensors file a split, all that a machine without internet needs.

<root>/<name>/<split>.safetensors holds `images` uint8 [N, 3, H, W] and `labels` int64 [N]; its metadata are `name`,
`split`, `classes` (a JSON list) and `source`. A pack of files of various sizes also holds the `hashes` of the files,
uint8 [N, 16], which name its points; a pack that memlib wrote carries a checksum.
"""

from __future__ import annotations

import json
from pathlib import Path

from memlib import store
from memlib.data.dataset import Dataset, hash_images

FIX = "Remove it and make it again (`python -m memlib.data prepare NAME`, or `pack NAME --to DIR` elsewhere)."


def pack_path(root: Path, name: str, split: str) -> Path:
    """Where a pack lies."""
    return root / name / f"{split}.safetensors"


def write_pack(dataset: Dataset, name: str, root: Path, source: str) -> Path:
    """Write a data set as a pack of this name, all of it or nothing, and return where it lies."""
    path = pack_path(root, name, dataset.split)
    labels = dataset.labels if dataset.labelled else None
    arrays = {"images": dataset.images} | ({} if labels is None else {"labels": labels})
    if not dataset.hashes.equal(hash_images(dataset.images, labels)):
        arrays["hashes"] = dataset.hashes
    classes = json.dumps(dataset.classes)
    store.save(path, arrays, {"name": name, "split": dataset.split, "classes": classes, "source": source})
    return path


def read_pack(path: Path, name: str, split: str) -> Dataset:
    """The data set in a pack.

    Raises:
        Damaged: The file is cut off or does not match its checksum.
        ValueError: It is a pack of something else, or not in the format; says what was found.
    """
    try:
        arrays, metadata = store.load(path)
    except store.Damaged as error:
        raise store.Damaged(f"{error}. {FIX}") from error
    for key, wanted in (("name", name), ("split", split)):
        if metadata.get(key) != wanted:
            raise ValueError(f"{path} is a foreign pack: its {key} is {metadata.get(key)!r}, not {wanted!r}. {FIX}")
    try:
        classes = json.loads(metadata.get("classes", "null"))
        if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
            raise ValueError(f"a JSON list of names in `classes` wanted, and it has {metadata.get('classes')!r}")
        if "images" not in arrays or (classes and "labels" not in arrays):
            raise ValueError(f"arrays `images` and `labels` wanted, and it has {', '.join(sorted(arrays)) or 'none'}")
        return Dataset(arrays["images"], arrays.get("labels"), classes, name, split, arrays.get("hashes"))
    except ValueError as error:
        raise ValueError(f"{path} is a foreign pack: {error}. {FIX}") from error
