"""Page c_unitmem: what changes UnitMem is told from what changes memorization, and both from nothing."""

from dataclasses import replace

import fabricate
import numpy as np
import pytest
from legible import assert_legible

from memlib.book import show
from memlib.book.designs import sweep
from memlib.book.pages import c_unitmem
from memlib.book.pieces import Pieces
from memlib.book.runs import Run, Runs
from memlib.book.study import by_arm, join

LAYERS = ["1", "7", "8"]
SETS = ["own", "none", "weak", "independent", "masking"]
VARIANTS = [*SETS, "median", "100 points", "200 points", "one a class", "as many as one a class"]
VARIANTS += ["automobile truck", "as many as automobile truck", "automobile", "as many as automobile"]
PLAIN = dict.fromkeys(VARIANTS, (0.5, 0.4))  # UnitMem on seen points, and on unseen ones
NONE = Pieces([])
ALIKE = ("number", "chosen", "rest", "sets", "individual")


def one(seed, changed):
    rng = np.random.default_rng(seed)
    means = np.array([(PLAIN | changed)[name] for name in VARIANTS])[None, :, :, None, None]
    scores = means + np.array([0, -0.2, 0.2]) + 0.001 * rng.standard_normal((4, len(VARIANTS), 2, 3, 3))
    arrays = {"unitmem": scores, "members": 0.6 + 0.01 * rng.standard_normal((4, len(SETS), 3))}
    header = {"variants": VARIANTS, "sets": SETS, "layers": LAYERS, "choices": {"counts": [200, 100]}}
    return Run(arrays, header, False, None)


def runs(**changed):
    return Pieces([one(seed, {name.replace("_", " "): both for name, both in changed.items()}) for seed in range(8)])


def judged(found, sl=NONE, strength=NONE, decay=NONE, ssl=NONE):
    return {name: one.verdict for name, one in c_unitmem.page.judge(found, ssl, sl, strength, decay).items()}


def test_ways_of_measuring_that_report_the_same_are_alike():
    found = judged(runs())
    assert {name: found[name].verdict for name in ALIKE} == dict.fromkeys(ALIKE, "holds")
    assert set(found["rest"].parts) == set(c_unitmem.BOTH)
    assert len(found["sets"].parts) == 4  # of two sets: `none` and masking are none of them


def test_few_points_where_the_papers_had_many_are_not_judged():
    found = runs()
    for one in found:
        one.header["choices"]["counts"] = [100, 99]
    verdict = judged(found)["number"]
    assert verdict.verdict == "not judged"
    assert "here it is measured from 99 on" in verdict.text
    assert judged(found, ssl=runs())["number"].verdict == "holds"  # of encoders with more points


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("number", "100_points"),
        ("chosen", "one_a_class"),
        ("rest", "median"),
        ("sets", "weak"),
        ("individual", "automobile_truck"),
    ],
)
@pytest.mark.parametrize("both", [(0.7, 0.6), (0.5, 0.5)], ids=["higher", "no memory left"])
def test_a_way_that_reports_more_or_shows_no_memory_is_not_alike(name, variant, both):
    found = judged(runs(**{variant: both}))
    assert found[name].verdict == "does not hold"
    assert all(found[other].verdict == "holds" for other in ALIKE if other != name)


def test_less_without_augmentations_is_memorization_only_beyond_unseen_points():
    lower, alike = runs(none=(0.3, 0.39)), runs(none=(0.3, 0.2))
    assert judged(lower, lower)["augmented"].verdict == "holds"
    assert judged(lower, alike)["augmented"].verdict != "holds"
    assert judged(lower, alike)["augmented"].parts["SL"].verdict == "seen, not by memorization"
    assert judged(lower)["augmented"].verdict == "not judged"  # SL did not run
    assert (
        judged(lower, runs(weak=(0.4, 0.4), independent=(0.4, 0.4), masking=(0.4, 0.39)))["labels"].verdict == "holds"
    )
    assert judged(lower, runs(weak=(0.6, 0.4)))["labels"].verdict == "does not hold"


