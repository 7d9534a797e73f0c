"""Linear probes and kNN: what must come out, alone and in a grid, and what is refused."""

import numpy as np
import pytest
import torch
from lightly.utils.lars import LARS
from sklearn.linear_model import LogisticRegression
from torch import nn

from memlib import data, probe
from memlib.data.dataset import Dataset
from memlib.encoders import build_encoder
from memlib.probe import classifiers

SHORT = {"epochs": 15, "warmup": 2}


def blobs(n=150, d=16, classes=3, apart=6.0, seed=0):
    """Features [n, d] and labels [n] of classes whose means are that far apart."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    centres = apart * torch.eye(classes, d)
    return centres[labels] + torch.randn(n, d, generator=draw), labels


def four(**choices):
    """Training and test features and labels."""
    return *blobs(**choices), *blobs(seed=1, **choices)


@pytest.fixture(scope="module")
def digits():
    """What an untrained ResNet9 makes of digits: 600 training points and all test points."""
    torch.manual_seed(0)
    encoder = build_encoder("resnet9")
    train, test = data.load("digits", "train", size=32), data.load("digits", "test", size=32)
    known = probe.features(encoder, train.images[:600])
    return known, train.labels[:600], probe.features(encoder, test), test.labels


# ---------------------------------------------------------------- accuracy


@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_classes_that_a_line_separates_are_all_told_apart(optimizer):
    found = probe.linear(*four(apart=30.0), optimizer=optimizer)
    assert (found.mean, found.std, found.each) == (1.0, 0.0, (1.0, 1.0, 1.0))


def test_labels_that_mean_nothing_give_chance():
    x, y, z, expected = four(n=1000, classes=4, apart=0.0)
    assert probe.linear(x, y, z, expected, **SHORT).mean == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("name", ["mae", "simclr", "simsiam"])
def test_a_probe_of_table_9_agrees_with_logistic_regression_on_features_of_digits(digits, name):
    known, labels, asked, expected = digits
    mean, std = known.mean(0), known.std(0)
    reference = LogisticRegression(C=0.1, max_iter=1000).fit(((known - mean) / std).numpy(), labels.numpy())
    wanted = reference.score(((asked - mean) / std).numpy(), expected.numpy())
    choices = {k: v for k, v in probe.TABLE_9[name].items() if k != "batch" or name == "simsiam"}
    assert wanted > 0.95
    assert probe.linear(*digits, **choices).mean == pytest.approx(wanted, abs=0.03)


def test_few_points_are_still_fitted_as_an_epoch_keeps_its_twelve_steps(digits):
    known, labels, asked, expected = digits
    few = known[:120], labels[:120], asked, expected
    assert probe.linear(*few).mean > probe.linear(*few, batch=4096).mean + 0.1


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_lars_takes_the_steps_of_lightly_s(weight_decay):
    x, y, _, _ = four()
    mean, std = x.mean(0), x.std(0, correction=0)
    solver = classifiers._Solver(3, [7], 5, 1, 150, 1.6, "lars", weight_decay)
    found, _ = solver.solve(((x - mean) / std)[None], y)
    draw = torch.Generator().manual_seed(7)
    weight = nn.Parameter(classifiers.INITIAL * torch.randn(3, 16, generator=draw))
    bias = nn.Parameter(torch.zeros(3))
    # lightly's adapts only what has some weight decay
    groups = [{"params": [weight], "weight_decay": weight_decay or 1e-12}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = LARS(groups, lr=1.6, momentum=0.9)
    for lr in (1.6, 1.6, 1.2, 0.4, 0.0):  # a warm-up of one step, then half a cosine over four
        optimizer.zero_grad()
        nn.functional.cross_entropy(((x - mean) / std) @ weight.T + bias, y).backward()
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    torch.testing.assert_close(found[0, 0], weight.detach(), rtol=2e-3, atol=1e-5)


# ---------------------------------------------------------------- together, and again


@pytest.mark.parametrize("optimizer", ["lars", "adamw"])
def test_a_grid_finds_what_its_probes_find_one_by_one(optimizer, monkeypatch):
    sets = [four(n=300, d=24, apart=1.0 + 0.5 * i) for i in range(5)]
    x, z = torch.stack([s[0] for s in sets]), torch.stack([s[2] for s in sets])
    y, expected = sets[0][1], sets[0][3]
    together = probe.grid(x, y, z, expected, optimizer=optimizer, seeds=[3, 5], **SHORT)
    alone = [
        [probe.linear(a, y, b, expected, optimizer=optimizer, seeds=[seed], **SHORT).mean for seed in (3, 5)]
        for a, b in zip(x, z, strict=True)
    ]
    assert len({one.mean for one in together}) > 2
    np.testing.assert_allclose([one.each for one in together], alone, atol=1.01 / 300)
    monkeypatch.setattr(classifiers, "CACHE", 1)  # one encoder after the other
    assert [one.each for one in probe.grid(x, y, z, expected, optimizer=optimizer, seeds=[3, 5], **SHORT)] == [
        pytest.approx(one.each, abs=1.01 / 300) for one in together
    ]


def test_equal_seeds_find_the_same_and_leave_the_global_generator_alone():
    given = four(n=200, apart=1.0)
    before = torch.get_rng_state()
    first = probe.linear(*given, seeds=[4, 8, 9], **SHORT)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    assert probe.linear(*given, seeds=[4, 8, 9], **SHORT) == first
    assert probe.linear(*given, seeds=[8], **SHORT).each == (first.each[1],)
    assert first.std == pytest.approx(np.std(first.each, ddof=1))


@pytest.mark.parametrize(("scale", "shift"), [(1024.0, 0.0), (1 / 1024, 0.0), (7.0, 3.0)])
def test_neither_scale_nor_shift_of_the_features_matters(scale, shift):
    x, y, z, expected = four(n=200, apart=1.5)
    plain = probe.linear(x, y, z, expected, **SHORT)
    found = probe.linear(scale * x + shift, y, scale * z + shift, expected, **SHORT)
    assert found.each == pytest.approx(plain.each, abs=1.01 / 200)


def test_features_that_are_the_same_on_all_training_points_change_nothing():
    x, y, z, expected = four(n=200, apart=1.5)
    same = torch.full((200, 2), 0.1)
    other = 1e6 * torch.randn(200, 2, generator=torch.Generator().manual_seed(3))
    found = classifiers._standardised(torch.cat([x, same], 1)[None], torch.cat([z, other], 1)[None])
    assert not found[0][..., -2:].any()
    assert not found[1][..., -2:].any()
    first = probe.linear(torch.cat([x, same], 1), y, torch.cat([z, other], 1), expected, **SHORT)
    assert first == probe.linear(torch.cat([x, same], 1), y, torch.cat([z, same], 1), expected, **SHORT)


def test_labels_may_be_any_classes():
    x, y, z, expected = four(n=200, apart=1.5)
    assert probe.linear(x, 7 + 5 * y, z, 7 + 5 * expected, **SHORT) == probe.linear(x, y, z, expected, **SHORT)
    assert probe.knn(x, 7 + 5 * y, z, 7 + 5 * expected) == probe.knn(x, y, z, expected)


# ---------------------------------------------------------------- kNN


def test_knn_votes_with_weights_that_grow_with_similarity():
    # from the test point at 0 degrees: class 1 at 10 degrees, class 0 at 30 and 31, class 1 at 180
    degrees = torch.deg2rad(torch.tensor([10.0, 30.0, 31.0, 180.0]))
    x = torch.stack([degrees.cos(), degrees.sin()], 1) * torch.tensor([[1.0], [50.0], [0.1], [3.0]])
    y, z = torch.tensor([1, 0, 0, 1]), torch.tensor([[2.0, 0.0]])
    one, zero = torch.tensor([1]), torch.tensor([0])
    # exp((cos 10 - cos 30) / T) is 5.4 at T = .07, more than the two others together; 1.1 at T = 1
    assert probe.knn(x, y, z, one, k=3, temperature=0.07) == 1.0
    assert probe.knn(x, y, z, zero, k=3, temperature=1.0) == 1.0
    assert probe.knn(x, y, z, one, k=1, temperature=1.0) == 1.0
    assert probe.knn(x, y, z, one, k=3, temperature=1e-4) == 1.0


def test_knn_is_the_share_of_points_told_right_whatever_the_block(digits):
    known, labels, asked, expected = digits
    each = [probe.knn(known, labels, a[None], e[None]) for a, e in zip(asked, expected, strict=True)]
    assert probe.knn(known, labels, asked, expected) == pytest.approx(np.mean(each), abs=1.01 / len(asked))
    assert np.mean(each) > 0.9


# ---------------------------------------------------------------- features


class Mean(nn.Module):
    """The mean of each channel, after a part that is not the same in training."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3, affine=False)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        if len(x) == 13:
            raise RuntimeError("thirteen")
        return self.drop(self.bn(x)).mean((2, 3))


