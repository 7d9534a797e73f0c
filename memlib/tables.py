"""The measurements that pages are computed from: small tables, read where they exist and made where they do not.

One table holds one encoder: the distances of every layer on every point of its design for two independent draws of
views, and what UnitMem needs of every unit. Those of the published scale lie in `book/results`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memlib import claims, data, measure, splits, store, studies, train
from memlib.specs import EncoderSpec, half

SETS = ("S_S", "S_C", "S_I", "S_E")  # codes 0 … 3 in `sets`
DRAWS = ("select", "score")  # points are selected by one draw of views and scored by the other
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
            seen and unseen, and `seen-0` … are disjoint blocks of the seen points.
        top_row: {layer: row of the unit's strongest point among seen and unseen points, half and half, [U]}.
        active: {layer: whether any of these points activates the unit, [U]}.
        header: What was measured: spec, choices, circumstances.
        made: Whether it was computed just now, and not read.
        classmem: {layer: ClassMem [U] on all seen points, without augmentation}; empty where it was not measured.
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
    probe: dict[str, list[float]] = field(default_factory=dict)


def table(measurement: studies.Measurement, scale: str) -> Table:
    """A measurement, read if it exists; if not it is made, its encoder trained first if it is missing.

    Raises:
        OSError: The data set is neither here nor to be downloaded.
    """
    path = _path(measurement, scale)
    made = not path.exists()
    arrays, header = store.find_or_make(path, lambda: _measure(measurement))
    found = {name: value.numpy() for name, value in arrays.items()}
    units = dict(zip(header["unit_layers"], header["unit_counts"], strict=True))
    ends = np.cumsum(list(units.values()))[:-1]

    def by_layer(flat: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(units, np.split(flat, ends), strict=True))

    return Table(
        found["points"],
        found["sets"],
        found["seen"].astype(bool),
        {name: found["align"][:, i] for i, name in enumerate(header["layers"])},
        {name: by_layer(found["unitmem"][i]) for i, name in enumerate(header["unit_sets"])},
        by_layer(found["top_row"]),
        by_layer(found["top"] > 0),
        header,
        made,
        by_layer(found["classmem"]) if "classmem" in found else {},
        header.get("probe", {}),
    )


@dataclass(frozen=True)
class Study:
    """A design at a scale, measured: what the claims of a page are tested on.

    Attributes:
        pairs: f and g of each pair.
        crossed: Pairs with all four sets. Of halves: encoders of different pairs, no encoder in two of these;
            in the papers' design the pairs themselves.
        nulls, crossed_nulls: As `pairs` and `crossed`, with nothing to find: before training, and trained on the
            same points with other seeds.
        units, untrained: The units of all encoders, f and g of the first pair first; and before training.
        tables: The measurements, f and g of the first pair first.
    """

    pairs: list[claims.Pair]
    crossed: list[claims.Pair]
    nulls: dict[str, list[claims.Pair]]
    crossed_nulls: dict[str, list[claims.Pair]]
    units: list[claims.Units]
    untrained: list[claims.Units]
    tables: list[Table]

    def points(self) -> np.ndarray:
        """Rows of the points that some encoders saw and others did not."""
        seen = np.stack([table.seen for table in self.tables])
        return np.flatnonzero(seen.any(0) & ~seen.all(0))

    def scores(self, layer: str, draw: str = "score") -> np.ndarray:
        """SSLMem' of each of `points()`, of all encoders: those that saw a point against those that did not.

        As eq. 1 wants: over encoders first, then the ratio.
        """
        rows = self.points()
        seen = np.stack([table.seen[rows] for table in self.tables])  # [E, R]
        d = np.stack([table.align[layer][DRAWS.index(draw), rows] for table in self.tables]).astype(np.float64)
        inside, outside = (np.average(d, axis=0, weights=w) for w in (seen, ~seen))
        return (outside - inside) / (outside + inside)

    def images(self, rows: np.ndarray, scale: str) -> np.ndarray:
        """The images of rows, uint8 [n, H, W, 3], as they travel with the measurements."""
        first = self.tables[0]
        return thumbnails(first.header["encoder"]["dataset"], "train", first.points[rows], scale)

    def ran(self) -> dict[str, str]:
        """What was run, for the reader: sizes, seeds, choices, circumstances, and whether it was read or computed."""
        first, headers = self.tables[0], [table.header for table in self.tables]
        spec, choices, trained = first.header["encoder"], first.header["choices"], [h["training"] for h in headers]
        counts = [
            f"{int((first.sets == i).sum()):,} {name}" for i, name in enumerate(SETS) if (first.sets == i).any()
        ]
        made = sum(table.made for table in self.tables)
        dates = sorted({h["date"] for h in headers})
        return {
            "encoders": f"{len(self.pairs)} pairs f, g: {spec['arch']}, {spec['framework']}, {spec['dataset']}",
            "points": f"{', '.join(counts)}; each encoder was trained on {trained[0]['points']:,}",
            "training": f"{spec['epochs']:,} epochs of {spec['augment']} views, batches of {spec['batch']}, "
            f"{spec['optimizer']} {spec['lr']:g}; {trained[0]['precision']}",
            "seeds": f"weights and views {', '.join(str(h['encoder']['seed']) for h in headers)}; "
            f"split {spec['split_seed']}",
            "choices": f"{choices['views']} views a point, all pairs of them; {choices['distance']} distance of unit "
            f"vectors; UnitMem against the {choices['rest']} of the other points",
            "cost": f"{sum(t['seconds'] for t in trained) / 60:,.0f} minutes of training and "
            f"{sum(h['seconds'] for h in headers) / 60:,.1f} of measuring on {trained[0]['device']}, "
            f"{trained[0]['threads']} thread{'s' * (trained[0]['threads'] > 1)} an encoder",
            "measured": f"{dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'}; "
            + (
                f"{made} of {len(self.tables)} computed while this page was executed"
                if made
                else "read from the store"
            ),
        }


def study(scale: str, design: str, **overrides: Any) -> Study:
    """A design at a scale, with its nulls; what is missing is trained and measured first.

    Args:
        overrides: As for `studies.pairs`.
    """
    members = [(m.f, m.g, m.f_untrained, m.g_untrained) for m in studies.pairs(scale, design, **overrides)]
    measured = [[table(m, scale) for m in four] for four in members]
    pairs = [claims.pair(f, g) for f, g, _, _ in measured]
    tables = [one for f, g, _, _ in measured for one in (f, g)]
    before = [one for _, _, f, g in measured for one in (f, g)]
    untrained = [(f, g) for _, _, f, g in measured]
    crossed, crossed_untrained = pairs, [claims.pair(f, g) for f, g in untrained]
    nulls = {"untrained encoders": crossed_untrained}
    if half(members[0][0].encoder.points):
        crossed, crossed_untrained = _crossed([(f, g) for f, g, _, _ in measured]), _crossed(untrained)
    same = {"encoders of the same points": [_same_points(p, i) for i, p in enumerate(crossed)]} if crossed else {}
    return Study(
        pairs,
        crossed,
        nulls | same,
        {"untrained encoders": crossed_untrained, **same},
        [claims.units(t) for t in tables],
        [claims.units(t) for t in before],
        tables,
    )


def _crossed(measured: list[tuple[Table, Table]]) -> list[claims.Pair]:
    """Encoders of different halves as pairs: a quarter of the points is S_S, S_C, S_I and, with test images, S_E."""
    return [
        claims.Pair(f.align, g.align, np.select([f.seen & g.seen, f.seen, g.seen], [0, 1, 2], 3))
        for a, b in zip(measured[::2], measured[1::2], strict=False)
        for f, g in zip(a, b, strict=True)
    ]


def _same_points(pair: claims.Pair, number: int) -> claims.Pair:
    """The points that both saw, cut into a seeming S_S, S_C and S_I, beside S_E: there is nothing to find."""
    sets = np.where(pair.sets == 3, 3, -1)
    both = np.random.default_rng(number).permutation(np.flatnonzero(pair.sets == 0))
    for code, rows in enumerate(np.array_split(both, 3)):
        sets[rows] = code
    kept = np.flatnonzero(sets >= 0)
    f, g = ({n: d[:, kept] for n, d in side.items()} for side in (pair.align_f, pair.align_g))
    return claims.Pair(f, g, sets[kept])


def make(measurement: studies.Measurement, scale: str) -> tuple[Path, dict[str, Any]]:
    """Path and header of a measurement, made first if it is missing."""
    path = _path(measurement, scale)
    return path, store.find_or_make(path, lambda: _measure(measurement))[1]


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


def _path(measurement: studies.Measurement, scale: str) -> Path:
    dataset = measurement.encoder.dataset
    key = measurement.key(data.fingerprint(dataset, "train"), data.fingerprint(dataset, "test"))
    return store.measurement(Path(scale).stem, f"{measurement.name}-{key}")


def _points(spec: EncoderSpec, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the points of a design, ascending, and their set as seen from f, both [P]."""
    pool = torch.arange(n) if spec.subset is None else splits.choose(n, spec.subset, spec.split_seed)
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


