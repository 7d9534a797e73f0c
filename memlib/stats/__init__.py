"""What counts as evidence: intervals whose unit is the pair of encoders, and the tests of the claims. No torch."""

from memlib.stats.comparisons import holm, kendall, overlap, welch
from memlib.stats.effects import flipped_signs, pairs_needed, random_effects
from memlib.stats.intervals import (
    LEVEL,
    Interval,
    clean,
    difference,
    log_ratio,
    mirrored_pairs,
    number,
    over_pairs,
    two_level,
    unbounded,
)
from memlib.stats.looks import nominal, repeated, spent
from memlib.stats.permutation import DRAWS, permuted_p

__all__ = [
    "DRAWS",
    "LEVEL",
    "Interval",
    "clean",
    "difference",
    "flipped_signs",
    "holm",
    "kendall",
    "log_ratio",
    "mirrored_pairs",
    "nominal",
    "number",
    "over_pairs",
    "overlap",
    "pairs_needed",
    "permuted_p",
    "random_effects",
    "repeated",
    "spent",
    "two_level",
    "unbounded",
    "welch",
]
