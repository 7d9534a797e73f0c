"""Permuted membership: which points of a pair f was trained on was drawn at random, and is drawn again."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memlib.stats.intervals import Array

DRAWS = 10_000


def permuted_p(observed: ArrayLike, drawn: ArrayLike) -> NDArray[np.float64]:
    """Two-sided p [P] of statistics: twice the smaller tail, the observed membership counted among the draws.

    Args:
        observed: [P] or a number.
        drawn: [P, D], or [D] of one statistic: what it is in each draw of membership (`memlib.pairs.permute`).
    """
    values: Array = np.asarray(drawn, dtype=np.float64)
    mean = np.asarray(observed, dtype=np.float64)[..., None]
    slack = 1e-6 * np.abs(values).max(-1, keepdims=True)  # sums of the same numbers in another order are the same
    fewer = np.minimum((values >= mean - slack).sum(-1), (values <= mean + slack).sum(-1))
    return np.minimum(2 * (fewer + 1) / (values.shape[-1] + 1), 1.0)
