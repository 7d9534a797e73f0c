"""Page replacement: cost that follows memorization is told from cost that any exchange of layers has."""

from itertools import combinations

import numpy as np
import pytest
from legible import assert_legible

from memlib.book import claims
from memlib.book.cuts import replacement_results as results
from memlib.book.pages import replacement
from memlib.book.pieces import Pieces
from memlib.book.runs import Run

STEPS = tuple("12345678")
LAYERS = (*STEPS[:4], "Res2", *STEPS[4:], "Res6", "output")
MEMORY = np.array([0.010, 0.001, 0.020, 0.004, 0.040, 0.050, 0.012, 0.025])  # by layer, not in the order of depth
DATA = {role: {"dataset": name} for role, name in (("f", "own"), ("g", "own"), ("donor", "theirs"))}


def one(seed, cost, same=0.0, gain=0.0, behind=0.0, cosine=0.99, sizes=(1, 2, 3), memory=MEMORY, new=0.4, drawn=None):
    """A run in which a layer costs `cost` (by layer); of the same data set, or untrained, `same` instead."""
    rng, cost = np.random.default_rng(seed), np.broadcast_to(np.asarray(cost, float), 8)
    same = np.broadcast_to(np.asarray(same, float), 8)
    accuracy = {("f", ()): (0.6, 0.3)}
    for size in (*sizes, 8):
        for some in combinations(range(8), size):
            steps = tuple(STEPS[i] for i in some)
            lost, other = (by[list(some)].sum() / size**0.5 + 0.001 * rng.standard_normal() for by in (cost, same))
            accuracy["donor", steps] = 0.6 - lost, 0.3 + gain * lost + 0.001 * rng.standard_normal()
            accuracy["g", steps] = 0.6 - other, 0.3 + 0.001 * rng.standard_normal()
            if size == 1:
                accuracy["untrained", steps] = accuracy["g", steps]
    accuracy["untrained", STEPS] = new, 0.3
    level = dict(zip(STEPS, memory, strict=True)) | {"Res2": memory[3], "Res6": memory[7], "output": memory[7]}
    mirrored = np.tile([level[layer] + 0.0002 * rng.standard_normal() for layer in LAYERS], (9, 1))
    for i, step in enumerate(STEPS):
        at = LAYERS.index(step)
        mirrored[1 + i, at] *= 0.2
        mirrored[1 + i, at + 1 :] += behind + 0.0002 * rng.standard_normal()
    similarity = np.tile([cosine, cosine, cosine, 0.98], (3, 8, 1)) + 0.0005 * rng.standard_normal((3, 8, 4))
    arrays = {
        "accuracy": np.array([[[x, x] for x in both] for both in accuracy.values()], dtype=np.float32),
        "mirrored": mirrored, "similarity": similarity, "parameters": 100 * 2 ** np.arange(8),
    }  # fmt: skip
    header = {
        "variants": [[role, list(steps)] for role, steps in accuracy], "probe": ["own", "theirs"], "encoders": DATA,
        "steps": list(STEPS), "normed": list(STEPS), "layers": list(LAYERS),
        "rows": {step: step for step in reversed(STEPS)},  # the store keeps no order
        "previous": dict(zip(LAYERS[1:], LAYERS, strict=False)), "drawn": drawn or {"donor": {}, "g": {}},
    }  # fmt: skip
    return Run(arrays, header, False, None)


def runs(cost=4 * MEMORY, count=10, **more):
    return Pieces([one(seed, cost, **more) for seed in range(count)])


def page(cost=4 * MEMORY, blocks=None, **more):
    some = runs(cost, **more)
    return {name: judged.verdict for name, judged in replacement.page.judge(some, blocks or some).items()}


def test_cost_that_follows_memorization_holds():
    found = page(gain=0.5)
    for name in ("most", "random", "gain", "order", "of_blocks", "foreign", "batchnorm", "unchanged"):
        assert found[name].verdict == "holds", name
    assert found["drops"].parts["6"].verdict == "holds"


def test_cost_that_layers_of_the_same_data_set_have_as_well_is_not_by_memorization():
    found = page(same=4 * MEMORY)
    for name in ("most", "random", "order", "of_blocks"):
        assert found[name].verdict == "seen, not by memorization", name
    assert found["foreign"].verdict == "does not hold"


def test_cost_that_memorization_does_not_order_holds_nowhere():
    found = page(cost=0.05, gain=0.5)
    assert {found[name].verdict for name in ("most", "random", "gain")} == {"does not hold"}
    assert found["order"].verdict != "holds"
    assert page(cost=4 * MEMORY.max() - 4 * MEMORY)["most"].verdict == "does not hold"


def test_a_change_behind_the_replaced_layer_is_seen():
    assert page(behind=0.02)["unchanged"].verdict == "does not hold"
    assert page(behind=-0.01)["unchanged"].parts["8"].verdict == "does not hold"  # .025 before


