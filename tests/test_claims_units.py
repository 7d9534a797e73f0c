"""Claims about units: memory in every layer holds, in deep layers alone it is not spread; selectivity is neither."""

from collections import Counter

import numpy as np

from memlib import claims
from memlib.claims import unitmem

RNG = np.random.default_rng
LAYERS = [str(i) for i in range(1, 9)]


def encoders(rng, pull, unseen_gap=0.0, count=8, units=64, points=300):
    """Units whose strongest points are drawn among members with probability `pull[layer]`, by chance otherwise."""
    found = []
    for _ in range(count):
        member = rng.permutation(np.arange(points) < points // 2)
        strongest, seen, unseen = {}, {}, {}
        for depth, (layer, p) in enumerate(pull.items()):
            index, drawn = rng.integers(points, size=units), rng.random(units) < p
            index[drawn] = rng.choice(np.flatnonzero(member), drawn.sum())
            strongest[layer] = index
            base = 0.45 + 0.02 * depth + 0.05 * rng.standard_normal(units)
            seen[layer], unseen[layer] = base + unseen_gap, base + 0.01 * rng.standard_normal(units)
        found.append(claims.Units(seen, unseen, strongest, {n: np.ones(units, bool) for n in pull}, member))
    return found


def test_units_that_know_members_in_every_layer_hold():
    known = encoders(RNG(0), dict.fromkeys(LAYERS, 0.4), unseen_gap=0.1)
    untrained = encoders(RNG(1), dict.fromkeys(LAYERS, 0.0))
    found = {v.claim.key: v.verdict for v in unitmem.page(known, LAYERS, untrained)}
    assert found["spread"] == found["first-layer"] == found["fraction"] == "holds"
    table = unitmem.layer_table(known, LAYERS, untrained)
    assert (table["member rate"] > 0.6).all()


def test_units_that_know_members_in_deep_layers_alone_are_not_spread():
    pull = {n: (0.4 if int(n) > 5 else 0.0) for n in LAYERS}
    found = unitmem.spread(encoders(RNG(0), pull, units=400), LAYERS)
    assert found.verdict != "holds"
    assert [n for n, v in found.parts.items() if v.verdict == "holds"] == ["6", "7", "8"]


def test_selective_units_do_not_pass_for_memorizing_ones():
    """UnitMem around .5 with a trend in depth, but the same on unseen points and in untrained encoders."""

    def make(rng):
        none = dict.fromkeys(("1", "8"), 0.0)
        return encoders(rng, none), encoders(rng, none)

    counts = Counter()
    for d in range(50):
        known, untrained = make(RNG(d))
        page = unitmem.page(known, ["1", "8"], untrained)
        counts.update(v.claim.key for v in page if v.verdict == "holds")
    assert max(counts.values(), default=0) <= 3
    assert unitmem.first_layer(known, ["1", "8"], untrained).verdict == "does not hold"
