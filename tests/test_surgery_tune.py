"""Tuning chosen layers with a head: what changes, what stays to the bit, and what is refused."""

import pytest
import torch
from torch import nn

from memlib.encoders import ResNet, ViT, build_encoder
from memlib.surgery import parts, tune

DRAW = torch.Generator().manual_seed(0)
IMAGES = torch.randint(256, (24, 3, 16, 16), dtype=torch.uint8, generator=DRAW)
LABELS = torch.arange(24) % 3 + 4  # classes 4, 5 and 6
SHORT = {"epochs": 2, "batch": 8}


class Small(nn.Module):
    """Any module: two convolutions with BatchNorm, dropout, [N, 5]."""

    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.2))

    def forward(self, x):
        return self.two(self.one(x)).mean((2, 3))


def resnet9():
    torch.manual_seed(0)
    return build_encoder("resnet9").eval()


def resnet18():
    torch.manual_seed(0)
    return ResNet(18).eval()


def vit():
    torch.manual_seed(0)
    return ViT(width=12, heads=3, size=16, patch=4, depth=3).eval()


def small():
    torch.manual_seed(0)
    return Small().eval()


CASES = [
    (resnet9, ()),
    (resnet9, ("8",)),
    (resnet9, ("3", "6")),
    (resnet18, ("conv4-2", "conv5-4")),
    (vit, ("ATT2", "FC3")),
    (vit, ("embed.proj",)),
    (small, ("two",)),
    (small, ("one.0", "one.1")),
    (small, ()),
]


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("build", "layers"), CASES)
def test_the_chosen_layers_change_and_everything_else_is_the_same_bits(build, layers):
    model = build()
    before = state(model)
    own = tuple(f"{path}." for modules in parts(model, layers).values() for path in modules)
    tuned = tune(model, layers, IMAGES, LABELS, **SHORT)
    after = tuned.encoder.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name for name in changed if not name.startswith(own or ("nothing",))} == set()
    learned = {name for name, _ in model.named_parameters() if name.startswith(own or ("nothing",))}
    counted = {name for name in before if name.startswith(own or ("nothing",)) and "running" in name}
    silent = {name for name in learned | counted if name not in changed}
    # biases that a BatchNorm behind them takes out, and a key's, which the softmax does, have no gradient
    assert all(name.endswith("bias") for name in silent)
    assert tuned.parameters == sum(before[name].numel() for name in learned)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not tuned.encoder.training
    assert [p.requires_grad for p in tuned.encoder.parameters()] == [p.requires_grad for p in model.parameters()]
    assert all(p.grad is None for p in [*tuned.encoder.parameters(), *model.parameters()])
    assert tuned.head.weight.shape == (3, tuned.head.in_features)


@pytest.mark.parametrize(("build", "layers"), [(resnet9, ("7",)), (vit, ("FC2",)), (small, ("two",))])
def test_a_seed_decides_everything_and_the_global_generator_is_left_alone(build, layers):
    torch.manual_seed(1)
    held = torch.get_rng_state()
    found = [tune(build(), layers, IMAGES, LABELS, seed=seed, **SHORT) for seed in (3, 3, 4)]
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), held)
    same, again, other = (state(one.encoder) | state(one.head) for one in found)
    assert all(torch.equal(same[name], again[name]) for name in same)
    assert found[0].losses == found[1].losses != found[2].losses
    assert any(not torch.equal(same[name], other[name]) for name in same)


def test_what_is_run_once_ahead_is_what_every_step_would_run():
    """The steps of an encoder cut at its first tuned layer against the whole as one step."""

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = resnet9()

        def forward(self, x):
            return self.inner(x)

    cut = tune(resnet9(), ["8"], IMAGES, LABELS, **SHORT)
    whole = tune(Whole(), ["inner.res6.second.conv", "inner.res6.second.bn"], IMAGES, LABELS, **SHORT)
    assert cut.losses == pytest.approx(whole.losses, rel=1e-4)
    assert cut.parameters == whole.parameters == 590080 + 512


def test_batchnorm_of_a_tuned_layer_follows_the_images_and_of_the_others_does_not():
    model = resnet9()
    tuned = tune(model, ["8"], IMAGES, LABELS, **SHORT).encoder
    for path in ("res6.second", "res6.first"):
        old, new = model.get_submodule(f"{path}.bn"), tuned.get_submodule(f"{path}.bn")
        assert torch.equal(old.running_var, new.running_var) == (path == "res6.first")
        assert new.num_batches_tracked == old.num_batches_tracked + (6 if path == "res6.second" else 0)


def test_tuning_learns_what_the_head_alone_cannot_and_predicts_the_labels_given():
    labels = torch.tensor([7, 2]).repeat(12)  # of noise: there is nothing to see, only to memorize
    head, more = (
        tune(small(), layers, IMAGES, labels, epochs=60, batch=8, lr=0.03) for layers in ((), ("one", "two"))
    )
    assert sum(more.losses[-9:]) < sum(head.losses[-9:])
    assert more.accuracy(IMAGES, labels) > 0.8
    assert set(more.predict(IMAGES).tolist()) == {2, 7}


def test_bfloat16_learns_as_well():
    full, half = (tune(resnet9(), ["8"], IMAGES, LABELS, precision=p, **SHORT) for p in ("float32", "bfloat16"))
    assert half.losses == pytest.approx(full.losses, rel=0.05)
    assert {p.dtype for p in half.encoder.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"layers": ["9"]}, KeyError, "unknown layer '9'"),
        ({"layers": ["MaxPool1"]}, ValueError, "no parameters"),
        ({"images": IMAGES[0]}, ValueError, r"\[N, 3, H, W\]"),
        ({"labels": LABELS[:-1]}, ValueError, "24 images and 23 labels"),
        ({"labels": LABELS.float()}, ValueError, "allowed are integers"),
        ({"labels": LABELS[:, None]}, ValueError, "allowed are integers"),
        ({"labels": LABELS - 5}, ValueError, "go down to -1"),
        ({"labels": torch.ones(24, dtype=torch.long)}, ValueError, "all images are of class 1"),
        ({"lr": 0}, ValueError, "lr=0: allowed is a number above 0"),
        ({"lr": float("nan")}, ValueError, "lr=nan"),
        ({"epochs": 0}, ValueError, "epochs=0"),
        ({"batch": 1}, ValueError, "batch=1: allowed is a whole number of 2"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"precision": "bfloat"}, KeyError, "did you mean 'bfloat16'"),
        ({"encoder": nn.Conv2d(3, 4, 3), "layers": ()}, ValueError, r"puts out \(24, 4, 14, 14\) for 24 images"),
    ],
)
def test_bad_input_is_refused_and_the_encoder_stays_as_it_is(changes, error, says):
    model = resnet9()
    before = state(model)
    given = {"encoder": model, "layers": ["8"], "images": IMAGES, "labels": LABELS, **SHORT} | changes
    with pytest.raises(error, match=says):
        tune(**given)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module.training for module in model.modules())


def test_a_loss_that_is_not_finite_ends_it_and_labels_that_were_not_trained_cannot_be_scored():
    with pytest.raises(ArithmeticError, match="take a smaller lr"):
        tune(small(), ["one", "two"], IMAGES, LABELS, epochs=9, batch=8, lr=1e38)
    tuned = tune(small(), (), IMAGES, LABELS, **SHORT)
    with pytest.raises(ValueError, match="of class 3, which no training image was of"):
        tuned.accuracy(IMAGES, LABELS - 1)