def test_memorization_that_rises_with_depth_drops_more_at_deep_layers_and_at_each():
    found = page(memory=np.linspace(0.01, 0.05, 8))
    assert (found["early"].verdict, found["drops"].verdict) == ("holds", "holds")
    assert page(memory=np.linspace(0.05, 0.01, 8))["early"].verdict == "does not hold"


def test_similarity_that_any_units_have_is_none():
    assert page(cosine=0.98)["batchnorm"].verdict == "does not hold"


def test_deltas_that_name_the_last_layers_are_not_compared_with_them():
    found = page(memory=np.array([0, 0, 0, 0, 0.001, 0.01, 0.03, 0.06]))
    assert found["largest"].verdict == found["by_delta"].verdict == "not judged"
    assert "last layers' in every run" in found["largest"].text
    assert "same layers in every run" in found["by_delta"].text


def test_encoders_that_learned_nothing_have_nothing_that_could_cost():
    found = page(blocks=runs(new=0.61))
    assert found["of_blocks"].verdict == "not judged"
    assert "does not show that these encoders learned" in found["of_blocks"].text
    assert found["most"].verdict == "holds"


def test_encoders_that_do_not_memorize_are_not_judged_by_their_layers(monkeypatch):
    monkeypatch.setattr(claims, "memorizes", lambda *_: "These encoders are not shown to memorize.")
    gated = Pieces(list(runs()), {"halves": None})
    found = {name: one.verdict.verdict for name, one in replacement.page.judge(gated, gated).items()}
    assert {name for name, word in found.items() if word != "not judged"} == {"batchnorm", "foreign"}


def test_an_order_of_layers_that_is_noise_decides_nothing():
    found = page(cost=0.05 + 0.02 * np.arange(8), memory=0 * MEMORY)
    assert {found[name].verdict for name in ("most", "order", "drops")} == {"undecided"}


def test_layers_are_chosen_by_level_and_by_what_they_add():
    run = one(0, 4 * MEMORY)
    assert results.chosen(3)(run) == ("5", "6", "8")
    assert results.chosen(2, "delta")(run) == ("3", "5")  # +.019 and +.036 to what is before them
    assert results.chosen(1, most=False)(run) == ("2",)
    assert list(results.memory([run])) == list(STEPS)
    assert "1" not in results.memory([run], "delta")
    assert len(results.sets(run, 2)) == 28
    assert results.sizes([run]) == [1, 2, 3]
    with pytest.raises(ValueError, match="the 9 highest of 1, 2, 3"):
        results.chosen(9)(run)
    with pytest.raises(KeyError, match="unknown variant of f 'untrained 1 2'"):
        results.lost(("1", "2"), "untrained")(run)


def test_random_layers_are_those_that_were_drawn_where_not_all_were_replaced():
    drawn = {"donor": {"3": [["1", "2", "4"], ["2", "4", "7"]]}, "g": {"3": [["1", "2", "4"]]}}
    some = runs(drawn=drawn, count=2, sizes=(1, 3))
    expected = [np.mean([results.lost(tuple(s))(run) for s in drawn["donor"]["3"]]) for run in some]
    assert some.values(results.randomly(results.lost, 3)) == pytest.approx(expected)
    assert results.sets(some[0], 3, "g") == [("1", "2", "4")]
    table = repr(replacement.choice_table(some))
    assert "mean of 2" in table
    assert "nan" not in table


def test_accuracies_are_means_over_seeds_on_the_data_set_that_is_asked():
    run = one(0, 4 * MEMORY)
    run.arrays["accuracy"][0] = [[0.6, 0.8], [0.1, 0.3]]
    assert results.accuracy("f", ())(run) == pytest.approx(0.7)
    assert results.accuracy("f", (), "donor")(run) == pytest.approx(0.2)
    assert results.lost(STEPS, "untrained")(run) == pytest.approx(0.3)
    assert results.at("8", "8")(run) == pytest.approx(0.2 * results.at("8")(run))


@pytest.mark.parametrize("draw", ["cost_map", "cost_scatter", "after_map"])
def test_figures_have_words_on_their_axes_and_legible_type(draw):
    assert_legible(getattr(replacement, draw), runs(count=4))


def test_tables_set_the_paper_beside_ours():
    some = runs(count=4)
    singles = repr(replacement.single_table(some)).splitlines()
    assert len(singles) == 9
    assert "9.5" in singles[6]  # Table 30: 69.37 - 59.91
    choices = repr(replacement.choice_table(some))
    assert len(choices.splitlines()) == 1 + 3 * 6
    assert "4 6 8" in choices
    assert len(repr(replacement.batchnorm_table(some)).splitlines()) == 10
    assert len(repr(replacement.whole_table(some)).splitlines()) == 5


@pytest.mark.parametrize("count", [1, 10])
def test_the_answer_has_what_layers_of_the_same_data_set_cost_as_well(count):
    said = replacement.answer(runs(count=count, same=MEMORY))
    assert "nan" not in said
    assert said.startswith("The accuracy lost with the 3 layers that memorize most, minus that with the 3")
