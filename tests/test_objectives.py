"""Objectives: losses in closed form, by symmetry, on views that differ, and what a step changes."""

import math

import pytest
import torch
from torch import nn

from memlib import build_encoder
from memlib.encoders import from_spec
from memlib.objectives import BUILDERS, build_objective
from memlib.objectives.base import momentum
from memlib.specs import FRAMEWORKS, EncoderSpec
from memlib.train import steps

IMAGES = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 4


def objective(framework, arch=None, **options):
    torch.manual_seed(0)
    arch = arch or ("vit_tiny" if framework == "mae" else "resnet9")
    spec = EncoderSpec(framework=framework, arch=arch, prototypes=64, **options)
    return build_objective(from_spec(spec), spec, classes=4)


def draw(one, seed=0):
    return one.views(IMAGES, LABELS, torch.Generator().manual_seed(seed))


class Constant(nn.Module):
    """The same output for every input; what it puts out can be set."""

    def __init__(self, out):
        super().__init__()
        self.out = out

    def forward(self, x, *_):
        return self.out


def test_the_registry_is_what_specs_allow():
    assert tuple(BUILDERS) == FRAMEWORKS


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_views_are_drawn_by_their_generator_alone_and_have_a_row_a_point(framework):
    one = objective(framework)
    first = draw(one)
    torch.rand(5)
    again, other = draw(one), draw(one, 1)
    assert all(len(view) == len(IMAGES) and not view.requires_grad for view in first)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_one_step_moves_every_parameter_that_is_trained_and_no_other(framework):
    one = objective(framework, lr=0.01).train()
    before = {name: p.detach().clone() for name, p in one.named_parameters()}
    optimizer = steps.build_optimizer(one, EncoderSpec(lr=0.01))
    for step in range(2):
        loss = one(*draw(one, step))
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, p in one.named_parameters():
        if not name.endswith("conv.bias"):  # in front of a BatchNorm: no gradient but rounding
            assert torch.equal(p, before[name]) != p.requires_grad, name


@pytest.mark.parametrize("framework", ["simclr", "simsiam", "byol"])
def test_the_loss_does_not_tell_the_first_view_from_the_second(framework):
    one = objective(framework).eval()
    first, second = draw(one)
    torch.testing.assert_close(one(first, second), one(second, first))


