"""Tables as HTML with a plain text beside it, for notebooks, terminals and search."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book.show import numbers
from memlib.stats import Interval, number

if TYPE_CHECKING:
    import pandas as pd

UNFOLDED = 8  # rows of a table that stand without a click


@dataclass(frozen=True)
class Html:
    """What a cell shows: HTML in a notebook, text elsewhere."""

    data: str
    text: str

    def _repr_html_(self) -> str:
        return self.data

    def __repr__(self) -> str:
        return self.text


def say(text: str) -> Html:
    """Sentences as a paragraph, which is as wide as the page."""
    return Html(f"<p>{html.escape(text)}</p>", text)


def table(
    rows: Sequence[Mapping[str, Any]] | pd.DataFrame,
    formats: Mapping[str, str] | None = None,
    caption: str = "",
    kept: bool = True,
) -> Html:
    """Rows as a table; on a narrow screen the table scrolls, not the page, and rows beyond the eighth are folded.

        show.table([{"layer": n, "paper": printed.get(n), "mirrored": found[n]} for n in layers], {"mirrored": ".4f"})

    Args:
        rows: column -> cell: an `Interval`, a number, words, None or NaN for a dash, True and False for yes and no.
            A column that a row lacks is a dash there.
        formats: column -> format of its numbers and intervals, as `stats.number` takes it: `.4f`, `+.3f`, `%`.
        kept: whether the page offers its numbers as CSV; a table whose first column has no name has none.

    Raises:
        KeyError: a format for a column that is not there.
    """
    import pandas as pd

    from memlib.specs import nearest

    if not isinstance(rows, pd.DataFrame):
        rows = pd.DataFrame({c: [row.get(c) for row in rows] for c in _merged(rows)}, dtype=object)
    for column in formats or {}:
        if column not in rows.columns:
            raise nearest(column, map(str, rows.columns), "column")
    columns = [str(c) for c in rows.columns]
    if kept and columns[0]:
        words = caption or ", ".join(columns[:4]) + ", …" * (len(columns) > 4)
        numbers.keep(words, [dict(zip(columns, row, strict=True)) for row in rows.itertuples(index=False)])
    cells = {c: [_cell(v, (formats or {}).get(str(c), "")) for v in rows[c]] for c in rows.columns}
    shown = pd.DataFrame(cells, columns=rows.columns)
    with pd.option_context("display.max_colwidth", None):
        drawn = shown.to_html(index=False, border=0, classes="results", justify="left")
        text = shown.to_string(index=False)
    if caption:
        drawn = drawn.replace("<thead>", f"<caption>{html.escape(caption)}</caption><thead>", 1)
    more, kind = "", "table-scroll"
    if len(rows) > UNFOLDED:
        more, kind = f"<label class='more'><input type='checkbox'> all {len(rows)} rows</label>", "table-scroll long"
    return Html(f'<div class="{kind}" style="overflow-x: auto">{more}{drawn}</div>', text)


def _merged(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns of all rows, each after the one that it follows where it is new."""
    columns: list[str] = []
    for row in rows:
        at = 0
        for column in row:
            if column not in columns:
                columns.insert(at, column)
            at = columns.index(column) + 1
    return columns


def _cell(value: Any, form: str) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, Interval):
        return format(value, form)
    return number(value, form) if isinstance(value, Real) else str(value)  # type: ignore[arg-type]
