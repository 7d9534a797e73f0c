"""Private training: what one point can change is bounded, covered with noise and accounted for."""

import dataclasses
import math

import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm

from memlib import store, train
from memlib.book import plan
from memlib.encoders.vits import ViT
from memlib.objectives import build_objective
from memlib.specs import EncoderSpec
from memlib.train import private, steps

MAE = EncoderSpec(
    framework="mae", arch="vit_tiny", dataset="digits", augment="masking", size=16, patch=8, subset=24, batch=8,
    epochs=4, precision="float32", epsilon=8.0, clip=0.5, seed=5, lr=1e-2,
)  # fmt: skip
SUPERVISED = dataclasses.replace(MAE, framework="supervised", augment="weak")
POINTS = 7
NEVER = 1e9  # a norm that no gradient has


def small(spec: EncoderSpec) -> ViT:
    return ViT(24, 3, spec.size, spec.size_of_patch, depth=2)


def build(spec, clip=NEVER, noise=0.0, batch=POINTS, precision="32-true"):
    """An objective of a small ViT, views of a batch, and the private gradients of the objective."""
    torch.manual_seed(0)
    objective = build_objective(small(spec), spec, 4)
    images = torch.randint(0, 256, (POINTS, 3, 16, 16), dtype=torch.uint8)
    views = steps.views(objective, images, torch.arange(POINTS) % 4, 0, 0)
    optimizer = steps.build_optimizer(objective, dataclasses.replace(spec, optimizer="sgd"))
    return objective, views, private.Clipped(objective, optimizer, noise, clip, batch, precision)


def flat(objective):
    return torch.cat([p.grad.flatten() for p in objective.parameters() if p.requires_grad])


def each_point(objective, views):
    """The gradient of each point by a backward pass of its own: float64 [B, P]."""
    gradients = []
    for i in range(POINTS):
        objective.zero_grad()
        objective(*(view[i : i + 1] for view in views)).backward()
        gradients.append(flat(objective).double())
    return torch.stack(gradients)


@pytest.mark.parametrize("spec", [MAE, SUPERVISED], ids=["mae", "supervised"])
def test_the_gradient_is_the_mean_of_the_gradients_of_points_each_clipped_by_itself(spec):
    objective, views, clipped = build(spec)
    gradients = each_point(objective, views)
    norms = gradients.norm(dim=1)
    frozen = {name for name, p in objective.named_parameters() if not p.requires_grad}
    assert frozen == ({"decoder.hidden"} if spec is MAE else set())
    for clip in (float(norms.min()) / 10, float(norms.median()), NEVER):
        clipped.clip = clip
        clipped.backward(views, 0)
        expected = (gradients * (clip / norms).clamp(max=1)[:, None]).mean(0)
        assert (flat(objective) - expected).norm() < 1e-4 * expected.norm()
    for name, p in objective.named_parameters():
        assert not p.requires_grad or p.grad.norm() > 0, name


