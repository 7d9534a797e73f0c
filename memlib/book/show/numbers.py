"""The numbers behind a page's tables and figures, as CSV files that its reader can save."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from memlib.stats import Interval

_kept: dict[str, str] = {}  # of the page that is being executed: words -> CSV


def start() -> None:
    """Forget what was shown before: a new page begins."""
    _kept.clear()


def keep(words: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep the numbers of a table or figure: an interval takes three columns, its bounds beside the mean."""
    if not rows:
        return
    spread = [{k: v for column, value in row.items() for k, v in _columns(column, value)} for row in rows]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(dict.fromkeys(k for row in spread for k in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(spread)
    name, count = words, 1
    while _kept.get(name, file.getvalue()) != file.getvalue():
        name, count = f"{words} ({count + 1})", count + 1
    _kept[name] = file.getvalue()


def series(words: str, parts: Mapping[str, Mapping[str, Mapping[Any, Any]]]) -> None:
    """Keep what a chart draws: title -> label -> {place: value}."""
    keep(
        words,
        [
            {**({"panel": title} if title else {}), "series": label, "place": place, "value": value}
            for title, part in parts.items()
            for label, values in part.items()
            for place, value in values.items()
        ],
    )


def kept() -> dict[str, str]:
    """What the page has shown so far: words -> CSV."""
    return dict(_kept)


def _columns(column: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, tuple) and len(value) == 3:
        return list(zip((column, f"{column}, low", f"{column}, high"), map(_cell, value), strict=True))
    if isinstance(value, Interval):
        return _columns(column, (value.mean, value.low, value.high))
    return [(column, _cell(value))]


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.5g}" if isinstance(value, Real) and not isinstance(value, bool | int) else str(value)
