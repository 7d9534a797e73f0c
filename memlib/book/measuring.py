"""One encoder, measured: read where the measurement exists, made where it does not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memlib import data, measure, metrics, splits, store, train
from memlib.book.designs import Measurement
from memlib.book.paths import fingerprints, place
from memlib.encoders import Encoder
from memlib.pairs import S_C, S_I
from memlib.specs import EncoderSpec, half, nearest

SETS = ("S_S", "S_C", "S_I", "S_E")  # codes 0 … 3 in `sets`
CLASSMEM = ("classmem", "classmem_unseen", "classmem_shuffled")
SHUFFLES = 5  # permutations of the labels: what ClassMem is where classes mean nothing
BLOCKS = 3  # disjoint blocks of the seen points, for the spread of UnitMem


@dataclass(frozen=True)
class Table:
    """One encoder, measured on P points of its training set and Q test images, R rows in all.

    Attributes:
        points: Index in the training set (the first P) or the test set, in canonical order, [R].
        sets: 0 … 3 for S_S, S_C, S_I, S_E, as seen from f, [R].
        seen: Whether the encoder was trained on the point, [R].
        align: {layer: distances float32 [2, R]}, by draw of views and row (eq. 1, l2 of unit vectors).
        unitmem: {set: {layer: UnitMem [U]}}; the sets `seen`, `unseen`, `external` are of equal size, `both` is
            seen and unseen, and `seen-0` … are disjoint blocks of the seen points. Without units it is empty, and so
            are `top_row` and `active`.
        top_row: {layer: row of the unit's strongest point among seen and unseen points, half and half, [U]}.
        active: {layer: whether any of these points activates the unit, [U]}.
        header: What was measured: spec, choices, circumstances.
        made: Whether it was computed just now, and not read.
        classmem: {layer: ClassMem [U] on all seen points, without augmentation}; empty where it was not measured.
        classmem_unseen: The same on the points of the other encoder's half or candidates.
        classmem_shuffled: The same as `classmem` with labels permuted over the points, mean of `SHUFFLES` of them.
        probe: {data set: accuracy of a linear probe, one a seed}; empty where it was not measured.
    """

    points: np.ndarray
    sets: np.ndarray
    seen: np.ndarray
    align: dict[str, np.ndarray]
    unitmem: dict[str, dict[str, np.ndarray]]
    top_row: dict[str, np.ndarray]
    active: dict[str, np.ndarray]
    header: dict[str, Any]
    made: bool
    classmem: dict[str, np.ndarray] = field(default_factory=dict)
    classmem_unseen: dict[str, np.ndarray] = field(default_factory=dict)
    classmem_shuffled: dict[str, np.ndarray] = field(default_factory=dict)
    probe: dict[str, list[float]] = field(default_factory=dict)

    def scores(self, of: str, layer: str) -> np.ndarray:
        """Scores of a layer's units [U]: UnitMem of a set of points (`seen`, `unseen`, …), or one of `CLASSMEM`.

        Raises:
            KeyError: There is no such score; ClassMem is measured where a design states `classes: true`.
        """
        known = self.unitmem | {name: getattr(self, name) for name in CLASSMEM if getattr(self, name)}
        if of not in known:
            raise nearest(of, known, f"score of the units of {self.header.get('name', 'this encoder')}")
        return known[of][layer]

    @cached_property
    def compared(self) -> np.ndarray:
        """Rows of the points that member rates compare: as many seen as unseen ones, of those that tell f from g."""
        told, n = np.isin(self.sets, (S_C, S_I)), self.header["points_a_set"]
        sides = [mask & (np.cumsum(mask) <= n) for mask in (told & self.seen, told & ~self.seen)]
        return np.flatnonzero(sides[0] | sides[1])

    def strongest(self, layer: str) -> np.ndarray:
        """Place among `compared` of the strongest point of each active unit of a layer."""
        return np.searchsorted(self.compared, self.top_row[layer][self.active[layer]])

    def accuracy(self, dataset: str) -> float:
        """Accuracy of the linear probe on a data set, mean over seeds, in [0, 1].

        Raises:
            KeyError: It was not probed.
        """
        if dataset not in self.probe:
            raise nearest(dataset, self.probe, "probed data set")
        return float(np.mean(self.probe[dataset]))


def table(measurement: Measurement, scale: str) -> Table:
    """A measurement, read if it exists; if not it is made, its encoder trained first if it is missing.

    Raises:
        OSError: The data set is neither here nor to be downloaded.
    """
    path = place(measurement, scale)
    made = not path.exists()
    arrays, header = store.find_or_make(path, lambda: measure_one(measurement))
    found = {name: value.numpy() for name, value in arrays.items()}
    units = dict(zip(header["unit_layers"], header["unit_counts"], strict=True))
    ends = np.cumsum(list(units.values()))[:-1]

    def by_layer(flat: np.ndarray) -> dict[str, np.ndarray]:
        flat = flat.astype(np.float32) if flat.dtype == np.float16 else flat
        return dict(zip(units, np.split(flat, ends), strict=True))

    return Table(
        found["points"],
        found["sets"],
        found["seen"].astype(bool),
        {name: found["align"][:, i] for i, name in enumerate(header["layers"])},
        {name: by_layer(found["unitmem"][i]) for i, name in enumerate(header["unit_sets"])},
        by_layer(found["top_row"]) if units else {},
        by_layer(found["top"] > 0) if units else {},
        header,
        made,
        **{name: by_layer(found[name]) for name in CLASSMEM if name in found},
        probe=header.get("probe", {}),
    )


def thumbnails(dataset: str, split: str, indices: np.ndarray, scale: str) -> np.ndarray:
    """Images of a data set by their indices in canonical order, uint8 [n, H, W, 3], as a page shows them.

    They travel with the measurements, so that a page can be computed where the data set is not.
    """
    indices = np.asarray(indices, dtype=np.int64)
    fingerprint = data.fingerprint(dataset, split)
    key = store.digest({"images": fingerprint, "indices": indices.tolist()})

    def cut() -> tuple[dict[str, Any], dict[str, Any]]:
        images = data.load(dataset, split).images[torch.from_numpy(indices)]
        header = {"kind": "thumbnails", "dataset": dataset, "split": split, "fingerprint": fingerprint}
        return {"images": images, "indices": indices}, header

    path = store.measurement(Path(scale).stem, f"thumbnails-{key}")
    return store.find_or_make(path, cut)[0]["images"].numpy().transpose(0, 2, 3, 1)


def points_of(spec: EncoderSpec, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the points of a design, ascending, and their set as seen from f, both [P]."""
    pool = torch.arange(n) if spec.subset is None else splits.choose(n, spec.subset, spec.split_seed, spec.pool)
    if part := half(spec.points):
        k, of = part
        inside, outside = splits.halves(len(pool), k - k % 2, of, spec.split_seed)  # f has the even half
        members = [(1, inside), (2, outside)]
    else:
        sets = splits.split_points(len(pool), spec.shared, spec.candidates, spec.split_seed)
        members = [(0, sets.shared), (1, sets.candidates), (2, sets.independent)]
    points = torch.cat([pool[index] for _, index in members])
    codes = torch.cat([torch.full((len(index),), code) for code, index in members])
    points, order = points.sort()
    return points, codes[order]


def measure_one(measurement: Measurement) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and header of a measurement.

    One pass for distances and units, and one more with other views for the distances that score.
    """
    spec = measurement.encoder
    train_set, test_set = (data.load(spec.dataset, split, size=spec.size) for split in ("train", "test"))
    points, codes = points_of(spec, len(train_set))
    external = splits.choose(len(test_set), measurement.external, spec.split_seed, spec.pool)
    device = train.device()
    encoder = train.encoder(spec).to(device)

    rows = len(points) + len(external)
    sets = torch.cat([codes, torch.full((len(external),), 3)])
    seen = torch.isin(points, train.training_points(spec, len(train_set)))
    seen = torch.cat([seen, torch.zeros(len(external), dtype=torch.bool)])
    images = torch.cat([train_set.images[points], test_set.images[external]])
    masks = _masks(sets, seen)
    began = time.monotonic()
    augment, views = train.views_of(spec), measurement.views
    units = {row.name: row.units for row in encoder.layers if row.unit_module and measurement.units}
    select = measure.sweep(encoder, images, augment, views=views, seed=0, units=masks if units else None)[0]
    score = measure.sweep(encoder, images, augment, views=views, seed=1)[0]
    layers = list(select.align)
    arrays = {
        "points": torch.cat([points, external]).int(),
        "sets": sets.to(torch.int8),
        "seen": seen.to(torch.uint8),
        "align": torch.stack([torch.stack([one.align[n] for n in layers]) for one in (select, score)]),  # [2, L, R]
    }
    if units:
        both = select.peaks["both"]
        scores = [torch.cat([peaks[n].unitmem() for n in units]) for peaks in select.peaks.values()]
        arrays |= {
            "unitmem": torch.stack(scores).half(),  # half: measurements are to stay well under 1 MB
            "top_row": torch.cat([both[n].point for n in units]).to(torch.int16 if rows < 2**15 else torch.int32),
            "top": torch.cat([both[n].largest > 0 for n in units]).to(torch.uint8),
        }
    if measurement.classes:
        arrays |= _classmem(
            encoder, train_set.images[points], train_set.labels[points], seen[: len(points)], list(units)
        )
    few = measurement.probe_points
    accuracies = {name: probe_accuracies(encoder, name, spec.size, few, few) for name in measurement.probe}
    header = {
        "kind": "measurement",
        "name": measurement.name,
        "encoder": spec.values(),
        "training": {k: v for k, v in encoder.made.items() if k not in ("kind", "spec")},
        "fingerprints": fingerprints(measurement),
        "rows": rows,
        "layers": layers,
        "unit_layers": list(units),
        "unit_counts": list(units.values()),
        "unit_sets": list(masks) if units else [],
        "points_a_set": int(masks["seen"].sum()),
        "choices": {
            "augment": spec.augment,
            "views": views,
            "distance": "l2",
            "unit_length": True,
            "pairs": "views",
            "rest": "mean",
        },
        **({"probe": accuracies} if accuracies else {}),
        "seconds": round(time.monotonic() - began, 1),
        **train.circumstances(device, "float32"),
    }
    return arrays, header


def _classmem(
    encoder: Encoder, images: torch.Tensor, labels: torch.Tensor, seen: torch.Tensor, layers: list[str]
) -> dict[str, torch.Tensor]:
    """ClassMem of all units on the seen points, on the others, and with permuted labels, float16 [U] each.

    Without augmentation, as equations 13 to 16 have it.
    """
    inside, none = seen.nonzero()[:, 0], -1  # a label of points that are left out
    orders = [torch.randperm(len(inside), generator=torch.Generator().manual_seed(i)) for i in range(SHUFFLES)]
    labelled = {
        "classmem": labels.where(seen, none),
        "classmem_unseen": labels.where(~seen, none),
        **{
            f"shuffle-{i}": labels.index_put((inside,), labels[inside[o]]).where(seen, none)
            for i, o in enumerate(orders)
        },
    }
    masks = {f"{name} {c}": of == c for name, of in labelled.items() for c in of[of != none].unique().tolist()}
    # a set of points a class: their sums are all that is kept, and no N x U table
    peaks = measure.sweep(encoder, images, "none", layers, views=1, align=False, units=masks)[0].peaks

    def score(name: str) -> torch.Tensor:
        chosen = [peaks[mask] for mask in masks if mask.startswith(f"{name} ")]
        means = [torch.stack([one[n].total / one[n].count for one in chosen]) for n in layers]  # [M, U] a layer
        return torch.cat([metrics.classmem(m, torch.arange(len(m))) for m in means])

    shuffled = torch.stack([score(f"shuffle-{i}") for i in range(SHUFFLES)]).mean(0)
    found = {
        "classmem": score("classmem"),
        "classmem_unseen": score("classmem_unseen"),
        "classmem_shuffled": shuffled,
    }
    return {name: scores.half() for name, scores in found.items()}


def probe_accuracies(
    encoder: Encoder, dataset: str, size: int, points: int | None, tested: int | None
) -> list[float]:
    """Accuracy of a linear probe on a data set, one a seed; on so many points at most of each split (None: all)."""
    from memlib import probe

    there = [len(data.load(dataset, split, size=size)) for split in ("train", "test")]
    counts = (min(most or n, n) for most, n in zip((points, tested), there, strict=True))
    return list(probe.probe(encoder, dataset, size, *counts).each)


def _masks(sets: torch.Tensor, seen: torch.Tensor) -> dict[str, torch.Tensor]:
    """Sets of points of equal size, bool [R] each: seen and unseen of those that tell f from g, and external."""
    told = (sets == 1) | (sets == 2)
    whole = {"seen": told & seen, "unseen": told & ~seen, "external": sets == 3}
    n = min(int(mask.sum()) for mask in whole.values())
    masks = {name: _first(mask, n) for name, mask in whole.items()}
    masks["both"] = masks["seen"] | masks["unseen"]
    for block, rows in enumerate(masks["seen"].nonzero()[:, 0].chunk(BLOCKS)):
        masks[f"seen-{block}"] = torch.zeros_like(told)
        masks[f"seen-{block}"][rows] = True
    return masks


def _first(mask: torch.Tensor, n: int) -> torch.Tensor:
    """The first n rows of a mask: a random choice, as rows are in the order of their hashes."""
    return mask & (mask.cumsum(0) <= n)
