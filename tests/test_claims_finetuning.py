"""Fine-tuning by memorization: a gain that follows memorization is told from one that follows a layer's place."""

import numpy as np
import pytest

from memlib import claims, figures
from memlib.claims import finetuning

LAYERS = tuple("12345678")
SIZE = dict(zip(LAYERS, (896, 18496, 36928, 36928, 73856, 295168, 590080, 590080), strict=True))
SETS = [
    (),
    *((n,) for n in LAYERS),
    *map(tuple, ("67", "68", "78", "467", "468", "678", "123456", "12", "123", "123468", "12346", "12345678")),
]


def run(rng, memory, gain, untrained, chosen=None, noise=0.002):
    """A run in which a set yields .3 and the gains of its layers, less for each layer more."""

    def accuracy(gains):
        each = {n: g + noise * rng.standard_normal() for n, g in zip(LAYERS, gains, strict=True)}
        return {one: 0.3 + 0.9 ** len(one) * sum(each[n] for n in one) for one in SETS}

    by = {
        "layermem": [("8",), ("7", "8"), ("6", "7", "8")],
        "delta": [("6",), ("6", "8"), ("4", "6", "8")],
        "last": [("8",), ("7", "8"), ("6", "7", "8")],
        "least": [("1",), ("1", "2"), ("1", "2", "3")],
    }
    within = {
        "layermem": by["last"],
        "delta": [("1", "2", "3", "4", "6"), ("6", "8"), ("1", "2", "3", "4", "6", "8")],
        "last": by["last"],
        "least": [("1", "2", "3", "4", "5", "6")] * 3,
    }
    mirrored = dict(zip(LAYERS, (np.asarray(memory) + 1e-4 * rng.standard_normal(8)).tolist(), strict=True))
    parameters = {one: sum(SIZE[n] for n in one) for one in SETS}
    by |= chosen or {}
    return finetuning.Tuning(accuracy(gain), accuracy(untrained), parameters, mirrored, by, within, 1000)


DEEP = np.array([0, 0.001, 0.002, 0.003, 0.004, 0.005, 0.01, 0.04])
PAPER = np.array([0.001, 0.002, 0.003, 0.02, 0.01, 0.05, 0.015, 0.045])  # gains as in Table 5: 6, then 8, then 4
NONE = np.full(8, 0.01)


def page(memory, gain, untrained, count=4, **choices):
    runs = [run(np.random.default_rng(i), memory, gain, untrained, **choices) for i in range(count)]
    return {v.claim.key: v for v in finetuning.page(runs)}, runs


def test_what_the_paper_found_holds_where_it_is_so():
    found, runs = page(PAPER, PAPER, NONE)
    for key in ("rank", "most", "tune-pair", "tune-triple", "adding"):
        assert found[key].verdict == "holds", key
    assert found["by-delta"].parts["2 layers"].verdict == "holds"
    said = finetuning.takeaways(runs, list(found.values()))
    assert len(said) == 3
    assert "nan" not in "".join(said)


def test_gains_that_untrained_encoders_have_as_well_are_no_evidence_of_memorization():
    found, runs = page(PAPER, PAPER, PAPER)
    for key in ("rank", "most", "tune-pair", "tune-triple"):
        assert found[key].effect.excludes_zero(1) or found[key].parts, key
        assert found[key].verdict in ("does not hold", "trend only"), key
    assert found["rank"].verdict == found["most"].verdict == "does not hold"
    assert found["adding"].verdict == "holds"  # of accuracy alone
    assert "a gain by itself does not show" in finetuning.takeaways(runs, list(found.values()))[2]


def test_a_choice_that_is_the_last_layers_cannot_beat_them_and_the_page_says_that_it_is_the_same():
    found, runs = page(DEEP, DEEP, NONE)
    assert {v.verdict for v in found["by-layermem"].parts.values()} == {"not tested here"}
    assert "Nothing to compare" in found["by-layermem"].reason
    assert found["by-layermem"].effect.mean == 0
    assert "the same layers as the last in every run" in finetuning.takeaways(runs, list(found.values()))[1]


def test_the_opposite_order_does_not_hold():
    found, _ = page(DEEP, PAPER[::-1], NONE)
    assert found["most"].verdict == found["tune-pair"].verdict == "does not hold"
    assert found["rank"].verdict != "holds"


