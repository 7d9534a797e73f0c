"""Page points_and_units: points that units make theirs are found where memory put them, not where they stand out."""

from dataclasses import replace

import fabricate
import numpy as np
import pytest
from legible import assert_legible

from memlib.book import show
from memlib.book.pages import points_and_units as page

SMALL = {"points": 200, "external": 40}


def of_points(study, seen=1.0, unseen=0.0, seed=0):
    """A study whose units of every layer belong to memorable points, as strongly as given for those seen or not."""
    rng, scores = np.random.default_rng(seed), page.memorable(study)
    for piece in study:
        score = np.nan_to_num(scores[piece.number] / np.nanstd(scores[piece.number]))
        for known, one in ((1, piece.f), (1, piece.g), (0, piece.before.f), (0, piece.before.g)):
            share = known * np.where(one.seen, seen, unseen)
            weight = np.exp(1.5 * share * score) * np.isin(np.arange(score.size), one.compared)
            one.unitmem["both"] = {}
            for row in fabricate.CONVOLUTIONS:
                one.top_row[row] = rng.choice(score.size, 64, p=weight / weight.sum())
                own = (share * score)[one.top_row[row]]
                one.unitmem["both"][row] = 0.4 + 0.1 * np.tanh(own + rng.standard_normal(64))
    return study


@pytest.fixture(scope="module")
def planted():
    return of_points(fabricate.study(fabricate.DEEPER, pairs=6, **SMALL))


@pytest.fixture(scope="module")
def again(planted):
    return fabricate.again(planted)


@pytest.fixture(scope="module")
def judged(planted, again):
    return page.page.judge(planted, again)


def test_units_of_memorized_points_hold(judged):
    assert {name: one.verdict.verdict for name, one in judged.items()} == dict.fromkeys(judged, "holds")


def test_points_that_stand_out_in_all_encoders_do_not_pass_for_memory():
    """Units prefer memorable points as much where the encoder never saw them."""
    study = of_points(fabricate.study(fabricate.DEEPER, pairs=6, **SMALL), unseen=1.0)
    found = fabricate.verdicts(page.page, study, "together", "more_units", others=(fabricate.again(study, False),))
    for one in found.values():
        assert one.seen.mean > 0.1
        assert one.attribution != "yes"


def test_points_alike_in_all_units_hold_nowhere():
    study = of_points(fabricate.study(fabricate.DEEPER, pairs=6, **SMALL), seen=0.0)
    found = fabricate.verdicts(page.page, study, *page.page.claims, others=(fabricate.again(study, False),))
    assert "holds" not in {one.verdict for one in found.values()}


def test_points_are_scored_by_other_pairs_of_the_same_images(planted):
    scores = page.memorable(planted)
    piece = planted[2]
    for one in (piece.f, piece.g):
        kept = one.align["output"].copy()
        one.align["output"][:] = np.random.default_rng(0).random(kept.shape)
        np.testing.assert_array_equal(page.memorable(planted)[2], scores[2])
        assert not np.array_equal(page.memorable(planted)[1], scores[1], equal_nan=True)
        one.align["output"][:] = kept


def test_pairs_of_other_images_score_no_points(planted, again):
    alone = replace(planted, pieces=planted[:1])
    found = page.page.judge(alone, again)
    assert {one.verdict.verdict for one in found.values()} == {"not judged"}
    assert page.OWN_POINTS in found["together"].verdict.text
    assert page.answer(alone) == page.OWN_POINTS


def test_a_rank_of_nothing_is_none():
    assert page.tau(np.ones(5), np.arange(5.0)) == page.tau(np.arange(2.0), np.arange(2.0)) == 0
    assert page.tau(np.arange(5.0), np.arange(5.0)) == pytest.approx(1)


def test_figures_are_legible(planted, again):
    assert_legible(page.units_and_points, planted)
    assert_legible(page.extreme_curves, planted, again)


def test_tables_have_a_row_a_layer_and_the_papers_numbers(planted, again):
    for table in (page.rank_table(planted), page.extreme_table(planted, again)):
        assert len(repr(table).splitlines()) == len(fabricate.CONVOLUTIONS) + 1
        assert "nan" not in table.data
    assert "+.272" in page.extreme_table(planted, again).data  # .507 minus .235
    assert ".694" in page.by_count(planted).data


def test_verdicts_and_answer_are_sentences(planted, judged):
    assert show.verdicts(judged).data.count("<details") == len(judged)
    last = fabricate.CONVOLUTIONS[-1]
    seen, unseen = (page.scored(planted).over(page.aligned(planted, last, of)) for of in (True, False))
    said = page.answer(planted)
    assert f"is {seen:.2f} where the point was trained on, and {unseen:.2f} where it was not." in said
    assert seen.mean - unseen.mean > 0.1
