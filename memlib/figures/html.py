"""Numbers and tables as HTML with a plain text beside it, for notebooks, terminals and search."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def span(mean: float, low: float, high: float, digits: int = 3) -> str:
    """A mean and its interval as text; without the interval where one pair gives none."""
    shown = [f"{round(float(v), digits) + 0.0:.{digits}f}" for v in (mean, low, high)]  # + 0: no minus before zero
    text = f"{shown[0]} [{shown[1]},\u00a0{shown[2]}]" if math.isfinite(low) else shown[0]
    return text.replace("-", "−")


@dataclass(frozen=True)
class Html:
    """What a cell shows: HTML in a notebook, text elsewhere."""

    data: str
    text: str

    def _repr_html_(self) -> str:
        return self.data

    def __repr__(self) -> str:
        return self.text


def table(frame: pd.DataFrame, formats: Mapping[str, str] | None = None, caption: str = "") -> Html:
    """A frame as a table without its index; on a narrow screen the table scrolls, not the page.

    Args:
        formats: column -> format specification such as `.4f`; other fractions get three digits. What is missing
            is shown as a dash.

    Raises:
        KeyError: a format for a column that is not there.
    """
    import pandas as pd

    from memlib.specs import nearest

    for column in formats or {}:
        if column not in frame.columns:
            raise nearest(column, map(str, frame.columns), "column")
    shown = pd.DataFrame(
        {c: [_cell(v, (formats or {}).get(str(c))) for v in frame[c]] for c in frame.columns}, columns=frame.columns
    )
    drawn = shown.to_html(index=False, border=0, classes="results", justify="left")
    if caption:
        drawn = drawn.replace("<thead>", f"<caption>{html.escape(caption)}</caption><thead>", 1)
    return Html(f'<div class="table-scroll" style="overflow-x: auto">{drawn}</div>', shown.to_string(index=False))


def _cell(value: Any, form: str | None) -> str:
    import pandas as pd

    if pd.isna(value):
        return "–"
    if isinstance(value, float) and form is None:
        form = ".1e" if 0 < abs(value) < 0.0005 else ".3f"
    return (format(value, form) if form else str(value)).replace("-", "−" if isinstance(value, float) else "-")
