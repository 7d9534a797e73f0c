"""What each framework adds to an encoder: its heads, its views of a batch, and its loss for one step."""

from __future__ import annotations

from memlib.augment import augmentation
from memlib.encoders import Encoder
from memlib.objectives.base import Objective
from memlib.objectives.pairs import BYOL, SimCLR, SimSiam
from memlib.objectives.patches import MAE
from memlib.objectives.supervised import Supervised
from memlib.objectives.teacher import DINO
from memlib.specs import FRAMEWORKS, EncoderSpec, nearest

__all__ = ["BUILDERS", "BYOL", "DINO", "MAE", "Objective", "SimCLR", "SimSiam", "Supervised", "build_objective"]

BUILDERS: dict[str, type[Objective]] = {
    "simclr": SimCLR,
    "simsiam": SimSiam,
    "byol": BYOL,
    "dino": DINO,
    "mae": MAE,
    "supervised": Supervised,
}


def build_objective(encoder: Encoder, spec: EncoderSpec, classes: int = 0) -> Objective:
    """The objective of a spec around an encoder, heads drawn from torch's global generator.

    Args:
        classes: Of the data set's labels; 0: it has none.

    Raises:
        KeyError: The framework is unknown.
        ValueError: It needs labels and there are none.
    """
    if spec.framework not in BUILDERS:
        raise nearest(spec.framework, FRAMEWORKS, "framework")
    augment = augmentation(spec.augment, spec.size, flip=spec.flip)
    return BUILDERS[spec.framework](encoder, spec, augment, classes)
