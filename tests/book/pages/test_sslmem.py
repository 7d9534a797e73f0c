"""Page sslmem: the order of the four sets is found where it is planted, in crossed halves."""

import re

import fabricate
import pytest
from legible import assert_legible

from memlib.book import show
from memlib.book.estimates import level
from memlib.book.pages import sslmem
from memlib.pairs import S_C, S_E, S_I, S_S


@pytest.fixture(scope="module")
def halves():
    return fabricate.study(fabricate.DEEPER, pairs=12, points=160, external=80)


@pytest.fixture(scope="module")
def judged(halves):
    return sslmem.page.judge(halves.crossed)


def test_planted_memorization_holds(halves, judged):
    assert {name: one.verdict.verdict for name, one in judged.items()} == dict.fromkeys(judged, "holds")
    means = [halves.crossed.over(level("output", code)).mean for code in (S_C, S_S, S_E, S_I)]
    assert means[0] > max(means[1:3])
    assert min(means[1:3]) > means[3]


def test_an_offset_between_encoders_does_not_pass_for_memorization():
    study = fabricate.study(None, pairs=8, points=160, offset=0.3)
    found = fabricate.verdicts(sslmem.page, study.crossed, *sslmem.page.claims)
    assert {one.verdict for one in found.values()} == {"not judged"}
    effect = sslmem.page.claims["candidates"].of(study.crossed)
    for piece in study.crossed:
        assert abs(effect.estimate(piece) - effect.control(piece)) < 0.02
    assert max(abs(side.mean("output", S_C)) for piece in study.crossed for side in piece.pair.sides) > 0.02


def test_one_pair_cannot_be_crossed():
    with pytest.raises(ValueError, match="no pieces of evidence"):
        sslmem.set_table({"halves, crossed": fabricate.study(fabricate.DEEPER, pairs=1).crossed})


def test_figures_are_legible(halves):
    designs = {"halves, crossed": halves.crossed, "the same again": halves.crossed}
    assert_legible(sslmem.distributions, designs)
    assert_legible(sslmem.means, designs)
    assert_legible(sslmem.extreme_images, halves, axes=False)


def test_tables_have_the_four_sets(halves):
    text = repr(sslmem.set_table({"halves, crossed": halves.crossed}))
    assert all(name in text for name in ("both", "f only", "g only", "neither", "highest", "6, "))
    assert repr(sslmem.point_tests(halves.crossed)).count("both") == 3 * len(halves.crossed)


def test_verdicts_and_answer_are_sentences(halves, judged):
    assert show.verdicts(judged).data.count("<details") == len(judged)
    said = show.answer(judged, "without_offset", sslmem.answer(halves), "smoke").text
    assert said.startswith("Yes. With the offset between f and g removed")
    most, least = map(float, re.findall(r"-?\.\d+", sslmem.chosen(halves, 8).replace("−", "-"))[:2])
    assert most > least
