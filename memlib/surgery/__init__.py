"""Cutting into encoders: replacing layers, silencing units, tuning chosen layers or a single unit.

Everything works on a copy, or is undone when its block ends: an encoder is never left half edited.
"""

from memlib.surgery.parts import parts
from memlib.surgery.pruned import silenced_features
from memlib.surgery.replace import replace
from memlib.surgery.silence import silence, silenced
from memlib.surgery.tune import Tuned, tune
from memlib.surgery.unit import tune_unit
from memlib.surgery.variants import features, subsets

__all__ = [
    "Tuned",
    "features",
    "parts",
    "replace",
    "silence",
    "silenced",
    "silenced_features",
    "subsets",
    "tune",
    "tune_unit",
]
