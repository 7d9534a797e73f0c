"""Page finetuning: a gain that follows memorization is told from one that follows a layer's place."""

import re

import numpy as np
import pytest
from legible import assert_legible

from memlib.book import claims, paper
from memlib.book.pages import finetuning
from memlib.book.pieces import Pieces
from memlib.book.runs import Run

LAYERS = tuple("12345678")
SIZE = dict(zip(LAYERS, (960, 18624, 37056, 37056, 74112, 295680, 590592, 590592), strict=True))
SETS = [
    (),
    *((n,) for n in LAYERS),
    *map(tuple, ("12", "67", "68", "78", "123", "467", "468", "678", "12346", "123456", "123468", "12345678")),
]
LAST = [("8",), ("7", "8"), ("6", "7", "8")]
CHOSEN = {
    "layermem": LAST,
    "delta": [("6",), ("6", "8"), ("4", "6", "8")],
    "last": LAST,
    "least": [("1",), ("1", "2"), ("1", "2", "3")],
}
WITHIN = CHOSEN | {"delta": [tuple("12346"), ("6", "8"), tuple("123468")], "least": [tuple("123456")] * 3}
DEEP = np.array([0, 0.001, 0.002, 0.003, 0.004, 0.005, 0.01, 0.04])
PAPER = np.array([0.001, 0.002, 0.003, 0.04, 0.008, 0.05, 0.01, 0.045])  # gains as in Table 5: 6, then 8, then 4
NONE = np.full(8, 0.01)


def one(seed, memory, gain, untrained, chosen=None, noise=0.002):
    """A run in which a set yields .3 and the gains of its layers, of each the less the more there are."""
    rng = np.random.default_rng(seed)

    def accuracy(gains):
        each = dict(zip(LAYERS, gains + noise * rng.standard_normal(8), strict=True))
        return [[0.3 + 0.9 ** len(some) * sum(each[n] for n in some)] for some in SETS]

    arrays = {
        "accuracy": np.array([accuracy(gain), accuracy(untrained)], dtype=np.float32),
        "parameters": np.array([sum(SIZE[n] for n in some) for some in SETS]),
        "mirrored": np.asarray(memory) + 1e-4 * rng.standard_normal(8),
    }
    chosen = CHOSEN | (chosen or {})
    return Run(arrays, {"sets": SETS, "layers": LAYERS, "chosen": chosen, "budgeted": WITHIN}, False, None)


def runs(memory, gain, untrained, count=10, **more):
    return Pieces([one(seed, memory, gain, untrained, **more) for seed in range(count)])


def judged(*planted, **more):
    return {name: one.verdict for name, one in finetuning.page.judge(runs(*planted, **more)).items()}


def test_what_the_paper_found_holds_where_it_is_so():
    found = judged(PAPER, PAPER, NONE)
    for name in ("order", "most", "two", "three", "adding", "by_delta"):
        assert found[name].verdict == "holds", name
    # within the parameters of the last layer fit five others, which yield more before training as well
    assert found["equal"].verdict == "seen, not by memorization"


def test_gains_that_untrained_encoders_have_as_well_are_not_by_memorization():
    found = judged(PAPER, PAPER, PAPER)
    for name in ("order", "most", "two", "three", "by_delta", "equal"):
        assert found[name].verdict == "seen, not by memorization", name
    assert found["adding"].verdict == "holds"  # of accuracy alone


def test_gains_in_the_opposite_order_do_not_hold():
    found = judged(DEEP, DEEP[::-1], NONE)
    assert {found[name].verdict for name in ("order", "most")} == {"does not hold"}


def test_where_all_layers_gain_alike_nothing_holds():
    assert "holds" not in {v.verdict for v in judged(PAPER, NONE, NONE).values()}


def test_a_choice_of_the_last_layers_is_not_compared_with_them():
    found = judged(PAPER, PAPER, NONE)
    assert found["by_layermem"].verdict == "not judged"
    assert "takes the last layers in every run" in found["by_layermem"].text
    some = runs(PAPER, PAPER, NONE, chosen={"layermem": [("8",), ("7", "8"), ("4", "6", "8")]})
    of_three = finetuning.page.claims["by_layermem"].of(some)
    assert some.values(of_three.estimate) == some.values(finetuning.more(("4", "6", "8"), ("6", "7", "8")))


def test_encoders_that_do_not_memorize_are_judged_by_their_accuracy_alone(monkeypatch):
    monkeypatch.setattr(claims, "memorizes", lambda *_: "These encoders are not shown to memorize.")
    gated = Pieces(list(runs(PAPER, PAPER, NONE)), {"halves": None})
    found = {name: one.verdict.verdict for name, one in finetuning.page.judge(gated).items()}
    assert found.pop("adding") == "holds"
    assert set(found.values()) == {"not judged"}


def test_what_was_not_tuned_is_named():
    some = runs(PAPER, PAPER, NONE, count=1)
    with pytest.raises(KeyError, match="unknown set of tuned layers '2, 8'"):
        some.over(finetuning.tuned(("2", "8")))
    assert {v.verdict for v in judged(PAPER, PAPER, NONE, count=1).values()} <= {"undecided", "not judged"}


def test_accuracies_are_means_over_seeds_and_layers_are_found_by_their_names():
    arrays = {
        "accuracy": np.array([[[0.2, 0.4], [0.5, 0.7]], [[0.1, 0.1], [0.2, 0.2]]], dtype=np.float32),
        "parameters": np.array([0, 9]),
        "mirrored": np.array([0.1, 0.2]),
    }
    run = Run(arrays, {"sets": [[], ["6"]], "layers": ["6", "8"], "chosen": {"last": [["6"]]}}, False, None)
    assert finetuning.tuned(("6",))(run) == pytest.approx(0.6)
    assert finetuning.more(finetuning.choice("last", 1), (), "untrained")(run) == pytest.approx(0.1)
    assert finetuning.size(("6",))(run) == 9
    assert finetuning.memory("8")(run) == 0.2


@pytest.mark.parametrize("draw", ["sets_figure", "layers_figure", "parameters_figure"])
@pytest.mark.parametrize("count", [1, 4])
def test_figures_have_words_on_their_axes_and_legible_type(draw, count):
    assert_legible(getattr(finetuning, draw), runs(PAPER, PAPER, NONE, count))


def test_tables_set_the_paper_beside_ours_and_name_what_each_run_chose():
    some = list(runs(PAPER, PAPER, NONE, 4))
    some[0] = one(9, PAPER, PAPER, NONE, {"delta": [("6",), ("6", "7"), ("4", "6", "8")]})
    lines = repr(finetuning.sets_table(Pieces(some))).splitlines()
    assert len(lines) == 1 + len(SETS)
    printed = paper.table("table_5").set_index("layers").loc["6 8"]
    assert any(f"{printed.iloc[0]:.1f} ± {printed.iloc[1]:.2f}" in line and "886,272" in line for line in lines)
    choices = repr(finetuning.choices_table(Pieces(some)))
    assert "6, 7 (1 of 4); 6, 8 (3 of 4)" in choices
    assert len(choices.splitlines()) == 13
    assert "1, 2, 3, 4, 6, 8" in repr(finetuning.choices_table(Pieces(some), budget=True))


def test_the_answer_has_what_untrained_encoders_yield_as_well():
    said = finetuning.answer(runs(PAPER, PAPER, NONE))
    assert "nan" not in said
    assert re.search(r"is \d+\.\d \[.*in encoders that were never trained", said)
