"""Where self-supervised vision encoders memorize single training images: SSLMem, LayerMem, UnitMem.

The names below are imported when they are first used, so that `import memlib` takes a moment.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "load": "data",
    "Dataset": "data",
    "split_points": "splits",
    "Splits": "splits",
    "augmentation": "augment",
    "Augmentation": "augment",
    "build_encoder": "encoders",
    "Encoder": "encoders",
    "EncoderSpec": "specs",
    "encoder": "train",
    "record": "taps",
    "alignment": "measure",
    "unit_activations": "measure",
    "layermem": "report",
    "unitmem": "report",
    "LayerMem": "report",
    "UnitMem": "report",
}
_MODULES = (
    *("augment", "book", "data", "encoders", "measure", "metrics", "models", "objectives", "pairs", "probe"),
    *("report", "specs", "splits", "stats", "store", "surgery", "taps", "train"),
)

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"memlib.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"memlib.{name}")
    raise AttributeError(f"module 'memlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
