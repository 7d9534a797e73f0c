"""Replacement: cost that follows memorization is told from cost that any exchange of layers has, and from depth."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from legible import assert_legible

from memlib import claims, figures
from memlib.claims import replacement
from memlib.claims.replaced import RULES

RNG = np.random.default_rng
STEPS = tuple("12345678")
LAYERS = (*STEPS[:4], "Res2", *STEPS[4:], "Res6", "output")
MEMORY = np.array([0.010, 0.0, 0.020, 0.004, 0.030, 0.040, 0.012, 0.025])  # by layer, not in the order of depth


def run(rng, cost, same=0.0, gain=0.0, behind=0.0, cosine=0.8, chance=0.3, sizes=(1, 2, 3), memory=MEMORY, new=0.4):
    """A run in which a layer costs `cost` (by layer), of the same data set `same` (by layer, or of all) instead."""
    cost, same = (np.broadcast_to(np.asarray(c, float), len(STEPS)) for c in (cost, same))
    other = rng.spawn(1)[0]
    noise = lambda rng=rng: 0.001 * rng.standard_normal()  # noqa: E731
    accuracy = {("f", ()): {"own": 0.6, "theirs": 0.3}}
    for size in (*sizes, 8):
        for chosen in combinations(range(8), size):
            lost = cost[list(chosen)].sum() / size**0.5
            steps = tuple(STEPS[i] for i in chosen)
            accuracy["donor", steps] = {"own": 0.6 - lost + noise(), "theirs": 0.3 + gain * lost + noise()}
            alike = same[list(chosen)].sum() / size**0.5
            accuracy["g", steps] = {"own": 0.6 - alike + noise(other), "theirs": 0.3 + noise(other)}
    for role in ("g", "untrained"):
        for i, step in enumerate(STEPS):
            accuracy[role, (step,)] = {"own": 0.6 - same[i] + noise(), "theirs": 0.3 + noise()}
        accuracy[role, STEPS] = {"own": 0.6 if role == "g" else new, "theirs": 0.3}
    level = dict(zip(STEPS, memory, strict=True)) | {"Res2": memory[3], "Res6": memory[7], "output": memory[7]}
    before = np.array([level[layer] + 0.0002 * rng.standard_normal() for layer in LAYERS])
    mirrored = np.tile(before, (9, 1))
    for i, step in enumerate(STEPS):
        at = LAYERS.index(step)
        mirrored[1 + i, at] *= 0.2
        mirrored[1 + i, at + 1 :] += behind + 0.0002 * rng.standard_normal()
    similarity = {
        role: {step: (cosine + noise(), cosine, cosine, chance) for step in STEPS}
        for role in ("donor", "g", "untrained")
    }
    return replacement.Run(
        accuracy, "own", "theirs", LAYERS, {s: s for s in STEPS}, dict(zip(LAYERS[1:], LAYERS, strict=False)),
        mirrored, {s: 100 * 2**i for i, s in enumerate(STEPS)}, similarity, 1000,
    )  # fmt: skip


def runs(cost=4 * MEMORY, count=4, **choices):
    return [run(RNG(seed), cost, **choices) for seed in range(count)]


def page(*args, **choices):
    return {v.claim.key: v for v in replacement.page(runs(*args, **choices))}


def test_cost_that_follows_memorization_holds_and_what_is_not_so_does_not():
    found = page(gain=0.5)
    for key in ("least", "random", "gain", "foreign", "batchnorm", "unchanged"):
        assert found[key].verdict == "holds", found[key]
    assert found["rank"].parts["LayerMem"].verdict == "holds"
    assert found["drops"].parts["6"].verdict == "holds"
    assert "2" not in found["drops"].parts  # nothing memorized that could drop
    assert found["drops"].verdict == "not tested here"  # it says always


def test_cost_of_any_exchange_is_no_cost_of_memorization():
    found = page(same=4 * MEMORY)
    for size in ("1", "3"):
        assert found["least"].parts[f"{size} by LayerMem"].verdict == "does not hold"
    assert found["random"].verdict == found["rank"].verdict == "does not hold"
    assert found["foreign"].verdict != "holds"


def test_cost_that_follows_depth_is_no_cost_of_memorization():
    by_depth = np.sort(MEMORY)
    assert page(4 * by_depth, memory=by_depth)["rank"].parts["LayerMem"].verdict == "does not hold"


def test_a_gain_without_cost_following_memorization_is_none():
    found = page(cost=0.05 * np.ones(8), gain=0.5)
    assert found["gain"].verdict != "holds"
    assert found["least"].verdict != "holds"


def test_a_change_behind_the_replaced_layer_is_seen():
    assert page(behind=0.02)["unchanged"].verdict == "does not hold"
    assert page(behind=-0.01)["unchanged"].parts["8"].verdict == "does not hold"  # .025 before


def test_blocks_are_judged_with_the_page_and_against_the_sets_that_were_drawn():
    drawn = {"donor": {3: [("1", "2", "4"), ("2", "4", "7")]}, "g": {3: [("1", "2", "4")]}}
    of_blocks = [replace(one, drawn=drawn) for one in runs(sizes=(1, 3))]
    assert of_blocks[0].sets(3) == drawn["donor"][3]
    assert of_blocks[0].sets(3, "g") == drawn["g"][3]
    found = {v.claim.key: v for v in replacement.page(runs(), of_blocks)}
    assert found["blocks"].verdict == "holds"
    assert list(found["blocks"].parts) == [f"{other}, by {by}" for by in RULES for other in ("random", "least")]
    flat = {v.claim.key: v for v in replacement.page(runs(), runs(cost=0.05 * np.ones(8), sizes=(1, 3)))}
    assert flat["blocks"].verdict != "holds"
    exchange = {v.claim.key: v for v in replacement.page(runs(), runs(same=4 * MEMORY, sizes=(1, 3)))}
    assert exchange["blocks"].verdict == "does not hold"  # g's blocks cost as much
    assert "mean of 2" in repr(figures.choice_table(of_blocks))


def test_encoders_that_learned_nothing_are_not_judged():
    found = {v.claim.key: v for v in replacement.page(runs(), runs(new=0.61))}
    assert found["blocks"].verdict == "not tested here"
    assert "not shown to be better after training than before" in found["blocks"].reason
    assert found["least"].verdict == "holds"
    assert {v.verdict for v in replacement.page(runs(new=0.61))} == {"not tested here"}


def test_similarity_that_any_units_have_is_none():
    assert page(cosine=0.8, chance=0.8)["batchnorm"].verdict == "does not hold"


def test_layers_are_chosen_by_level_and_by_what_they_add():
    one = run(RNG(0), 4 * MEMORY)
    assert one.chosen(3, "LayerMem") == ("5", "6", "8")
    assert one.chosen(2, "delta") == ("3", "5")  # +.018 and +.026 to what is before them
    assert one.chosen(1, "LayerMem", most=False) == ("2",)
    assert "1" not in one.memory("delta")
    assert len(one.sets(2)) == 28
    assert one.sizes() == [1, 2, 3]
    with pytest.raises(KeyError, match="unknown rule of choice 'layermem'"):
        one.memory("layermem")
    with pytest.raises(ValueError, match="the 9 highest of 1, 2, 3"):
        one.chosen(9, "LayerMem")


def test_deltas_that_name_the_last_layers_are_not_compared_with_them():
    deep = np.array([0, 0, 0, 0, 0, 0.01, 0.03, 0.06])
    found = page(memory=deep)["last"]
    assert {found.parts[n].verdict for n in "123"} == {"not tested here"}
    assert "Nothing to compare" in found.parts["2"].reason


def test_one_run_is_descriptive_and_blocks_without_pairs_are_taken():
    alone = page(count=1)
    assert {v.verdict for v in alone.values()} == {"not tested here"}
    blocks = runs(sizes=(1, 3))
    assert set(replacement.last(blocks).parts) == {"1", "3"}
    assert "nan" not in repr(figures.choice_table(blocks))


def test_takeaways_are_made_from_the_numbers():
    said = replacement.takeaways(runs(), list(page().values()))
    assert len(said) == 3
    assert "Layer 6 costs most" in said[0]
    assert "nan" not in "".join(said)
    assert len(replacement.takeaways(runs(count=1), list(page(count=1).values()))) == 3


@pytest.mark.parametrize("draw", ["replacement_map", "replacement_scatter", "replaced_curves"])
def test_figures_have_words_on_their_axes_no_background_and_legible_type(draw):
    assert_legible(getattr(figures, draw), runs())


def test_tables_set_the_paper_beside_ours():
    singles = repr(figures.single_table(runs())).splitlines()
    assert len(singles) == 9
    assert "9.5" in singles[6]  # Table 30: 69.37 - 59.91
    assert len(repr(figures.choice_table(runs())).splitlines()) == 1 + 3 * 6
    assert "4 6 8" in repr(figures.choice_table(runs()))
    assert len(repr(figures.batchnorm_table(runs())).splitlines()) == 10
    assert len(repr(figures.whole_table(runs())).splitlines()) == 5


def test_an_outcome_becomes_a_run():
    from types import SimpleNamespace

    header = {
        "probe": ["own", "theirs"],
        "variants": [["f", []], ["donor", ["1"]], ["g", ["1"]]],
        "encoders": {"f": {"dataset": "own"}, "donor": {"dataset": "theirs"}},
        "layers": ["1", "output"],
        "rows": {"1": "1"},
        "previous": {"output": "1"},
        "steps": ["1"],
        "normed": ["1"],
        "drawn": {"donor": {}, "g": {"2": [["1", "2"]]}},
        "tested": 7,
    }
    arrays = {
        "accuracy": np.array([[[0.6, 0.8], [0.1, 0.1]], [[0.5, 0.5], [0.2, 0.2]], [[0.7, 0.7], [0.1, 0.1]]]),
        "mirrored": np.array([[0.1, 0.2], [0.0, 0.3]]),
        "parameters": np.array([9]),
        "similarity": np.ones((3, 1, 4)),
    }
    one = claims.replaced.run(SimpleNamespace(header=header, arrays=arrays))
    assert one.lost(("1",)) == pytest.approx(0.2)
    assert one.gained(("1",)) == pytest.approx(0.1)
    assert (one.at("output"), one.at("output", "1")) == (0.2, 0.3)
    assert one.memory() == {"1": 0.1}
    assert one.memory("delta") == {}
    assert (one.sets(1, "g"), one.sets(2, "g")) == ([("1",)], [("1", "2")])


def test_an_order_of_layers_that_is_noise_decides_nothing():
    found = page(memory=0 * MEMORY)
    ours = {claim.key for claim in replacement.BY_RANK} - {"blocks"}
    assert {key for key, v in found.items() if "their order is noise" in v.reason} == ours
    assert {found[key].verdict for key in ours} == {"not tested here"}
    assert found["drops"].verdict != "does not hold"
