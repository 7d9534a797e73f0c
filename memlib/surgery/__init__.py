"""Cutting into encoders: replacing layers, silencing units, tuning chosen layers or a single unit.

Everything works on a copy, or is undone when its block ends: an encoder is never left half edited.
"""

from memlib.surgery.parts import parts
from memlib.surgery.unit import tune_unit
from memlib.surgery.replace import replace
from memlib.surgery.variants import features, subsets

__all__ = ["features", "parts", "replace", "subsets", "tune_unit"]
