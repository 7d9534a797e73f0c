"""Page training: a rise that is memorization is told from one that unseen points show as well."""

import re

import numpy as np
import pytest
from legible import assert_legible

from memlib.book import show
from memlib.book.pages import training
from memlib.book.pieces import Pieces
from memlib.book.runs import Run

EPOCHS = [0, 10, 25, 50, 100]
LAYERS, ROWS = ["1", "2", "8"], ["1", "2", "8", "output"]
EARLY, LATE = np.array([0, 0.8, 0.9, 0.95, 1]), np.array([0, 0.02, 0.1, 0.4, 1])
FLAT = np.zeros(5)


def one(seed, seen, unseen, memory=EARLY, probe=EARLY, moments=slice(None)):
    """A run whose curves go from .3 up by .2 times what is given, alike in all layers."""
    rng = np.random.default_rng(seed)
    units = np.stack([seen, unseen], 1)[:, None, :, None] * 0.2 + 0.3  # moment, encoder, side, layer
    arrays = {
        "unitmem": (units + 0.002 * rng.standard_normal((5, 2, 2, 3)))[moments],
        "members": (0.5 + 0.1 * seen[:, None, None] + 0.01 * rng.standard_normal((5, 2, 3)))[moments],
        "mirrored": (0.3 * memory[:, None] + 0.002 * rng.standard_normal((5, 4)))[moments],
        "accuracy-digits": (0.3 + 0.3 * probe[:, None, None] + 0.002 * rng.standard_normal((5, 2, 3)))[moments],
    }
    header = {"epochs": EPOCHS[moments], "layers": LAYERS, "rows": ROWS, "probe": ["digits"]}
    return Run(arrays, header, False, None)


def runs(*curves, **more):
    return Pieces([one(seed, *curves, **more) for seed in range(8)])


def judged(*curves, **more):
    return {name: one.verdict for name, one in training.page.judge(runs(*curves, **more)).items()}


def test_a_rise_on_seen_points_alone_holds_in_every_layer():
    found = judged(EARLY, FLAT, memory=LATE, probe=EARLY)
    assert {name: one.verdict for name, one in found.items()} == dict.fromkeys(training.page.claims, "holds")
    assert list(found["everywhere"].parts) == LAYERS


def test_a_rise_that_unseen_points_show_as_well_is_not_by_memorization():
    found = judged(EARLY, EARLY)
    assert found["early"].verdict == "seen, not by memorization"
    for name in ("steadily", "everywhere"):  # ranks of what is left beyond unseen points: noise
        assert found[name].verdict in ("undecided", "does not hold"), name


def test_a_late_rise_is_not_early_and_a_fall_is_no_rise():
    assert judged(LATE, FLAT)["early"].verdict == "does not hold"
    assert judged(-EARLY, FLAT)["steadily"].verdict == "does not hold"


def test_a_probe_that_grows_with_memorization_or_after_it_is_no_sign_of_failure():
    assert judged(EARLY, FLAT, memory=EARLY, probe=LATE)["later"].verdict == "does not hold"
    assert judged(EARLY, FLAT, memory=LATE, probe=LATE)["later"].verdict == "does not hold"


def test_with_start_and_end_alone_nothing_is_judged_and_all_is_shown():
    ends = runs(EARLY, FLAT, moments=slice(None, None, 4))
    found = training.page.judge(ends)
    assert {one.verdict.verdict for one in found.values()} == {"not judged"}
    assert "not measured during their training" in found["steadily"].verdict.text
    for draw in (training.figure_4, training.beside, training.every_layer):
        assert_legible(draw, ends)
    assert len(repr(training.moments_table(ends)).splitlines()) == 3
    said = training.answer(ends)
    assert "first quarter" not in said
    assert "Not judged." in repr(show.answer(found, "early", said, "smoke"))


def test_the_answer_has_what_seen_points_gain_in_all_and_early_and_what_unseen_ones_do():
    said = training.answer(runs(EARLY, FLAT))
    numbers = re.findall(r"by (−?\.\d+) ", said)
    assert [round(float(number.replace("−", "-")), 2) for number in numbers] == [0.2, 0.18, 0]
    assert said.endswith("].")


@pytest.mark.parametrize("name", ["figure_4", "beside", "every_layer"])
def test_figures_are_legible(name):
    assert_legible(getattr(training, name), runs(EARLY, FLAT))
