"""Numbers with their intervals, by layer or by category, and how the scores behind them spread.

All take label -> {place: value}; title -> label -> {place: value} draws a panel a title. A value is an `Interval`, a
number, a triple (middle, lower, upper), or None where there is none. `x` and `y` are the words on the axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from memlib.book.show import numbers
from memlib.book.show.chart import (
    LINES,
    Look,
    Options,
    Value,
    bounds,
    chart,
    errors,
    name_places,
    panels,
    places,
)
from memlib.book.show.style import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = Mapping[str, Mapping[Any, Value]]
PAPER = "LayerMem paper"
BARS = 12  # named places up to which series stand side by side with error bars; beyond, bands


def curves(
    series: Series | Mapping[str, Series],
    x: str,
    y: str = "",
    *,
    paper: Series | None = None,
    above: str = "",
    depth: bool = False,
    joined: bool = True,
    **options: Unpack[Options],
) -> Figure:
    """Series by layer with error bars or bands, controls as grey bands; the paper's broken, beside or above them.

        show.curves({"mirrored estimate": {n: Interval, …}, "neither saw": {…}}, "layer", "LayerMem, here",
                    controls=["neither saw"], paper={"Table 1": {n: 0.091, …}}, above="LayerMem paper")

    Args:
        series: places that are numbers make a numeric axis, names stand side by side.
        y: without it each of several panels has its title as the words of its axis, and a scale of its own.
        paper: label -> {place: number}, in the colour of the series of that label.
        above: words of an axis of the paper's own in a panel above.
        depth: whether encoders differ in depth: each series is then laid over the share of its own.
        joined: whether lines join the places.
        options: `chart.Options`.
    """
    parts, theirs, controls = panels(series, 2), paper or {}, options.get("controls", ())
    words: str | list[str] = y or list(parts)
    heights: float | list[float] = 2.5
    if above:
        words = [above, *([y] * len(parts) if y else parts)]
        heights = [1.7, *[3.3 if len(parts) == 1 else 2.1] * len(parts)]
        parts = {PAPER: theirs, **parts}

    def draw(ax: Axes, part: Series, look: Look) -> None:
        at = places(part.values())
        if depth:
            at = {}
        elif isinstance(next(iter(at)), str):
            name_places(ax, list(at))
        if part is theirs:
            _printed(ax, theirs, at, look)
            return
        _series(ax, part, at, look, controls, joined)
        if not above:
            known = {n: {k: v for k, v in one.items() if depth or k in at} for n, one in theirs.items()}
            _printed(
                ax, known, at, {n: {**look.get(n, {"color": GREY}), "marker": "None", "label": "_"} for n in known}
            )
            ax.plot([], [], "--", color=GREY, linewidth=1.2, label=PAPER if theirs else "_")

    numbers.series(f"{y or 'values'} by {x}", parts)
    return chart(parts, draw, x, words, heights, **options)


def _at(values: Mapping[Any, Any], at: Mapping[Any, float]) -> np.ndarray:
    """Places of values; from 0 to 1 where none are given."""
    return np.array([at[k] for k in values]) if at else np.linspace(0, 1, len(values))


def _series(ax: Axes, part: Series, at: dict[Any, float], look: Look, controls: Any, joined: bool) -> None:
    """The series of a panel: side by side with error bars where few names are, with bands elsewhere."""
    bars = bool(at) and len(at) <= BARS and isinstance(next(iter(at)), str)
    shown = [n for n in part if n not in controls]
    step = min(0.16, 0.6 / max(1, len(shown)))
    for n, values in part.items():
        style, found, where = {**look[n], "label": n}, bounds(values.values()), _at(values, at)
        if n in controls or not bars:
            ax.fill_between(where, found[1], found[2], color=style["color"], alpha=0.16, linewidth=0)
            style |= {"marker": "None"} if n in controls else {"markevery": -(-len(where) // 15)}
            ax.plot(where, found[0], **style, markersize=4, linewidth=1.4)
            continue
        where = where + step * (shown.index(n) - (len(shown) - 1) / 2)
        style["linestyle"] = "-" if joined else "none"
        ax.errorbar(where, found[0], errors(found), **style, capsize=2, markersize=4.5, linewidth=1.2, elinewidth=1.5)


def _printed(ax: Axes, printed: Series, at: dict[Any, float], look: Look) -> None:
    """The paper's values as broken lines."""
    for n, values in printed.items():
        every = max(1, -(-len(values) // 15))
        style = {"label": n, **look[n], "linestyle": "--", "markevery": every}
        ax.plot(_at(values, at), bounds(values.values())[0], **style, markersize=3.5, linewidth=1.2)


def intervals(series: Series | Mapping[str, Series], x: str, y: str, **options: Unpack[Options]) -> Figure:
    """A point with its interval a category, one below the other, the series side by side; controls are hollow.

        show.intervals({"trained encoder": {"1 + head": Interval, …}, "untrained encoder": {…}},
                       "accuracy on test images (%)", "tuned layers", percent=True)

    Args:
        x: the words of the values.
        y: the words of the categories, which stand in the order of the longest series from the top.
        options: `chart.Options`.
    """
    parts = panels(series, 2)
    most = max(len(part) for part in parts.values())

    def draw(ax: Axes, part: Series, look: Look) -> None:
        at = places(part.values())
        for j, (n, values) in enumerate(part.items()):
            found, height = bounds(values.values()), -_at(values, at) - 0.6 / max(2, most) * (j - (len(part) - 1) / 2)
            face = "none" if n in options.get("controls", ()) else look[n]["color"]
            style = {**look[n], "linestyle": "none", "markerfacecolor": face, "label": n}
            ax.errorbar(found[0], height, xerr=errors(found), **style, capsize=2, markersize=4.5, elinewidth=1.5)
        ax.set_yticks([-v for v in at.values()], [str(k) for k in at])
        ax.set_ylim(-len(at) + 0.4, 0.6)

    height = 0.7 + max(len(places(part.values())) for part in parts.values()) * (0.14 + 0.12 * most)
    numbers.series(f"{x} by {y}", parts)
    return chart(parts, draw, x, y, height, "x", "x", **options)


def spreads(
    series: Mapping[str, Mapping[str, ArrayLike]] | Mapping[str, Mapping[str, Mapping[str, ArrayLike]]],
    x: str,
    y: str,
    **options: Unpack[Options],
) -> Figure:
    """How scores of points or units spread: median, the middle half (thick) and the middle 95 % (thin).

    show.spreads({"seen": {layer: scores [N], …}, "unseen": {…}, "untrained": {…}}, "layer", "UnitMem of a unit",
                 lines={"highly memorizing": 0.5}, limits=(0, 1))
    """

    def draw(ax: Axes, part: Mapping[str, Mapping[str, ArrayLike]], look: Look) -> None:
        at = places(part.values())
        name_places(ax, list(at))
        for j, (n, values) in enumerate(part.items()):
            where = _at(values, at) + 0.72 / max(3, len(part)) * (j - (len(part) - 1) / 2)
            q = np.array([_quantiles(v) for v in values.values()])
            ax.vlines(where, q[:, 0], q[:, 4], color=look[n]["color"], linewidth=1)
            ax.vlines(where, q[:, 1], q[:, 3], color=look[n]["color"], linewidth=3.5)
            ax.plot(where, q[:, 2], look[n]["marker"], color=look[n]["color"], markersize=5.5, label=n)

    parts = panels(series, 2)
    numbers.keep(
        f"{y} by {x}, quantiles",
        [
            {**({"panel": title} if title else {}), "series": label, x: place}
            | dict(zip(("2.5 %", "25 %", "50 %", "75 %", "97.5 %"), _quantiles(scores), strict=True))
            for title, part in parts.items()
            for label, values in part.items()
            for place, scores in values.items()
        ],
    )
    return chart(parts, draw, x, y, 3.1, **options)


def _quantiles(scores: ArrayLike) -> np.ndarray:
    found: np.ndarray = np.quantile(np.asarray(scores), [0.025, 0.25, 0.5, 0.75, 0.975])
    return found


def histograms(
    series: Mapping[str, ArrayLike] | Mapping[str, Mapping[str, ArrayLike]],
    x: str,
    y: str = "share of the units",
    *,
    bins: int = 40,
    **options: Unpack[Options],
) -> Figure:
    """The distribution of scores as steps, the series over each other in different lines.

        show.histograms({"ε = ∞": {"seen": scores [N], "unseen": …, "untrained": …}, "ε = 8": …}, "UnitMem of a unit",
                        lines={"highly memorizing": 0.5}, limits=(0, 1))

    Args:
        bins: how many within the limits; these are by default those of the middle 99 % of all scores.
        options: `chart.Options`; values are the scores.
    """
    parts = panels(series, 1)
    scores = np.concatenate([np.ravel(v) for part in parts.values() for v in part.values()])
    low, high = options.setdefault("limits", tuple(np.quantile(scores, [0.005, 0.995])))
    edges = np.linspace(low, high, bins + 1)  # type: ignore[arg-type]

    def shares(values: ArrayLike) -> np.ndarray:
        return np.histogram(np.ravel(values), edges)[0] / np.size(values)

    numbers.keep(
        f"{y} by {x}",
        [
            {**({"panel": title} if title else {}), "series": label, "from": start, "to": end, "share": share}
            for title, part in parts.items()
            for label, values in part.items()
            for start, end, share in zip(edges, edges[1:], shares(values), strict=False)
        ],
    )

    def draw(ax: Axes, part: Mapping[str, ArrayLike], look: Look) -> None:
        for n, values in part.items():
            line = LINES[list(look).index(n) % len(LINES)]
            ax.stairs(shares(values), edges, color=look[n]["color"], linestyle=line, linewidth=1.8, label=n)

    return chart(parts, draw, x, y, 1.8 if len(parts) > options.get("columns", 1) else 2.9, "x", "xy", **options)
