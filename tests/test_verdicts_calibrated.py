"""The rules of evidence err as rarely as they say, over simulated studies of which the truth is known.

Each kind of study in `simulated.KINDS` is made 200 times with 4, 8 and 12 pairs. A rate may exceed its level by three
binomial standard errors, 3 sqrt(level (1 - level) / 200): .058 for a level of .025. All kinds together have studies
enough to be held to the level itself.
"""

from functools import cache

import numpy as np
import pytest
from simulated import CSV, KINDS, table

from memlib.book.verdicts import HOLDS, SEEN

STUDIES, PAIRS = 200, (4, 8, 12)


@cache
def verdicts(kind, pairs):
    """Of all studies of a kind, by its place in `KINDS`."""
    return KINDS[kind].verdicts(STUDIES, pairs)


def wrong(kind, pairs):
    return sum(v in KINDS[kind].wrong for v in verdicts(kind, pairs))


CASES = [
    pytest.param(i, pairs, id=f"{kind.what}, {pairs} pairs")
    for i, kind in enumerate(KINDS)
    for pairs in PAIRS
    if pairs >= kind.least
]


@pytest.mark.parametrize(("kind", "pairs"), CASES)
def test_wrong_verdicts_stay_within_the_level(kind, pairs):
    level = KINDS[kind].level
    assert wrong(kind, pairs) / STUDIES <= level + 3 * np.sqrt(level * (1 - level) / STUDIES)


def test_wrong_verdicts_of_all_kinds_together_stay_within_the_level():
    cases = [case.values for case in CASES if KINDS[case.values[0]].level == 0.025]
    assert len(cases) * STUDIES > 10_000
    assert sum(wrong(*case) for case in cases) / len(cases) / STUDIES <= 0.025


@pytest.mark.parametrize(("kind", "pairs"), [c for c in CASES if KINDS[c.values[0]].power])
def test_planted_effects_hold_with_the_power_that_is_promised(kind, pairs):
    promised = KINDS[kind].power
    held = verdicts(kind, pairs).count(HOLDS) / STUDIES
    assert held >= promised - 3 * np.sqrt(promised * (1 - promised) / STUDIES)


def test_an_offset_is_seen_and_not_taken_for_memorization():
    (kind,) = [i for i, k in enumerate(KINDS) if k.what == "an offset that unseen points show as well"]
    assert verdicts(kind, 12).count(SEEN) > 8 * verdicts(kind, 12).count(HOLDS)


def test_the_published_table_has_every_kind_and_errs_within_the_level():
    import pandas as pd

    published = pd.read_csv(CSV)
    assert set(published["simulated"]) == {kind.what for kind in KINDS}
    assert set(published.columns) == set(next(iter(table(1))))
    error = np.sqrt(published.allowed * (1 - published.allowed) / published.studies)
    assert (published.wrong <= published.allowed + 3.5 * error).all()
    planted = published[published.promised.notna()]
    assert (planted.holds > planted.promised - 0.04).all()
