"""Supervised training, against which the papers hold self-supervised training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memlib.augment import Augmentation
from memlib.encoders import Encoder
from memlib.objectives.base import Objective, exact
from memlib.specs import EncoderSpec


class Supervised(Objective):
    """Cross-entropy of a linear layer behind the encoder; measuring leaves that layer away (LayerMem paper, 5.1).

    Raises:
        ValueError: There are no labels, or of one class only.
    """

    def __init__(self, encoder: Encoder, spec: EncoderSpec, augment: Augmentation, classes: int = 0) -> None:
        super().__init__(encoder, spec, augment)
        if classes < 2:
            raise ValueError(
                f"framework='supervised' with dataset={spec.dataset!r}, which has {classes} classes: allowed are "
                "data sets with labels of 2 classes or more"
            )
        self.head = nn.Linear(encoder.dim, classes)

    def views(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        return self.augment(images, generator).contiguous(memory_format=torch.channels_last), labels

    def forward(self, *views: Tensor) -> Tensor:
        images, labels = views
        logits = self.head(self.encoder(images))
        with exact(logits):
            return nn.functional.cross_entropy(logits.float(), labels)
