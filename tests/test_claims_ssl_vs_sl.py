"""Points or classes: what encoders that know one of them show is told from what maxima show by themselves."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from legible import assert_legible

from memlib import claims, figures, paper
from memlib.claims import ssl_vs_sl

RNG = np.random.default_rng
LAYERS = [str(i) for i in range(1, 9)]


def arm(rng, points=0.0, classes=(0.0,) * 8, pairs=4, units=40, probe=None, trained=True):
    """Encoders of complementary halves whose units exceed their nulls by `points` in UnitMem, `classes` in ClassMem.

    UnitMem is around .5 and ClassMem around .2 where units know neither, as maxima of more and of fewer numbers are.
    """
    found, half = [], 50
    for _ in range(pairs):
        member = rng.permutation(np.arange(2 * half) < half)
        for inside in (member, ~member):
            tables = {name: {} for name in ("seen", "unseen", "strongest", "classmem", "shuffled")}
            offset = 0.01 * rng.standard_normal()
            for layer, more in zip(LAYERS, classes, strict=True):
                noise = 0.05 * rng.standard_normal((4, units)) + offset
                tables["seen"][layer], tables["unseen"][layer] = 0.5 + points + noise[0], 0.5 + noise[1]
                tables["classmem"][layer], tables["shuffled"][layer] = 0.2 + more + noise[2], 0.2 + noise[3]
                tables["strongest"][layer] = rng.integers(2 * half, size=units)
            active = {n: np.ones(units, bool) for n in LAYERS}
            plain = tables["seen"], tables["unseen"], tables["strongest"], active, inside
            found.append(
                claims.Units(
                    *plain,
                    classmem=tables["classmem"],
                    classmem_unseen=tables["classmem"],
                    classmem_shuffled=tables["shuffled"],
                )
            )
    probed = [{n: a + 0.005 * rng.standard_normal() for n, a in (probe or {}).items()} for _ in found]
    before = arm(rng, pairs=pairs, units=units, probe=probe, trained=False) if trained else None
    if before is None:
        return claims.Arm(found, probe=[dict.fromkeys(p, 0.1) for p in probed], dataset="cifar100")
    return claims.Arm(found, before.units, (), probed, before.probe, "cifar100")


PROBED = {"cifar100": 0.30, "cifar10": 0.50, "stl10": 0.45}
SUPERVISED = {"cifar100": 0.36, "cifar10": 0.44, "stl10": 0.40}
LATE = (0.0, 0.0, 0.0, 0.0, 0.1, 0.2, 0.6, 0.7)


def page(seed=0, ssl=None, sl=None, converged=None):
    rng = RNG(seed)
    ssl = arm(rng, **({"points": 0.2, "probe": PROBED} | (ssl or {})))
    sl = arm(rng, **({"points": 0.0, "classes": LATE, "probe": PROBED} | (sl or {})))
    converged = arm(rng, **({"classes": LATE, "probe": SUPERVISED} | (converged or {})))
    return {v.claim.key: v for v in ssl_vs_sl.page(ssl, sl, converged, LAYERS)}, (ssl, sl, converged)


def test_units_of_points_without_labels_and_of_classes_with_them_hold():
    found, arms = page()
    words = {key: v.verdict for key, v in found.items()}
    expected = dict.fromkeys((claim.key for claim in ssl_vs_sl.CLAIMS), "holds")
    # all units lie under the diagonal whether or not they know a point, and SL's first layers know neither
    assert words == expected | {"diagonal": "does not hold", "first": "does not hold"}
    said = ssl_vs_sl.takeaways(*arms, list(found.values()), LAYERS)
    assert len(said) == 3
    assert "8 of 8 layers" in said[0]
    assert "nan" not in "".join(said)


def test_unitmem_above_classmem_is_no_evidence_where_units_know_neither():
    """UnitMem .5 and ClassMem .2 in every layer, without a point or a class that is known."""
    counts = Counter()
    for seed in range(12):
        found, _ = page(seed, ssl={"points": 0.0}, sl={"classes": (0.0,) * 8})
        counts.update(
            key for key, v in found.items() if v.verdict == "holds" and key not in ("pretrained", "transfer")
        )
        assert found["points"].verdict == "does not hold"
        assert found["points"].effect.excludes_zero(1)
    assert max(counts.values(), default=0) <= 1


def test_classes_in_both_arms_are_no_turn():
    found, _ = page(ssl={"points": 0.0, "classes": LATE})
    assert found["turn"].verdict != "holds"
    assert found["last"].verdict == "holds"


def test_probes_are_compared_within_pairs_on_every_other_data_set():
    worse = SUPERVISED | {"stl10": 0.48}
    found, _ = page(converged={"probe": worse})
    assert found["pretrained"].verdict == "holds"
    assert found["pretrained"].effect.mean == pytest.approx(0.06, abs=0.01)
    assert {n: v.verdict for n, v in found["transfer"].parts.items()} == {
        "cifar10": "holds",
        "stl10": "does not hold",
    }
    alone, _ = page(ssl={"probe": {"cifar100": 0.3}}, converged={"probe": {"cifar100": 0.4}})
    assert "transfer" not in alone
    with pytest.raises(KeyError, match="did you mean 'cifar10'"):
        ssl_vs_sl.accuracy("cifar11")(arm(RNG(0), probe=PROBED))


def test_arms_of_other_points_are_compared_by_welch_and_of_the_same_points_within_pairs():
    rng = RNG(0)
    a, b = arm(rng, points=0.2), arm(rng)
    of = claims.arms.each(lambda u: float(np.mean(u.seen["1"])))
    assert claims.arms.contrast(a, b, of).welch is not None
    same = claims.Arm([dataclasses.replace(u, member=v.member) for u, v in zip(b.units, a.units, strict=True)])
    assert claims.arms.contrast(a, same, of).welch is None
    assert claims.arms.contrast(a, same, of).pairs == 4
    assert claims.arms.contrast(a, same, of).mean == pytest.approx(claims.arms.contrast(a, b, of).mean)


def test_one_pair_is_not_tested_and_missing_classmem_is_named():
    found, _ = page(ssl={"pairs": 1}, sl={"pairs": 1}, converged={"pairs": 1})
    assert {v.verdict for v in found.values()} == {"not tested here"}
    plain = claims.Arm([dataclasses.replace(u, classmem={}) for u in arm(RNG(0)).units])
    with pytest.raises(ValueError, match="classes: true"):
        ssl_vs_sl.points(plain, LAYERS)


@pytest.mark.parametrize("draw", ["class_curves", "unit_scatter"])
def test_figures_have_words_on_their_axes_no_background_and_legible_type(draw):
    _, (ssl, sl, _) = page()
    assert_legible(getattr(figures, draw), {"SSL": ssl, "SL": sl}, LAYERS)


def test_tables_set_table_20_beside_ours_and_say_what_was_not_tested():
    _, (ssl, sl, converged) = page()
    text = repr(figures.probe_table({"SSL": ssl, "SL": sl, "SL, to the end": converged}))
    for row in paper.TABLE_20.values():
        assert f"{row['SSL'][0]:.1f}" in text
    assert "not tested here" in next(line for line in text.splitlines() if "svhn" in line)
    assert len(repr(figures.class_table({"SSL": ssl, "SL": sl}, LAYERS)).splitlines()) == 17


def test_claims_about_encoders_that_learned_nothing_are_not_judged():
    found, _ = page(ssl={"probe": PROBED | {"cifar100": 0.1}})
    ours = {"points", "diagonal", "turn", "pretrained", "transfer"}
    assert {key for key, v in found.items() if "not shown to be better after training" in v.reason} == ours
    assert {found[key].verdict for key in ours} == {"not tested here"}