@pytest.mark.parametrize("framework", ["simclr", "simsiam", "byol", "dino"])
def test_the_two_views_of_a_point_differ(framework):
    first, second = draw(objective(framework))[:2]
    assert all(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_simclr_of_equal_projections_is_the_log_of_the_number_of_the_others():
    one = objective("simclr")
    one.head, one.encoder = nn.Flatten(), nn.Flatten()
    same = torch.ones(6, 3, 4, 4)
    assert float(one(same, same)) == pytest.approx(math.log(11), abs=1e-5)


def test_simclr_of_orthogonal_pairs_has_the_closed_form():
    one, b = objective("simclr"), 5
    one.head, one.encoder = nn.Identity(), nn.Flatten()
    views = torch.eye(b).reshape(b, b, 1, 1)
    # positive at similarity 1, the 2b - 2 others at 0, temperature 1/2
    expected = -math.log(math.exp(2) / (math.exp(2) + 2 * b - 2))
    assert float(one(views, views)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("framework", ["simsiam", "byol"])
@pytest.mark.parametrize(("turned", "loss"), [(1.0, -1.0), (-1.0, 1.0)])
def test_the_negative_cosine_is_least_where_prediction_and_projection_agree(framework, turned, loss):
    one, z = objective(framework), torch.randn(4, 16)
    one.encoder, one.head, one.predictor = nn.Identity(), Constant(z), Constant(turned * z)
    one.teacher, one.teacher_head = nn.Identity(), Constant(z)
    assert float(one(z, z)) == pytest.approx(loss, abs=1e-5)


def test_simsiam_gives_no_gradient_through_the_projection_that_is_met():
    one, z = objective("simsiam"), torch.randn(4, 16, requires_grad=True)
    one.encoder, one.head, one.predictor = nn.Identity(), Constant(z), Constant(torch.randn(4, 16))
    loss = one(z, z)
    assert not loss.requires_grad


def test_the_teacher_is_a_moving_average_that_stands_still_at_the_end():
    one = objective("byol", momentum=0.9)
    with torch.no_grad():
        for p in one.encoder.parameters():
            p.add_(1.0)
    before = [p.clone() for p in one.teacher.parameters()]
    one.update(0.0)
    for old, new in zip(before, one.teacher.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.1, atol=1e-5, rtol=1e-5)
    one.update(1.0)
    after = [p.clone() for p in one.teacher.parameters()]
    one.update(1.0)
    assert all(torch.equal(a, b) for a, b in zip(after, one.teacher.parameters(), strict=True))
    assert [momentum(0.9, share) for share in (0.0, 0.5, 1.0)] == pytest.approx([0.9, 0.95, 1.0])


def test_dino_at_a_uniform_teacher_and_student_is_the_log_of_the_prototypes():
    one = objective("dino")
    flat = torch.zeros(2 * len(IMAGES), 64)

    class Flat(nn.Module):
        def forward(self, x):
            return flat.new_zeros(len(x), 64)

    one.encoder, one.teacher, one.head, one.teacher_head = nn.Identity(), nn.Identity(), Flat(), Flat()
    assert float(one(*draw(one))) == pytest.approx(math.log(64), abs=1e-5)


def test_dino_shows_the_teacher_the_large_crops_only_and_centres_what_it_says():
    one = objective("dino")
    views, shown = draw(one), []
    one.teacher.register_forward_pre_hook(lambda _, args: shown.append(args[0].shape))
    assert [view.shape[-1] for view in views] == [32, 32, 16, 16, 16, 16]
    one(*views)
    assert shown == [(2 * len(IMAGES), 3, 32, 32)]
    assert one.loss.center.abs().sum() > 0
    assert not any(p.requires_grad for p in one.teacher.parameters())


def test_dino_takes_local_crops_of_whole_patches():
    one = objective("dino", "vit_tiny", size=24, patch=4)
    views = draw(one)
    assert [view.shape[-1] for view in views] == [24, 24, 12, 12, 12, 12]
    assert torch.isfinite(one(*views))


def test_mae_hides_three_quarters_of_the_patches_and_scores_only_those():
    from lightly.models.utils import patchify

    one = objective("mae", augment="crop")
    images, order = draw(one)
    assert order.shape == (len(IMAGES), 64)
    assert one.kept == 16
    wanted = patchify(images, 4)
    wanted = (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True) + 1e-6).sqrt()
    hidden = order[:, 16:].unsqueeze(-1)
    right_where_hidden = torch.zeros_like(wanted).scatter(1, hidden.expand(-1, -1, 48), 0) + 7.0
    right_where_hidden.scatter_(1, hidden.expand(-1, -1, 48), wanted.gather(1, hidden.expand(-1, -1, 48)))
    one.decoder = Constant(right_where_hidden)
    assert float(one(images, order)) == pytest.approx(0, abs=1e-6)
    one.decoder = Constant(torch.zeros_like(wanted))
    hidden_only = wanted.square().mean(-1).gather(1, order[:, 16:]).mean()
    assert float(one(images, order)) == pytest.approx(float(hidden_only), rel=1e-5)


def test_maes_decoder_puts_every_patch_back_in_its_place():
    one = objective("mae", augment="crop", mask=0.5)
    one.decoder.embed, one.decoder.blocks, one.decoder.norm = nn.Identity(), nn.Identity(), nn.Identity()
    one.decoder.paint, one.decoder.places = nn.Identity(), torch.zeros(1, 65, one.encoder.dim)
    one.decoder.hidden = nn.Parameter(torch.full((1, 1, one.encoder.dim), -1.0))
    order = torch.rand(3, 64).argsort(1)
    tokens = torch.cat([torch.zeros(3, 1), order[:, :32].float()], 1).unsqueeze(-1).expand(-1, -1, one.encoder.dim)
    back = one.decoder(tokens, order.argsort(1))[..., 0]
    for row, kept in zip(back, order[:, :32], strict=True):
        assert sorted(row[row >= 0].int().tolist()) == sorted(kept.tolist())
        assert all(int(value) == place for place, value in enumerate(row) if value >= 0)


def test_mae_is_measured_with_masking_off():
    one = objective("mae", augment="crop").eval()
    view = draw(one)[0]
    shapes = []
    one.encoder.norm.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape)))
    one.encoder(view)
    assert shapes == [(len(IMAGES), 65, 192)]


def test_supervised_cross_entropy_of_equal_logits_is_the_log_of_the_classes():
    one = objective("supervised")
    nn.init.zeros_(one.head.weight)
    nn.init.zeros_(one.head.bias)
    assert one(*draw(one)).item() == pytest.approx(math.log(4), abs=1e-5)


@pytest.mark.parametrize("classes", [0, 1])
def test_supervised_training_without_labels_is_refused(classes):
    with pytest.raises(ValueError, match="data sets with labels of 2 classes or more"):
        build_objective(build_encoder("resnet9"), EncoderSpec(framework="supervised"), classes)


@pytest.mark.parametrize("framework", ["simclr", "dino"])
def test_heads_of_encoders_without_batchnorm_have_none(framework):
    vit, resnet = objective(framework, "vit_tiny"), objective(framework, "resnet9")
    norms = [sum(isinstance(m, nn.BatchNorm1d) for m in one.head.modules()) for one in (vit, resnet)]
    assert norms[0] == 0 < norms[1]
