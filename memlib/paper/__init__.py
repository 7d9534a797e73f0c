"""Numbers that the papers print, for tables that set them beside ours. Never a target of a test.

Paper A: "Localizing Memorization in SSL Vision Encoders" (NeurIPS 2024).
"""

from memlib.paper.finetuning import TABLE_5
from memlib.paper.frameworks import PROBE, TABLE_4_RESNET50, TABLE_4_VIT_BASE, TABLE_29, TABLE_31
from memlib.paper.injection import TABLES_13_14
from memlib.paper.pruning import TABLE_6
from memlib.paper.replacement import (
    TABLE_22,
    TABLE_23,
    TABLE_24,
    TABLE_25,
    TABLE_30_32_33,
    TABLE_30_NONE,
    TABLE_32_NONE,
)
from memlib.paper.resnet9 import TABLE_1, TABLE_3, TABLE_18
from memlib.paper.resnets import TABLE_15, TABLE_16, TABLE_17
from memlib.paper.supervised import TABLE_20
from memlib.paper.vit import TABLE_2, TABLE_10

__all__ = [
    "PROBE",
    "TABLES_13_14",
    "TABLE_1",
    "TABLE_2",
    "TABLE_3",
    "TABLE_4_RESNET50",
    "TABLE_4_VIT_BASE",
    "TABLE_5",
    "TABLE_6",
    "TABLE_10",
    "TABLE_15",
    "TABLE_16",
    "TABLE_17",
    "TABLE_18",
    "TABLE_20",
    "TABLE_22",
    "TABLE_23",
    "TABLE_24",
    "TABLE_25",
    "TABLE_29",
    "TABLE_30_32_33",
    "TABLE_30_NONE",
    "TABLE_31",
    "TABLE_32_NONE",
]
