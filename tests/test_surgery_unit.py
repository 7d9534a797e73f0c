"""One unit is tuned and nothing else: no gradient, decay, momentum or statistic reaches its neighbours."""

import copy

import pytest
import torch
from torch import nn

from memlib import build_encoder
from memlib.surgery import tune_unit

OPTIMIZERS = {
    "sgd": lambda rows: torch.optim.SGD(rows, lr=0.1, momentum=0.9, weight_decay=0.05),
    "adamw": lambda rows: torch.optim.AdamW(rows, lr=0.01, weight_decay=0.05),
}


def small():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4), nn.Flatten(),
        nn.Linear(16, 6), nn.Dropout(0.5),
    )  # fmt: skip
    model(torch.randn(8, 3, 6, 6))  # running statistics that are not the default
    return model


def draw(generator):
    return [torch.randn(2, 3, 6, 6, generator=generator) for _ in range(2)]


def apart(first, second):
    return (first - second).square().mean() - first.square().mean()


def same_but(model, tuned, rows):
    """The rows of each tensor that differ, of those named; every other tensor has the same bits."""
    before, after, found = model.state_dict(), tuned.state_dict(), {}
    for name in before:
        if name not in rows:
            assert torch.equal(before[name], after[name]), name
        elif before[name].ndim:
            found[name] = (before[name] != after[name]).flatten(1 if before[name].ndim > 1 else 0)
            found[name] = found[name].any(1) if before[name].ndim > 1 else found[name]
    return {name: changed.nonzero()[:, 0].tolist() for name, changed in found.items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("layer", ["3", "6"])
def test_only_the_unit_s_own_rows_change(layer, optimizer):
    model = small()
    before = copy.deepcopy(model.state_dict())
    tuned = tune_unit(model, layer, 2, apart, draw, 5, optimizer)
    named = [f"{layer}.weight", f"{layer}.bias"]
    assert same_but(model, tuned, named) == {name: [2] for name in named}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_channel_takes_its_batchnorm_channel_along_and_no_statistics(optimizer):
    model = build_encoder("resnet9")
    model(torch.randn(4, 3, 32, 32))

    def images(generator):
        return [torch.randn(1, 3, 32, 32, generator=generator) for _ in range(2)]

    tuned = tune_unit(model, "6", 7, apart, images, 2, optimizer)
    named = [f"conv4_0.{part}" for part in ("conv.weight", "conv.bias", "bn.weight", "bn.bias")]
    assert same_but(model, tuned, named) == {name: [7] for name in named}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_it_is_what_training_the_layer_with_every_other_row_put_back_after_each_step_gives(optimizer):
    model, unit = small(), 1
    tuned = tune_unit(model, "3", unit, apart, draw, 4, optimizer, seed=3)
    other = copy.deepcopy(model).eval().requires_grad_(False)
    mine = [other[3].weight.requires_grad_(), other[3].bias.requires_grad_()]
    kept, tuner, generator = [p.detach().clone() for p in mine], optimizer(mine), torch.Generator().manual_seed(3)
    for _ in range(4):
        tuner.zero_grad()
        apart(*(other(view) for view in draw(generator))).backward()
        tuner.step()
        with torch.no_grad():
            for p, before in zip(mine, kept, strict=True):
                row = p[unit].clone()
                p.copy_(before)
                p[unit] = row
    for name, value in tuned.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name])


def test_decay_alone_moves_the_unit_alone():
    model = small()
    tuned = tune_unit(model, "3", 0, lambda *out: 0 * out[0].sum(), draw, 3, OPTIMIZERS["sgd"])
    assert same_but(model, tuned, ["3.weight", "3.bias"]) == {"3.weight": [0], "3.bias": [0]}
    assert tuned[3].weight[0].norm() < model[3].weight[0].norm()


def test_without_a_unit_the_whole_layer_is_trained_and_nothing_else():
    model = small()
    tuned = tune_unit(model, "3", None, apart, draw, 2)
    assert same_but(model, tuned, ["3.weight", "3.bias"]) == {"3.weight": [0, 1, 2, 3], "3.bias": [0, 1, 2, 3]}


def test_a_feature_of_a_vit_s_mlp_is_one_of_its_last_linear_layer():
    model = build_encoder("vit_tiny", patch=16, depth=2)

    def images(generator):
        return [torch.randn(1, 3, 32, 32, generator=generator) for _ in range(2)]

    tuned = tune_unit(model, "FC1", 5, apart, images, 1)
    changed = [n for n, p in tuned.state_dict().items() if not torch.equal(p, model.state_dict()[n])]
    assert len(changed) == 2
    assert all("mlp.fc2" in name for name in changed)
    assert same_but(model, tuned, changed) == {name: [5] for name in changed}


def test_a_seed_decides_everything_and_another_one_something_else():
    model = small()
    one, again, other = (tune_unit(model, "3", 1, apart, draw, 2, seed=s)[3].weight for s in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    state = torch.get_rng_state()
    tune_unit(model, "3", 1, lambda a, b: apart(a, b) + torch.rand(()), draw, 1)
    assert torch.equal(state, torch.get_rng_state())


def test_the_copy_is_watched_from_before_the_first_step_and_comes_back_as_the_model_was():
    model = small()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    seen = []
    tuned = tune_unit(
        model, "3", 1, apart, draw, 2, watch=lambda step, made: seen.append((step, made[3].weight[1, 0, 0, 0].item()))
    )
    assert [step for step, _ in seen] == [0, 1, 2]
    assert seen[0][1] == model[3].weight[1, 0, 0, 0]
    assert seen[2][1] == tuned[3].weight[1, 0, 0, 0]
    assert [m.training for m in tuned.modules()] == [m.training for m in model.modules()]
    assert [p.requires_grad for p in tuned.parameters()] == [p.requires_grad for p in model.parameters()]
    assert all(p.grad is None for p in tuned.parameters())
    assert torch.equal(tune_unit(model, "3", 1, apart, draw, 0)[3].weight, model[3].weight)


def test_a_loss_that_raises_leaves_the_model_as_it_was():
    model = small()
    before = copy.deepcopy(model.state_dict())

    def fails(*outputs):
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        tune_unit(model, "3", 1, fails, draw, 1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"unit": 4}, ValueError, r"unit=4 of layer '3': allowed are 0 to 3"),
        ({"unit": -1}, ValueError, r"unit=-1 of layer '3'"),
        ({"unit": True}, ValueError, r"unit=True"),
        ({"layer": "9"}, KeyError, r"unknown layer '9'"),
        ({"layer": "1"}, ValueError, r"layer '1' \(BatchNorm2d\) has no units of its own"),
        ({"layer": "2"}, ValueError, r"'2' has no parameters"),
        ({"layer": "[36]"}, KeyError, r"unknown layer"),
        ({"steps": -1}, ValueError, r"steps=-1: allowed is a whole number"),
        ({"loss": lambda a, b: a}, ValueError, r"the loss is \(2, 6\): needed is a scalar"),
        ({"loss": lambda a, b: torch.zeros(())}, ValueError, r"does not depend on layer '3'"),
        ({"loss": lambda a, b: a.sum() / 0}, ArithmeticError, r"at step 0: take a smaller learning rate"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_what_is_allowed(change, error, text):
    given = {"layer": "3", "unit": 1, "loss": apart, "views": draw, "steps": 1} | change
    with pytest.raises(error, match=text):
        tune_unit(small(), **given)


def test_a_pattern_that_stands_for_several_layers_is_refused():
    with pytest.raises(ValueError, match=r"'\?' stands for 2 layers, '0', '1': name one of them"):
        tune_unit(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "?", 0, apart, draw, 1)
