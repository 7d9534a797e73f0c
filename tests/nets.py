"""A small network and images for it, of any encoder that is not memlib's."""

import torch
from torch import nn


def images_of(n, size=16):
    """Smooth random images, so that views of one are alike."""
    small = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(n))
    return (nn.functional.interpolate(small, (size, size), mode="bilinear") * 255).to(torch.uint8)


def noisy(images, generator):
    """A trivial augmentation."""
    x = images.float() / 255
    return x + 0.3 * torch.randn(x.shape, generator=generator)


class Net(nn.Module):
    """A convolution whose BatchNorm output is overwritten in place, tokens, and a vector."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(5)
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.LayerNorm(5)
        self.out = nn.Linear(5, 7)

    def forward(self, x):
        x = self.relu(self.bn(self.conv(x)))  # [N, 5, 8, 8]
        x = self.norm(x.flatten(2).transpose(1, 2))  # [N, 64, 5]
        return self.out(x.mean(1))  # [N, 7]
