"""Looking before all pairs are there: the error is spent in proportion to the pairs.

A look is named by the shares of the planned pairs at which the study was judged so far, the present one included:
(1/2,) is the first of two, (1/2, 1) the second.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from scipy.special import ndtr, ndtri

NODES = 200
TABLE = np.geomspace(1e-9, 0.5, 60)  # one-sided levels between which `repeated` interpolates


def spent(alpha: float, share: float) -> float:
    """One-sided error that may be spent by a share of the pairs (Kim and DeMets 1987, power 1).

    O'Brien and Fleming's form spends next to nothing early: of 6 pairs in 12 it asks a t of 5.4 for one claim alone.
    """
    return alpha * share


def nominal(alpha: float, looks: tuple[float, ...]) -> float:
    """One-sided level at the last of some looks, of a test whose error over all looks is alpha.

    The bounds are those of Brownian motion, integrated from look to look (Armitage, McPherson and Rowe 1969); the p
    of a t test is held against the level.

    Args:
        looks: shares of the planned pairs at which it was judged so far, this time included; (): judged once.

    Raises:
        ValueError: for shares that do not rise to at most 1, or alpha outside (0, 1/2].
    """
    if not all(a < b for a, b in pairwise((0.0, *looks, 1.0 + 1e-9))) or not 0 < alpha <= 0.5:
        raise ValueError(f"looks must rise to at most 1, and alpha lie in (0, .5], got {looks} and {alpha}")
    return float(ndtr(-_bounds(alpha, looks)[-1])) if looks else alpha


@cache
def _bounds(alpha: float, looks: tuple[float, ...]) -> tuple[float, ...]:
    """Upper bound of z at each look."""
    bounds = [-float(ndtri(spent(alpha, looks[0])))]
    x = _grid(bounds[0], looks[0])  # Brownian motion where no bound was crossed
    weights = np.exp(-(x**2) / 2 / looks[0]) * np.gradient(x) / np.sqrt(2 * np.pi * looks[0])
    for before, share in pairwise(looks):
        step, allowed = np.sqrt(share - before), spent(alpha, share) - spent(alpha, before)
        low, high = -10.0, 10.0
        for _ in range(50):
            z = (low + high) / 2
            crossed = weights @ ndtr((x - z * np.sqrt(share)) / step)
            low, high = (z, high) if crossed > allowed else (low, z)
        bounds.append(z)
        y = _grid(z, share)
        weights = np.exp(-(((y[:, None] - x) / step) ** 2) / 2) @ weights * np.gradient(y) / np.sqrt(2 * np.pi) / step
        x = y
    return tuple(bounds)


def _grid(bound: float, share: float) -> np.ndarray:
    """Midpoints of the range below a bound of z at a share of the pairs."""
    edges = np.linspace(-8, bound, NODES + 1) * np.sqrt(share)
    return (edges[1:] + edges[:-1]) / 2


def repeated(p: float, looks: tuple[float, ...]) -> float:
    """Repeated p (Jennison and Turnbull): the smallest one-sided error over all looks that decides at the last.

    Corrections for several claims are made on it as on any p. A p that would not decide at an error of 1/2 is 1.

    Args:
        looks: as for `nominal`.
    """
    if not looks:
        return p
    levels = _levels(looks)
    if p > levels[-1]:
        return 1.0
    if p <= levels[0]:
        return float(TABLE[0])
    return float(np.exp(np.interp(np.log(p), np.log(levels), np.log(TABLE))))


@cache
def _levels(looks: tuple[float, ...]) -> np.ndarray:
    return np.array([nominal(float(alpha), looks) for alpha in TABLE])
