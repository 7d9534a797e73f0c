"""Numbers that the papers print, for tables that set them beside ours. Never a target of a test.

Paper A: "Localizing Memorization in SSL Vision Encoders" (NeurIPS 2024).
"""

from memlib.paper.frameworks import PROBE, TABLE_4_RESNET50, TABLE_4_VIT_BASE, TABLE_29, TABLE_31
from memlib.paper.resnet9 import TABLE_1, TABLE_3, TABLE_18
from memlib.paper.resnets import TABLE_15, TABLE_16, TABLE_17
from memlib.paper.supervised import TABLE_20
from memlib.paper.vit import TABLE_2, TABLE_10

__all__ = [
    "PROBE",
    "TABLE_1",
    "TABLE_2",
    "TABLE_3",
    "TABLE_4_RESNET50",
    "TABLE_4_VIT_BASE",
    "TABLE_10",
    "TABLE_15",
    "TABLE_16",
    "TABLE_17",
    "TABLE_18",
    "TABLE_20",
    "TABLE_29",
    "TABLE_31",
]
