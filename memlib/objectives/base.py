"""What the training loop knows of an objective."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from memlib.augment import Augmentation
from memlib.encoders import Encoder
from memlib.specs import EncoderSpec


class Objective(nn.Module, ABC):
    """An encoder with what a framework trains it by; the loop knows only `views`, `forward` and `update`.

    Attributes:
        measured: Name of the part that is measured afterwards: the encoder that is trained, or its teacher.
    """

    measured: ClassVar[str] = "encoder"
    encoder: Encoder

    def __init__(self, encoder: Encoder, spec: EncoderSpec, augment: Augmentation, classes: int = 0) -> None:
        super().__init__()
        self.encoder, self.augment = encoder, augment
        self.normalised = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in encoder.modules())
        self.wide = min(4 * encoder.dim, 2048)  # hidden units of heads: the frameworks' 2048, less for small encoders

    @abstractmethod
    def views(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """What `forward` takes, each with B rows: uint8 images [B, 3, H, W] and labels [B] made into views."""

    @abstractmethod
    def forward(self, *views: Tensor) -> Tensor:
        """The loss of one step, a float32 scalar."""

    def update(self, share: float) -> None:  # most objectives have nothing to do
        """What follows an optimizer step, at a share of the training in 0..1: a teacher's moving average."""

    def two_views(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two random views of each image, float32 [B, 3, S, S] each."""
        both = self.augment(images.repeat(2, 1, 1, 1), generator)
        first, second = both.contiguous(memory_format=torch.channels_last).chunk(2)
        return first, second


def momentum(start: float, share: float) -> float:
    """A teacher's momentum at a share of the training: half a cosine from `start` to 1 (BYOL, DINO)."""
    return 1 - (1 - start) * (math.cos(math.pi * share) + 1) / 2


def exact(x: Tensor) -> torch.autocast:
    """A context without autocast: similarities divided by a temperature want all their digits."""
    return torch.autocast(x.device.type, enabled=False)
