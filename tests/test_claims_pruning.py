"""Pruning: which units go matters, and whether it is memorization that tells is asked of unseen points."""

import numpy as np
import pytest
from legible import assert_legible

from memlib import claims, figures, tables
from memlib.claims import pruning
from memlib.experiments.pruning import ALONE, CURVES, ONCE, SCORES, TABLE

LAYERS = {"1": 8, "2": 12, "3": 20}
KEPT = {"top": -0.06, "low": 0.05}  # accuracy beyond that with random units pruned


def outcome(seed, kept, pairs_offset=0.01, before=None, start=0.4):
    """A run as the experiment returns it: accuracy falls with the share, `kept` says by how much less.

    `before` says it of the untrained encoder, whose accuracy is `start`.
    """
    rng = np.random.default_rng(seed)
    variants = [("none", "none", 0.0, 0)]
    for scope, share in TABLE:
        variants += [(scope, c, share, 0) for c in ONCE] + [(scope, "random", share, d) for d in range(3)]
    table = len(variants)
    for scope, share in (("layer", 0.5), ("total", 0.5), ("layer", 0.9)):
        variants += [(scope, c, share, 0) for c in (*CURVES, "random")]
    variants += [(f"only {n}", c, 0.5, 0) for n in LAYERS for c in (*ALONE, "random")]
    units = sum(LAYERS.values())
    offset = pairs_offset * rng.standard_normal()
    mean = np.array([0.5 + offset - 0.3 * v[2] + kept.get(v[1], 0) for v in variants])[:, None]
    accuracy = mean + 0.003 * rng.standard_normal((2, len(variants), 3))
    untrained = np.array([start + offset - 0.3 * v[2] + (before or {}).get(v[1], 0) for v in variants])[:, None]
    untrained = (untrained + 0.003 * rng.standard_normal((len(variants), 3)))[:table]
    scores = rng.random((3, len(SCORES), units))
    scores[:, :, :2] = 0
    arrays = {
        "untrained-a": untrained.astype(np.float32),
        "untrained-b": untrained.astype(np.float32),
        "accuracy-a": accuracy.astype(np.float32),
        "accuracy-b": accuracy[:, :table].astype(np.float32),
        "scores": scores.astype(np.float32),
        "taken": rng.integers(0, 3, (2, len(variants), len(LAYERS))).astype(np.int16),
    }
    header = {
        "probe": ["a", "b"],
        "encoders": {"f": {"dataset": "a"}},
        "variants": [list(v) for v in variants],
        "table": table,
        "scores": list(SCORES),
        "layers": list(LAYERS),
        "units": list(LAYERS.values()),
    }
    return tables.Outcome(arrays, header, False, None)


def runs(kept=KEPT, count=4, **choices):
    return pruning.runs([outcome(seed, kept, **choices) for seed in range(count)])


def judged(kept=KEPT, count=4, **choices):
    return {v.claim.key: v for v in pruning.page(runs(kept, count, **choices))}


def test_units_that_matter_are_found_and_unseen_points_do_not_find_them():
    found = judged()
    assert {key: v.verdict for key, v in found.items()} == dict.fromkeys(("top", "low", "wins", "curve"), "holds")
    assert len(found["top"].parts) == 8
    assert all(part.nulls[0].name == pruning.UNSEEN for part in found["low"].parts.values())


def test_what_unseen_points_find_as_well_is_not_memorization():
    found = judged(KEPT | {"top unseen": -0.06, "low unseen": 0.05})
    assert found["top"].verdict == found["low"].verdict == "does not hold"
    assert "as much is seen for" in next(iter(found["top"].parts.values())).reason
    assert found["wins"].verdict == "holds"  # whatever it is that finds them


def test_what_untrained_encoders_show_as_well_is_not_memorization():
    found = judged(before=KEPT)
    assert found["top"].verdict == found["low"].verdict == "does not hold"
    assert "as much is seen for untrained encoders" in next(iter(found["low"].parts.values())).reason


def test_encoders_that_learned_nothing_are_not_judged():
    found = judged(start=0.5)
    assert {v.verdict for v in found.values()} == {"not tested here"}
    assert "gain" in found["top"].reason


def test_low_units_that_cost_more_are_the_opposite():
    found = judged({"low": -0.05, "top": 0.05})
    assert found["top"].verdict == found["low"].verdict == found["curve"].verdict == "does not hold"


def test_magnitude_that_keeps_more_wins():
    found = judged(KEPT | {"magnitude": 0.1})
    assert found["low"].verdict == "holds"
    assert found["wins"].verdict == found["curve"].verdict == "does not hold"
    assert found["wins"].parts["a, 10 % per layer, magnitude"].verdict == "does not hold"


def test_one_run_is_not_tested():
    assert {v.verdict for v in judged(count=1).values()} == {"not tested here"}
    with pytest.raises(ValueError, match="no runs"):
        pruning.page([])


def test_the_area_under_a_curve_is_its_mean():
    (run,) = pruning.runs([outcome(0, {}, 0)])
    assert run.shares("layer") == [0, 0.1, 0.2, 0.5, 0.9]
    assert run.area("a", "layer", "low") == pytest.approx(0.5 - 0.3 * 0.45, abs=0.01)


def test_a_pruning_that_was_not_run_is_named():
    with pytest.raises(KeyError, match=r"unknown pruning 'layer low 0\.25'.*'total top 0\.1'"):
        runs(count=1)[0].at("a", "layer", "low", 0.25)


def test_controls_and_take_aways_have_numbers():
    found = runs()
    table = pruning.control_table(found).set_index("compared with")
    assert abs(table.loc["unseen", "tau"].mean) < 0.3
    assert table["chance"].between(0.09, 0.11).all()
    assert pruning.inactive(found[0]) == pytest.approx(2 / 40)
    said = pruning.takeaways(found, pruning.page(found))
    assert len(said) == 3
    assert "nan" not in "".join(said)
    assert "5.0" in repr(figures.pruning_inactive(found))


@pytest.mark.parametrize("draw", [figures.pruning_curves, figures.pruning_layers])
def test_figures_are_legible(draw):
    assert_legible(draw, runs())


def test_the_table_has_the_paper_beside_ours():
    lines = repr(figures.pruning_table(runs())).replace("\u00a0", " ").splitlines()
    assert len(lines) == 2 + 4 * 7
    assert "70.44" in lines[1]
    assert "58.09 ± 1.76" in next(line for line in lines if "random" in line and "10% in each layer" in line)
    assert len(repr(figures.pruning_controls(runs())).splitlines()) == 4


def test_every_claim_is_of_this_page():
    assert {claim.page for claim in pruning.CLAIMS} == {"05_2_pruning"}
    assert claims.pruning is pruning
