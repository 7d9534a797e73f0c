"""What counts as evidence: intervals whose unit is the pair of encoders, and the tests of the claims. No torch."""

from memlib.stats.comparisons import (
    MemberRate,
    benjamini_hochberg,
    complementary,
    equivalence,
    holm,
    kendall,
    member_rate_test,
    overlap,
    welch,
)
from memlib.stats.intervals import (
    LEVEL,
    Interval,
    clean,
    difference,
    excess,
    log_ratio,
    mirrored,
    mirrored_pairs,
    over_pairs,
    two_level,
    unbounded,
)

__all__ = [
    "LEVEL",
    "Interval",
    "MemberRate",
    "benjamini_hochberg",
    "clean",
    "complementary",
    "difference",
    "equivalence",
    "excess",
    "holm",
    "kendall",
    "log_ratio",
    "member_rate_test",
    "mirrored",
    "mirrored_pairs",
    "over_pairs",
    "overlap",
    "two_level",
    "unbounded",
    "welch",
]