@pytest.mark.parametrize("spec", [MAE, SUPERVISED], ids=["mae", "supervised"])
def test_a_step_without_noise_or_clipping_is_an_ordinary_step(spec):
    objective, views, clipped = build(spec)
    other, _, _ = build(spec)
    optimizer = steps.build_optimizer(other, dataclasses.replace(spec, optimizer="sgd"))
    loss = other(*views)
    loss.backward()
    optimizer.step()
    torch.testing.assert_close(clipped.backward(views, 0), loss.detach())
    clipped.optimizer.original_optimizer.step()
    for (name, p), q in zip(objective.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, msg=name, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_point_with_a_huge_gradient_changes_the_step_by_the_clip_at_most(precision):
    objective, views, clipped = build(SUPERVISED, clip=0.01, precision=precision)
    views[0][3] *= 1e4
    assert each_point(objective, views)[3].norm() > 100 * 0.01
    clipped.backward(views, 0)
    with_it = flat(objective).double()
    rest = torch.arange(POINTS) != 3
    clipped.backward([view[rest] for view in views], 0)
    moved = (with_it - flat(objective).double()).norm() * POINTS
    assert 0.005 < moved < 0.01 * (1 + 1e-4)


def test_bfloat16_gives_the_gradient_of_float32_up_to_rounding():
    exact, views, clipped = build(MAE, clip=0.1)
    clipped.backward(views, 0)
    rounded, _, clipped = build(MAE, clip=0.1, precision="bf16-mixed")
    clipped.backward(views, 0)
    assert torch.cosine_similarity(flat(exact), flat(rounded), 0) > 0.99


def test_a_batch_taken_in_parts_has_the_same_gradient(monkeypatch):
    objective, views, clipped = build(MAE, clip=0.1, noise=1.0)
    loss = clipped.backward(views, 0)
    whole = flat(objective)
    monkeypatch.setattr(private, "PHYSICAL", 3)
    torch.testing.assert_close(clipped.backward(views, 0), loss)
    torch.testing.assert_close(flat(objective), whole, atol=1e-6, rtol=1e-4)


def test_noise_has_the_stated_deviation_and_is_a_function_of_its_seed():
    objective, _, clipped = build(MAE, clip=0.5, noise=3.0, batch=10)
    assert clipped.backward([], 1) == 0  # an empty batch is a step of noise alone
    first = flat(objective)
    assert float(first.std()) == pytest.approx(3.0 * 0.5 / 10, rel=0.01)
    assert abs(float(first.mean())) < 0.002
    clipped.backward([], 1)
    assert torch.equal(flat(objective), first)
    clipped.backward([], 2)
    assert abs(float(torch.corrcoef(torch.stack([flat(objective), first]))[0, 1])) < 0.02


def test_layers_without_a_gradient_of_each_point_are_refused():
    objective, views, clipped = build(SUPERVISED)
    honest = objective.head.forward
    objective.head.forward = lambda x: honest(x.detach())
    with pytest.raises(
        RuntimeError, match=r"no gradient of each point in encoder\.embed\.proj, .*: the loss does not depend"
    ):
        clipped.backward(views, 0)
    objective, views, clipped = build(SUPERVISED)
    objective.encoder.blocks.append(objective.encoder.blocks[0])
    with pytest.raises(RuntimeError, match="used twice"):
        clipped.backward(views, 0)


def test_every_point_is_drawn_by_itself_at_the_sample_rate(monkeypatch):
    monkeypatch.setattr(private, "noise_multiplier", lambda *_: 1.0)
    draws = private.Private(MAE, 40)
    drawn = torch.stack([torch.bincount(draws.at(step), minlength=40) for step in range(500)]).double()
    assert drawn.max() == 1
    assert draws.per_epoch == 5
    assert float(drawn.mean()) == pytest.approx(8 / 40, abs=0.01)
    sizes = drawn.sum(1)
    assert float(sizes.var()) == pytest.approx(40 * 0.2 * 0.8, rel=0.25)  # binomial: no fixed size
    assert torch.equal(draws.at(3), private.Private(MAE, 40).at(3))
    assert not torch.equal(draws.at(3), draws.at(4))
    other = private.Private(dataclasses.replace(MAE, seed=6), 40)
    assert not torch.equal(draws.at(3), other.at(3))
    assert torch.equal(private.Private(MAE, 8).at(0), torch.arange(8))  # batch = n: all of them in every step


# ---------------------------------------------------------------- accounting


def test_epsilon_is_opacus_own_and_at_a_rate_of_1_that_of_the_gaussian_mechanism():
    from opacus.accountants import PRVAccountant

    delta, count = 1e-5, 12
    noise = private.noise_multiplier(8.0, delta, 8 / 24, count)
    accountant = PRVAccountant()
    for _ in range(count):
        accountant.step(noise_multiplier=noise, sample_rate=8 / 24)
    reached = private.epsilon(noise, delta, 8 / 24, count)
    assert reached == accountant.get_epsilon(delta)
    assert 7.99 <= reached <= 8.0
    assert private.epsilon(noise, delta, 8 / 24, 0) == 0.0

    mu = math.sqrt(30) / 5.0  # 30 steps of noise 5 (Balle and Wang, 2018)
    exact = brentq(lambda e: norm.cdf(mu / 2 - e / mu) - math.exp(e) * norm.cdf(-mu / 2 - e / mu) - delta, 0.1, 50)
    assert exact <= private.epsilon(5.0, delta, 1.0, 30) <= exact + 0.02


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"delta": 0.05}, r"delta=0.05 with 24 training points: allowed is below 1/n = 0.0417"),
        ({"until": 0.5, "check": 1}, r"until=0.5 with epsilon=8: .*take until=None"),
        ({"epsilon": None}, r"epsilon=None"),
    ],
)
def test_what_is_not_private_is_refused(changes, text):
    with pytest.raises(ValueError, match=text):
        private.Private(dataclasses.replace(MAE, **changes), 24)


