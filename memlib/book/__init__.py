"""The book: which encoders are trained and measured, what the papers claim of them, and the pages that say so.

    base = book.design("laptop", "base")              # pairs of encoders, measured
    runs = book.experiment("laptop", "finetuning")    # what was cut into them
    book.so_far("laptop", "base")                     # pairs that are measured already; nothing is trained
    base.over(book.estimates.mirrored("8"))           # a number over pairs, with its interval

The names below are imported when they are first used: planning imports no torch.
"""

import importlib
from typing import Any

_HOME = {
    "design": "study",
    "join": "study",
    "so_far": "study",
    "sweep": "study",
    "by_arm": "study",
    "experiment": "runs",
}
_MODULES = (
    "claims",
    "costs",
    "designs",
    "estimates",
    "experiments",
    "pages",
    "paper",
    "plan",
    "show",
    "study",
    "words",
)

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"memlib.book.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"memlib.book.{name}")
    raise AttributeError(f"module 'memlib.book' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
