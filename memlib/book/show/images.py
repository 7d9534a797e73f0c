"""Images of data points, such as the most memorized ones, framed by whether they were seen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from memlib.book.show.style import COLOURS, WIDTH, shown_once
from memlib.stats import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 6  # images side by side where a row may be broken: about 60 pixels each on a screen of 390
Line = Literal["-"] | tuple[float, Sequence[float]]
FRAMES: dict[bool, tuple[str, Line]] = {  # seen in training: whole; not seen: broken
    True: (COLOURS["f only"], "-"),
    False: (COLOURS["g only"], (0, (2.5, 1.5))),
}


def images(
    rows: Mapping[str, NDArray[np.uint8]],
    captions: Mapping[str, Sequence[float | str]],
    seen: Mapping[str, Sequence[bool]] | None = None,
    columns: int = COLUMNS,
) -> Figure:
    """Rows of images, each image with a caption below, each row with its name above it.

        show.images({"most memorized": pictures, …}, {"most memorized": scores, …})

    Args:
        rows: name -> uint8 [n, H, W, 3].
        captions: name -> n scores or short texts.
        seen: name -> n flags: a whole frame for those set, a broken one for the others, and a legend.
        columns: images side by side; a longer row goes on below.

    Raises:
        ValueError: if there is no image, or a row has not as many captions and flags as images.
    """
    counts = {n: len(row) for n, row in rows.items()}
    given = [{n: len(row) for n, row in part.items()} for part in (captions, seen) if part is not None]
    if not sum(counts.values()) or any(other != counts for other in given):
        raise ValueError(f"one caption (and flag) an image is needed; rows have {counts} images, given are {given}")
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

    columns = min(columns, max(counts.values()))
    parts = [(n, range(i, min(i + columns, k))) for n, k in counts.items() for i in range(0, k, columns)]
    size, extra = WIDTH / columns, 0.3 if seen is not None else 0
    height = sum(size + (0.17 if i.start else 0.36) for _, i in parts) + extra
    tight = ConstrainedLayoutEngine(w_pad=0.03 if seen is not None else 0.015, h_pad=0.01, wspace=0, hspace=0)
    figure, axes = plt.subplots(len(parts), columns, figsize=(WIDTH, height), squeeze=False, layout=tight)
    for line, (name, chosen) in zip(axes, parts, strict=True):
        for ax, i in itertools.zip_longest(line, chosen):
            if i is None:
                ax.set_axis_off()
                continue
            _show(ax, rows[name][i], None if seen is None else bool(seen[name][i]))
            caption = captions[name][i]
            text = caption if isinstance(caption, str) else number(caption, ".2f")
            ax.set_xlabel(text, fontsize=min(10.0, 72 / columns), labelpad=1.5)
        if not chosen.start:
            line[0].set_title(name, fontsize=10, loc="left", pad=2)
    if seen is not None:
        handles = [
            Patch(facecolor="none", edgecolor=FRAMES[k][0], linestyle=FRAMES[k][1], linewidth=2, label=label)
            for k, label in ((True, "seen in training"), (False, "not seen"))
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return shown_once(figure)


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
