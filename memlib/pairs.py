"""Pairs of encoders as tables of distances: SSLMem' of points (eq. 2), and what a pair says of a layer.

f and g differ by more than the points they saw. The mirrored estimate takes that offset out: `(m(S_C) - m(S_I)) / 2`,
where m is the mean of half the log ratio of distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from memlib import metrics
from memlib.stats import Interval, log_ratio, random_effects

Array = NDArray[np.float64]

S_S, S_C, S_I, S_E = 0, 1, 2, 3
FEW = 1_000  # draws of membership, for a variance
KEPT = 20_000_000  # drawn memberships, of draws and points, that are kept: more would fill the memory
SETS = {S_S: "S_S shared", S_C: "S_C candidates", S_I: "S_I independent", S_E: "S_E external"}
VIEWS = {"select": 0, "score": 1}  # points are selected by one draw of views and scored by the other


@dataclass(frozen=True)
class Pair:
    """One pair f, g: mean distances between views of each point, by layer.

    Attributes:
        align_f: {layer: [V, N]}, distances >= 0 from V independent draws of views; a layer of a single draw may
            be [N].
        align_g: The same of g, on the same views of the same points.
        sets: [N], the set of each point seen from f: 0 S_S, 1 S_C, 2 S_I, 3 S_E.

    Raises:
        ValueError: Layers, shapes or codes do not fit, or a distance is negative or not finite.
    """

    align_f: Mapping[str, Array]
    align_g: Mapping[str, Array]
    sets: NDArray[np.int64]
    _logs: dict[str, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codes = np.asarray(self.sets)
        if codes.ndim != 1 or not np.isin(codes, list(SETS)).all():
            raise ValueError("sets must be a vector of codes: 0 S_S, 1 S_C, 2 S_I, 3 S_E")
        if list(self.align_f) != list(self.align_g) or not self.align_f:
            raise ValueError(f"f and g need the same layers: got {list(self.align_f)} and {list(self.align_g)}")
        for side, table in (("f", self.align_f), ("g", self.align_g)):
            for layer, d in table.items():
                d = np.atleast_2d(d)
                if d.ndim != 2 or d.shape[1] != codes.size or not np.isfinite(d).all() or d.min(initial=0) < 0:
                    raise ValueError(
                        f"distances of {side}, layer {layer!r}: finite numbers >= 0 of {codes.size} points are "
                        f"needed, got shape {d.shape}"
                    )

    def sslmem(self, layer: str, view: str | None = None) -> Array:
        """SSLMem' of every point [N] in [-1, 1] (eq. 2); view None: from the mean distances of all draws."""
        f, g = (np.atleast_2d(np.asarray(t[layer], dtype=np.float64)) for t in (self.align_f, self.align_g))
        f, g = (t.mean(0) if view is None else t[VIEWS[view]] for t in (f, g))
        return metrics.sslmem(torch.from_numpy(f), torch.from_numpy(g)).numpy()

    def of(self, layer: str, code: int, view: str | None = None) -> Array:
        """SSLMem' of the points of one set.

        Raises:
            ValueError: The pair has no point in that set.
        """
        return self.sslmem(layer, view)[self._rows(code)]

    def log_ratio(self, layer: str, code: int) -> Array:
        """Half the log ratio of distances, from all draws of views, of the points of one set.

        Raises:
            ValueError: The pair has no point in that set.
        """
        return self._log(layer)[self._rows(code)]

    def mean(self, layer: str, code: int) -> float:
        """Mean SSLMem' of the points of one set: LayerMem of S_C (eq. 3)."""
        return float(self.of(layer, code).mean())

    def mirrored(self, layer: str, among: NDArray[np.bool_] | None = None) -> float:
        """The mirrored estimate of a layer, as half a log ratio of distances.

        Args:
            among: [N], the points that count; None: all.

        Raises:
            ValueError: None of them is in S_C, or in S_I.
        """
        logs = self._log(layer)
        both = [self._rows(code) if among is None else self._rows(code) & among for code in (S_C, S_I)]
        if not all(rows.any() for rows in both):
            raise ValueError("the points that count have none in S_C, or none in S_I: take more of them")
        return float(logs[both[0]].mean() - logs[both[1]].mean()) / 2

    def permuted(self, draws: int, seed: int = 0) -> Permuted:
        """The same distances with membership drawn anew, `draws` times; points of S_E stay what they are."""
        return Permuted(self, permute(self.sets, self.sets != S_E, draws, seed))

    def _log(self, layer: str) -> Array:
        if layer not in self._logs:
            self._logs[layer] = log_ratio(self.sslmem(layer))
        return self._logs[layer]

    def _rows(self, code: int) -> NDArray[np.bool_]:
        """Which points are in a set, [N]."""
        if not (chosen := self.sets == code).any():
            raise ValueError(f"this pair has no points in {SETS[code]}: its design does not test what is asked")
        return chosen


