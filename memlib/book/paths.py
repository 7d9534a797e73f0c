"""Where measurements and runs of experiments lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from memlib import data, store
from memlib.book.plan import Planned


def place(measurement: Planned, scale: str, known: Callable[[str, str], str] = data.fingerprint) -> Path:
    """Where a measurement or run lies, or will: the published one, also where its images are not here and not known.

    Args:
        known: The fingerprint of a data set's split, as `data.fingerprint`.

    Raises:
        FileNotFoundError: It is not published, and its images are not here and not known.
    """
    scale, name = Path(scale).stem, measurement.name
    try:
        key = measurement.key(*fingerprints(measurement, known))
    except (FileNotFoundError, KeyError):
        if found := published(measurement, scale):
            return found
        raise
    return store.measurement(scale, f"{name}-{key}")


def fingerprints(measurement: Planned, known: Callable[[str, str], str] = data.fingerprint) -> list[str]:
    """Of the training and test images of its data sets."""
    return [known(dataset, split) for dataset in measurement.datasets for split in ("train", "test")]


def published(measurement: Planned, scale: str) -> Path | None:
    """The published measurement of any images: its header has their fingerprints, which its name must follow from."""
    for path in sorted(store.results(scale).glob(f"{measurement.name}-*.safetensors")):
        header = json.loads(store.peek(path).get("header", "{}"))
        if path.stem == f"{measurement.name}-{measurement.key(*header.get('fingerprints', ()))}":
            return path
    return None
