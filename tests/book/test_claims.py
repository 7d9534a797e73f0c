"""From a claim to its verdict: what there is no control for, or nothing of, is said and not judged by."""

import numpy as np
import pytest
from fabricate import CONVOLUTIONS, DEEPER, study

from memlib.book.claims import Effect, Page, memorizes
from memlib.book.estimates import Estimate, mirrored, unitmem
from memlib.book.verdicts import HOLDS, UNJUDGED

LAST = CONVOLUTIONS[-1]


@pytest.fixture
def page(monkeypatch):
    """A page that is in no book."""
    monkeypatch.setattr(Page, "_all", {})
    return Page("made_up", "nowhere")


def claim(page, found, **more):
    """Judge a claim of this effect on a study that memorizes."""
    page.claim("It is so", paper="it is", above="It is {}", **more)(found)
    return page.judge(study(DEEPER, pairs=8))[found.__name__].verdict


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_control_that_is_none_everywhere_attributes_nothing(page, zero):
    def share(study):
        return Effect(unitmem(LAST), 0.01, control=Estimate(lambda piece: zero))

    found = claim(page, share, control="On unseen points it is {}")
    assert (found.verdict, found.attribution, found.control) == (HOLDS, "", None)
    assert found.effect == found.seen


def test_a_control_that_is_there_is_subtracted_within_the_piece(page):
    def share(study):
        return Effect(unitmem(LAST), 0.01, control=unitmem(LAST, "unseen"))

    found = claim(page, share, control="On unseen points it is {}")
    assert found.attribution != ""
    assert found.effect.mean == pytest.approx(found.seen.mean - found.control.mean)


def test_a_claim_of_parts_of_which_there_are_none_is_not_judged(page):
    def steps(study):
        return {}

    found = claim(page, steps)
    assert found.verdict == UNJUDGED
    assert "nothing to compare" in str(found)


def test_encoders_that_do_not_memorize_are_not_judged(page):
    def share(study):
        return Effect(mirrored(LAST), 0.01)

    page.claim("It is so", paper="it is", above="It is {}")(share)
    nothing = study(pairs=8)
    assert memorizes(nothing)
    assert page.judge(nothing)["share"].verdict.verdict == UNJUDGED
    assert not memorizes(study(DEEPER, pairs=8))
    assert np.isfinite(page.judge(study(DEEPER, pairs=8))["share"].verdict.effect.mean)
