"""Page ssl_vs_sl: units that hold points or classes are told from each other, and from units that are selective."""

from dataclasses import replace

import fabricate
import numpy as np
import pytest
from legible import assert_legible

from memlib.book.measuring import CLASSMEM
from memlib.book.pages import ssl_vs_sl
from memlib.book.pages.ssl_vs_sl import SL, SSL, STOPPED
from memlib.book.study import join

ROWS = fabricate.CONVOLUTIONS
DATASET = fabricate.SPEC.dataset


def encoders(points, classes, own, other, selective=0.0, seed=0):
    """Pairs whose units know points and classes so much beyond what unseen points show, {layer: UnitMem, ClassMem}.

    Args:
        own, other: Accuracy of a probe on the data set of training, and on another.
        selective: How much UnitMem is above ClassMem on any points.
    """
    rng = np.random.default_rng(seed)
    found = fabricate.study(fabricate.DEEPER, pairs=8, points=80, external=40, units=points)

    def knowing(table, known, more=0.0):
        any_points = {row: 0.4 + 0.01 * i - selective for i, row in enumerate(ROWS)}
        scores = {
            name: {
                row: mean + 0.05 * rng.standard_normal(64) + (known[row] if name == "classmem" else 0)
                for row, mean in any_points.items()
            }
            for name in CLASSMEM
        }
        probe = {DATASET: [own - more + 0.002 * rng.normal()], "another": [other - more + 0.002 * rng.normal()]}
        return replace(table, probe=probe, **scores)

    def pair(piece):
        nothing, before = dict.fromkeys(ROWS, 0.0), piece.before
        f, g = (knowing(one, nothing, 0.1) for one in (before.f, before.g))
        before = replace(before, f=f, g=g)
        return replace(piece, f=knowing(piece.f, classes), g=knowing(piece.g, classes), before=before)

    return replace(found, pieces=[pair(piece) for piece in found])


def ramp(low, high):
    return dict(zip(ROWS, np.linspace(low, high, len(ROWS)), strict=True))


def joined(ssl, sl, stopped=None):
    ways = (SSL, ssl), (SL, sl), (STOPPED, stopped or sl)
    return join({name: encoders(*sizes, seed=i) for i, (name, sizes) in enumerate(ways)})


@pytest.fixture(scope="module")
def planted():
    """As the paper has it: SSL holds points in every layer; SL points first and classes last."""
    ssl, sl = (ramp(0.1, 0.3), ramp(0.0, 0.05), 0.60, 0.55), (ramp(0.2, 0.0), ramp(0.0, 0.2), 0.65, 0.50)
    return joined(ssl, sl)


def verdicts(found):
    return {name: one.verdict for name, one in ssl_vs_sl.page.judge(found).items()}


def test_points_in_ssl_and_classes_in_sl_hold(planted):
    found = verdicts(planted)
    names = ("points", "diagonal", "grows", "first", "last", "turn", "own", "others")
    assert {name: found[name].verdict for name in names} == dict.fromkeys(names, "holds")


def test_what_unseen_points_show_as_well_is_no_memorization():
    """UnitMem is above ClassMem in all of these encoders, of selective units: on unseen points by as much."""
    nothing = (ramp(0.0, 0.0), ramp(0.0, 0.0), 0.6, 0.5, 0.1)
    found = verdicts(joined(nothing, nothing))
    assert found["points"].seen.mean > 0.05
    assert {found[name].verdict for name in ("points", "diagonal", "grows")} == {"seen, not by memorization"}
    assert {found[name].verdict for name in ("last", "turn")} == {"does not hold"}


def test_encoders_that_probe_alike_are_not_better_on_anything():
    alike = (ramp(0.1, 0.3), ramp(0.0, 0.05), 0.6, 0.5)
    found = verdicts(joined(alike, alike))
    assert found["own"].verdict == found["others"].verdict == "does not hold"
    assert found["others"].text.startswith("Does not hold. On another")


@pytest.mark.parametrize("draw", ["class_curves", "unit_scatter"])
def test_figures_are_legible(planted, draw):
    assert_legible(getattr(ssl_vs_sl, draw), planted.studies)


def test_tables_have_the_papers_rows_and_ours(planted):
    probes = ssl_vs_sl.probes(planted.studies).data
    assert all(name in probes for name in (DATASET, "another", "cifar100", "before training"))
    table = repr(ssl_vs_sl.class_table(planted.studies)).splitlines()
    assert len(table) == 3 * len(ROWS) + 1


def test_the_answer_has_both_ways_to_train(planted):
    said = ssl_vs_sl.answer(planted.studies)
    assert "] in SSL and " in said
    assert "] in SL; below zero" in said