class NotPermuted(AttributeError):
    """A number was asked of permuted membership that is no function of membership alone."""


class Permuted:
    """A pair whose membership is drawn anew D times: what its numbers are where there is nothing to find.

    Attributes:
        pair: The pair.
        codes: int8 [D, N], the sets of its points in each draw.
    """

    def __init__(self, pair: Pair, codes: NDArray[np.int8]) -> None:
        self.pair, self.codes = pair, codes
        self._mirrored: dict[bytes, dict[str, Array]] = {}

    def __getattr__(self, name: str) -> Any:
        raise NotPermuted(f"{name!r} is no function of membership alone")

    def mean(self, layer: str, code: int) -> Array:
        """Mean SSLMem' of the points of one set, [D]."""
        return self._means(code, self.pair.sslmem(layer))

    def mirrored(self, layer: str, among: NDArray[np.bool_] | None = None) -> Array:
        """The mirrored estimate of a layer, as half a log ratio of distances, [D]; 0 in a draw without points."""
        key = b"" if among is None else among.tobytes()
        if key not in self._mirrored:  # of all layers at once: one pass over the draws takes most of the time
            logs = np.stack([self.pair._log(name) for name in self.pair.align_f], axis=1)
            found = (self._means(S_C, logs, among) - self._means(S_I, logs, among)) / 2
            self._mirrored[key] = dict(zip(self.pair.align_f, np.ascontiguousarray(found.T), strict=True))
        return self._mirrored[key][layer]

    def _means(self, code: int, values: Array, among: NDArray[np.bool_] | None = None) -> Array:
        """Means of values [N] or [N, L] over the points of one set, [D] or [D, L]; 0 in a draw that has none."""
        codes, values = (self.codes, values) if among is None else (self.codes[:, among], values[among])
        inside = (codes == code).astype(np.float32)
        counts = np.maximum(inside.sum(1), 1).reshape(-1, *[1] * (values.ndim - 1))
        return (inside @ values.astype(np.float32)).astype(np.float64) / counts


def permute(sets: NDArray[np.int64], told: NDArray[np.bool_], draws: int, seed: int = 0) -> NDArray[np.int8]:
    """Sets of points drawn anew, int8 [D, N]: those that are told from each other are permuted, the others stay.

    Halves are drawn at random, so that a test by these draws is exact. Of few points the same draws are made once and
    are not to be written to: designs that are compared have the same halves, as have encoders before and after.
    """
    drawn = _permuted if draws * sets.size <= KEPT else _permuted.__wrapped__
    return drawn(sets.astype(np.int8).tobytes(), told.tobytes(), draws, seed)


@lru_cache(maxsize=16)
def _permuted(sets: bytes, told: bytes, draws: int, seed: int) -> NDArray[np.int8]:
    codes, among = np.tile(np.frombuffer(sets, np.int8), (draws, 1)), np.frombuffer(told, np.bool_)
    codes[:, among] = np.random.default_rng(seed).permuted(codes[:, among], axis=1)
    codes.setflags(write=False)
    return codes


def mirrored_over(pairs: Sequence[Pair], layer: str) -> Interval:
    """The mirrored estimate of a layer over two pairs or more, on the scale of SSLMem' (`stats.random_effects`).

    What the points of a pair make it vary by is taken from permuted membership.
    """
    variances = [pair.permuted(FEW, number).mirrored(layer).var() for number, pair in enumerate(pairs)]
    return random_effects(
        [pair.mirrored(layer) for pair in pairs],
        variances if min(variances) > 0 else None,
        sum(pair.sets.size for pair in pairs),
        scale="log ratio",
    )


def pair_of(f: Any, g: Any, sets: NDArray[np.int64] | None = None) -> Pair:
    """The pair of two measured encoders, which have `align`, `points` and `sets`.

    Args:
        sets: The set of each point seen from f; None: as f's table has them.

    Raises:
        ValueError: They were not measured on the same points.
    """
    if not np.array_equal(f.points, g.points) or (sets is None and not np.array_equal(f.sets, g.sets)):
        raise ValueError("f and g were measured on different points: take two encoders of one design and split seed")
    return Pair(f.align, g.align, f.sets if sets is None else sets)
