"""Cutting into encoders: replacing layers, silencing units, tuning chosen layers or a single unit.

Everything works on a copy, or is undone when its block ends: an encoder is never left half edited.
"""

from memlib.surgery.parts import parts

__all__ = ["parts"]
