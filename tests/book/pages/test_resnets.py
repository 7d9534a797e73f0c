"""Page resnets: what is planted in every encoder holds, and one without it is enough for a claim not to."""

import fabricate

from memlib.book.pages import resnets

NAMES = ("ResNet18", "ResNet34", "ResNet50")  # of ResNet9s: the claims ask for convolutions and the output alone
POOLED = fabricate.DEEPER | {"output": 0.2}  # less than the last convolution


def verdicts(**levels):
    """Verdicts on three encoders that memorize so; None: nothing."""
    planted = {n: levels.get(n, POOLED) for n in NAMES}
    made = {
        n: fabricate.study(of, pairs=10, points=120, external=40, seed=i) for i, (n, of) in enumerate(planted.items())
    }
    return {name: one.verdict for name, one in resnets.page.judge(made).items()}, made


def test_depth_that_is_planted_holds_in_all_three():
    found, made = verdicts()
    assert {name: v.verdict for name, v in found.items()} == dict.fromkeys(found, "holds")
    assert resnets.answer(made).count("in ResNet") == 3


def test_one_encoder_in_the_opposite_order_does_not_hold():
    rows, levels = fabricate.CONVOLUTIONS, list(fabricate.DEEPER.values())
    found, _ = verdicts(ResNet34=dict(zip(rows, levels[::-1], strict=True)))
    depths = {name: found[name].verdict for name in found if name.startswith("depth")}
    assert depths == {"depth_18": "holds", "depth_34": "does not hold", "depth_50": "holds"}


def test_an_encoder_that_memorizes_nothing_leaves_its_claims_unjudged_and_the_others_judged():
    found, _ = verdicts(ResNet50=None)
    assert (found["depth_18"].verdict, found["depth_50"].verdict) == ("holds", "not judged")
    assert found["last"].verdict == "not judged"
    assert "ResNet50 cannot be judged" in found["last"].text
