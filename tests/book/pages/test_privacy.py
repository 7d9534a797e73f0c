"""Page privacy: what falls on seen points alone is told from what falls on all."""

import fabricate
import pytest
from legible import assert_legible

from memlib.book.pages import privacy
from memlib.book.study import join

SIZE = {"pairs": 8, "points": 80, "external": 40}


def levels(*units, base=fabricate.DEEPER):
    """Encoders of three levels of privacy whose units prefer what they saw so much."""
    named = zip(("ε = ∞", "ε = 20", "ε = 8"), units, (base, None, None), strict=True)
    return {
        n: fabricate.study(of, units=share, noise=0.02 + 0.001 * i, **SIZE) for i, (n, share, of) in enumerate(named)
    }


def verdicts(*units, **more):
    return {name: one.verdict for name, one in privacy.page.judge(join(levels(*units, **more))).items()}


def test_memorization_that_privacy_takes_step_by_step_holds():
    found = verdicts(0.4, 0.2, 0.0)
    assert found["falls"].verdict == found["steps"].verdict == "holds"
    assert found["remain"].verdict != "holds"
    assert found["members"].verdict == "does not hold"  # at ε = 20 units still prefer training points


def test_units_that_stay_as_they_were_do_not_fall():
    found = verdicts(0.3, 0.299, 0.301)
    assert found["falls"].verdict == found["steps"].verdict == "does not hold"
    assert found["remain"].verdict == "holds"


def test_nothing_can_fall_where_nothing_is_memorized():
    found = verdicts(0.0, 0.0, 0.0, base=None)
    assert {found[n].verdict for n in ("falls", "steps", "aligned")} == {"not judged"}
    assert "Without privacy, these encoders" in found["falls"].text


@pytest.mark.parametrize("draw", ["means", "distributions", "by_layer"])
def test_figures_are_legible(draw):
    assert_legible(getattr(privacy, draw), levels(0.4, 0.2, 0.0))


def test_the_answer_has_every_level():
    assert all(name in privacy.answer(levels(0.4, 0.2, 0.0)) for name in ("ε = ∞", "ε = 20", "ε = 8"))
