"""Objectives: the loss in closed form, by symmetry, and on views that differ."""

import math

import pytest
import torch

from memlib import augmentation, build_encoder
from memlib.objectives import BUILDERS, build_objective
from memlib.specs import FRAMEWORKS, EncoderSpec


@pytest.fixture
def simclr():
    torch.manual_seed(0)
    spec = EncoderSpec(temperature=0.5)
    return build_objective(build_encoder("resnet9"), augmentation("normal"), spec)


def test_simclr_of_equal_projections_is_the_log_of_the_number_of_the_others(simclr):
    simclr.head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ConstantPad1d((0, 0), 0.0))
    simclr.encoder = torch.nn.Flatten()
    same = torch.ones(12, 3, 4, 4)
    assert float(simclr(same)) == pytest.approx(math.log(11), abs=1e-5)


def test_simclr_of_orthogonal_pairs_has_the_closed_form(simclr):
    simclr.head, simclr.encoder = torch.nn.Identity(), torch.nn.Flatten()
    b = 5
    views = torch.eye(b).repeat(2, 1).reshape(2 * b, b, 1, 1)
    # positive at similarity 1, the 2b - 2 others at 0, temperature 1/2
    expected = -math.log(math.exp(2) / (math.exp(2) + 2 * b - 2))
    assert float(simclr(views)) == pytest.approx(expected, abs=1e-5)


def test_simclr_does_not_tell_first_views_from_second_ones(simclr):
    simclr.eval()
    pairs = torch.randn(8, 3, 32, 32)
    swapped = torch.cat([pairs[4:], pairs[:4]])
    torch.testing.assert_close(simclr(pairs), simclr(swapped))


def test_the_two_views_of_a_point_differ_and_carry_no_gradient(simclr):
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    (pairs,) = simclr.views(images, torch.zeros(6), torch.Generator().manual_seed(0))
    assert pairs.shape == (12, 3, 32, 32)
    assert not pairs.requires_grad
    assert all(not torch.equal(a, b) for a, b in zip(pairs[:6], pairs[6:], strict=True))


def test_the_registry_is_what_specs_allow():
    assert tuple(BUILDERS) == FRAMEWORKS
