"""Privacy: memorization that falls is told from selectivity that falls, and chance is shown, not assumed."""

import dataclasses

import numpy as np
import pytest
from legible import assert_legible

from memlib import claims, figures, tables
from memlib.claims import privacy

RNG = np.random.default_rng
LAYERS = [f"FC{i}" for i in range(1, 5)]
NAMES = [privacy.level(e) for e in (None, 20, 8)]


def arm(rng, seen=0.4, unseen=0.4, pull=0.0, memory=0.0, pairs=4, units=64, trained=True):
    """Encoders of halves of 200 points: mean UnitMem `seen` and `unseen`, strongest points members with `pull`."""
    found, two, points = [], [], 200
    for pair in range(pairs):
        member = RNG(pair).permutation(np.arange(points) < points // 2)  # of the same points in every arm
        for inside in (member, ~member):
            offset = 0.003 * rng.standard_normal()
            strongest = {n: rng.integers(points, size=units) for n in LAYERS}
            for index in strongest.values():
                drawn = rng.random(units) < pull
                index[drawn] = rng.choice(np.flatnonzero(inside), drawn.sum())
            on = [{n: m + offset + 0.05 * np.abs(rng.standard_normal(units)) for n in LAYERS} for m in (seen, unseen)]
            found.append(claims.Units(*on, strongest, {n: np.ones(units, bool) for n in LAYERS}, inside))
        distances = [np.exp(0.05 * rng.standard_normal((2, points)) - memory * side) for side in (member, ~member)]
        two.append(claims.Pair({"output": distances[0]}, {"output": distances[1]}, np.where(member, 1, 2)))
    untrained = arm(RNG(9), 0.2, 0.2, pairs=pairs, units=units, trained=False).units if trained else ()
    return claims.Arm(found, untrained, two)


def levels(*each):
    return dict(zip(NAMES, (arm(RNG(i), **e) for i, e in enumerate(each)), strict=True))


def page(*each):
    arms = levels(*each)
    return {v.claim.key: v for v in privacy.page(arms, LAYERS)}, arms


MEMORY = (
    {"seen": 0.6, "pull": 0.5, "memory": 0.1},
    {"seen": 0.5, "units": 2000},
    {"seen": 0.42, "units": 2000},
)


def test_memorization_that_falls_with_privacy_holds():
    found, arms = page(*MEMORY)
    assert found["falls"].verdict == found["steps"].verdict == "holds"
    assert found["members"].verdict == found["aligned"].verdict == "holds"
    said = privacy.takeaways(arms, list(found.values()), LAYERS)
    assert len(said) == 3
    assert "either" not in said[2]
    assert "nan" not in "".join(said)


def test_levels_whose_encoders_learned_nothing_are_not_judged():
    arms = levels(*MEMORY)
    for name, gain in zip(NAMES, (0.1, 0.1, 0.0), strict=True):
        count = len(arms[name].units)
        before = [{"cifar10": 0.3 + 0.01 * (i % 3)} for i in range(count)]
        after = [{"cifar10": one["cifar10"] + gain + 0.001 * (i % 2 - i // 2 % 2)} for i, one in enumerate(before)]
        arms[name] = dataclasses.replace(arms[name], probe=after, probe_untrained=before, dataset="cifar10")
    judged = privacy.page(arms, LAYERS)
    assert {v.verdict for v in judged} == {"not tested here"}
    assert all(f"not shown to be better after training than before with {NAMES[2]} (gain" in v.reason for v in judged)


def test_selectivity_that_falls_is_no_memorization_that_does():
    found, _ = page({"seen": 0.6, "unseen": 0.6}, {"seen": 0.5, "unseen": 0.5}, {"seen": 0.42, "unseen": 0.42})
    assert found["falls"].effect.excludes_zero(1)
    assert found["falls"].verdict == found["steps"].verdict == "does not hold"


def test_a_level_that_does_not_fall_is_named():
    found, _ = page({"seen": 0.6}, {"seen": 0.45}, {"seen": 0.5})
    assert {n: v.verdict for n, v in found["steps"].parts.items()} == {
        "ε = ∞ to ε = 20": "holds",
        "ε = 20 to ε = 8": "does not hold",
    }


def test_highly_memorizing_units_remain_only_beyond_unseen_points():
    high = {"seen": 0.55, "unseen": 0.55}
    assert page(high, high, high)[0]["remain"].verdict == "does not hold"
    kept = {"seen": 0.55, "unseen": 0.3}
    assert page(kept, kept, kept)[0]["remain"].verdict == "holds"


def test_members_above_chance_under_privacy_are_seen_and_few_encoders_show_no_chance():
    strong = {"pull": 0.4, "units": 400}
    assert page(strong, strong, strong)[0]["members"].verdict == "does not hold"
    assert page(strong, strong, {"units": 8, "pairs": 2})[0]["members"].verdict != "holds"
    leaking = {"memory": 0.1}
    assert page(leaking, leaking, leaking)[0]["aligned"].verdict == "does not hold"


def test_one_pair_is_not_tested_and_one_level_is_refused():
    found, arms = page(*({"pairs": 1},) * 3)
    assert {v.verdict for v in found.values()} == {"not tested here"}
    assert "either" in privacy.takeaways(arms, list(found.values()), LAYERS)[2]
    with pytest.raises(ValueError, match="two or more"):
        privacy.page(dict(list(arms.items())[:1]), LAYERS)


@pytest.mark.parametrize("draw", ["privacy_distributions", "privacy_curves"])
def test_figures_have_words_on_their_axes_no_background_and_legible_type(draw):
    assert_legible(getattr(figures, draw), levels({}, {}, {}), LAYERS)


def test_tables_have_a_row_a_level_and_the_privacy_of_each_encoder():
    assert len(repr(figures.privacy_table(levels({}, {}, {}), LAYERS)).splitlines()) == 4
    spec, spent = (
        {"batch": 10},
        {"target": 8, "epsilon": 7.991, "delta": 1e-5, "noise_multiplier": 0.731, "clip": 0.5},
    )
    made = {"steps": 30, "points": 100}
    plain = {"name": "vit_mae-0", "encoder": spec, "training": made}
    private = {"name": "dp8-0", "encoder": spec, "training": made | {"private": spent}}
    none = np.empty(0)
    studies = {
        name: tables.Study([], [], {}, {}, [], [], [tables.Table(none, none, none, {}, {}, {}, {}, header, False)])
        for name, header in ((NAMES[0], plain), (NAMES[2], private))
    }
    lines = repr(figures.guarantees(studies)).splitlines()
    assert all(text in lines[2] for text in ("dp8-0", "7.991", "0.731", "1e-05", "0.5"))
    assert lines[1].count("∞") == 3