# ---------------------------------------------------------------- training


class Killed(BaseException):
    pass


@pytest.fixture
def few(monkeypatch, tmp_path):
    """The loop with a small encoder and a store of its own."""
    monkeypatch.setattr(train, "from_spec", small)
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path / "whole"))
    return monkeypatch


def test_a_private_run_that_is_killed_and_started_again_ends_in_the_same_bits(few, tmp_path):
    expected, header = train.artefact(MAE)
    assert header["steps"] == 12
    few.setenv("MEMLIB_HOME", str(tmp_path / "killed"))
    count = 0

    def kill(self, share):
        nonlocal count
        count += 1
        if count == 8:
            raise Killed

    with few.context() as patch:
        patch.setattr("memlib.objectives.MAE.update", kill)
        with pytest.raises(Killed):
            train.artefact(MAE, save_every=0.0)
    arrays, header = train.artefact(MAE)
    assert header["started_at_step"] == 7
    assert all(torch.equal(arrays[name], value) for name, value in expected.items())
    other, _ = train.artefact(dataclasses.replace(MAE, seed=6))
    assert not torch.equal(arrays["encoder.norm.weight"], other["encoder.norm.weight"])


def test_the_header_says_what_was_spent_and_the_encoder_loads(few):
    half = dataclasses.replace(MAE, stop=2)
    arrays, header = train.artefact(half)
    assert {name.split(".")[0] for name in arrays} == {"encoder", "decoder", "loss"}
    said = header["private"]
    assert {
        "target": 8.0,
        "delta": 1e-5,
        "clip": 0.5,
        "sample_rate": 1 / 3,
        "accountant": "prv",
    }.items() <= said.items()
    assert 0 < said["epsilon"] < 7
    assert said["noise_multiplier"] == private.noise_multiplier(8.0, 1e-5, 1 / 3, 12)  # of the whole schedule
    assert train.encoder(half).made == header
    _, header = train.artefact(MAE)
    assert header["started_at_step"] == 6
    assert 7.99 <= header["private"]["epsilon"] <= 8.0
    assert store.home().exists()


@pytest.mark.parametrize("design", ["dp20", "dp8"])
def test_private_encoders_of_the_papers_scale_take_two_steps_at_full_width(design):
    wanted = plan.pairs("paper", design)[0].f.encoder
    spec = dataclasses.replace(
        wanted, dataset="digits", points="all", subset=8, shared=0, candidates=0, batch=8, epochs=2
    )
    before = train.artefact(dataclasses.replace(spec, epochs=0))[0]
    after, header = train.artefact(spec)
    assert header["steps"] == 2
    assert header["private"]["epsilon"] == pytest.approx(spec.epsilon, rel=0.01)
    assert torch.isfinite(after["loss"]).all()
    still = [name for name, old in before.items() if torch.equal(old, after[name])]
    assert still == ["decoder.hidden"]  # it has no gradient of each point, and stays as it was drawn
