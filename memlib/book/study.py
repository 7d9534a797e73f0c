"""A study: the pairs of encoders of a design at a scale, and several designs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

import numpy as np
import torch

from memlib import encoders
from memlib.book import designs
from memlib.book.designs import PairPlan, looks, pairs
from memlib.book.estimates import Estimate, of
from memlib.book.measuring import Table, table, thumbnails
from memlib.book.paths import place
from memlib.book.pieces import Piece, Pieces, cross
from memlib.book.plan import members
from memlib.pairs import S_C, S_I, pair_of
from memlib.specs import EncoderSpec, half

NUMBERED = ("conv", "residual")  # the rows of the paper's tables by layer; those by module have all


@dataclass(frozen=True)
class Study(Pieces[Piece]):
    """A design at a scale, measured.

    Attributes:
        pieces: A pair of encoders each.
        scale, design: Which.
        planned: Numbers of pairs at which it is judged; (): once.
    """

    scale: str = ""
    design: str = ""
    planned: tuple[int, ...] = ()

    @property
    def looks(self) -> tuple[float, ...]:
        """Shares of the planned pairs at which it is judged so far; (): once."""
        return designs.shares(self.planned, len(self))

    @cached_property
    def tables(self) -> list[Table]:
        """The measured encoders, f and g of the first pair first."""
        return [one for piece in self.pieces for one in (piece.f, piece.g)]

    @cached_property
    def before(self) -> Study:
        """The same encoders before training."""
        return Study([piece.before for piece in self.pieces if piece.before], scale=self.scale, design=self.design)

    @cached_property
    def crossed(self) -> Pieces[Any]:
        """The same encoders as pairs with all four sets; of halves, encoders of two partitions of one pool."""
        if not half(self.spec["points"]):
            return self
        twos = [two for some in self.pools for two in zip(some[::2], some[1::2], strict=False)]
        return Pieces([cross(a, b) for a, b in twos], self.studies, each=2)

    @cached_property
    def pools(self) -> list[list[Piece]]:
        """The pairs by the disjoint set of images that they are trained on."""
        pools: dict[int, list[Piece]] = {}
        for piece in self.pieces:
            pools.setdefault(piece.pool, []).append(piece)
        return list(pools.values())

    @property
    def studies(self) -> Mapping[str, Study]:
        """Itself."""
        return {self.design: self}

    @property
    def spec(self) -> dict[str, Any]:
        """The fields of the first encoder's spec."""
        return self.tables[0].header["encoder"]

    @cached_property
    def layers(self) -> tuple[encoders.Layer, ...]:
        """The encoder's layer table, in forward order, as far as it was measured."""
        with torch.random.fork_rng(devices=[]):
            table = encoders.from_spec(EncoderSpec.of(self.spec)).layers
        return tuple(row for row in table if row.name in self.tables[0].align)

    def rows(self, *kinds: str) -> list[str]:
        """Names of the rows of these kinds (`conv`, `bn`, `pool`, …), in forward order; without kinds all."""
        return [row.name for row in self.layers if not kinds or row.kind in kinds]

    def previous(self, rows: Sequence[str]) -> dict[str, str]:
        """{row: the one among `rows` that its delta is taken against} (eq. 4)."""
        return encoders.previous(self.layers, rows)

    @property
    def convolutions(self) -> list[str]:
        """Names of the convolutions, in forward order."""
        return self.rows("conv")

    @property
    def unit_rows(self) -> list[str]:
        """Names of the rows whose units were measured, in forward order."""
        return list(self.tables[0].top_row)

    def unit_scores(self, of: str, *rows: str) -> np.ndarray:
        """Scores of all units of some rows, of all encoders; `of` as for `Table.scores`."""
        return np.concatenate([one.scores(of, row) for one in self.tables for row in rows])

    def points(self, piece: Piece | None = None) -> np.ndarray:
        """Rows of the points that f or g of a pair saw and the other did not; of the first pair."""
        return np.flatnonzero(np.isin((piece or self.pieces[0]).pair.sets, (S_C, S_I)))

    def others(self, piece: Piece) -> list[Piece]:
        """The other pairs of a pair's pool: points that they choose can be scored on it.

        Raises:
            ValueError: There is none.
        """
        found = [one for one in self.pieces if one.pool == piece.pool and one is not piece]
        if not found:
            raise ValueError("points are chosen by other pairs of the same pool, and there is none: take more pairs")
        return found

    @staticmethod
    def scores(layer: str, by: Sequence[Piece], rows: np.ndarray) -> np.ndarray:
        """SSLMem' of points by pairs of one pool: encoders that saw a point against those that did not.

        As eq. 1 wants: over encoders first, then the ratio. What an encoder's distances are larger by on all points
        alike is taken out first: it would put the points that one encoder saw before all others.

        Args:
            by: The pairs.
            rows: Of the points.
        """
        some = [one for piece in by for one in (piece.f, piece.g)]
        seen = np.stack([one.seen[rows] for one in some])  # [E, R]
        d = np.stack([one.align[layer][:, rows].mean(0) for one in some]).astype(np.float64)
        d /= np.exp(np.log(d).mean(1, keepdims=True))
        inside, outside = (np.average(d, axis=0, weights=w) for w in (seen, ~seen))
        return (outside - inside) / (outside + inside)

    def chosen_and_scored(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """SSLMem' of the first pair's points by the other pairs of its pool, which can choose, and by itself."""
        first, rows = self.pieces[0], self.points()
        return self.scores(layer, self.others(first), rows), self.scores(layer, [first], rows)

    def extremes(self, layer: str, share: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Masks [R] of the most memorized share of each piece's points, as the other pairs have it, and of the least.

        Raises:
            ValueError: There is no other pair of a piece's pool.
        """
        found: tuple[list[np.ndarray], list[np.ndarray]] = [], []
        for piece in self.pieces:
            rows = self.points(piece)
            order = rows[np.argsort(self.scores(layer, self.others(piece), rows), kind="stable")]
            k = max(1, round(share * rows.size))
            for masks, chosen in zip(found, (order[-k:], order[:k]), strict=True):
                masks.append(np.isin(np.arange(piece.pair.sets.size), chosen))
        return found

    def images(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{name: the images of its rows, uint8 [n, H, W, 3]}, as they travel with the measurements."""
        every = self.tables[0].points[np.concatenate(list(rows.values()))]
        found = thumbnails(self.spec["dataset"], "train", every, self.scale)
        ends = np.cumsum([len(some) for some in rows.values()])[:-1]
        return dict(zip(rows, np.split(found, ends), strict=True))

    def ran(self) -> dict[str, str]:
        """What was run, for the reader: sizes, seeds, choices, circumstances."""
        from memlib.book.ran import of_study

        return of_study(self)


@dataclass(frozen=True)
class Joined:
    """Pairs of several designs that saw the same halves, side by side: one piece of evidence.

    Attributes:
        here: {name: piece}, all of the same halves.
        other: {name: piece} of other halves (of the same ones, if there is a single pair): two encoders of the same
            halves share what chance put into one of them.
    """

    here: Mapping[str, Any]
    other: Mapping[str, Any]

    @property
    def points(self) -> int:
        """Points that this piece rests on."""
        return sum(piece.points for piece in self.here.values())

    @property
    def before(self) -> Joined:
        """The same encoders before training."""
        return Joined(*({n: piece.before for n, piece in side.items()} for side in (self.here, self.other)))

    def permuted(self, draws: int, seed: int = 0) -> Joined:
        """The same with membership drawn anew, alike for all encoders of the same halves."""
        return Joined(
            {name: piece.permuted(draws, seed) for name, piece in self.here.items()},
            {name: piece.permuted(draws, seed + 1) for name, piece in self.other.items()},
        )


def join(studies: Mapping[str, Study], same_points: bool = True) -> Pieces[Joined]:
    """The pairs of several designs side by side, as many as each has.

    Args:
        same_points: Whether the points of a pair have to be the same in all, as a paired comparison wants them.

    Raises:
        ValueError: There are fewer than two designs, or the points of a pair are not the same in all.
    """
    if len(studies) < 2:
        raise ValueError(f"two designs or more can be compared, got {list(studies)}")
    members = list(zip(*studies.values(), strict=False))
    for number, some in enumerate(members if same_points else (), 1):
        for name, piece in zip(studies, some, strict=True):
            if not np.array_equal(piece.pair.sets, some[0].pair.sets):
                raise ValueError(
                    f"pair {number} of {name!r} has other points than that of {next(iter(studies))!r}: designs are "
                    "compared that have the same data set, sizes and split seed"
                )
    named = [dict(zip(studies, some, strict=True)) for some in members]
    return Pieces([Joined(one, named[(i + 1) % len(named)]) for i, one in enumerate(named)], studies)


def design(scale: str, name: str, **overrides: Any) -> Study:
    """A design at a scale; what is missing is trained and measured first.

    Args:
        overrides: As for `designs.pairs`.

    Raises:
        KeyError: The scale, the design or an override is unknown.
    """
    return _study(scale, name, pairs(scale, name, **overrides))


def so_far(scale: str, name: str, **overrides: Any) -> Study:
    """The first pairs of a design, as many as are measured: nothing is made. None where a scale lacks the design.

    Args:
        overrides: As for `designs.pairs`.

    Raises:
        KeyError: The scale or an override is unknown.
    """

    def there(pair: PairPlan) -> bool:
        try:
            return all(place(one, scale).exists() for one in members(pair))
        except FileNotFoundError:  # its images are not here, and it is not published
            return False

    planned = pairs(scale, name, **overrides) if name in designs.designs(scale) else []
    return _study(scale, name, takewhile(there, planned))


def _study(scale: str, name: str, planned: Iterable[PairPlan]) -> Study:
    """Pairs of a design, measured."""
    found = []
    for number, m in enumerate(planned):
        f, g, f_before, g_before = (table(one, scale) for one in members(m))
        before = Piece(f_before, g_before, pair_of(f_before, g_before), None, number)
        found.append(Piece(f, g, pair_of(f, g), before, number))
    return Study(found, scale=scale, design=name, planned=looks(scale, name) if found else ())


def sweep(scale: str, name: str, **overrides: Any) -> Pieces[Joined]:
    """A family of trainings that differ in one thing, by the name that the scale gives it: its arms side by side.

    As many pairs as are measured of every arm; none where one of them is not, or the scale has no sweeps: nothing is
    trained.

    Args:
        overrides: As for `designs.pairs`, of every arm.

    Raises:
        KeyError: The scale, the sweep or an override is unknown.
    """
    planned = designs.sweep(scale, name) if "sweeps" in designs.scale(scale) else {}
    arms = {arm: so_far(scale, one, **overrides) for arm, one in planned.items()}
    return join(arms) if arms and all(arms.values()) else Pieces([])


def by_arm(arms: Pieces[Joined], columns: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    """A tidy table of a sweep: a row an arm, with the interval of each column's estimate over the pairs."""
    return [{"arm": arm, **{c: arms.over(of(arm, one)) for c, one in columns.items()}} for arm in arms.studies]
