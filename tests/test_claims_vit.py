"""Claims about a ViT: what is planted in its fully connected layers is found there, by level and by delta."""

from collections import Counter

import numpy as np
import pytest
from test_claims_resnets import RNG, pairs

from memlib import claims, encoders, paper
from memlib.claims import takeaways, vit

BLOCKS = 6
TABLE = encoders.build_encoder("vit_tiny", depth=BLOCKS).layers
KINDS = {layer.name: layer.kind for layer in TABLE}
PREVIOUS = encoders.previous(TABLE, KINDS)


def planted(att=0.01, fc=0.03, gain=0.0):
    """What each row has: attention and fully connected layers add, sums pass it on."""
    level, found = 0.0, {}
    for b in range(1, BLOCKS + 1):
        for row, adds in ((f"ATT{b}", att), (f"ATTRes{b}", gain), (f"FC{b}", fc), (f"FCRes{b}", gain)):
            level += adds
            found[row] = level
    return found


def verdicts(stored, seed=0):
    made = pairs(RNG(seed), stored, tuple(KINDS), offset=0.03)
    return {
        v.claim.key: v
        for v in vit.page(made, KINDS, PREVIOUS, {"untrained encoders": pairs(RNG(seed + 1), rows=tuple(KINDS))})
    }


def test_deltas_of_the_layer_table_are_those_of_table_10():
    assert PREVIOUS["ATT2"] == "FCRes1"
    assert PREVIOUS["FC2"] == "ATTRes2"
    assert PREVIOUS["FCRes2"] == "FCRes1"
    assert "ATT1" not in PREVIOUS
    for b in range(2, 13):
        for name in ("ATT", "FC", "FCRes"):  # printed with three digits
            other = {"ATT": f"FCRes{b - 1}", "FC": f"ATTRes{b}", "FCRes": f"FCRes{b - 1}"}[name]
            level, delta = paper.TABLE_10[f"{name}{b}"]
            assert abs(level - paper.TABLE_10[other][0] - delta) < 0.0031


def test_fully_connected_layers_that_add_more_hold():
    found = verdicts(planted())
    assert {key: v.verdict for key, v in found.items()} == dict.fromkeys(found, "holds")
    assert len(found) == len(vit.CLAIMS)


def test_what_only_accumulates_with_depth_is_higher_in_fully_connected_layers_and_adds_no_more():
    """FC lies behind ATT: where both add alike, the level of FC is higher and its delta is not."""
    found = verdicts(planted(att=0.03, fc=0.03))
    assert found["vit-within"].verdict == "holds"
    assert found["vit-added"].verdict != "holds"


def test_attention_that_adds_more_turns_the_delta_around():
    assert verdicts(planted(att=0.06, fc=0.01))["vit-added"].verdict == "does not hold"


def test_sums_that_add_as_much_are_not_called_small():
    found = verdicts(planted(att=0.02, fc=0.03, gain=0.03))["vit-sums"]
    assert found.verdict == "does not hold"


def test_encoders_that_memorized_nothing_do_not_hold():
    counts = Counter(key for d in range(8) for key, v in verdicts(None, 2 * d).items() if v.verdict == "holds")
    assert max(counts.values(), default=0) <= 1


def test_rows_of_another_encoder_are_refused():
    with pytest.raises(ValueError, match="two blocks or more"):
        vit.count({"1": "conv", "output": "output"})
    with pytest.raises(ValueError, match="no FC2"):
        vit.count({row: kind for row, kind in KINDS.items() if row != "FC2"})
    with pytest.raises(ValueError, match=r"encoders\.previous"):
        vit.added(pairs(RNG(0), rows=tuple(KINDS)), KINDS, {})


def test_table_by_block_has_every_delta_but_those_of_the_first():
    made = pairs(RNG(0), planted(), tuple(KINDS))
    table = vit.block_table(made, KINDS, PREVIOUS).set_index("block")
    assert table.loc[1, ["delta ATT", "delta FCRes"]].isna().all()
    assert table.drop(1).notna().all(axis=None)
    assert table.loc[3, "delta FCRes"] == pytest.approx(
        claims.pairs.mirror(made[0], "FCRes3") - claims.pairs.mirror(made[0], "FCRes2"), abs=0.1
    )
    said = takeaways.vit(made, KINDS, PREVIOUS, list(verdicts(planted()).values()))
    assert len(said) == 3
    assert f"{BLOCKS} of {BLOCKS} blocks" in said[1]


def test_table_10_says_what_the_claims_quote():
    gaps = [paper.TABLE_10[f"FC{b}"][0] - paper.TABLE_10[f"ATT{b}"][0] for b in range(1, 13)]
    assert (round(min(gaps), 3), round(max(gaps), 3)) == (0.011, 0.023)
    sums = [
        paper.TABLE_10[f"{n}Res{b}"][0] - paper.TABLE_10[f"{n}{b}"][0] for n in ("ATT", "FC") for b in range(1, 13)
    ]
    assert (round(min(sums), 3), round(max(sums), 3)) == (-0.001, 0.002)
    for name, low, high in (("ATT", 0.006, 0.009), ("FC", 0.011, 0.023)):
        deltas = [paper.TABLE_10[f"{name}{b}"][1] for b in range(2, 13)]
        assert (min(deltas), max(deltas)) == (low, high)
    assert np.isclose(paper.TABLE_2["FC12"][0], paper.TABLE_10["FC12"][0])


def test_an_encoder_that_is_not_shown_to_have_learned_is_not_judged():
    found = vit.page(pairs(RNG(0), planted(), tuple(KINDS)), KINDS, PREVIOUS, lost=["MAE (gain -0.07)"])
    assert {v.verdict for v in found} == {"not tested here"}
    assert all("MAE (gain -0.07)" in v.reason for v in found)
