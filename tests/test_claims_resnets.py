"""Claims about ResNets: memorization planted to grow with depth holds; offsets between encoders alone do not."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from memlib import claims, paper
from memlib.claims import resnets, takeaways

RNG = np.random.default_rng
KINDS = {"conv1": "conv", "max pool": "pool"} | {f"conv2-{i}": "conv" for i in range(1, 8)} | {"output": "output"}
CONVOLUTIONS = [row for row, kind in KINDS.items() if kind == "conv"]
GROWING = {row: 0.02 + 0.03 * i for i, row in enumerate(CONVOLUTIONS)}


def pairs(rng, stored=None, rows=tuple(KINDS), count=4, points=(0, 80, 80, 40), offset=0.05, prefix=""):
    """Pairs whose encoders differ by an offset in every row; `stored` is what a row has memorized of its points."""
    sets = np.repeat(np.arange(4), points)
    mark = np.select([sets == claims.S_C, sets == claims.S_I], [1.0, -1.0])
    found = []
    for _ in range(count):
        f, g = {}, {}
        for row in rows:
            shift = offset * rng.normal() + (stored or {}).get(row, 0.0) * mark * np.exp(
                0.2 * rng.normal(size=sets.size)
            )
            noise = 0.05 * rng.standard_normal((2, sets.size))
            f[prefix + row], g[prefix + row] = 0.5 * np.exp(-shift - noise), 0.5 * np.exp(shift + noise)
        found.append(claims.Pair(f, g, sets))
    return found


def study(rng, stored=None, **more):
    """What a page takes of a design: pairs, and the same before training."""
    return SimpleNamespace(
        pairs=pairs(rng, stored, **more), nulls={"untrained encoders": pairs(rng, **more)}, units=[], untrained=[]
    )


def three(rng, stored=None):
    return {name: study(rng, stored) for name in ("ResNet18", "ResNet34", "ResNet50")}


ALL = dict.fromkeys(("ResNet18", "ResNet34", "ResNet50"), KINDS)


def test_memorization_that_grows_to_the_last_convolution_and_falls_behind_it_holds():
    planted = GROWING | {"output": 0.1}
    found = {v.claim.key: v for v in resnets.page(three(RNG(0), planted), ALL)}
    assert {key: v.verdict for key, v in found.items()} == dict.fromkeys(found, "holds")
    assert len(found) == len(resnets.CLAIMS) == 4
    assert list(found["resnets-depth"].parts) == list(ALL)


def test_one_encoder_in_which_it_does_not_grow_is_enough_for_the_claim_to_fail():
    some = three(RNG(0), GROWING) | {"ResNet34": study(RNG(1), GROWING | {CONVOLUTIONS[-1]: 0.0})}
    found = {v.claim.key: v for v in resnets.page(some, ALL)}
    assert found["resnets-last"].verdict == "does not hold"
    parts = {name for name, part in found["resnets-last"].parts.items() if part.verdict != "holds"}
    assert parts == {"ResNet34 (first half)", "ResNet34 (rest of the second half)"}


def test_an_average_pool_that_keeps_what_the_last_convolution_has_does_not_fall():
    kept = GROWING | {"output": GROWING[CONVOLUTIONS[-1]]}
    assert resnets.pool(three(RNG(0), kept), ALL).verdict != "holds"


def test_encoders_that_memorized_nothing_do_not_hold():
    counts = Counter(v.claim.key for d in range(8) for v in resnets.page(three(RNG(d)), ALL) if v.verdict == "holds")
    assert max(counts.values(), default=0) <= 1


def test_an_encoder_with_too_few_convolutions_is_refused():
    with pytest.raises(ValueError, match="four convolutions"):
        resnets.page(three(RNG(0)), {name: {"conv1": "conv", "output": "output"} for name in ALL})


def test_take_aways_are_three_and_follow_the_verdicts():
    some = three(RNG(0), GROWING)
    said = takeaways.resnets(some, ALL, resnets.page(some, ALL))
    assert len(said) == 3
    assert "«holds»" in said[0]
    assert "nan" not in " ".join(said)


def test_tables_15_to_17_are_complete_and_say_what_the_claims_quote():
    tables = {"ResNet18": paper.TABLE_15, "(34)": paper.TABLE_16, "(50)": paper.TABLE_17}
    assert [len(t) for t in tables.values()] == [21, 37, 53]
    quoted = resnets.LAST.paper, resnets.POOL.paper, resnets.FIRST.paper
    for found in tables.values():
        convolutions = {row: numbers[0] for row, numbers in found.items() if row.startswith("conv")}
        last = list(convolutions)[-1]
        assert max(convolutions, key=convolutions.__getitem__) == last
        assert found["output"][0] < convolutions[last]
        for text, number in zip(quoted, (convolutions[last], found["output"][0], convolutions["conv1"]), strict=True):
            assert f"{number:.3f}"[1:] in text


def test_encoders_that_are_not_shown_to_have_learned_are_not_judged():
    studies = {"A": study(RNG(0), GROWING), "B": study(RNG(1))}  # B stores nothing
    kinds = dict.fromkeys(studies, KINDS)
    found = {v.claim.key: v for v in resnets.page(studies, kinds, {"A": ["A (gain 0)"], "B": ["B (gain 0.01)"]})}
    assert list(found["resnets-depth"].parts) == ["A"]
    assert found["resnets-depth"].parts["A"].verdict == "holds"
    assert found["resnets-depth"].verdict == "not tested here"  # the claim is about both
    assert found["resnets-depth"].reason.startswith("Not judged of B (gain 0.01)")
    falling = {row: 0.3 - level for row, level in GROWING.items()}
    found = {
        v.claim.key: v for v in resnets.page(studies | {"A": study(RNG(0), falling)}, kinds, {"B": ["B (gain 0)"]})
    }
    assert found["resnets-depth"].verdict == "does not hold"  # with one it falls
    assert takeaways.resnets(studies, kinds, list(found.values()))
    studies = {"A": study(RNG(2)), "B": study(RNG(1))}
    none = resnets.page(studies, kinds, {"A": ["A (gain 0)"], "B": ["B (gain 0)"]})
    assert {v.verdict for v in none} == {"not tested here"}
    assert "A (gain 0), B (gain 0)" in none[0].reason
