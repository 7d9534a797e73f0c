"""Pieces of evidence: pairs of encoders, measured, and what a number is over them.

A piece is a pair of encoders f and g that saw complementary halves, and what was measured of both. Every estimate
(`memlib.book.estimates`) is a number of one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from memlib.book.measuring import Table
from memlib.pairs import FEW, S_C, S_E, S_I, S_S, NotPermuted, Pair, Permuted, pair_of, permute
from memlib.stats import DRAWS, Interval, random_effects, unbounded

if TYPE_CHECKING:
    from memlib.book.study import Study

E = TypeVar("E")


@dataclass(frozen=True)
class Piece:
    """f and g of a pair, measured: one piece of evidence.

    Attributes:
        f, g: The measured encoders.
        pair: Their distances.
        before: The same two before training; None where that was not measured.
        number: Its place in the design.
    """

    f: Table
    g: Table
    pair: Pair
    before: Piece | None = field(default=None, repr=False)
    number: int = 0

    @property
    def pool(self) -> int:
        """Which of the disjoint sets of images it is trained on."""
        return self.f.header["encoder"].get("pool", 0)

    @property
    def points(self) -> int:
        """Points that this piece rests on."""
        return int(self.pair.sets.size)

    def units(self, of: str, layers: Sequence[str], number: Callable[[np.ndarray], float]) -> float:
        """A number of all units of some layers, mean of f and g; `of` as for `Table.scores`."""
        both = (np.concatenate([one.scores(of, layer) for layer in layers]) for one in (self.f, self.g))
        return float(np.mean([number(scores) for scores in both]))

    def member_rate(self, layers: Sequence[str]) -> Any:
        """Share of the active units of these layers whose strongest point is a member, mean of f and g."""
        return float(np.mean([self._member(one)[self._strongest(one, layers)].mean() for one in (self.f, self.g)]))

    def permuted(self, draws: int, seed: int = 0) -> PermutedPiece:
        """The same measurements with membership drawn anew, `draws` times."""
        return PermutedPiece(self, self.pair.permuted(draws, seed), draws, seed)

    @staticmethod
    def _strongest(one: Table, layers: Sequence[str]) -> np.ndarray:
        return np.concatenate([one.strongest(layer) for layer in layers])

    @staticmethod
    def _member(one: Table) -> np.ndarray:
        return one.seen[one.compared]


@dataclass(frozen=True)
class PermutedPiece:
    """A piece whose membership is drawn anew: what of it can be told without measuring again, a draw in each row.

    Anything else of a piece (scores of units, probes) is no function of membership alone, and is not here.
    """

    piece: Piece
    pair: Permuted
    draws: int
    seed: int

    @property
    def number(self) -> int:
        """Its place in the design."""
        return self.piece.number

    @property
    def before(self) -> PermutedPiece:
        """The same draws of membership, of the encoders before training."""
        assert self.piece.before is not None
        return self.piece.before.permuted(self.draws, self.seed)

    def __getattr__(self, name: str) -> Any:
        raise NotPermuted(f"{name!r} is no function of membership alone")

    def member_rate(self, layers: Sequence[str]) -> Any:
        """As `Piece.member_rate`, [D]."""
        rates = []
        for one, saw in ((self.piece.f, True), (self.piece.g, False)):
            strongest = Piece._strongest(one, layers)
            weight = np.bincount(strongest, minlength=one.compared.size) / strongest.size
            member = (self.pair.codes[:, one.compared] == S_C) == saw
            rates.append(member @ weight)
        return np.mean(rates, axis=0)


@dataclass(frozen=True)
class Pieces(Sequence[E], Generic[E]):
    """Pieces of evidence, and what a number is over them.

    Attributes:
        pieces: What counts as one each.
        of: {name: the design whose encoders these are}.
        each: How many pairs of encoders a piece has.
    """

    pieces: Sequence[E]
    of: Mapping[str, Study] = field(default_factory=dict, repr=False)
    each: int = 1

    @property
    def studies(self) -> Mapping[str, Study]:
        """{name: the design whose encoders these are}."""
        return self.of

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: Any) -> Any:
        return self.pieces[index]

    def __iter__(self) -> Iterator[E]:
        return iter(self.pieces)

    def values(self, estimate: Callable[[E], float]) -> list[float]:
        """An estimate of each piece."""
        return [float(estimate(piece)) for piece in self.pieces]

    def over(self, estimate: Callable[[E], float]) -> Interval:
        """The interval of an estimate over the pieces; without bounds where there is a single one.

        Raises:
            ValueError: There are no pieces.
        """
        if not self.pieces:
            raise ValueError("no pieces of evidence: the design or experiment has no pairs or runs")
        values, points = self.values(estimate), self.points_in_all
        scale: Any = getattr(estimate, "scale", "plain")
        if len(values) == 1:
            return unbounded(float(np.tanh(values[0])) if scale == "log ratio" else values[0], points)
        found = random_effects(values, self.variances(estimate), points, step=_grid(estimate), scale=scale)
        low, high = getattr(estimate, "limits", (-np.inf, np.inf))
        return replace(found, low=max(found.low, low), high=min(found.high, high))

    def permuted(self, estimate: Callable[[E], Any], draws: int = DRAWS) -> np.ndarray | None:
        """An estimate of each piece under permuted membership [K, D]; None of what is no function of that alone."""
        if not all(hasattr(piece, "permuted") for piece in self.pieces):
            return None
        if draws not in self._drawn:
            self._drawn[draws] = [piece.permuted(draws, i) for i, piece in enumerate(self.pieces)]  # type: ignore
        try:
            return np.stack([estimate(piece) for piece in self._drawn[draws]])
        except NotPermuted:
            return None

    def variances(self, estimate: Callable[[E], Any]) -> np.ndarray | None:
        """What sampling its points makes the estimate of each piece vary by [K]; None where that is not known."""
        if _grid(estimate) or (found := self.permuted(estimate, FEW)) is None:
            return None
        variances = found.var(1)
        return variances if (variances > 0).all() else None

    @cached_property
    def points_in_all(self) -> int:
        """Points that the pieces rest on, in all."""
        return sum(getattr(piece, "points", 0) for piece in self.pieces)

    @cached_property
    def _drawn(self) -> dict[int, list[Any]]:
        return {}


def _grid(estimate: Any) -> float:
    return getattr(estimate, "grid", 0.0)


@dataclass(frozen=True)
class Both:
    """Two pairs that rest on the same two partitions, and so count as one: numbers are means of both."""

    sides: Sequence[Any]

    def mean(self, layer: str, code: int) -> Any:
        """As `Pair.mean`."""
        return sum(side.mean(layer, code) for side in self.sides) / len(self.sides)

    def mirrored(self, layer: str) -> Any:
        """As `Pair.mirrored`."""
        return sum(side.mirrored(layer) for side in self.sides) / len(self.sides)

    def of(self, layer: str, code: int, view: str | None = None) -> np.ndarray:
        """As `Pair.of`, the points of both."""
        return np.concatenate([side.of(layer, code, view) for side in self.sides])


@dataclass(frozen=True)
class Crossed:
    """Two partitions of one pool, crossed: their f as a pair with all four sets, and their g as another.

    Attributes:
        pair: Both pairs.
        before: The same before training.
        external: Which points no encoder could have seen, [N].
    """

    pair: Both
    before: Crossed | None
    external: np.ndarray

    @property
    def points(self) -> int:
        """Points that this piece rests on."""
        return len(self.external)

    def permuted(self, draws: int, seed: int = 0) -> Crossed:
        """The same with both memberships drawn anew: what is in both halves of f is in none of g."""
        first, second = self.pair.sides
        codes = permute(first.sets, ~self.external, draws, seed)
        turned = np.where(self.external, S_E, np.array([S_E, S_I, S_C, S_S], dtype=np.int8)[codes])
        before = self.before.permuted(draws, seed) if self.before else None
        return Crossed(
            Both([Permuted(first, codes), Permuted(second, turned.astype(np.int8))]), before, self.external
        )


def cross(a: Piece, b: Piece) -> Crossed:
    """A quarter of the points is S_S, S_C, S_I and, with those that no encoder could have seen, S_E."""
    sides = []
    for f, g in ((a.f, b.f), (a.g, b.g)):
        sides.append(pair_of(f, g, np.select([f.seen & g.seen, f.seen, g.seen], [S_S, S_C, S_I], S_E)))
    return Crossed(Both(sides), cross(a.before, b.before) if a.before and b.before else None, a.f.sets == S_E)
