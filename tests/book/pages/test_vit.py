"""Page vit: fully connected layers that memorize more are told from attention that does."""

import fabricate
import pytest
from legible import assert_legible

from memlib.book.pages import vit
from memlib.encoders import build_encoder
from memlib.specs import EncoderSpec

BLOCKS = range(1, 13)


@pytest.fixture(scope="module", autouse=True)
def made_up_vits():
    """Studies are made up with the rows of a ViT."""
    with pytest.MonkeyPatch.context() as patch:
        table = build_encoder("vit_tiny", patch=8).layers
        patch.setattr(fabricate, "KINDS", {row.name: row.kind for row in table})
        spec = {"framework": "mae", "arch": "vit_tiny", "patch": 8, "augment": "crop"}
        patch.setattr(fabricate, "SPEC", EncoderSpec(**{**fabricate.SPEC.values(), **spec}))
        yield


def study(fc=0.02, att=0.0, sums=0.0):
    """What each adds to what enters it, in every block."""
    levels, level = {}, 0.0
    for b in BLOCKS:
        for row, more in (("ATT", att), ("ATTRes", sums), ("FC", fc), ("FCRes", sums)):
            level += more
            levels[f"{row}{b}"] = level
    return fabricate.study(levels, pairs=8, points=80, external=40, offset=0.01)


def verdicts(**more):
    return {name: one.verdict for name, one in vit.page.judge(study(**more)).items()}


def test_fully_connected_layers_that_add_what_is_memorized_hold():
    found = verdicts()
    assert {found[name].verdict for name in ("deeper", "deltas", "sums")} == {"holds"}


def test_fully_connected_layers_that_lie_above_attention_hold():
    """What they add is taken back by the sums behind them, so that it stands beside little that has accumulated."""
    found = verdicts(fc=0.03, sums=-0.012)
    assert found["within"].verdict == "holds"
    assert found["sums"].verdict == "does not hold"


def test_attention_that_adds_what_they_were_to_add_does_not_hold():
    assert verdicts(fc=0.0, att=0.02)["deltas"].verdict == "does not hold"


def test_sums_that_memorize_are_seen():
    assert verdicts(sums=0.02)["sums"].verdict == "does not hold"


def test_encoders_that_memorize_nothing_are_not_judged():
    assert {v.verdict for v in verdicts(fc=0.0).values()} == {"not judged"}


def test_the_answer_and_figures_read():
    some = study()
    assert vit.answer(some).startswith("The fully connected layer lies above attention in 12 of 12 blocks")
    assert_legible(vit.curves, some)
    assert len(repr(vit.by_block(some)).splitlines()) == 13
