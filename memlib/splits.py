"""Which points an encoder is trained on: S_S, S_C, S_I and other sets, drawn from a seed.

Points are indices into a data set in its canonical order (`memlib.load`), so that a set names the same images
whether they came from a pack, from torchvision's files or from a shuffled copy. S_E is the test split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memlib.specs import is_whole

if TYPE_CHECKING:
    from torch import Tensor

SPLIT, HALVES, CHOICE = 1, 2, 3  # each use has a stream of its own, so that equal seeds are independent draws


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets of points, int64 and ascending: f sees S_S and S_C, g sees S_S and S_I.

    f and g see equally many points, because S_C and S_I are equally large.
    """

    shared: Tensor
    candidates: Tensor
    independent: Tensor

    @property
    def f(self) -> Tensor:
        """Points that f is trained on, ascending."""
        return _sorted(self.shared, self.candidates)

    @property
    def g(self) -> Tensor:
        """Points that g is trained on, ascending."""
        return _sorted(self.shared, self.independent)


def split_points(n: int, shared: int, candidates: int, seed: int = 0) -> Splits:
    """Draw S_S, S_C and as large an S_I from n points (the papers: 40,000, 5,000, 5,000).

    Raises:
        ValueError: A size is not a whole number, S_C is empty, or the sets need more than n points.
    """
    _whole("shared", shared, 0)
    _whole("candidates", candidates, 1)
    need = shared + 2 * candidates
    if need > n:
        raise ValueError(
            f"shared={shared} and candidates={candidates} need {shared} + 2 x {candidates} = {need} points, and "
            f"there are {n}: allowed are shared up to {max(0, n - 2 * candidates)} with these candidates, or "
            f"candidates up to {max(0, n - shared) // 2} with this shared"
        )
    drawn = _permutation(n, SPLIT, seed)
    return Splits(
        shared=_indices(drawn[:shared]),
        candidates=_indices(drawn[shared : shared + candidates]),
        independent=_indices(drawn[shared + candidates : need]),
    )


def halves(n: int, k: int, of: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Half k of `of` halves of n points, and what it leaves out: two ascending sets of n // 2 points.

    Halves 2j and 2j + 1 are complementary, so that every point is inside half of the encoders. Pair j is
    drawn from (seed, j): more halves leave the first ones as they are. Of an odd n, one random point of each
    pair is in neither half.

    Raises:
        ValueError: There are fewer than 2 points, `of` is odd, or k is not one of 0 to of - 1.
    """
    if n < 2:
        raise ValueError(f"halves need 2 points or more, and there are {n}")
    _whole("of", of, 2)
    if of % 2:
        raise ValueError(f"halves come in complementary pairs: of={of} is odd, of={of + 1} would do")
    _whole("k", k, 0)
    if k >= of:
        raise ValueError(f"half k={k} of {of}: allowed are 0 to {of - 1}")
    drawn = _permutation(n, HALVES, seed, k // 2)
    inside, outside = drawn[: n // 2], drawn[n // 2 : n // 2 * 2]
    if k % 2:
        inside, outside = outside, inside
    return _indices(inside), _indices(outside)


def choose(n: int, count: int, seed: int = 0, pool: int = 0) -> Tensor:
    """A random set of `count` of n points, int64 and ascending; sets of other pools, of one seed, are disjoint.

    Raises:
        ValueError: The count is not a whole number from 1 to n, or there are too few points for the pool.
    """
    _whole("count", count, 1)
    _whole("pool", pool, 0)
    if count > n:
        raise ValueError(f"count={count} points wanted, and there are {n}: allowed are 1 to {n}")
    if (pool + 1) * count > n:
        raise ValueError(
            f"pool={pool} of {count} points each, and there are {n}: allowed are pools 0 to {n // count - 1}"
        )
    return _indices(_permutation(n, CHOICE, seed)[pool * count : (pool + 1) * count])


def _permutation(n: int, use: int, seed: int, pair: int = 0) -> np.ndarray:
    """0 to n - 1, shuffled: the order of PCG64's raw words, which no version of numpy changes."""
    _whole("n", n, 0)
    _whole("seed", seed, 0)
    words = np.random.PCG64(np.random.SeedSequence([use, pair, seed])).random_raw(n)
    return np.argsort(words, kind="stable")


def _whole(name: str, value: object, least: int) -> None:
    if not is_whole(value, least):
        raise ValueError(f"{name}={value!r}: allowed are whole numbers from {least}")


def _indices(points: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.sort(points).astype(np.int64))


def _sorted(*sets: Tensor) -> Tensor:
    import torch

    return torch.cat(sets).sort().values