def test_at_equal_numbers_of_parameters_a_choice_is_set_against_the_last_layers():
    found, _ = page(PAPER, PAPER, NONE)
    parts = found["equal"].parts
    assert list(parts) == [
        f"{choice}, within {k} layer{'s' * (k > 1)}"
        for choice in ("highest LayerMem", "highest delta")
        for k in (1, 2, 3)
    ]
    assert parts["highest delta, within 2 layers"].verdict == "holds"
    assert parts["highest LayerMem, within 2 layers"].verdict == "not tested here"  # these are the last layers
    assert page(PAPER, PAPER, PAPER)[0]["equal"].parts["highest delta, within 2 layers"].verdict == "does not hold"


def test_one_run_is_not_tested_and_a_set_that_was_not_tuned_is_named():
    found, runs = page(PAPER, PAPER, NONE, count=1)
    assert {v.verdict for v in found.values()} == {"not tested here"}
    with pytest.raises(KeyError, match="unknown set of tuned layers '2, 8'"):
        runs[0].of(("2", "8"))
    with pytest.raises(KeyError, match="unknown start 'trained'"):
        runs[0].of((), "trained")
    with pytest.raises(KeyError, match="unknown choice of layers 'magnitude'"):
        finetuning.choice_at("magnitude", 1)(runs[0], "f")
    with pytest.raises(ValueError, match="no runs"):
        finetuning.page([])


def test_a_run_is_read_by_the_names_of_its_sets_and_averaged_over_seeds():
    class Outcome:
        header = {  # noqa: RUF012
            "sets": [[], ["6"]], "layers": ["6", "8"], "tested": 50, "chosen": {"last": [["8"]]},
            "budgeted": {"last": [["8"]]},
        }  # fmt: skip
        arrays = {  # noqa: RUF012
            "accuracy": np.array([[[0.2, 0.4], [0.5, 0.7]], [[0.1, 0.1], [0.2, 0.2]]], dtype=np.float32),
            "parameters": np.array([0, 9]), "mirrored": np.array([0.1, 0.2]),
        }  # fmt: skip

    found = finetuning.tuning(Outcome)
    assert found.of(("6",)) == pytest.approx(0.6)
    assert found.of((), "untrained") == pytest.approx(0.1)
    assert found.parameters == {(): 0, ("6",): 9}
    assert found.mirrored["8"] == 0.2
    assert found.chosen["last"] == found.budgeted["last"] == [("8",)]
    assert claims.finetuning.name(()) == "head only"


@pytest.mark.parametrize("draw", ["tuned_sets", "tuned_layers", "tuned_budget"])
@pytest.mark.parametrize("count", [1, 4])
def test_figures_have_words_on_their_axes_no_background_and_legible_type(draw, count):
    import matplotlib

    matplotlib.use("Agg")
    figures.style()
    figure = getattr(figures, draw)(page(PAPER, PAPER, NONE, count)[1])
    figure.canvas.draw()
    texts = [t for t in figure.findobj(lambda o: hasattr(o, "get_fontsize")) if t.get_text().strip()]
    assert min(t.get_fontsize() for t in texts) * 390 / figure.get_figwidth() / 72 >= 7.5
    assert all(ax.get_facecolor()[3] == 0 for ax in figure.axes)
    assert any(len(ax.get_xlabel()) >= 5 for ax in figure.axes)
    assert all(len(ax.get_ylabel()) >= 5 for ax in figure.axes)


def test_tables_set_the_paper_beside_ours_and_name_what_each_run_chose():
    runs = page(PAPER, PAPER, NONE)[1]
    runs[0] = run(np.random.default_rng(9), PAPER, PAPER, NONE, {"delta": [("6",), ("6", "7"), ("4", "6", "8")]})
    lines = repr(figures.tuned_table(runs)).splitlines()
    assert len(lines) == 1 + len(SETS)
    assert any("56.7 ± 0.84" in line and "6, 8" in line and "885,248" in line for line in lines)
    choices = repr(figures.tuned_choices(runs))
    assert "6, 7 (1 of 4); 6, 8 (3 of 4)" in choices
    assert len(choices.splitlines()) == 13
    within = repr(figures.tuned_choices(runs, budget=True))
    assert "1, 2, 3, 4, 6, 8" in within
    assert len(within.splitlines()) == 13
