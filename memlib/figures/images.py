"""Images of data points: the most memorized ones, and those behind single units, framed by whether they were seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from memlib.figures.style import COLOURS, WIDTH, shown_once

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memlib.tables import Study

COLUMNS = 6  # images side by side where a row may be broken: about 60 pixels each on a screen of 390
Line = Literal["-"] | tuple[float, Sequence[float]]
FRAMES: dict[bool, tuple[str, Line]] = {  # seen in training: whole; not seen: broken
    True: (COLOURS["S_C"], "-"),
    False: (COLOURS["S_I"], (0, (2.5, 1.5))),
}


def image_grid(
    images: Sequence[NDArray[np.uint8]],
    captions: Sequence[Sequence[str]],
    names: Sequence[str],
    seen: Sequence[Sequence[bool]] | None = None,
) -> Figure:
    """Rows of images, each image with a caption below, each row with its name above it.

    Args:
        images: one uint8 [n, H, W, 3] a row.
        captions: for each row n short texts.
        names: for each row what it is; an empty one continues the row above.
        seen: for each row n flags: a whole frame for those set, a broken one for the others, and a legend.

    Raises:
        ValueError: if there is no image, or the rows do not have as many captions, names and flags as images.
    """
    counts = [len(row) for row in images]
    given = [[len(c) for c in captions], [len(s) for s in seen]] if seen is not None else [[len(c) for c in captions]]
    if not sum(counts) or len(names) != len(counts) or any(other != counts for other in given):
        raise ValueError(f"one caption (and flag) an image and one name a row are needed; rows have {counts} images")
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

    columns = max(counts)
    size = WIDTH / columns
    height = sum(size + 0.17 + (0.19 if name else 0) for name in names) + (0.3 if seen is not None else 0)
    tight = ConstrainedLayoutEngine(w_pad=0.03 if seen is not None else 0.015, h_pad=0.01, wspace=0, hspace=0)
    figure, axes = plt.subplots(len(counts), columns, figsize=(WIDTH, height), squeeze=False, layout=tight)
    for i, line in enumerate(axes):
        for j, ax in enumerate(line):
            if j >= counts[i]:
                ax.set_axis_off()
                continue
            _show(ax, images[i][j], None if seen is None else bool(seen[i][j]))
            ax.set_xlabel(captions[i][j], fontsize=min(10.0, 72 / columns), labelpad=1.5)
        if names[i]:
            line[0].set_title(names[i], fontsize=10, loc="left", pad=2)
    if seen is not None:
        handles = [
            Patch(facecolor="none", edgecolor=FRAMES[k][0], linestyle=FRAMES[k][1], linewidth=2, label=label)
            for k, label in ((True, "seen in training"), (False, "not seen"))
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return shown_once(figure)


def extreme_images(study: Study, scale: str, layer: str = "output", k: int = 12) -> Any:
    """The k most and the k least memorized images: chosen by one draw of views, with the score on the other."""
    select, score, points = study.scores(layer, "select"), study.scores(layer, "score"), study.points()
    order = np.argsort(-select, kind="stable")
    k = min(k, len(order) // 2)
    chosen = np.concatenate([order[:k], order[::-1][:k]])
    pictures = study.images(points[chosen], scale)
    parts = [range(start, min(start + COLUMNS, end)) for end in (k, 2 * k) for start in range(end - k, end, COLUMNS)]
    titles = {0: "most memorized", k: "least memorized"}
    return image_grid(
        [pictures[list(part)] for part in parts],
        [[_short(score[chosen[i]]) for i in part] for part in parts],
        [titles.get(part[0], "") for part in parts],
    )


def layer_images(study: Study, scale: str, layers: Sequence[str], k: int = 10) -> Any:
    """The k most memorized images of each layer (Fig. 13): chosen by one draw of views, scored by the other."""
    points = study.points()
    chosen = [np.argsort(-study.scores(layer, "select"), kind="stable")[:k] for layer in layers]
    pictures = study.images(points[np.concatenate(chosen)], scale)
    return image_grid(
        np.split(pictures, len(layers)),
        [[_short(v) for v in study.scores(layer, "score")[c]] for layer, c in zip(layers, chosen, strict=True)],
        [f"layer {layer}" for layer in layers],
    )


def unit_images(study: Study, scale: str, layers: Sequence[str], k: int = 8) -> Any:
    """The strongest image of the k units of highest UnitMem in each layer of one encoder, marked seen or not."""
    table = study.tables[0]
    units = [np.argsort(-table.unitmem["seen"][layer], kind="stable")[:k] for layer in layers]
    rows = [table.top_row[layer][u] for layer, u in zip(layers, units, strict=True)]
    pictures = study.images(np.concatenate(rows), scale)
    return image_grid(
        np.split(pictures, np.cumsum([len(r) for r in rows])[:-1]),
        [[_short(v) for v in table.unitmem["seen"][n][u]] for n, u in zip(layers, units, strict=True)],
        [f"layer {layer}" for layer in layers],
        [table.seen[r].astype(bool).tolist() for r in rows],
    )


def _show(ax: Axes, image: NDArray[np.uint8], seen: bool | None) -> None:
    ax.imshow(image, interpolation="bicubic")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(seen is not None)
        if seen is not None:
            colour, line = FRAMES[seen]
            spine.set(edgecolor=colour, linestyle=line, linewidth=2.2, capstyle="butt")


def _short(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}".replace("0.", ".").replace("-", "−")  # + 0: no minus before zero
