"""Pruning as an experiment: which units go, and that what is reported is what a probe finds."""

import dataclasses

import pytest
import torch

from memlib import probe, train
from memlib.book import plan
from memlib.book.cuts import pruning
from memlib.encoders import build_encoder
from memlib.surgery import silence

COUNTS = {"a": 4, "b": 10}
SCORE = torch.tensor([0.1, 0.4, 0.3, 0.2, *(0.5 + torch.arange(10) / 20)])


@pytest.fixture(scope="module")
def planned():
    f, g = (
        plan.pairs("smoke", "base")[0].f_untrained.encoder,
        plan.pairs("smoke", "base")[0].g_untrained.encoder,
    )
    choices = {
        "shares": (0.1, 0.5), "draws": 2, "curve_draws": 1, "alone": None, "tested": 40, "unit_points": None,
        "views": 2, "precision": "float32",
    }  # fmt: skip
    roles = (("f", f), ("g", g), ("untrained", dataclasses.replace(f, seed=7)))
    return plan.Experiment("pruning-0", "pruning", roles, ("digits",), 100, tuple(choices.items()))


@pytest.fixture(scope="module")
def done(planned):
    return pruning.run(planned)


def test_the_lowest_units_of_each_layer_or_of_all_go():
    chosen = pruning.choose(SCORE, COUNTS, "layer", 0.5)
    assert {name: sorted(units.tolist()) for name, units in chosen.items()} == {"a": [0, 3], "b": [0, 1, 2, 3, 4]}
    assert pruning.choose(SCORE, COUNTS, "total", 0.2)["a"].tolist() == [0, 2, 3]
    assert list(pruning.choose(SCORE, COUNTS, "total", 0.2)) == ["a"]
    assert pruning.choose(-SCORE, COUNTS, "only b", 0.2)["b"].tolist() == [9, 8]
    assert pruning.choose(SCORE, COUNTS, "none", 0.0) == {}
    with pytest.raises(ValueError, match="scope 'only c'"):
        pruning.choose(SCORE, COUNTS, "only c", 0.1)


def test_of_equal_units_the_first_go():
    assert pruning.choose(torch.zeros(14), COUNTS, "layer", 0.5)["b"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("layer", ["1", "6"])
def test_magnitude_prunes_the_channels_that_torch_does(layer):
    from torch.nn.utils import prune

    torch.manual_seed(0)
    encoder = build_encoder("resnet9")
    (row,) = [row for row in encoder.layers if row.name == layer]
    chosen = pruning.choose(pruning.magnitude(encoder, row), {layer: row.units}, "layer", 0.25)[layer]
    conv = prune.ln_structured(encoder.get_submodule(row.module), "weight", amount=0.25, n=2, dim=0)
    assert chosen.sort().values.tolist() == (conv.weight_mask.flatten(1).sum(1) == 0).nonzero()[:, 0].tolist()


def test_the_plan_has_table_6_first_and_nothing_twice(planned):
    variants, table = pruning.plan(planned, ["1"])
    assert variants[0] == ("none", "none", 0.0, 0)
    assert table == 1 + 4 * (6 + 2)
    assert len(set(variants)) == len(variants)
    assert {v[:1] + v[2:3] for v in variants[1:table]} == set(pruning.CELLS)


def test_accuracies_are_those_of_a_probe_of_the_silenced_encoder(planned, done):
    arrays, header = done
    scores = arrays["scores"][0]
    counts = dict(zip(header["layers"], header["units"], strict=True))
    encoder = train.encoder(planned.encoder("f"))
    number = header["variants"].index(["layer", "low", 0.2, 0])
    pruned = silence(encoder, pruning.choose(scores[0], counts, "layer", 0.2))
    expected = probe.probe(pruned, "digits", points=100, tested=40)
    assert arrays["accuracy-digits"][0, number].tolist() == pytest.approx(expected.each, abs=0.051)
    assert arrays["taken"][0, number].tolist() == [round(0.2 * n) for n in counts.values()]
    assert arrays["taken"][:, 0].sum() == 0
    untrained = train.encoder(planned.encoder("untrained"))
    pruned = silence(untrained, pruning.choose(arrays["scores"][2, 0], counts, "layer", 0.2))
    expected = probe.probe(pruned, "digits", points=100, tested=40)
    assert arrays["untrained-digits"][number].tolist() == pytest.approx(expected.each, abs=0.051)
    assert len(arrays["untrained-digits"]) == header["table"] < len(header["variants"])


def test_scores_of_f_and_g_are_of_the_same_points_exchanged(done):
    scores = done[0]["scores"]
    assert scores.shape == (3, 4, 1120)
    assert scores.isfinite().all()
    assert (scores >= 0).all()
    assert not torch.equal(scores[0, 0], scores[0, 1])


def test_a_share_of_everything_is_refused(planned):
    choices = tuple((n, (1.0,) if n == "shares" else v) for n, v in planned.choices)
    wrong = plan.Experiment(planned.name, planned.kind, planned.roles, choices=choices)
    with pytest.raises(ValueError, match=r"a share of 1\.0 of the units"):
        pruning.plan(wrong, ["1"])


@pytest.mark.parametrize("scale", plan.SCALES)
def test_every_scale_plans_it(scale):
    runs = plan.experiments(scale)["pruning"]
    assert len({run.digest for run in runs}) == len(runs) >= 2
    for run in runs:
        variants, table = pruning.plan(run, ["1", "2"])
        assert table < len(variants)


def test_an_unknown_criterion_is_refused_and_named():
    scores = torch.rand(len(pruning.SCORES), 6)
    with pytest.raises(KeyError, match="unknown criterion 'lowest': allowed are 'top', 'low'"):
        pruning._order(("layer", "lowest", 0.1, 0), scores, 0)
    assert torch.equal(pruning._order(("layer", "low", 0.1, 0), scores, 0), scores[0])
