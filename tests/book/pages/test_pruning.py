"""Page pruning: cost that follows memory is told from cost that selective units have anyway."""

import numpy as np
from legible import assert_legible

from memlib.book.cuts.pruning import CELLS
from memlib.book.pages import pruning
from memlib.book.pieces import Pieces
from memlib.book.runs import Run

WHOLE = 0.6
SHARES = (0.1, 0.5, 0.9)
LAYERS = ("1", "2")


def one(seed, cost):
    """A run in which a criterion costs so much, whatever the share."""
    rng = np.random.default_rng(seed)
    cells = dict.fromkeys([*CELLS, *((scope, share) for scope in ("layer", "total") for share in SHARES)])
    variants = [("none", "none", 0.0, 0)] + [(*cell[:1], n, cell[1], 0) for cell in cells for n in pruning.CRITERIA]
    left = np.array([WHOLE - cost.get(n, 0.0) for _, n, _, _ in variants])
    accuracy = left[None, :, None] + 0.002 * rng.standard_normal((2, len(variants), 1))
    arrays = {"accuracy-own": accuracy, "untrained-own": accuracy[0] - 0.2}
    header = {"variants": variants, "probe": ["own"], "layers": LAYERS, "units": [8, 8], "choices": {}}
    return Run(arrays, header, False, None)


def runs(**cost):
    return Pieces([one(seed, {n.replace("_", " "): c for n, c in cost.items()}) for seed in range(10)])


def verdicts(**cost):
    return {name: found.verdict for name, found in pruning.page.judge(runs(**cost)).items()}


PAPER = {"top": 0.06, "random": 0.04, "low": 0.0, "magnitude": 0.03, "activation": 0.03}
UNSEEN = {"top_unseen": 0.04, "low_unseen": 0.04}


def test_what_the_paper_found_holds_where_it_is_so():
    found = verdicts(**PAPER, **UNSEEN)
    assert {name: v.verdict for name, v in found.items()} == dict.fromkeys(found, "holds")


def test_what_unseen_points_find_as_well_is_not_memory():
    found = verdicts(**PAPER, top_unseen=0.06, low_unseen=0.0)
    assert found["top"].verdict == found["low"].verdict == "seen, not by memorization"
    assert found["wins"].verdict == "holds"  # of accuracy alone


def test_units_that_cost_alike_hold_nowhere():
    found = verdicts(**dict.fromkeys(PAPER, 0.04), **UNSEEN)
    assert {v.verdict for v in found.values()} == {"does not hold"}


def test_the_answer_and_figures_read():
    some = runs(**PAPER, **UNSEEN)
    assert "54.0 % are left without the tenth" in pruning.answer(some)
    assert_legible(pruning.tenth, some)
    assert_legible(pruning.curves, some)
