"""Page C_layermem: what a choice changes is found, and what it leaves is shown to be left."""

import re
from dataclasses import replace

import fabricate
import numpy as np
import pytest
from legible import assert_legible

from memlib.book import show
from memlib.book.claims import Judged
from memlib.book.cuts import ablation_results as results
from memlib.book.estimates import mirrored, of
from memlib.book.pages import c_layermem as page
from memlib.book.pieces import Pieces
from memlib.book.study import Study
from memlib.pairs import S_C, S_I, Pair

NONE = Study([], scale="smoke", design="none")
ARMS = ("strength", "initialization", "later")


def memorizing(factor=1.0, seed=1, own=False):
    """A study whose layers memorize the same points, deeper ones more alike, by a factor; `own`: others in each."""
    study, found = plain(), []
    shared, rng = np.random.default_rng(0).standard_normal(180), np.random.default_rng(seed)
    for piece in study:
        sets, align = piece.pair.sets, ({}, {})
        mark = np.select([sets == S_C, sets == S_I], [1.0, -1.0])
        for depth, row in enumerate(piece.pair.align_f):
            alike = 0.0 if own else min(1.0, 0.7 + depth / 60)
            odd = alike * shared + (1 - alike**2) ** 0.5 * rng.standard_normal(180)
            log = factor * (0.03 + 0.01 * depth) * mark * np.exp(0.6 * odd) + 0.005 * rng.standard_normal((2, 180))
            for side, sign in zip(align, (-1, 1), strict=True):
                side[row] = (0.3 * np.exp(sign * log)).astype(np.float32)
        found.append(replace(piece, pair=Pair(*align, sets)))
    return replace(study, pieces=found)


def plain(levels=fabricate.DEEPER, **more):
    return fabricate.study(levels, pairs=12, points=120, external=60, **more)


@pytest.fixture(scope="module")
def planted():
    return memorizing()


@pytest.fixture(scope="module")
def again(planted):
    return fabricate.again(plain())


@pytest.fixture(scope="module")
def arms():
    return memorizing(1.5, 2), memorizing(0.6, 3), memorizing(1.0, 4)


def judged(study, again, *arms, names=tuple(page.page.claims)):
    return fabricate.verdicts(page.page, study, *names, others=(again, *arms))


@pytest.fixture(scope="module")
def found(planted, again, arms):
    return judged(planted, again, *arms)


def test_what_is_planted_holds(found):
    assert {name: found[name].verdict for name in ("strength", "initialization")} == {
        "strength": "holds",
        "initialization": "holds",
    }
    assert found["most"].verdict == "holds"  # the same order by every distance


def test_cosine_distance_doubles_half_the_log_ratio_and_is_not_alike(found, again):
    assert found["distances"].verdict == "does not hold"
    parts = found["distances"].parts
    assert {way for way, part in parts.items() if part.verdict == "does not hold"} == {"cosine"}


def test_distances_that_agree_are_alike():
    study = plain()
    one = fabricate.verdicts(page.page, study, "distances", others=(fabricate.again(study, cosine=1.0), *[NONE] * 3))
    assert one["distances"].verdict == "holds"


def test_scale_between_f_and_g_does_not_change_the_order_of_layers():
    study = plain()
    joined = results.ways(study, fabricate.again(study, scale=0.3))
    rows = study.convolutions
    assert joined.values(results.swapped(rows, ("l2, raw", "ratio"))) == [0] * 12
    for row in rows:  # an offset on all points alike
        ours, raw = (joined.over(of(way, mirrored(row))).mean for way in ("l2", "l2, raw"))
        assert raw == pytest.approx(ours, rel=0.1)


def test_vectors_that_are_longer_on_seen_points_take_away_what_raw_distances_show():
    study = plain()
    found = fabricate.again(study)
    for piece, run in zip(study, found, strict=True):
        told = run.arrays["rows"]
        for one, seen in enumerate((piece.f.seen[told], piece.g.seen[told])):
            run.arrays["align"][one, run.header["ways"].index("l2, raw")] *= np.where(seen, 1.1, 1)
    (*_, last) = page.lengths(study, found).data.split("<tr>")
    assert re.findall(r"[.\d−]+(?= \[)", last)[-1] == "9.5"  # log of 1.1
    assert len(repr(page.lengths(study, Pieces(found[:4]))).splitlines()) == len(study.convolutions) + 1


