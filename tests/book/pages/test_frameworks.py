"""Page frameworks: profiles that are shared are told from profiles that are not, and amounts from other amounts."""

import fabricate
import pytest
from legible import assert_legible

from memlib.book.pages import frameworks

SIZE = {"pairs": 8, "points": 80, "external": 40}
SHALLOWER = dict(zip(fabricate.CONVOLUTIONS, reversed(fabricate.DEEPER.values()), strict=True))


def families(**levels):
    """ResNet9s of several frameworks on the same halves, each of which memorizes as it is told."""
    studies = {
        name: fabricate.study(of, noise=0.02 + 0.001 * i, units=units, **SIZE)
        for i, (name, (of, units)) in enumerate(levels.items())
    }
    return {"ResNet": studies}


@pytest.fixture(scope="module")
def alike():
    return families(simclr=(fabricate.DEEPER, 0.08), byol=(fabricate.DEEPER, 0.082))


def verdicts(studies):
    return {name: one.verdict for name, one in frameworks.page.judge(studies).items()}


def test_frameworks_that_memorize_alike_share_pattern_and_amounts(alike):
    found = verdicts(alike)
    assert {found[n].verdict for n in ("deeper", "profile", "levels", "magnitude", "count")} == {"holds"}
    assert [found[n].verdict for n in ("resnet50", "vit_base")] == ["not judged"] * 2
    assert "ResNet9" in found["resnet50"].text
    assert "ViT-Tiny" in found["vit_base"].text


def test_opposite_profiles_are_not_shared():
    found = verdicts(families(simclr=(fabricate.DEEPER, 0.0), byol=(SHALLOWER, 0.0)))
    assert found["profile"].verdict == found["deeper"].verdict == "does not hold"
    assert found["deeper"].part == "ResNet byol"


def test_other_amounts_of_the_same_profile_are_told_apart():
    half = {row: level / 2 for row, level in fabricate.DEEPER.items()}
    found = verdicts(families(simclr=(fabricate.DEEPER, 0.1), byol=(half, 0.02)))
    assert found["profile"].verdict == "holds"
    assert {found[n].verdict for n in ("levels", "magnitude", "count")} == {"does not hold"}


def test_frameworks_that_memorize_nothing_are_not_judged():
    found = verdicts(families(simclr=(fabricate.DEEPER, 0.4), byol=(None, 0.4)))
    assert {one.verdict for one in found.values()} == {"not judged"}


@pytest.mark.parametrize("draw", ["units", "controls"])
def test_figures_are_legible(alike, draw):
    assert_legible(getattr(frameworks, draw), alike, axes=draw == "units")


def test_the_papers_rows_stand_beside_ours(alike):
    assert_legible(frameworks.curves, alike, "ResNet")
    assert "simclr minus byol" in frameworks.differences(alike, "ResNet").data


def test_tables_and_answer_have_every_framework(alike):
    assert len(repr(frameworks.by_framework(alike)).splitlines()) == 3
    assert frameworks.answer(alike).startswith("Kendall's τ of the rows' order between frameworks")
