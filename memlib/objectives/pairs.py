"""Objectives on two views of a point: SimCLR, SimSiam, BYOL."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from memlib.augment import Augmentation
from memlib.encoders import Encoder
from memlib.objectives.base import Objective, exact, momentum
from memlib.specs import EncoderSpec


class _Pairs(Objective):
    loss: nn.Module

    def views(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        return self.two_views(images, generator)

    def meet(self, p: list[Tensor], z: list[Tensor]) -> Tensor:
        """The mean loss of each view's prediction with the other view's projection."""
        with exact(p[0]):
            return (self.loss(p[0].float(), z[1].float()) + self.loss(p[1].float(), z[0].float())) / 2


class SimCLR(_Pairs):
    """Two views of a point attract each other and repel all other views of the batch (Chen et al., 2020).

    The projection head has BatchNorm where the encoder has.
    """

    def __init__(self, encoder: Encoder, spec: EncoderSpec, augment: Augmentation, classes: int = 0) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead

        super().__init__(encoder, spec, augment)
        self.head = SimCLRProjectionHead(encoder.dim, encoder.dim, 128, batch_norm=self.normalised)
        self.loss = NTXentLoss(temperature=spec.temperature, gather_distributed=True)

    def forward(self, *views: Tensor) -> Tensor:
        z = self.head(self.encoder(torch.cat(views)))
        with exact(z):
            return self.loss(*z.float().chunk(2))


class SimSiam(_Pairs):
    """Each view's prediction meets the other view's projection, which gets no gradient (Chen and He, 2021).

    The views go through the encoder one after the other: BatchNorm sees each set of views by itself.
    """

    def __init__(self, encoder: Encoder, spec: EncoderSpec, augment: Augmentation, classes: int = 0) -> None:
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead

        super().__init__(encoder, spec, augment)
        self.head = SimSiamProjectionHead(encoder.dim, self.wide, self.wide)
        self.predictor = SimSiamPredictionHead(self.wide, self.wide // 4, self.wide)
        self.loss = NegativeCosineSimilarity()

    def forward(self, *views: Tensor) -> Tensor:
        z = [self.head(self.encoder(view)) for view in views]
        return self.meet([self.predictor(one) for one in z], [one.detach() for one in z])


class BYOL(_Pairs):
    """Each view's prediction meets a slowly moving copy's projection of the other view (Grill et al., 2020)."""

    def __init__(self, encoder: Encoder, spec: EncoderSpec, augment: Augmentation, classes: int = 0) -> None:
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead

        super().__init__(encoder, spec, augment)
        self.head = BYOLProjectionHead(encoder.dim, self.wide, 256)
        self.predictor = BYOLPredictionHead(256, self.wide, 256)
        self.teacher = copy.deepcopy(encoder).requires_grad_(False)
        self.teacher_head = copy.deepcopy(self.head).requires_grad_(False)
        self.loss = NegativeCosineSimilarity()
        self.start = spec.momentum

    def forward(self, *views: Tensor) -> Tensor:
        p = [self.predictor(self.head(self.encoder(view))) for view in views]
        with torch.no_grad():
            z = [self.teacher_head(self.teacher(view)) for view in views]
        return self.meet(p, z)

    def update(self, share: float) -> None:
        from lightly.models.utils import update_momentum

        m = momentum(self.start, share)
        update_momentum(self.encoder, self.teacher, m)
        update_momentum(self.head, self.teacher_head, m)
