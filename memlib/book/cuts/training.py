"""Encoders along their training: what they memorize, layer by layer, and what a probe makes of them (Fig. 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from memlib import measure, metrics, train
from memlib.book.cuts.paired import loaded, scores, told_apart
from memlib.book.experiments import Experiment
from memlib.book.measuring import probe_accuracies
from memlib.encoders import Encoder
from memlib.pairs import S_C, S_I
from memlib.specs import is_whole


def run(experiment: Experiment) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Measure a pair before training, at snapshots along it, and after it, always on the same views.

    Roles: f and g, which saw complementary points; `f_untrained` and `g_untrained`, each before training. Choices:
    `snapshots`, the epochs after which an encoder is looked at, ascending (an empty list: none between start and
    end); `tested`, test images of a probe (None: all); `views` of a point. A snapshot is an artefact of its own, and
    each goes on where the one before ended: all of an encoder's together cost its training once more, up to the last.

    Returns:
        Arrays: `unitmem` float32 [T, 2, 2, L], mean UnitMem by moment, encoder, side (points that it saw, and that
        the other one saw) and layer with units; `members` [T, 2, L], their member rates; `mirrored` [T, R], the
        mirrored estimate of each row as half a log ratio of distances; `layermem` [T, 2, R], mean SSLMem' of S_C and
        of S_I; `accuracy-<data set>` [T, 2, S], by seed of the probe.
        Header: `epochs` [T], from 0 to the end; `layers`; `rows`.
    """
    f, g = (experiment.encoder(role) for role in ("f", "g"))
    stops = _checked(experiment, f.end)
    moments = [
        tuple(experiment.encoder(f"{role}_untrained") for role in ("f", "g")),
        *((replace(f, stop=stop), replace(g, stop=stop)) for stop in stops),
        (f, g),  # asked for last: the state that its training goes on from is no longer needed then
    ]
    dataset, points, sets = told_apart(experiment)
    images, augment = dataset.images[points], train.views_of(f)
    found: dict[str, list[Tensor]] = {}
    for specs in moments:
        pair = loaded(*specs)
        layers = [row.name for row in pair[0].layers if row.unit_module]
        rows = [row.name for row in pair[0].layers if row.numbered or row.kind == "output"]
        arrays = _measured(pair, layers, rows, images, augment, sets, experiment.choice("views"))
        for name in experiment.probe:
            counts = experiment.probe_points, experiment.choice("tested")
            arrays[f"accuracy-{name}"] = torch.tensor([probe_accuracies(one, name, f.size, *counts) for one in pair])
        for name, values in arrays.items():
            found.setdefault(name, []).append(values)
    header = {"epochs": [0, *stops, f.end], "layers": layers, "rows": rows}
    return {name: torch.stack(values).float() for name, values in found.items()}, header


def _checked(experiment: Experiment, end: int) -> tuple[int, ...]:
    """The snapshots' epochs.

    Raises:
        ValueError: They do not rise from 1 to before the end.
    """
    stops = experiment.choice("snapshots")
    inside = isinstance(stops, tuple) and all(is_whole(stop, 1) and stop < end for stop in stops)
    if not inside or list(stops) != sorted(set(stops)):
        raise ValueError(
            f"snapshots={stops!r} of {experiment.name!r}: allowed is a list of ascending epochs from 1 to {end - 1}"
        )
    return stops


def _measured(
    pair: list[Encoder], layers: list[str], rows: list[str], images: Tensor, augment: Any, sets: Tensor, views: int
) -> dict[str, Tensor]:
    """One moment: units and distances of f and g from one pass."""
    every = list(dict.fromkeys([*layers, *rows]))
    sweeps = measure.sweep(pair, images, augment, every, views=views, units="table")
    mirrored, layermem = scores(sweeps, rows, sets)
    saw = [sets == S_C, sets == S_I]
    return {
        "unitmem": torch.stack(
            [
                torch.stack([_mean(one.table, layers, inside) for inside in (seen, ~seen)])
                for one, seen in zip(sweeps, saw, strict=True)
            ]
        ),
        "members": torch.tensor(
            [
                [metrics.member_rate(one.table[layer], seen) for layer in layers]
                for one, seen in zip(sweeps, saw, strict=True)
            ]
        ),
        "mirrored": mirrored,
        "layermem": layermem,
    }


def _mean(table: dict[str, Tensor], layers: list[str], inside: Tensor) -> Tensor:
    return torch.stack([metrics.unitmem(table[layer][inside]).mean() for layer in layers])
