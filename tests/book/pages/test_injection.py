"""Page injection: a rise by the point that was inserted is told from one that tuning has anyway."""

import fabricate
import numpy as np
import pytest
from legible import assert_legible

from memlib.book.cuts.injection_results import UNITS
from memlib.book.pages import injection
from memlib.book.pieces import Pieces
from memlib.book.runs import Run

TUNED = (*UNITS, "layer")
EPOCHS = (0, 10, 50)
U, POINT, POINTS = 12, 3, 20


LAST = fabricate.DEEPER | {"8": 0.6}  # the last layer memorizes most, and adds most


class Some(Pieces):
    """Runs on encoders that were measured."""

    def __init__(self, pieces, levels=LAST):
        super().__init__(pieces)
        vars(self)["study"] = fabricate.study(levels, pairs=6)

    @property
    def studies(self):
        return {"encoders": self.study}


def one(seed, rise, others=0.0):
    """A run in which an insertion raises the unit that is tuned so much, and all others by `others`."""
    rng, arrays = np.random.default_rng(seed), {"points": np.arange(POINTS)}
    start = np.r_[0.7, 0.0, rng.uniform(0.1, 0.5, U - 2)]  # the highest, the silent, and others
    for what in injection.INSERTED:
        for tuned in TUNED:
            steps = np.linspace(0, 1, len(EPOCHS))[:, None]
            more = np.full(U, others)
            more[[0, 1] if tuned == "layer" else UNITS.index(tuned)] = rise.get(what, 0.0)
            noise = 0.001 * rng.standard_normal((len(EPOCHS), U)) * (steps > 0)
            arrays[f"{what}-{tuned}.unitmem"] = np.clip(start + steps * more + noise, 0, 1)
            arrays[f"{what}-{tuned}.strongest"] = np.full((len(EPOCHS), 3), POINT)
    header = {
        "inserted": list(injection.INSERTED), "tuned": list(TUNED), "epochs": list(EPOCHS), "point": POINT,
        "units": {"highest": 0, "silent": 1, "random": 5}, "silent": True,
        "accuracy": {"f": 0.5, "untrained": 0.3},
        "cosine": {"same": 0.9, "different": 0.1},
    }  # fmt: skip
    return Run(arrays, header, False, None)


def runs(count=10, others=0.0, levels=LAST, **rise):
    return Some([one(seed, rise, others) for seed in range(count)], levels)


def verdicts(some):
    return {name: found.verdict for name, found in injection.page.judge(some).items()}


PAPER = {"one": 0.1, "points": 0.1, "copies": 0.2, "other": 0.02}


def test_what_the_paper_found_holds_where_it_is_so():
    found = verdicts(runs(**PAPER))
    assert {name: v.verdict for name, v in found.items()} == dict.fromkeys(found, "holds")


def test_a_rise_that_weight_decay_has_as_well_is_not_the_point_s():
    found = verdicts(runs(**PAPER, none=0.1))
    assert found["rises"].verdict == "seen, not by memorization"


def test_a_layer_that_changes_all_units_alike_is_seen():
    assert verdicts(runs(**PAPER, others=0.2))["others"].verdict == "does not hold"


def test_encoders_that_memorize_nothing_are_not_judged():
    found = verdicts(runs(**PAPER, levels=None))
    assert {v.verdict for v in found.values()} == {"not judged"}


def test_a_layer_before_that_memorizes_as_much_is_found():
    found = verdicts(runs(**PAPER, levels=LAST | {"7": 0.6}))
    assert found["chosen"].verdict == "does not hold"


@pytest.mark.parametrize("what", ["one", "copies"])
def test_figures_are_legible_and_tables_read(what):
    some = runs(4, **PAPER)
    assert_legible(injection.curves, some, what)
    assert len(repr(injection.changes(some)).splitlines()) == 1 + 2 * len(injection.INSERTED)
    assert "changes by" in injection.answer(some)