def _measure(measurement: studies.Measurement) -> tuple[dict[str, Any], dict[str, Any]]:
    """One pass for distances and units, and one more with other views for the distances that score."""
    spec = measurement.encoder
    train_set, test_set = (data.load(spec.dataset, split, size=spec.size) for split in ("train", "test"))
    points, codes = _points(spec, len(train_set))
    external = splits.choose(len(test_set), measurement.external, spec.split_seed)
    encoder = train.encoder(spec)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder.to(device)

    rows = len(points) + len(external)
    sets = torch.cat([codes, torch.full((len(external),), 3)])
    seen = torch.isin(points, train.training_points(spec, len(train_set)))
    seen = torch.cat([seen, torch.zeros(len(external), dtype=torch.bool)])
    images = torch.cat([train_set.images[points], test_set.images[external]])
    masks = _masks(sets, seen)
    began = time.monotonic()
    augment, views = train.views_of(spec), measurement.views
    select = measure.sweep(encoder, images, augment, views=views, seed=0, units=masks)[0]
    score = measure.sweep(encoder, images, augment, views=views, seed=1)[0]
    layers = list(select.align)
    conv = [layer.name for layer in encoder.layers if layer.kind == "conv"]
    both = select.peaks["both"]
    arrays = {
        "points": torch.cat([points, external]).int(),
        "sets": sets.to(torch.int8),
        "seen": seen.to(torch.uint8),
        "align": torch.stack([torch.stack([one.align[n] for n in layers]) for one in (select, score)]),  # [2, L, R]
        "unitmem": torch.stack([torch.cat([peaks[n].unitmem() for n in conv]) for peaks in select.peaks.values()]),
        "top_row": torch.cat([both[n].point for n in conv]).int(),
        "top": torch.cat([both[n].largest for n in conv]),
    }
    header = {
        "kind": "measurement",
        "name": measurement.name,
        "encoder": spec.values(),
        "training": {k: v for k, v in encoder.made.items() if k not in ("kind", "spec")},
        "fingerprints": [train_set.fingerprint, test_set.fingerprint],
        "rows": rows,
        "layers": layers,
        "unit_layers": conv,
        "unit_counts": [len(both[n].point) for n in conv],
        "unit_sets": list(masks),
        "points_a_set": int(masks["seen"].sum()),
        "choices": {
            "augment": spec.augment,
            "views": views,
            "distance": "l2",
            "unit_length": True,
            "pairs": "views",
            "rest": "mean",
        },
        "seconds": round(time.monotonic() - began, 1),
        **train.circumstances(device, "float32"),
    }
    return arrays, header


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
