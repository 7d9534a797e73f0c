"""Encoders measured again in other ways: by other distances, and every unit's activation on every point.

Tables 11 and 26 of the LayerMem paper, and what normalisation and the scale of representations make of LayerMem.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memlib import data, measure, train
from memlib.book.cuts.paired import loaded
from memlib.book.experiments import Experiment
from memlib.book.measuring import points_of
from memlib.pairs import S_C, S_I

ROLES = ("f", "g", "untrained")  # f before training: of units alone
WAYS = {  # {name: (distance, whether representations are scaled to length 1)}, the first as everywhere in the book
    "l2": ("l2", True),
    "l1": ("l1", True),
    "cosine": ("cosine", True),
    "angular": ("angular", True),
    "l2, raw": ("l2", False),
}


def run(experiment: Experiment) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Measure f and g, and f before training, once more: one pass takes all, on the same views for all three.

    Roles: f and g, a pair; `untrained`, f before training. Choices: `views` of a point; `points`, how many of each of
    S_C and S_I (None: all).

    Returns:
        Arrays: `align` float32 [2, W, L, P], mean distance between views by encoder (f, g), way, row and point;
        `units` uint8 [3, P, U], mean activation of the units of all layers one after another, by encoder (f, g,
        untrained), from its least to its largest on these points, `ends` float32 [3, 2, U]; `rows` int32 [P], the
        points' rows in the tables of the design.
        Header: `ways`; `rows` of the encoder; `layers` and `counts`, the number of each one's units.
    """
    encoders = loaded(*map(experiment.encoder, ROLES))
    table, spec = encoders[0].layers, experiment.encoder("f")
    measured = [row.name for row in table if row.numbered or row.kind == "output"]
    units = {row.name: row.units for row in table if row.numbered and row.unit_module}
    dataset = data.load(spec.dataset, "train", size=spec.size)
    points, codes = points_of(spec, len(dataset))
    n = experiment.choice("points") or len(points)
    rows = torch.cat([(codes == code).nonzero()[:n, 0] for code in (S_C, S_I)]).sort().values
    first, *others = WAYS
    distance, unit_length = WAYS[first]
    found = measure.sweep(
        encoders, dataset.images[points[rows]], train.views_of(spec), measured, experiment.choice("views"),
        distance=distance, unit_length=unit_length, units="table", more={way: WAYS[way] for way in others},
    )  # fmt: skip
    align = [[one.align, *(one.more[way] for way in others)] for one in found[:2]]
    activations = torch.stack([torch.cat([one.table[layer] for layer in units], 1) for one in found])
    ends = torch.stack(activations.aminmax(dim=1), 1)
    arrays = {
        "align": torch.stack(
            [torch.stack([torch.stack([way[row] for row in measured]) for way in one]) for one in align]
        ),
        "units": in_bytes(activations, ends),
        "ends": ends,
        "rows": rows.int(),
    }
    header = {"ways": list(WAYS), "rows": measured, "layers": list(units), "counts": list(units.values())}
    return arrays, header


def in_bytes(values: Tensor, ends: Tensor) -> Tensor:
    """Values [E, P, U] as uint8, of which 0 and 255 are each unit's `ends` [E, 2, U]: a quarter of the space."""
    low, high = ends[:, :1], ends[:, 1:]
    return ((values - low) / (high - low).clamp(min=1e-30) * 255).round().to(torch.uint8)
