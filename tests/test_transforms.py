"""Transforms of torchvision and kornia as augmentations."""

import kornia.augmentation as K
import pytest
import torch
from nets import Net, images_of
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2

from memlib import layermem, measure
from memlib.measure.passes import Views

IMAGES = images_of(4, 8)


TRANSFORMS = {
    "torchvision v2": v2.Compose([v2.RandomResizedCrop(8), v2.ToDtype(torch.float32, scale=True)]),
    "torchvision v1": transforms.Compose(
        [transforms.RandomCrop(6), transforms.ConvertImageDtype(torch.float32), transforms.Normalize(0.5, 0.5)]
    ),
    "kornia": K.RandomResizedCrop((8, 8)),
    "kornia's sequence": K.AugmentationSequential(K.RandomCrop((6, 6)), K.RandomHorizontalFlip()),
    "a sequence of kornia's": nn.Sequential(K.RandomCrop((6, 6)), K.RandomErasing(p=1.0)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_torchvision_and_kornia_are_augmentations_random_for_each_view_of_each_image(name):
    same = IMAGES[:1].expand(4, -1, -1, -1)
    first, again = (Views(same, TRANSFORMS[name], 3, 0, False).block(0, torch.device("cpu"))[:12] for _ in range(2))
    assert torch.equal(first, again)
    assert len({tuple(view.flatten().tolist()) for view in first}) > 3  # more than there are views
    assert 1e-3 < float(first.std()) < 1
    found = layermem(Net(), Net(), IMAGES, augment=TRANSFORMS[name], views=2)
    assert len(found.table()) == 6


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (transforms.Compose([transforms.RandomCrop(6), transforms.ToTensor()]), "where it has ToTensor"),
        (v2.RandomCrop(6), "end it with v2.ToDtype"),
        (3, "augment is int"),
    ],
)
def test_an_augmentation_that_cannot_be_used_says_what_to_change(augment, said):
    with pytest.raises(ValueError, match=said):
        measure.alignment(Net(), IMAGES, augment, views=2)


def test_torchvision_transforms_the_images_that_there_are_each_as_beside_others():
    calls = []
    transform = v2.Compose([v2.RandomCrop(6), v2.Lambda(lambda x: calls.append(1) or x / 255)])
    few, more = (Views(images_of(4, 8)[:n], transform, 3, 0, False) for n in (2, 4))
    first = few.block(0, torch.device("cpu"))
    assert len(calls) == 6
    assert torch.equal(more.block(0, torch.device("cpu"))[:6], first)
