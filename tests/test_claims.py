"""Verdicts follow their written rules; planted memorization holds where it is planted, and nulls do not hold."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from memlib import claims, paper
from memlib.claims import layermem, sslmem, unitmem
from memlib.stats import Interval, over_pairs

RNG = np.random.default_rng
LAYERS = [str(i) for i in range(1, 9)]
KINDS = {  # rows of ResNet9 in forward order
    **{"1": "conv", "BN1": "bn", "MaxPool1": "pool", "2": "conv", "MaxPool2-0": "pool", "3": "conv", "4": "conv"},
    **{"Res2": "residual", "5": "conv", "6": "conv", "BN4-0": "bn", "7": "conv", "8": "conv", "output": "output"},
}
LEVELS = dict(zip(LAYERS, [0.03, 0.05, 0.07, 0.09, 0.11, 0.20, 0.23, 0.27], strict=True))


def effect(mean=0.03, sd=0.01, pairs=4, seed=0):
    x = RNG(seed).standard_normal(pairs)
    return over_pairs(mean + sd * (x - x.mean()) / x.std(ddof=1), 100)


def planted_levels(levels=LEVELS):
    """What a row has accumulated: convolutions add, every other row passes on."""
    found, current = {}, 0.0
    for row in KINDS:
        current = levels.get(row, current)
        found[row] = current
    return found


def simulate(rng, levels=None, count=4, sizes=(0, 150, 150, 150), rows=tuple(KINDS), offset=0.04, noise=0.03):
    """Pairs whose encoders differ by offsets as a prototype's did, with or without memorization on top.

    Alignment of a point is alike in neighbouring layers whether it is memorized or not, as features are; how much a
    point is memorized varies between points and drifts with depth.
    """
    sets = np.repeat(np.arange(4), sizes)
    mark = np.select([sets == claims.S_C, sets == claims.S_I], [1.0, -1.0])
    pairs = []
    for _ in range(count):
        f, g = {}, {}
        own, odd, between = rng.standard_normal(sets.size), rng.standard_normal(sets.size), offset * rng.normal()
        for row in rows:
            if KINDS[row] == "conv":
                own = 0.8 * own + 0.6 * rng.standard_normal(sets.size)
                odd = 0.8 * odd + 0.6 * rng.standard_normal(sets.size)
                between = 0.7 * (between + offset * rng.normal())
            stored = (levels or {}).get(row, 0.0) * np.exp(odd - 0.5)
            views = between + noise * own + stored * mark + 0.01 * rng.standard_normal((2, sets.size))
            base = np.log(0.3) + 0.2 * rng.standard_normal(sets.size)
            f[row], g[row] = np.exp(base - views), np.exp(base + views)
        pairs.append(claims.Pair(f, g, sets))
    return pairs


# ------------------------------------------------------------------------------------------------ rules


def test_effect_with_claimed_sign_and_quiet_nulls_holds():
    found = claims.verdict(effect(), nulls=[effect(0.0, 0.01, seed=1)])
    assert found.verdict == "holds"
    assert "0.030" in found.reason


def test_effect_whose_interval_includes_zero_is_a_trend():
    assert claims.verdict(effect(sd=0.05)).verdict == "trend only"


def test_opposite_sign_with_an_interval_off_zero_does_not_hold():
    assert claims.verdict(effect(-0.03)).verdict == "does not hold"
    assert claims.verdict(effect(-0.03), sign=-1).verdict == "holds"


def test_opposite_sign_with_zero_in_the_interval_shows_nothing_either_way():
    found = claims.verdict(effect(-0.03, 0.05))
    assert found.verdict == "not tested here"
    assert "Open" in found.reason


def test_effect_equivalent_to_zero_does_not_hold():
    assert claims.verdict(effect(0.0002, 0.001), margin=0.005).verdict == "does not hold"
    assert claims.verdict(effect(0.0002, 0.001)).verdict == "trend only"


def test_small_effect_that_is_there_holds_and_says_that_it_is_small():
    found = claims.verdict(effect(0.002, 0.0005), margin=0.005)
    assert found.verdict == "holds"
    assert "less than the 0.005" in found.reason


def test_null_that_shows_it_as_strongly_turns_the_verdict():
    found = claims.verdict(effect(), nulls=[effect(0.029, 0.01, seed=1)])
    assert found.verdict == "does not hold"
    assert "as much is seen for null 1" in found.reason


def test_null_that_shows_a_part_is_taken_off():
    beyond = claims.verdict(effect(0.10, 0.01), nulls=[effect(0.03, 0.01, seed=1)])
    assert beyond.verdict == "holds"
    assert "beyond what is seen for null 1" in beyond.reason
    assert claims.verdict(effect(0.03, 0.012), nulls=[effect(0.014, 0.008, seed=1)]).verdict == "trend only"


def test_null_too_imprecise_to_be_told_from_the_effect_leaves_a_trend():
    assert claims.verdict(effect(), nulls=[effect(0.03, 0.1, seed=1)]).verdict == "trend only"


def test_excess_within_pairs_decides_where_it_is_given():
    """Offsets of the pairs make both intervals wide, but effect and null move together."""
    wide, null = effect(0.10, 0.03), effect(0.06, 0.03)
    assert claims.verdict(wide, nulls=[null]).verdict == "does not hold"
    together = claims.Null("S_E", null, effect(0.04, 0.001))
    assert claims.verdict(wide, nulls=[together]).verdict == "holds"


def test_one_pair_is_not_a_test():
    assert claims.verdict(Interval(0.03, 0.02, 0.04, 1, 500, 0.001)).verdict == "not tested here"


def test_claim_of_no_difference_needs_equivalence():
    assert claims.verdict(effect(0.0, 0.002), 0, margin=0.01).verdict == "holds"
    assert claims.verdict(effect(0.0, 0.05), 0, margin=0.01).verdict == "trend only"
    assert claims.verdict(effect(0.1, 0.01), 0, margin=0.01).verdict == "does not hold"
    assert claims.verdict(effect(0.02, 0.05), 0, margin=0.01).verdict == "not tested here"
    with pytest.raises(ValueError, match="margin"):
        claims.verdict(effect(), 0)


def test_a_null_whose_bound_reaches_the_effect_leaves_a_trend_though_its_mean_does_not():
    found = claims.verdict(effect(0.011, 0.0025), nulls=[effect(0.001, 0.012, seed=1)])
    assert found.effect.excludes_zero(1)
    assert found.verdict == "trend only", found


def test_a_part_is_refuted_among_all_tests_of_the_page():
    claim = claims.Claim("a", "page", "a", "paper", "said", "unit")
    against = effect(-0.01, 0.006)  # p just below .05
    assert 0.02 < against.p < 0.05
    assert claims.verdict(against).verdict == "does not hold"
    parts = {"one": claims.verdict(against), "two": claims.verdict(effect(0.03))}
    alone, *_ = claims.correct([claims.every(claim, parts), claims.verdict(effect(seed=2))])
    assert alone.parts["one"].verdict == "not tested here"
    assert alone.verdict == "not tested here"
    clear = {"one": claims.verdict(effect(-0.03, 0.003)), "two": claims.verdict(effect(0.03))}
    assert claims.correct([claims.every(claim, clear), claims.verdict(effect())])[0].verdict == "does not hold"


@given(st.floats(-0.1, 0.1), st.floats(0.0001, 0.1), st.integers(1, 8), st.sampled_from([-1, 1]))
@settings(deadline=None, max_examples=50)
def test_every_effect_gets_one_of_the_four_verdicts_and_a_reason(mean, sd, pairs, sign):
    i = effect(mean, sd, pairs) if pairs > 1 else Interval(mean, -np.inf, np.inf, 1, 10, 1.0)
    found = claims.verdict(i, sign, nulls=[effect(0.01, 0.01, seed=1)], margin=0.005)
    assert found.verdict in claims.VERDICTS
    assert found.reason.endswith(".")
    assert "nan" not in str(found)
    flipped = replace(i, mean=-i.mean, low=-i.high, high=-i.low)
    other = claims.verdict(flipped, -sign, nulls=[effect(-0.01, 0.01, seed=1)], margin=0.005)
    assert found.verdict == other.verdict


def test_page_is_corrected_by_holm_and_draws_each_interval_at_its_level():
    strong, weak = claims.verdict(effect(0.03, 0.01)), claims.verdict(effect(0.03, 0.017))
    assert weak.verdict == "holds"
    single = claims.verdict(Interval(0.03, 0.02, 0.04, 1, 500, 0.001))
    page = claims.correct([strong, *[weak] * 4, single])
    assert page[0].p == pytest.approx(5 * strong.raw)  # the single pair is no test and does not count
    assert page[1].p == pytest.approx(4 * weak.raw)
    assert [v.verdict for v in page] == ["holds", *["trend only"] * 4, "not tested here"]
    for v in page[:-1]:
        assert v.corrected.excludes_zero(1) == (v.p < 0.05)
    assert claims.correct(page) == page


def test_claim_about_every_part_needs_every_part():
    claim = layermem.EVERY_LAYER
    good, none = claims.verdict(effect(0.05, 0.01)), claims.verdict(effect(0.0, 0.001), margin=0.005)
    trend, opened = claims.verdict(effect(0.03, 0.05)), claims.verdict(effect(-0.03, 0.05))
    assert claims.every(claim, {"1": good, "2": good}).verdict == "holds"
    assert claims.every(claim, {"1": good, "2": none}).verdict == "does not hold"
    assert claims.every(claim, {"1": good, "2": trend}).verdict == "trend only"
    assert "Holds: 1; does not hold: 2." in claims.every(claim, {"1": good, "2": none}).reason
    many = {f"a part with a long name, {i}": good if i else none for i in range(9)}
    assert "Holds: 8 of 9 parts; does not hold: 1 of 9 parts." in claims.every(claim, many).reason
    found = claims.every(claim, {"1": good, "2": opened})
    assert found.verdict == "not tested here"
    assert found.raw == 1  # a part on the wrong side is no evidence for the whole
    assert found.parts["1"].verdict == "holds"


# ------------------------------------------------------------------------------------------------ pairs


def test_sslmem_of_a_pair_is_equation_2():
    f, g = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]), np.array([[2.0, 0.0, 1.0], [2.0, 0.0, 1.0]])
    pair = claims.Pair({"1": f}, {"1": g}, np.array([1, 2, 3]))
    assert pair.sslmem("1") == pytest.approx([1 / 3, 0, 0])
    assert claims.Pair({"1": g}, {"1": f}, pair.sets).sslmem("1") == pytest.approx([-1 / 3, 0, 0])


def test_pair_refuses_what_does_not_fit():
    d = np.ones((2, 3))
    with pytest.raises(ValueError, match="same layers"):
        claims.Pair({"1": d}, {"2": d}, np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        claims.Pair({"1": d[0]}, {"1": d}, np.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        claims.Pair({"1": d * np.nan}, {"1": d}, np.zeros(3))
    with pytest.raises(ValueError, match="codes"):
        claims.Pair({"1": d}, {"1": d}, np.full(3, 7))
    with pytest.raises(ValueError, match="S_C"):
        claims.Pair({"1": d}, {"1": d}, np.zeros(3)).of("1", claims.S_C)


def test_points_are_selected_and_scored_on_different_views():
    """Pure noise between views: selected and scored on the same numbers, the top would be far above the rest."""
    rng = RNG(0)
    d = {"output": np.exp(0.1 * rng.standard_normal((2, 400)))}
    pair = claims.Pair(d, {"output": np.ones((2, 400))}, np.full(400, claims.S_C))
    most, least = layermem.selected(pair, "output", claims.S_C, 50 / 400)
    assert abs(most.mean() - least.mean()) < 0.03
    select = np.sort(pair.of("output", claims.S_C, "select"))
    assert select[-50:].mean() - select[:50].mean() > 0.1


# ------------------------------------------------------------------------------------------------ pages


def test_planted_memorization_holds_on_the_sslmem_page():
    pairs = simulate(RNG(0), {"output": 0.05}, sizes=(600, 300, 300, 300), rows=("output",), offset=0.01)
    found = {v.claim.key: v for v in sslmem.page(pairs)}
    assert {k: v.verdict for k, v in found.items()} == dict.fromkeys(found, "holds")
    table = sslmem.set_table(pairs).set_index("set")["mean"]
    assert table["S_C candidates"] > table["S_S shared"] > table["S_I independent"]
    assert len(sslmem.point_tests(pairs)) == 12


def test_planted_memorization_holds_on_the_layermem_page():
    pairs = simulate(RNG(0), planted_levels(), sizes=(0, 300, 300, 300))
    found = {v.claim.key: v for v in layermem.page(pairs, LAYERS, KINDS, k=20)}
    for key in ("every-layer", "depth", "deepest", "sixth", "norms"):
        assert found[key].verdict == "holds", found[key]
    assert found["atypical"].parts["8"].verdict == "holds"


def test_memorization_planted_at_deep_layers_is_found_there_alone():
    levels = {row: (0.05 if row in ("6", "BN4-0", "7", "8", "output") else 0.0) for row in KINDS}
    found = layermem.every_layer(simulate(RNG(1), levels, sizes=(0, 400, 400, 50)), LAYERS)
    assert found.verdict == "does not hold"
    assert [n for n, v in found.parts.items() if v.verdict == "holds"] == ["6", "7", "8"]


def test_batchnorm_that_memorizes_is_not_called_negligible():
    levels = planted_levels() | {"BN4-0": 0.30, "7": 0.32, "8": 0.34, "output": 0.34}
    found = layermem.norms(simulate(RNG(0), levels, sizes=(0, 300, 300, 10)), KINDS)
    assert found.verdict == "does not hold"
    assert found.parts["BN4-0"].verdict == "does not hold"
    assert found.parts["BN1"].verdict == "holds"


def test_layers_that_share_features_do_not_pass_for_layers_that_memorize_the_same():
    """Neighbouring layers rank any points alike: points that neither encoder saw show it as well."""
    pairs = simulate(RNG(0), None)
    found = layermem.neighbours(pairs, LAYERS, "tau")
    assert found.effect.low > 0.1
    assert found.verdict == "does not hold"
    table = layermem.agreement(pairs[0], LAYERS, what="tau")
    assert (table == table.T).all()


def false_holds(page, make, draws):
    counts = Counter(v.claim.key for d in range(draws) for v in page(make(RNG(d))) if v.verdict == "holds")
    return max(counts.values(), default=0) / draws


def test_nulls_of_the_sslmem_page_do_not_hold():
    """No memorization but offsets between f and g; and memorization with membership permuted."""
    small = {"sizes": (100, 50, 50, 50), "rows": ("output",)}
    assert false_holds(sslmem.page, lambda r: simulate(r, **small), 100) <= 0.05

    def permuted(rng):
        return [p.permuted(int(rng.integers(2**31))) for p in simulate(rng, {"output": 0.05}, **small)]

    assert false_holds(sslmem.page, permuted, 100) <= 0.05


@pytest.mark.parametrize("same_points", [False, True])
def test_nulls_of_the_layermem_page_do_not_hold(same_points):
    """Encoders that memorized nothing; and f and g trained on the same points with different seeds."""

    def make(rng):
        pairs = simulate(rng, sizes=(0, 60, 60, 60), rows=(*LAYERS, "output"))
        if not same_points:
            return pairs
        # both memorized every trained point: distances of f and g shrink alike there, and not on S_E
        shrink = np.where(pairs[0].sets == claims.S_E, 1.0, 0.8)
        return [
            replace(
                p,
                align_f={n: d * shrink for n, d in p.align_f.items()},
                align_g={n: d * shrink for n, d in p.align_g.items()},
            )
            for p in pairs
        ]

    def page(pairs):
        parts = (layermem.every_layer, layermem.depth, layermem.deepest, layermem.sixth)
        found = [part(pairs, LAYERS) for part in parts]
        return claims.correct([*found, layermem.atypical(pairs, LAYERS, k=8), layermem.neighbours(pairs, LAYERS)])

    assert false_holds(page, make, 50) <= 0.06


def test_paper_tables_are_complete_and_agree_where_they_say_the_same():
    assert len(paper.TABLE_3) == 28
    for row, values in paper.TABLE_1.items():
        assert paper.TABLE_18[row][0] == values[0]
    keys = [c.key for module in (sslmem, layermem, unitmem) for c in module.CLAIMS]
    assert len(keys) == len(set(keys))


def test_a_trend_says_how_many_pairs_would_tell():
    wide = claims.verdict(over_pairs(np.array([-0.02, 0.03, 0.0, 0.02]), 10))
    assert wide.verdict == "trend only"
    needed = int(wide.reason.split("about ")[1].split()[0])

    def half(n):
        return float(stdtrit(n - 1, 0.975)) * np.std([-0.02, 0.03, 0.0, 0.02], ddof=1) / n**0.5

    assert half(needed) < 0.0075 <= half(needed - 1)
