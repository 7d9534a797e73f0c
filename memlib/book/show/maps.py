"""Two things at once: heat maps of rows and columns, and scatters of one score against another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from memlib.book.show import numbers
from memlib.book.show.chart import Look, Options, bounds, chart, errors, panels
from memlib.book.show.style import GREY, WIDTH, luminance, name_points, shown_once
from memlib.stats import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Mapping[str, tuple[Any, Any]]
Cells = Mapping[tuple[str, str], float]


def heat(
    cells: Cells | Mapping[str, Cells],
    x: str,
    y: str,
    *,
    above: Cells | Mapping[str, Cells] | None = None,
    form: str = ".2f",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Numbers as colours with the numbers in them, a panel below the other; the paper's above the diagonal.

        show.heat({"Kendall's τ": {("1", "1"): 0.93, ("2", "1"): 0.51, …}}, "layer", "layer", limits=(0, 1),
                  above={"Kendall's τ": paper})

    Args:
        cells: (row, column) -> number; title -> the same for several panels. What is missing or NaN stays empty.
        above: the paper's, in the same form: whatever the order of its two names, it stands above the diagonal. A
            title that has none is drawn without.
        form: of the numbers, as `stats.number` takes it.
        limits: range of the colours.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    parts: dict[str, Any] = panels(cells, 1)
    printed: dict[str, Any] = panels(above, 1) if above else {}
    sizes = [(list(dict.fromkeys(r for r, _ in p)), list(dict.fromkeys(c for _, c in p))) for p in parts.values()]
    heights = [0.9 + (WIDTH - 0.8) * len(rows) / max(len(columns), 8) for rows, columns in sizes]
    figure, axes = plt.subplots(
        len(parts), 1, figsize=(WIDTH, sum(heights)), squeeze=False, height_ratios=heights, layout="constrained"
    )
    for ax, (title, part), (rows, columns) in zip(axes.flat, parts.items(), sizes, strict=True):
        shown = np.array([[part.get((r, c), np.nan) for c in columns] for r in rows], dtype=float)
        theirs = printed.get(title) or {}
        for (a, b), value in theirs.items():
            if a in rows and b in rows and a != b:
                i, j = sorted((rows.index(a), rows.index(b)))
                shown[i, columns.index(rows[j])] = value
        texts = np.vectorize(lambda v: "" if np.isnan(v) else number(v, form))(shown)
        low, high = limits or (None, None)
        sns.heatmap(
            shown, ax=ax, mask=np.isnan(shown), vmin=low, vmax=high, cmap="cividis", annot=texts, fmt="", cbar=False,
            annot_kws={"size": 10.5}, xticklabels=columns, yticklabels=rows, square=len(columns) > 2,
        )  # fmt: skip
        for text in ax.texts:  # black or white, whichever stands out more from its cell
            x_, y_ = text.get_position()
            value = ax.collections[0].to_rgba(shown[int(y_), int(x_)])
            text.set_color("black" if luminance(value) > 0.179 else "white")
        words = "(above the diagonal: LayerMem paper; below: here)" if theirs else ""
        ax.set_title("\n".join(filter(None, (title, words))))
        ax.set(xlabel=x, ylabel=y)
        ax.tick_params(length=0, rotation=0)
        ax.grid(False)
    numbers.keep(
        f"{y} by {x}, as colours",
        [
            {**({"panel": title} if title else {}), "row": row, "column": column, "value": value}
            for title, part in parts.items()
            for (row, column), value in part.items()
        ],
    )
    return shown_once(figure)


def scatter(
    series: Mapping[str, Points] | Mapping[str, Mapping[str, Points]],
    x: str,
    y: str,
    *,
    diagonal: bool = False,
    log: bool = False,
    **options: Unpack[Options],
) -> Figure:
    """One score against another: points with their names and intervals, or clouds of many without.

        show.scatter({"same data set": {layer: (memory, lost) for layer in layers}}, "mirrored estimate",
                     "accuracy lost (percentage points)", percent=True)
        show.scatter({"layer 8": {"units": {"": (unitmem, classmem)}}, …}, "UnitMem", "ClassMem", diagonal=True,
                     limits=(0, 1), columns=4)

    Args:
        series: label -> name -> (x, y), each an `Interval` or a number, or both arrays [N]: a cloud. Title -> label
            -> … draws a panel a title. A name that stands twice in a panel is written once.
        diagonal: the line of equal scores, on axes of the same scale.
        log: whether the horizontal axis is logarithmic.
        options: `chart.Options`, of the vertical axis; with a diagonal `limits` hold for both.
    """
    parts, columns = panels(series, 2), options.get("columns", 1)

    def draw(ax: Axes, part: Mapping[str, Points], look: Look) -> None:
        for n, points in part.items():
            for across, up in (pair for pair in points.values() if np.ndim(pair[0])):
                ax.scatter(across, up, s=2, alpha=0.35, color=look[n]["color"], linewidths=0, rasterized=True)
            if one := [pair for pair in points.values() if not np.ndim(pair[0])]:
                right, up = (bounds(pair[k] for pair in one) for k in (0, 1))
                style = {**look[n], "linestyle": "none", "label": n}
                ax.errorbar(
                    right[0], up[0], errors(up), errors(right), **style, capsize=2, markersize=5, elinewidth=1
                )
        if diagonal:
            ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, transform=ax.transAxes)
            ax.set(aspect="equal", xlim=options.get("limits"))
        ax.set_xscale("log" if log else "linear")

    numbers.keep(
        f"{y} against {x}",
        [
            {**({"panel": title} if title else {}), "series": label, "name": name, x: across, y: up}
            for title, part in parts.items()
            for label, points in part.items()
            for name, (across, up) in points.items()
            if not np.ndim(across)  # a cloud of all units is no table
        ],
    )
    height = WIDTH / min(columns, len(parts)) + 0.2 if diagonal else 2.6 if len(parts) > columns else 3.9
    figure = chart(parts, draw, x, y, height, "y", "xy", **options)
    for ax, part in zip(figure.axes, parts.values(), strict=True):
        named: dict[str, tuple[Any, Any]] = {}
        for points in part.values():
            named |= {name: pair for name, pair in points.items() if name and name not in named}
        if named:
            right, up = (bounds(pair[k] for pair in named.values())[0] for k in (0, 1))
            ax.margins(x=0.15)
            name_points(ax, right, up, list(named))
    return figure
