"""Augmentation sets: random per image, seeded, in range, the same whoever calls."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memlib import augmentation
from memlib.augment import IMAGENET_MEAN, IMAGENET_STD
from memlib.specs import AUGMENTATIONS

RANDOM = [name for name in AUGMENTATIONS if name != "none"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n=8, size=32, seed=0):
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=seeded(seed))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_same_seed_gives_the_same_views_and_leaves_the_global_state(name):
    augment, images = augmentation(name), noise()
    before = torch.random.get_rng_state()
    first = augment(images, seeded(5))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(first, augment(images, seeded(5)))


@pytest.mark.parametrize("name", RANDOM)
def test_parameters_are_drawn_per_image_not_per_batch(name):
    views = augmentation(name)(noise(1).expand(16, -1, -1, -1), seeded())
    assert len({tuple(v.flatten()[:64].tolist()) for v in views}) > 8


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_are_normalised_pixels_of_the_size_asked_for(name):
    views = augmentation(name, size=24)(noise(), seeded())
    assert views.shape == (8, 3, 24, 24)
    assert views.dtype == torch.float32
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    pixels = views * std + mean
    assert pixels.min() >= -1e-3
    assert pixels.max() <= 1 + 1e-3


def test_none_is_the_image_normalised():
    images = noise()
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    torch.testing.assert_close(augmentation("none")(images, seeded()), (images.float() / 255 - mean) / std)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.sampled_from([16, 32, 40]), st.integers(0, 99))
def test_masking_hides_exactly_three_quarters_of_the_patches(n, size, seed):
    views = augmentation("masking", size=size)(noise(n, size).clamp(min=200), seeded(seed))
    hidden = (views == 0).all(1)  # [n, size, size]; pixels of 200 and more are never the mean colour
    assert (hidden.float().mean((1, 2)) == 0.75).all()


def test_every_flip_happens_as_often_as_asked():
    half = torch.zeros(400, 3, 32, 32, dtype=torch.uint8)
    half[..., :16, :] = 255  # bright above; the vertical flip turns it over

    def turned(flip):
        views = augmentation("strong", flip=flip)(half, seeded())
        top, bottom = views[..., :8, :].mean((1, 2, 3)), views[..., -8:, :].mean((1, 2, 3))
        told = (top - bottom).abs() > 0.1
        return (bottom > top)[told].float().mean()

    assert turned(0.0) == 0
    assert turned(1.0) == 1
    assert 0.4 < turned(0.5) < 0.6


def test_grayscale_of_the_normal_set_comes_in_a_fifth_of_the_views():
    images = noise(4).repeat(100, 1, 1, 1)
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    pixels = augmentation("normal")(images, seeded()) * std + mean
    grey = ((pixels.amax(1) - pixels.amin(1)) < 1e-4).all(2).all(1)
    assert 0.14 < grey.float().mean() < 0.27


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (torch.zeros(2, 1, 32, 32), r"allowed is \[N, 3, H, W\]"),
        (torch.zeros(3, 32, 32), r"allowed is \[N, 3, H, W\]"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.int64), "allowed are uint8"),
        (torch.full((2, 3, 32, 32), 1.5), "allowed is 0..1"),
        (torch.full((2, 3, 32, 32), float("nan")), "allowed is 0..1"),
    ],
)
def test_images_of_another_kind_are_refused_with_what_is_allowed(images, text):
    with pytest.raises(ValueError, match=text):
        augmentation("none")(images, seeded())


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'strong'"):
        augmentation("strng")
