"""What each framework adds to an encoder: its heads, its views of a batch, and its loss for one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from memlib.augment import Augmentation
from memlib.encoders import Encoder
from memlib.specs import FRAMEWORKS, EncoderSpec, nearest


class Objective(nn.Module, ABC):
    """An encoder with what a framework trains it by; the loop knows only these two methods."""

    encoder: Encoder

    @abstractmethod
    def views(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """What `forward` takes: uint8 images [B, 3, H, W] and labels [B] made into views, without gradients."""

    @abstractmethod
    def forward(self, *views: Tensor) -> Tensor:
        """The loss of one step, a float32 scalar."""


class SimCLR(Objective):
    """Two views of a point attract each other and repel all other views of the batch (Chen et al., 2020)."""

    def __init__(self, encoder: Encoder, augment: Augmentation, spec: EncoderSpec) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead

        super().__init__()
        self.encoder = encoder
        self.head = SimCLRProjectionHead(encoder.dim, encoder.dim, 128)
        self.loss = NTXentLoss(temperature=spec.temperature, gather_distributed=True)
        self.augment = augment

    def views(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        pairs = self.augment(images.repeat(2, 1, 1, 1), generator)  # [2B, 3, S, S]: first views, second views
        return (pairs.contiguous(memory_format=torch.channels_last),)

    def forward(self, *views: Tensor) -> Tensor:
        (pairs,) = views
        z = self.head(self.encoder(pairs))
        with torch.autocast(pairs.device.type, enabled=False):  # similarities over T want all their digits
            return self.loss(*z.float().chunk(2))


BUILDERS: dict[str, Callable[[Encoder, Augmentation, EncoderSpec], Objective]] = {"simclr": SimCLR}


def build_objective(encoder: Encoder, augment: Augmentation, spec: EncoderSpec) -> Objective:
    """The objective of a spec around an encoder, heads drawn from torch's global generator.

    Raises:
        KeyError: The framework is unknown.
    """
    if spec.framework not in BUILDERS:
        raise nearest(spec.framework, FRAMEWORKS, "framework")
    return BUILDERS[spec.framework](encoder, augment, spec)
