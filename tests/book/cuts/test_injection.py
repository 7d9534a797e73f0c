"""A point inserted into a unit: what is frozen is exactly the encoder's, and what is not meant does not move."""

from dataclasses import replace

import pytest
import torch
from nets import images_of

from memlib import build_encoder, data, measure, train
from memlib.book import plan
from memlib.book.cuts import injection
from memlib.objectives import build_objective
from memlib.specs import EncoderSpec

SPEC = EncoderSpec(framework="simsiam", arch="resnet18", dataset="digits", subset=40, epochs=0, batch=10)
CHOICES = {"points": 12, "views": 2, "epochs": (0, 1, 3), "batch": 3, "pool": 2, "lr": 0.05, "weight_decay": 0.01}


def planned(spec=SPEC, probed=("digits",), **choices):
    roles = (("f", spec), ("untrained", spec))
    return plan.Experiment("injection-0", "injection", roles, probed, 100, tuple((CHOICES | choices).items()))


@pytest.fixture(scope="module")
def outcome():
    return injection.run(planned())


@pytest.fixture(scope="module", params=[("resnet18", 32), ("resnet18", 64), ("resnet9", 32)])
def split(request):
    torch.manual_seed(0)
    arch, size = request.param
    encoder = build_encoder(arch).eval()
    for part in encoder.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(std=0.1)
    inputs = injection.frozen(encoder, images_of(3, size), "normal", 2, 0)
    return encoder, inputs, injection.Tail(encoder, pixel=inputs.shape[-1] == 1).eval(), images_of(3, size)


def test_what_stands_before_the_layer_and_the_tail_are_together_the_encoder(split):
    encoder, inputs, tail, images = split
    views = injection.Views(images, "normal", 2, 0, anchor=False).block(0, torch.device("cpu"))[:6]
    with torch.no_grad():
        torch.testing.assert_close(
            injection.features(tail, inputs).flatten(0, 1), encoder(views), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("split", [("resnet18", 32), ("resnet18", 64)], indirect=True)
def test_the_units_of_a_resnet18_s_last_layer_are_the_output_s_features(split):
    encoder, inputs, tail, images = split
    layer = injection.last(encoder).name
    found = measure.unit_activations(encoder, images, "normal", [layer], views=2, seed=0)[layer]
    torch.testing.assert_close(injection.features(tail, inputs).mean(1), found, atol=1e-5, rtol=1e-4)


def test_the_loss_is_simsiam_s_with_its_heads_as_they_are():
    objective = build_objective(train.initial(SPEC), SPEC).eval()
    views = torch.randn(2, 3, 3, 32, 32)
    with torch.no_grad():
        both = objective.encoder(views.flatten(0, 1))
        torch.testing.assert_close(injection.simsiam(objective, both), objective(*views))


def test_a_pair_is_two_different_views_of_one_point_and_points_repeat_only_when_they_run_out():
    pool = torch.arange(12).view(4, 3)
    for count in (1, 4, 9):
        (found,) = injection.pairs(pool, count, torch.Generator().manual_seed(count))
        first, second = found.chunk(2)
        assert torch.equal(first // 3, second // 3)
        assert (first != second).all()
        assert len((first // 3).unique()) == min(count, 4)


def test_tuning_a_unit_leaves_the_other_units_exactly_as_they_were_and_tuning_the_layer_does_not(outcome):
    arrays, header = outcome
    for inserted in header["inserted"]:
        for tuned in ("highest", "silent"):
            scores, unit = arrays[f"{inserted}-{tuned}.unitmem"], header["units"][tuned]
            others = [u for u in range(scores.shape[1]) if u != unit]
            assert torch.equal(scores[0, others].expand(len(scores), -1), scores[:, others])
    moved = (arrays["one-layer.unitmem"][-1] != arrays["one-layer.unitmem"][0]).float().mean()
    assert moved > 0.5
    start = [arrays[name][0] for name in arrays if name.endswith(".unitmem")]
    assert all(torch.equal(one, start[0]) for one in start)


def test_a_run_is_small_finite_and_the_same_again(outcome):
    arrays, header = outcome
    assert sum(a.numel() * a.element_size() for a in arrays.values()) < 1e6
    assert all(torch.isfinite(a).all() for a in arrays.values())
    assert arrays["one-layer.unitmem"].shape == (3, 512)
    assert arrays["one-layer.strongest"].shape == (3, 3)
    assert header["point"] != header["other"]
    assert len(set(header["units"].values())) == 3
    assert len(data.load("digits", "test")) > arrays["points"].max()


def test_what_the_encoder_learned_stands_beside_it(outcome):
    _, header = outcome
    assert header["accuracy"]["f"] == header["accuracy"]["untrained"]  # no epoch was trained
    assert 0 < header["accuracy"]["f"] < 1


def test_cosines_are_the_means_over_pairs_of_views_and_one_where_all_is_the_same():
    found = torch.randn(4, 3, 5)
    unit = torch.nn.functional.normalize(found.double(), dim=-1)
    each = torch.einsum("nvu,mwu->nmvw", unit, unit)
    same = torch.stack([each[i, i][~torch.eye(3).bool()].mean() for i in range(4)]).mean()
    different = torch.stack([each[i, j].mean() for i in range(4) for j in range(4) if i != j]).mean()
    assert injection.cosines(found) == pytest.approx({"same": same.item(), "different": different.item()})
    assert injection.cosines(torch.ones(4, 3, 5)) == pytest.approx({"same": 1, "different": 1})


def test_a_unit_that_one_view_wakes_up_is_not_the_highest_and_a_silent_one_is_silent_everywhere():
    before = torch.rand(3, 6, 5) + 0.5
    before[:, :, 0] = 0  # silent
    before[:, :, 1] = 0
    before[0, 2, 1] = 9.0  # a single view
    before[:, 4, 3] = 9.0  # memorizes
    for seed in range(5):
        units, silent = injection.choose_units(list(before), torch.Generator().manual_seed(seed))
        assert (units["highest"], units["silent"], silent) == (3, 0, True)
        assert units["random"] not in (0, 3)
    before[:, :, 0] = 1.0
    before[:, 0, 1] = 1.0
    units, silent = injection.choose_units(list(before), torch.Generator())
    assert (units["silent"], silent) == (0, False)


@pytest.mark.parametrize(
    ("spec", "choices", "text"),
    [
        (replace(SPEC, arch="resnet50"), {}, "arch='resnet50': allowed are 'resnet18', 'resnet9'"),
        (replace(SPEC, framework="simclr"), {}, "framework='simclr': allowed is 'simsiam'"),
        (SPEC, {"epochs": (1, 2)}, "ascending numbers from 0 on"),
        (SPEC, {"epochs": (0, 2, 2)}, "ascending numbers from 0 on"),
        (SPEC, {"pool": 1}, "pool=1: allowed is 2 or more"),
    ],
)
def test_bad_input_is_named_before_anything_is_trained(spec, choices, text):
    with pytest.raises(ValueError, match=text):
        injection.run(planned(spec, **choices))


def test_a_resnet9_takes_points_into_its_last_layer_too():
    arrays, header = injection.run(planned(replace(SPEC, arch="resnet9"), epochs=(0, 1)))
    assert (header["layer"], arrays["one-layer.unitmem"].shape) == ("8", (2, 256))


@pytest.mark.parametrize("probed", [(), ("digits", "cifar10")])
def test_what_was_learned_is_probed_on_one_data_set(probed):
    with pytest.raises(ValueError, match="allowed is one data set"):
        injection.run(planned(probed=probed))
