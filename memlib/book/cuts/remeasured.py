"""Estimates of runs whose encoders are measured again: variants of UnitMem, and moments of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memlib.book.cuts.units import ROLES, SIDES, STATS
from memlib.book.estimates import Estimate
from memlib.book.runs import Run, Runs
from memlib.specs import nearest


def _at(name: str, known: Sequence[str], what: str) -> int:
    if name not in known:
        raise nearest(name, known, what)
    return list(known).index(name)


def layers(runs: Runs) -> list[str]:
    """The layers whose units were measured, in forward order."""
    return list(runs[0].header["layers"])


# ---------------------------------------------------------------- variants of UnitMem


def unitmem(
    variant: str, layers: Sequence[str], side: str = "seen", stat: str = "mean", trained: bool = True
) -> Estimate:
    """UnitMem of the units of layers in a variant of `cuts.units`, mean over layers and of f and g.

    Args:
        side: Points that the encoder saw (`seen`), or that the other one saw (`unseen`).
        stat: Of a layer's units: one of `STATS`.
        trained: After training; if not, before it.
    """
    roles = [ROLES.index(role) for role in (("f", "g") if trained else ("f_untrained", "g_untrained"))]
    s, k = _at(side, SIDES, "side"), _at(stat, STATS, "number of the units")

    def of(run: Run) -> float:
        v = _at(variant, run.header["variants"], "variant of UnitMem")
        rows = [_at(layer, run.header["layers"], "layer with units") for layer in layers]
        return float(run.arrays["unitmem"][roles, v, s][:, rows, k].astype(np.float64).mean())

    return Estimate(of, limits=(0.0, 1.0))


def excess(variant: str, layers: Sequence[str]) -> Estimate:
    """UnitMem on points that the encoder saw minus that on points that it did not see."""
    return unitmem(variant, layers) - unitmem(variant, layers, "unseen")


def members(name: str, layers: Sequence[str]) -> Estimate:
    """Member rate by an augmentation set, mean over layers and of f and g."""
    roles = [ROLES.index(role) for role in ("f", "g")]

    def of(run: Run) -> float:
        s = _at(name, run.header["sets"], "augmentation set")
        rows = [_at(layer, run.header["layers"], "layer with units") for layer in layers]
        return float(run.arrays["members"][roles, s][:, rows].astype(np.float64).mean())

    return Estimate(of, limits=(0.0, 1.0))


# ---------------------------------------------------------------- moments of a training


def epochs(run: Run) -> list[int]:
    """The epochs after which the encoders of a run of `cuts.training` were measured, from 0 to the end."""
    return list(run.header["epochs"])


def _along(name: str, moment: int, *index: Any) -> Estimate:
    """The mean of an array's entries at a moment."""
    return Estimate(lambda run: float(run.arrays[name][(moment, *index)].mean(dtype=np.float64)), limits=(0.0, 1.0))


def unitmem_at(moment: int, at: int, side: str = "seen") -> Estimate:
    """Mean UnitMem of the layer `at` at a moment (its place among `epochs`), mean of f and g."""
    return _along("unitmem", moment, slice(None), _at(side, SIDES, "side"), at)


def members_at(moment: int, at: int) -> Estimate:
    """Member rate of the layer `at` at a moment, mean of f and g."""
    return _along("members", moment, slice(None), at)


def mirrored_at(moment: int, at: int) -> Estimate:
    """The mirrored estimate of the row `at` at a moment, as half a log ratio of distances."""
    found = _along("mirrored", moment, at)
    return Estimate(found.of, scale="log ratio")


def accuracy_at(moment: int, dataset: str) -> Estimate:
    """Accuracy of a linear probe at a moment, mean of f and g and of seeds."""
    return _along(f"accuracy-{dataset}", moment)


def half_way(curve: Sequence[Estimate]) -> Estimate:
    """The share of the training after which a curve has first come half of the way from its start to its end.

    Between two moments it is taken as straight. A curve that ends where it began has not moved at all: 1.

    Args:
        curve: An estimate a moment.
    """

    def share(run: Run) -> float:
        y, times = np.array([one(run) for one in curve], dtype=np.float64), epochs(run)
        if y[-1] == y[0]:
            return 1.0
        done = (y - y[0]) / (y[-1] - y[0])
        k = int(np.argmax(done >= 0.5))
        before = (0.5 - done[k - 1]) / (done[k] - done[k - 1])
        return float((times[k - 1] + before * (times[k] - times[k - 1])) / times[-1])

    return Estimate(share)
