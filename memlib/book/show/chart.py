"""What all charts share: panels, looks that are told apart without colour, error bars, words, one legend below."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from memlib.book.show.style import COLOURS, GREY, WIDTH, shown_once
from memlib.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CYCLE = ("#0a7bc2", "#d55e00", "#009e73", "#c2649a", "#8a6bd1", "#a87000")  # of series without a colour of their own
MARKERS = "osD^vP"
LINES = ("-", "--", ":", "-.")
GREYS = (":", "-.", (0, (6, 2, 1, 2, 1, 2)))  # lines of controls: none as the paper's, which is broken
Value = Interval | float | tuple[float, float, float] | None  # a triple is a middle with a lower and an upper bound
Look = dict[str, dict[str, Any]]


class Options(TypedDict, total=False):
    """Options that every chart takes.

    Attributes:
        controls: labels of series that are drawn in grey.
        lines: words -> value of a broken line, in the legend unless the words are empty; title -> words -> value
            where it belongs to one panel. Zero has a line of its own wherever a panel reaches it.
        limits: lower and upper end of the values' axis; None leaves an end to the data.
        percent: whether the values are fractions whose axis counts in percent.
        columns: panels side by side.
    """

    controls: Sequence[str]
    lines: Mapping[str, Any]
    limits: tuple[float | None, float | None]
    percent: bool
    columns: int


def chart(
    parts: Mapping[str, Mapping[str, Any]],
    draw: Callable[[Axes, Mapping[str, Any], Look], object],
    x: str,
    y: str | Sequence[str],
    heights: float | Sequence[float],
    values: str = "y",
    share: str = "y",
    controls: Sequence[str] = (),
    lines: Mapping[str, Any] | None = None,
    limits: tuple[float | None, float | None] | None = None,
    percent: bool = False,
    columns: int = 1,
) -> Figure:
    """A panel a part, each drawn by `draw` with its series and their looks.

    Args:
        parts: title -> label -> series, as `panels` returns them.
        y: words of the vertical axis; where each panel has its own, they stand instead of titles.
        heights: of a row of panels in inches; of each panel where they differ.
        values: the axis that has the values, for `lines`, `limits` and `percent`; these and the rest as `Options`.
        share: axes that have one scale in all panels; panels with words of their own have scales of their own.
    """
    import matplotlib.pyplot as plt

    columns = min(columns, len(parts))
    rows = -(-len(parts) // columns)
    high = [heights] * rows if isinstance(heights, float) else list(heights)
    figure = plt.figure(figsize=(WIDTH, sum(high) + 0.5), layout="constrained")
    grid = figure.add_gridspec(rows, columns, height_ratios=high)
    look = looks([n for part in parts.values() for n in part], controls)
    axes: list[Axes] = []
    for i, (title, part) in enumerate(parts.items()):
        words, own = (y, share) if isinstance(y, str) else (y[i], share.replace("y", ""))
        ax = figure.add_subplot(grid[i // columns, i % columns], **{f"share{s}": axes[0] for s in own if axes})
        axes.append(ax)
        draw(ax, part, look)
        if isinstance(y, str):
            ax.set_title(title, fontsize=11 if columns < 3 else 9)
        if i % columns == 0:
            ax.set_ylabel(words)
        if i + columns >= len(parts):
            ax.set_xlabel(x)
    for ax, title in zip(axes, parts, strict=True):  # limits that leave an end to the data: to that of all panels
        mine = (lines or {}).get(title)
        _values(ax, values, {**(lines or {}), **(mine if isinstance(mine, Mapping) else {})}, limits, percent)
    _outer(axes, columns)
    _legend(figure, axes, look)
    _wrap(figure, axes)
    return shown_once(figure)


def panels(given: Mapping[Any, Any], levels: int) -> dict[str, Mapping[str, Any]]:
    """Title -> what a panel draws: a mapping of `levels` levels is one panel without a title.

    Raises:
        ValueError: if there is nothing to draw.
    """
    given = {n: part for n, part in given.items() if not isinstance(part, Mapping) or part}
    if not given:
        raise ValueError("there is nothing to draw: every series is empty")
    deep, part = 0, given
    while isinstance(part, Mapping) and part:
        deep, part = deep + 1, next(iter(part.values()))
    return given if deep > levels else {"": given}


def looks(labels: Iterable[str], controls: Sequence[str] = ()) -> Look:
    """Colour, marker and line of each label.

    A label that begins as a key of `COLOURS` does (`neither saw`, `untrained`) has its colour.

    Raises:
        KeyError: for a control that is no label.
    """
    from memlib.specs import nearest

    labels = list(dict.fromkeys(labels))
    for name in controls:
        if name not in labels:
            raise nearest(name, labels, "series")
    colours = {n: GREY if n in controls else _known(n) for n in labels}
    free = [colour for colour in CYCLE if colour not in colours.values()]
    for i, n in enumerate([n for n, colour in colours.items() if not colour]):
        colours[n] = free[i % len(free)]
    lines = {n: GREYS[i % len(GREYS)] for i, n in enumerate(controls)}
    return {
        n: {"color": colours[n], "marker": MARKERS[i % len(MARKERS)], "linestyle": lines.get(n, "-")}
        for i, n in enumerate(labels)
    }


def _known(label: str) -> str | None:
    """The colour of a series that has the same in every figure."""
    return next((colour for start, colour in COLOURS.items() if re.match(rf"{start}\b", label)), None)


def bounds(values: Iterable[Value]) -> np.ndarray:
    """Mean, lower and upper bound of each value, [3, K]; the mean thrice where one pair or a number has no bounds."""
    found = []
    for value in values:
        if isinstance(value, Interval):
            value = (value.mean, value.low, value.high)
        mean, low, high = value if isinstance(value, tuple) else (np.nan if value is None else value,) * 3
        found.append((mean, low if np.isfinite(low) else mean, high if np.isfinite(high) else mean))
    return np.array(found, dtype=float).reshape(-1, 3).T


def errors(found: np.ndarray) -> np.ndarray:
    """Lengths of the error bars of `bounds`, [2, K]."""
    return np.stack([found[0] - found[1], found[2] - found[0]])


def places(series: Iterable[Mapping[Any, Any]]) -> dict[Any, float]:
    """Where each place stands: numbers at themselves, names one after the other as in the longest series."""
    keys = dict.fromkeys(k for one in sorted(series, key=len, reverse=True) for k in one)
    return {k: i if isinstance(k, str) else float(k) for i, k in enumerate(keys)}


def name_places(ax: Axes, names: Sequence[str]) -> None:
    """Names at the places 0, 1, … of the horizontal axis: upright where they would meet, some where they are many."""
    grid = ax.get_subplotspec().get_gridspec()  # type: ignore[union-attr]
    width = 0.8 * WIDTH / grid.ncols
    every = -(-len(names) // int(width / 0.17))
    upright = sum(0.085 * len(n) + 0.1 for n in names) > width
    ax.set_xticks(range(0, len(names), every), names[::every], rotation=90 if upright else 0)


def _values(ax: Axes, axis: str, lines: Mapping[str, Any], limits: Any, percent: bool) -> None:
    """Lines at values, and the scale of the axis that has them."""
    from matplotlib.ticker import FuncFormatter

    draw = ax.axhline if axis == "y" else ax.axvline
    for words, value in lines.items():
        if not isinstance(value, Mapping):
            draw(value, color=GREY, linestyle="--", linewidth=1.2, label=words or "_")
    if limits:
        ax.set(**{f"{axis}lim": limits})
    low, high = ax.get_ylim() if axis == "y" else ax.get_xlim()
    if low < 0 < high:
        draw(0, color=GREY, linewidth=1)
    if percent:
        shown = FuncFormatter(lambda v, _: f"{round(100 * v, 6):g}".replace("-", "−"))
        (ax.yaxis if axis == "y" else ax.xaxis).set_major_formatter(shown)


def _outer(axes: Sequence[Axes], columns: int) -> None:
    """Leave out what inner axes would say again, and most numbers of narrow ones."""
    from matplotlib.ticker import MaxNLocator

    def said(ax: Axes, axis: str) -> Any:
        limits = ax.get_xlim() if axis == "x" else ax.get_ylim()
        return limits, [t.get_text() for t in getattr(ax, f"get_{axis}ticklabels")()]

    for i, ax in enumerate(axes):
        for axis in (ax.xaxis, ax.yaxis) if columns > 1 else ():
            if isinstance(locator := axis.get_major_locator(), MaxNLocator):
                locator.set_params(nbins=4 if columns == 2 else 1)
        if i + columns < len(axes) and said(ax, "x") == said(axes[i + columns], "x"):
            ax.tick_params(labelbottom=False)
        if i % columns and said(ax, "y") == said(axes[i - 1], "y"):
            ax.tick_params(labelleft=False)


def _wrap(figure: Figure, axes: Sequence[Axes]) -> None:
    """Break words that are longer than their axis."""
    figure.draw_without_rendering()
    for ax in axes:
        box = ax.get_window_extent()
        for text, length in ((ax.title, box.width), (ax.xaxis.label, box.width), (ax.yaxis.label, box.height)):
            characters = length / figure.dpi * 72 / (0.58 * float(text.get_fontsize()))
            text.set_text(fill(text.get_text(), max(6, int(characters))))


def _legend(figure: Figure, axes: Sequence[Axes], look: Look) -> None:
    """One legend of all panels below them, where it hides nothing; none where titles or axes say it all."""
    found = {text: line for ax in axes for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    found = {n: found[n] for n in look if n in found} | found
    if len(found) > 1 and set(found) != {ax.get_title() for ax in axes}:
        columns = int(WIDTH / (0.68 + 0.078 * max(map(len, found))))
        handles, words = list(found.values()), list(found)
        figure.legend(handles, words, loc="outside lower center", ncols=min(len(found), max(1, columns)))
