"""A small network and images for it, of any encoder that is not memlib's."""

import functools

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


def net(seed=0):
    torch.manual_seed(seed)
    return Net()


@functools.cache
def places(n):
    """Positions that outlive the model."""
    return torch.arange(n).float()


class Caching(nn.Module):
    """Keeps for later what it made for a size, and its last output with its gradient."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.inside, self.cache, self.last = net(), None, None

    def forward(self, x):
        if self.cache is None:
            self.cache = self.scale * torch.ones(x.shape[-1])
        x = x * self.cache + self.scale * places(x.shape[-1])
        self.last = self.inside(x)
        return self.last


class Adapter(nn.Module):
    """Merges its weights in evaluation, as adapters do, and is a rounding off when it takes them apart again."""

    def __init__(self):
        super().__init__()
        self.base, self.merged = nn.Linear(3 * 16 * 16, 6), False
        self.change = nn.Parameter(torch.randn(6, 3 * 16 * 16) * 1e-3)

    def train(self, mode=True):
        if mode == self.merged:
            self.base.weight.data += -self.change.data if mode else self.change.data
            self.merged = not mode
        return super().train(mode)

    def forward(self, x):
        x = x.flatten(1)
        return self.base(x) + (0 if self.merged else x @ self.change.T)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside, self.noise = net(), nn.Identity()

    def forward(self, x):
        return self.noise(self.inside(nn.functional.dropout(x)))
