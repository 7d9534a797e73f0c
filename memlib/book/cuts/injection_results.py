"""What a run of the injection experiment says: UnitMem of units over the epochs of an insertion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from memlib.book.runs import Run
from memlib.specs import nearest

Array = NDArray[np.float64]

UNITS = ("highest", "silent")
WAYS = ("unit alone", "whole layer")


@dataclass(frozen=True)
class Inserted:
    """One encoder into which points were inserted: E epochs, U units, by (inserted, tuned).

    Attributes:
        unitmem: [E, U].
        strongest: {unit: [E]}, the index of the unit's strongest point; -1 where the unit is silent.
        units: Index of the highest, the silent and a random unit.
        quiet: Whether the silent unit was silent, and not only that of the lowest UnitMem.
        accuracy: Of linear probes of f and of `untrained`, in [0, 1].
        cosine: Of f's features, between views of the `same` point and of `different` ones.
    """

    epochs: tuple[int, ...]
    points: int
    point: int
    units: Mapping[str, int]
    quiet: bool
    unitmem: Mapping[tuple[str, str], Array]
    strongest: Mapping[tuple[str, str], Mapping[str, NDArray[np.int64]]]
    accuracy: Mapping[str, float]
    cosine: Mapping[str, float]

    def gain(self) -> float:
        """What training added to the accuracy of a linear probe."""
        return self.accuracy["f"] - self.accuracy["untrained"]

    def curve(self, inserted: str, way: str, unit: str) -> Array:
        """UnitMem of a unit at each of the epochs, [E]; its own tuning, or that of the whole layer."""
        return self.unitmem[inserted, tuned(way, unit)][:, self.units[unit]]

    def at(self, epoch: int, inserted: str, way: str, unit: str) -> float:
        """UnitMem of a unit at one of the epochs, by its place among them."""
        return float(self.curve(inserted, way, unit)[epoch])

    def rise(self, inserted: str, way: str, unit: str) -> float:
        """UnitMem after the last epoch minus before the first."""
        curve = self.curve(inserted, way, unit)
        return float(curve[-1] - curve[0])

    def others(self, inserted: str, way: str, unit: str) -> Array:
        """UnitMem of the units that are neither the highest nor the silent one, [E, U - 2]."""
        table = self.unitmem[inserted, tuned(way, unit)]
        return np.delete(table, [self.units[name] for name in UNITS], axis=1)

    def change(self, inserted: str, way: str, unit: str) -> float:
        """Mean |change| of the UnitMem of these others."""
        others = self.others(inserted, way, unit)
        return float(np.abs(others[-1] - others[0]).mean())

    def beyond_others(self, inserted: str, way: str, unit: str) -> float:
        """What a unit rises by more than these others change."""
        return self.rise(inserted, way, unit) - self.change(inserted, way, unit)

    def share(self, inserted: str, way: str, unit: str) -> float:
        """Share of the epochs after the start at which the point is the unit's strongest, minus chance."""
        strongest = self.strongest[inserted, tuned(way, unit)][unit]
        return float((strongest[1:] == self.point).mean()) - 1 / self.points


def tuned(way: str, unit: str) -> str:
    """What was tuned: the whole layer, or this unit; of any other unit, what the highest one's tuning does to it.

    Raises:
        KeyError: There is no such way.
    """
    if way not in WAYS:
        raise nearest(way, WAYS, "way of tuning")
    return "layer" if way == WAYS[1] else unit if unit in UNITS else "highest"


@cache
def inserted(run: Run) -> Inserted:
    """What a run of the experiment says."""
    header, arrays = run.header, run.arrays
    ways = [(what, tuned) for what in header["inserted"] for tuned in header["tuned"]]

    def of(name: str) -> dict[tuple[str, str], Array]:
        return {one: np.asarray(arrays[f"{one[0]}-{one[1]}.{name}"], dtype=np.float64) for one in ways}

    names, unitmem, strongest = ("highest", "silent", "random"), of("unitmem"), of("strongest")
    return Inserted(
        tuple(header["epochs"]),
        len(arrays["points"]),
        header["point"],
        header["units"],
        header["silent"],
        unitmem,
        {
            one: {
                # a unit that is never active has a UnitMem of 0 and no strongest point
                name: np.where(unitmem[one][:, header["units"][name]] > 0, found[:, i], -1).astype(np.int64)
                for i, name in enumerate(names)
            }
            for one, found in strongest.items()
        },
        header["accuracy"],
        header["cosine"],
    )
