"""Pairs of encoders of several frameworks side by side: whether their layers memorize alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from memlib.claims.pairs import Array, Measured, Pair, mirror
from memlib.stats import kendall


@dataclass(frozen=True)
class Side:
    """One pair of each framework, and one of each that was trained on other halves of the points.

    Attributes:
        here: framework -> pair; all of the same halves.
        other: framework -> pair of other halves (of the same ones, if there is a single pair).
    """

    here: Mapping[str, Pair]
    other: Mapping[str, Pair]

    @property
    def sets(self) -> NDArray[np.int64]:
        """The sets of the points of all frameworks' pairs."""
        return np.concatenate([pair.sets for pair in self.here.values()])

    def permuted(self, seed: int = 0) -> Side:
        """The same distances with membership drawn anew, for every pair by itself."""
        return Side(
            {name: pair.permuted(seed + 1000 * k) for k, (name, pair) in enumerate(self.here.items(), 1)},
            {name: pair.permuted(seed + 1000 * k) for k, (name, pair) in enumerate(self.other.items(), 101)},
        )


def sides(parts: Mapping[str, Sequence[Pair]]) -> list[Side]:
    """The pairs of several frameworks side by side, as many as each has.

    Raises:
        ValueError: if there are fewer than two frameworks, or a pair's points are not the same in all.
    """
    if len(parts) < 2:
        raise ValueError(f"two frameworks or more can be compared, got {list(parts)}")
    members = list(zip(*parts.values(), strict=False))
    for number, pairs in enumerate(members, 1):
        for name, pair in zip(parts, pairs, strict=True):
            if not np.array_equal(pair.sets, pairs[0].sets):
                raise ValueError(
                    f"pair {number} of {name!r} has other points than that of {next(iter(parts))!r}: "
                    "frameworks are compared in designs of the same data set, sizes and split seed"
                )
    named = [dict(zip(parts, pairs, strict=True)) for pairs in members]
    return [Side(one, named[(i + 1) % len(named)]) for i, one in enumerate(named)]


def of_all(studies: Mapping[str, Measured]) -> tuple[list[Side], dict[str, list[Side]]]:
    """Pairs of all frameworks side by side, and those of their nulls that all have."""
    names = [n for n in next(iter(studies.values())).nulls if all(n in s.nulls for s in studies.values())]
    nulls = {n: sides({f: s.nulls[n] for f, s in studies.items()}) for n in names}
    return sides({f: s.pairs for f, s in studies.items()}), {n: found for n, found in nulls.items() if found}


def profile(pair: Pair, rows: Sequence[str]) -> Array:
    """Mirrored estimate of each row, [L]."""
    return np.array([mirror(pair, row) for row in rows])


def agreement(frameworks: Sequence[str], rows: Sequence[str]) -> Callable[[Side], float]:
    """Kendall's tau of the profiles of two frameworks; of more than two, the mean over every two.

    The two were trained on different halves: of the same ones, what their encoders do alike with the images that
    chance put into one half would pass for a profile.
    """

    def tau(side: Side) -> float:
        here = {name: profile(side.here[name], rows) for name in frameworks}
        other = {name: profile(side.other[name], rows) for name in frameworks}
        both = [(here[a], other[b]) for a, b in combinations(frameworks, 2)]
        return float(np.mean([kendall(a, b)[0] if np.ptp(a) and np.ptp(b) else 0.0 for a, b in both]))

    return tau


def apart(a: str, b: str, rows: Sequence[str]) -> Callable[[Side], Array]:
    """Mirrored estimate of one framework less another's, of the same halves, [L]."""
    return lambda side: profile(side.here[a], rows) - profile(side.here[b], rows)


def step(rows: Sequence[str]) -> float:
    """The grid that Kendall's tau of so many rows moves on.

    Raises:
        ValueError: for fewer than two rows.
    """
    if len(rows) < 2:
        raise ValueError(f"profiles of two rows or more can be compared, got {list(rows)}")
    return 4 / (len(rows) * (len(rows) - 1))