def test_features_are_those_of_normalised_images_in_evaluation_mode_whatever_the_batch():
    images = torch.randint(0, 256, (10, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    model = Mean().train()
    model.drop.eval()
    found = probe.features(model, images, batch=3)
    plain = (images / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    torch.testing.assert_close(found, plain.mean((2, 3)) / (1 + 1e-5) ** 0.5)
    assert (found.dtype, found.device.type, found.requires_grad) == (torch.float32, "cpu", False)
    torch.testing.assert_close(probe.features(model, images, batch=100, device="cpu"), found)
    assert not model.bn.running_mean.any()


@pytest.mark.parametrize("n", [4, 13])
def test_every_part_of_the_encoder_is_in_its_mode_again_even_if_it_raised(n):
    model = Mean().train()
    model.drop.eval()
    images = torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
    if n == 13:
        with pytest.raises(RuntimeError, match="thirteen"):
            probe.features(model, images)
    else:
        probe.features(model, images)
    assert [m.training for m in model.modules()] == [True, True, False]


def test_an_encoder_that_puts_out_maps_is_refused():
    with pytest.raises(ValueError, match=r"puts out \(2, 3, 8, 8\) for 2 images: allowed is \[N, D\]"):
        probe.features(nn.Identity(), torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


# ---------------------------------------------------------------- data sets


def test_a_data_set_is_probed_by_its_name(digits):
    torch.manual_seed(0)
    assert probe.probe(build_encoder("resnet9"), "digits", points=600, **SHORT) == probe.linear(*digits, **SHORT)


def test_a_data_set_without_labels_is_refused_before_anything_runs(monkeypatch):
    bare = Dataset(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), None, (), "pets")
    monkeypatch.setattr(data, "load", lambda *arguments: bare)
    with pytest.raises(ValueError, match="pets has no labels"):
        probe.probe(nn.Identity(), "pets")


def test_only_as_many_points_as_asked_for_are_tested():
    torch.manual_seed(0)
    found = probe.probe(build_encoder("resnet9"), "digits", 32, 200, 40, seeds=1, **SHORT)
    assert found.mean * 40 == pytest.approx(round(found.mean * 40))
    assert 0.2 < found.mean <= 1


@pytest.mark.parametrize(("name", "most"), [("points", 1442), ("tested", 355)])
def test_more_points_than_there_are_are_refused(name, most):
    with pytest.raises(ValueError, match=f"{name}=5000: allowed is None, or 2 to {most}"):
        probe.probe(nn.Identity(), "digits", **{name: 5000})


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("function", [probe.linear, probe.knn])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, y, z, e: (x, None, z, e), "train_labels has points without a label"),
        (lambda x, y, z, e: (x, y, z, e - 1), "test_labels has points without a label"),
        (lambda x, y, z, e: (x, y.float(), z, e), "allowed are integers"),
        (lambda x, y, z, e: (x, torch.full_like(y, 2), z, e), "all training points are of class 2"),
        (lambda x, y, z, e: (x[1:], y, z, e), "train_features has 149 points and train_labels 150"),
        (lambda x, y, z, e: (x, y, z, e[1:]), "test_features has 150 points and test_labels 149"),
        (lambda x, y, z, e: (x[:0], y[:0], z, e), "one point or more"),
        (lambda x, y, z, e: (x, y, z[:, 1:], e), "16 values a point and test_features 15"),
        (lambda x, y, z, e: (x, y, z, e + 2), "no training point is of class 3, 4, and test points are"),
        (lambda x, y, z, e: (x / 0, y, z, e), "train_features .* not finite"),
        (lambda x, y, z, e: (x[0], y, z, e), r"train_features of shape \(16,\): allowed is \[N, D\]"),
    ],
)
def test_points_that_do_not_fit_together_are_refused(function, change, said):
    with pytest.raises(ValueError, match=said):
        function(*change(*four()))


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"epochs": 0}, "epochs=0: allowed is an integer from 1 up"),
        ({"batch": 2.5}, "batch=2.5: allowed is an integer from 1 up"),
        ({"epochs": 5}, "warmup=10: allowed is 0 to epochs=5"),
        ({"lr": float("nan")}, "lr=nan: allowed is above 0"),
        ({"weight_decay": -1}, "weight_decay=-1: allowed is 0 or more"),
        ({"seeds": 0}, "seeds=.*: allowed is 1 or more"),
    ],
)
def test_choices_out_of_range_are_refused(choices, said):
    with pytest.raises(ValueError, match=said):
        probe.linear(*four(), **choices)


def test_an_unknown_optimizer_is_refused_with_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'adamw'"):
        probe.linear(*four(), optimizer="adam")


def test_k_and_temperature_out_of_range_are_refused():
    with pytest.raises(ValueError, match="k=151 with 150 training points: allowed is 1 to 150"):
        probe.knn(*four(), k=151)
    with pytest.raises(ValueError, match="temperature=0: allowed is above 0"):
        probe.knn(*four(), temperature=0)


def test_a_grid_of_different_numbers_of_encoders_is_refused():
    x, y, z, expected = four()
    with pytest.raises(ValueError, match=r"allowed are \[G, N, D\] and \[G, M, D\]"):
        probe.grid(x[None], y, z[None].repeat(2, 1, 1), expected)