def test_the_same_strength_and_other_points_do_not_hold(planted, again):
    arms = memorizing(1.0, 5), memorizing(1.0, 6), memorizing(1.0, 7, own=True)
    found = judged(planted, again, *arms, names=ARMS)
    assert "holds" not in {found[name].verdict for name in ARMS}


def test_arms_that_are_not_trained_are_not_judged_and_all_else_is(planted, again, arms):
    found = judged(planted, again, NONE, NONE, NONE, names=("number", *ARMS))
    assert [name for name, one in found.items() if one.verdict == "not judged"] == list(ARMS)
    assert "did not run" in found["strength"].text
    one = judged(planted, again, arms[0], NONE, NONE, names=["strength"])["strength"]
    assert one.verdict == "not judged"
    assert "Normal to strong cannot be judged" in one.text
    for draw, arguments in ((page.strength_curves, (planted, NONE, NONE)), (page.overlap_curves, (planted, NONE))):
        assert_legible(draw, *arguments)


def test_the_deviation_is_that_of_draws(planted):
    scores, rng = planted[0].pair.of("8", S_C), np.random.default_rng(0)
    drawn = [rng.choice(scores, 40).mean() for _ in range(4000)]
    assert page.deviation("8", 40)(planted[0]) == pytest.approx(np.std(drawn), rel=0.05)


def test_first_points_are_as_many_of_both_sets(planted):
    piece, sets = planted[0], planted[0].pair.sets
    rows = np.concatenate([np.flatnonzero(sets == code)[:25] for code in (S_C, S_I)])
    assert page.first("8", 25)(piece) == piece.pair.mirrored("8", np.isin(np.arange(sets.size), rows))
    assert page.first("8", 10**6)(piece) == piece.pair.mirrored("8")


def test_normalizations_are_those_of_the_library():
    sets = np.array([S_C, S_C, S_I, S_I])
    f, g = np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 2.0, 1.0, 2.0])  # g minus f: 2, 0, -2, -2
    piece = type("Piece", (), {"pair": Pair({"1": f}, {"1": g}, sets)})
    assert results.normalized("1", "none")(piece) == pytest.approx((1 + 2) / 2)
    assert results.normalized("1", "range")(piece) == pytest.approx((1 + 2) / 2 / 4)
    assert results.normalized("1", "ratio")(piece) == piece.pair.mirrored("1")


def test_parameters_that_grow_with_what_layers_add_are_correlated():
    levels = np.cumsum([0.02, 0.01, 0.02, 0.02, 0.03, 0.04, 0.06, 0.07])
    study = plain(dict(zip(fabricate.CONVOLUTIONS, levels, strict=True)), noise=0.005)
    one = fabricate.verdicts(page.page, study, "parameters")["parameters"]
    assert one.verdict == "does not hold"
    assert one.seen.mean > 0.5


def test_encoders_that_memorize_nothing_are_not_judged(again):
    found = judged(plain(None), again, NONE, NONE, NONE, names=("parameters", "composition", "distances"))
    assert {one.verdict for one in found.values()} == {"not judged"}


def test_figures_are_legible(planted, again, arms):
    assert_legible(page.profiles, planted, again)
    assert_legible(page.strength_curves, planted, *arms[:2])
    assert_legible(page.overlap_curves, planted, arms[2])


def test_tables_and_answer_say_it_all(planted, again, found):
    assert len(repr(page.draws_table(planted)).splitlines()) == len(fabricate.CONVOLUTIONS) + 1
    assert len(repr(page.distance_table(planted, again)).splitlines()) == len(fabricate.CONVOLUTIONS) + 3
    assert len(repr(page.story(planted, again)).splitlines()) == len(page.CHOICES) + 1
    every = {name: Judged(page.page.claims[name], verdict) for name, verdict in found.items()}
    assert show.verdicts(every).data.count("<details") == len(every)
    said = page.answer(planted, again)
    by = {way: results.ways(planted, again).over(of(way, mirrored("8"))) for way in ("l2", "cosine")}
    assert said.endswith(f"layer 8 memorizes {by['l2']} by l2 and {by['cosine']} by cosine.")
    assert all(f"by {way} " in said.partition(";")[0] for way in page.DISTANCES)
