"""DINO: a student learns what its moving average says of other crops."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn

from memlib.augment import Augmentation, augmentation
from memlib.encoders import Encoder
from memlib.objectives.base import Objective, exact, momentum
from memlib.specs import EncoderSpec

LOCAL = 4  # small crops a point; the paper's 8 at 224 pixels
LOCAL_SCALE = (0.05, 0.4)  # share of the image's area that one covers


class DINO(Objective):
    """The student's view of every crop meets the teacher's, centred and sharpened, of two large ones.

    Multi-crop scaled to the image size: two views of `size` by the spec's augmentation set, and `LOCAL` of half
    that size (a whole number of patches) from up to 40 % of the image. The teacher is what is measured, as in
    Caron et al., 2021. Its temperature is .04 throughout and the last layer is trained from the first step.
    """

    measured = "teacher"

    def __init__(self, encoder: Encoder, spec: EncoderSpec, augment: Augmentation, classes: int = 0) -> None:
        from lightly.loss import DINOLoss

        super().__init__(encoder, spec, augment)
        step = spec.size_of_patch or 1
        half = max(spec.size // 2 // step, 1) * step
        self.augment_local = augmentation(spec.augment, half, flip=spec.flip, crop=LOCAL_SCALE)
        self.head = self._head(spec.prototypes)
        self.teacher = copy.deepcopy(encoder).requires_grad_(False)
        self.teacher_head = self._head(spec.prototypes).requires_grad_(False)
        self.teacher_head.load_state_dict(self.head.state_dict())
        self.loss = DINOLoss(spec.prototypes)
        self.start = spec.momentum

    def _head(self, prototypes: int) -> nn.Module:
        from lightly.models.modules import DINOProjectionHead

        with warnings.catch_warnings():  # it uses the older of torch's two weight norms
            warnings.simplefilter("ignore", FutureWarning)
            return DINOProjectionHead(self.encoder.dim, self.wide, 256, prototypes, batch_norm=self.normalised)

    def views(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        local = self.augment_local(images.repeat(LOCAL, 1, 1, 1), generator)
        local = local.contiguous(memory_format=torch.channels_last)
        return (*self.two_views(images, generator), *local.chunk(LOCAL))

    def forward(self, *views: Tensor) -> Tensor:
        large, small = torch.cat(views[:2]), torch.cat(views[2:])
        said = [self.head(self.encoder(crops)) for crops in (large, small)]
        with torch.no_grad():
            taught = self.teacher_head(self.teacher(large))
        with exact(taught):
            student = [*said[0].float().chunk(2), *said[1].float().chunk(LOCAL)]
            return self.loss(list(taught.float().chunk(2)), student)

    def update(self, share: float) -> None:
        from lightly.models.utils import update_momentum

        m = momentum(self.start, share)
        update_momentum(self.encoder, self.teacher, m)
        update_momentum(self.head, self.teacher_head, m)
