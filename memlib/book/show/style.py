"""The one style of all figures: no background of their own, colours that read on white and on black."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

GREY = "#767676"  # contrast 4.5 and more on white, and on black, where pages.css puts figures in the dark
WIDTH = 5.0  # inches: a point of type is then a pixel and more on a screen of 390
# from Okabe and Ito's palette, some darker where they would fade on white; told apart by colour-blind readers
COLOURS = {  # of series whose label begins so
    "f only": "#0a7bc2",
    "g only": "#d55e00",
    "both": "#009e73",
    "neither": "#c2649a",
    "untrained": GREY,
    "paper": GREY,
}


def style() -> None:
    """Set matplotlib and seaborn to the style of the book: a page calls it once, before its figures."""
    import seaborn as sns

    from memlib.book.show import numbers

    numbers.start()
    sns.set_theme(
        context="paper",
        style="ticks",
        palette=list(COLOURS.values()),
        rc={
            "figure.facecolor": "none",
            "figure.figsize": (WIDTH, 3.4),
            "figure.dpi": 200,
            "savefig.facecolor": "none",
            "savefig.dpi": 200,
            "axes.facecolor": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.alpha": 0.25,
            "grid.color": GREY,
            "grid.linewidth": 0.6,
            **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY),
            **dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize", "legend.title_fontsize"), 11.0),
            **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 10.0),
            "legend.frameon": False,
            "lines.linewidth": 1.8,
        },
    )


def name_points(ax: Axes, x: Iterable[float], y: Iterable[float], names: Sequence[str]) -> None:
    """Names beside points, each in the panel where it covers no other name and few marks and bars; call it last."""
    from itertools import product

    from matplotlib.collections import LineCollection

    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout, and the places of all marks on the canvas
    marks = [ax.transData.transform(line.get_xydata()) for line in ax.lines if line.get_marker() != "None"]
    for bars in (drawn for drawn in ax.collections if isinstance(drawn, LineCollection)):
        marks += [ax.transData.transform(np.linspace(s[0], s[-1], 65)) for s in bars.get_segments() if s.ndim == 2]
    taken: list[Bbox] = []
    for point in zip(x, y, names, strict=True):
        best = None
        for up, side in product((0, 1, -1), (1, -1, 0)):
            if not up and not side:
                continue
            found = ax.annotate(
                point[2], point[:2], xytext=(6 * side, 7 * up), textcoords="offset points", va="center",
                ha={1: "left", -1: "right", 0: "center"}[side], fontsize=8.5,
            )  # fmt: skip
            box = found.get_window_extent()
            inside = ax.bbox.containsx(box.x0) and ax.bbox.containsx(box.x1)
            covers = (
                sum(map(box.overlaps, taken)),
                not inside,
                sum(box.padded(2).count_contains(one) for one in marks),
            )
            if best is None or covers < best[0]:
                if best is not None:
                    best[1].remove()
                best = covers, found, box
            else:
                found.remove()
        assert best is not None
        taken.append(best[2])


def luminance(colour: Any) -> float:
    """Relative luminance of a colour, 0 to 1, which contrast is computed from (WCAG 2)."""
    from matplotlib.colors import to_rgb

    rgb = np.array(to_rgb(colour))
    return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def shown_once(figure: Figure) -> Figure:
    """Close a figure that is handed over: a cell then shows it where it is returned, and not again when it ends."""
    import matplotlib.pyplot as plt

    plt.close(figure)
    return figure
