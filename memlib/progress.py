"""A bar on a terminal, and nothing anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Terminal:
    """Standard error, on which nothing breaks: the terminal may go away, and the work goes on."""

    def write(self, text: str) -> None:
        with suppress(AttributeError, OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def on_terminal() -> bool:
    """Whether standard error is a terminal; a page, a file, and one that is closed are none."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # closed
        return False


def bar(total: int, what: str, unit: str, **more: Any) -> Any:
    """A bar of tqdm with the time left, which is gone in the end."""
    from tqdm import tqdm

    silent = {"disable": True} if not on_terminal() else {}
    return tqdm(total=total, desc=what, unit=unit, leave=False, file=_Terminal(), **more | silent)


@contextmanager
def progress(total: int, what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """A bar of what takes longer than a second; gives a function to call with how much was done."""
    with bar(total, what, unit, delay=1) as shown:
        yield shown.update