def arm(units, accuracy, drop=0.0):
    """A design whose units know points, and are less selective on all points by `drop`."""
    made = fabricate.study(fabricate.DEEPER, units=units, points=80, external=40, pairs=6)
    rng, pieces = np.random.default_rng(round(100 * units)), []
    for piece in made:
        sides = [
            replace(
                table,
                unitmem={
                    name: {row: scores - drop - 0.01 * rng.random() for row, scores in rows.items()}
                    for name, rows in table.unitmem.items()
                },
                probe={"digits": [accuracy + 0.002 * rng.standard_normal()]},
            )
            for table in (piece.f, piece.g)
        ]
        pieces.append(replace(piece, f=sides[0], g=sides[1]))
    return replace(made, pieces=pieces)


def arms(*names, units=(0.4, 0.3, 0.1), drop=(0.0, 0.0, 0.0)):
    accuracy = (0.6, 0.55, 0.5)
    return join({name: arm(*one) for name, *one in zip(names, units, accuracy, drop, strict=True)})


def test_arms_that_memorize_less_are_told_from_arms_that_are_less_selective():
    found = judged(runs(), strength=arms("weak", "normal", "strong"), decay=arms("0.01", "0.1", "1"))
    for name in ("stronger", "decays", "probed"):
        assert found[name].verdict == "holds", name
    flat = arms("0.01", "0.1", "1", units=(0.3, 0.31, 0.32), drop=(0.0, 0.1, 0.2))
    assert judged(runs(), decay=flat)["decays"].verdict == "seen, not by memorization"


def test_what_was_not_trained_is_not_judged_and_says_so():
    found = judged(runs(), sl=Runs([], scale="laptop", experiment="units_sl"))  # which the scale does not have
    assert found["labels"].verdict == "not judged"
    assert "with labels" in found["labels"].text
    for name, words in (("stronger", "augmentations were trained"), ("decays", "weight decays were trained")):
        assert found[name].verdict == "not judged"
        assert words in found[name].text
    assert "weight decays" in repr(c_unitmem.arms_table(NONE, c_unitmem.DECAY))


def test_a_sweep_is_one_tidy_table_with_a_row_an_arm(tmp_path):
    joined = arms("0.01", "0.1", "1")
    rows = by_arm(joined, {"probe": c_unitmem.accuracy("digits")})
    assert [row["arm"] for row in rows] == ["0.01", "0.1", "1"]
    assert [round(row["probe"].mean, 2) for row in rows] == [0.6, 0.55, 0.5]
    assert len(repr(c_unitmem.arms_table(joined, c_unitmem.DECAY)).splitlines()) == 4
    own = tmp_path / "own.yaml"
    own.write_text("designs: {base: {}, more: {}}\nsweeps: {decay: {0.1: base, 1: more}}\n")
    assert sweep(str(own), "decay") == {"0.1": "base", "1": "more"}
    with pytest.raises(KeyError, match="did you mean 'decay'"):
        sweep(str(own), "deca")
    own.write_text("designs: {base: {}}\nsweeps: {decay: {0.1: bas}}\n")
    with pytest.raises(KeyError, match=r"unknown design of arm '0.1' of sweep 'decay' 'bas'"):
        sweep(str(own), "decay")


def test_figures_and_tables_are_legible_and_complete():
    found = runs()
    trainings = {"SSL": found, "SL": NONE}
    assert_legible(c_unitmem.points, found)
    assert_legible(c_unitmem.by_set, trainings)
    assert len(repr(c_unitmem.sets_table(trainings)).splitlines()) == len(SETS) + 1
    table = c_unitmem.table_34(found)
    assert len(repr(table).splitlines()) == 4 * len(LAYERS) + 1
    assert all(printed in table.data for printed in (".366", ".357", ".360"))  # the paper's layer 1
    said = c_unitmem.answer(runs(weak=(0.7, 0.6), median=(0.1, 0.1)))
    assert "(median) to " in said
    assert said.endswith("(weak).")
    assert show.verdicts(c_unitmem.page.judge(found, NONE, NONE, NONE, NONE)).data.count("<details") == 10
