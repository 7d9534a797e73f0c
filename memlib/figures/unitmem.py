"""Page 05_1_unitmem: memorization by unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.claims import unitmem
from memlib.figures.html import span, table
from memlib.figures.style import COLOURS, WIDTH, shown_once

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from memlib.tables import Study

KINDS = (("seen", "S_C", "o"), ("unseen", "S_I", "s"), ("untrained", "untrained", "^"))


def member_rates(study: Study, layers: Sequence[str]) -> Any:
    """Share of units whose strongest point was trained on, by layer, after and before training, against chance."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    x = np.arange(len(layers))
    for shift, units, colour, label in (
        (-0.1, study.units, "S_C", "trained encoders"),
        (0.1, study.untrained, "untrained", "the same before training"),
    ):
        found = [unitmem.member_rate(units, layer).interval for layer in layers]
        mean, low, high = np.array([(i.mean, i.low, i.high) for i in found]).T
        error = np.nan_to_num(np.stack([mean - low, high - mean]), posinf=0, neginf=0)
        ax.errorbar(x + shift, mean, yerr=error, fmt="o", color=COLOURS[colour], label=label, capsize=3)
    ax.axhline(0.5, color=COLOURS["paper"], linestyle="--", linewidth=1.4, label="chance")
    ax.set(xlabel="layer", ylabel="units whose strongest\npoint was trained on", xticks=x)
    ax.set_xticklabels(layers)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return shown_once(figure)


def unitmem_table(study: Study, layers: Sequence[str]) -> Any:
    """UnitMem and member rate by layer."""
    import pandas as pd

    rows = [
        {
            "layer": row["layer"],
            "UnitMem seen": row["seen"],
            "unseen": row["unseen"],
            "untrained": row["untrained"],
            "units ≥ .5, seen": row["high seen"],
            "unseen ": row["high unseen"],
            "untrained ": row["high untrained"],
            "member rate": span(row["member rate"], row["low"], row["high"]),
            "p": row["p"],
        }
        for row in unitmem.layer_table(study.units, layers, study.untrained).to_dict("records")
    ]
    return table(pd.DataFrame(rows), formats=dict.fromkeys(("units ≥ .5, seen", "unseen ", "untrained "), ".0%"))


def scores(study: Study, kind: str, layer: str) -> np.ndarray:
    """UnitMem of a layer's units of all encoders: on seen points, on unseen ones, or before training."""
    chosen = study.untrained if kind == "untrained" else study.units
    return np.concatenate([getattr(u, "unseen" if kind == "unseen" else "seen")[layer] for u in chosen])


def quantiles(ax: Axes, count: int, of: Callable[[int, str], np.ndarray]) -> None:
    """Median, middle half (thick) and middle 95 % (thin) of scores at `count` places, three kinds beside each other.

    Args:
        of: place and kind (`seen`, `unseen`, `untrained`) -> scores.
    """
    for i, (kind, colour, marker) in enumerate(KINDS):
        x = np.arange(count) + 0.24 * (i - 1)
        q = np.array([np.quantile(of(place, kind), [0.025, 0.25, 0.5, 0.75, 0.975]) for place in range(count)])
        ax.vlines(x, q[:, 0], q[:, 4], color=COLOURS[colour], linewidth=1)
        ax.vlines(x, q[:, 1], q[:, 3], color=COLOURS[colour], linewidth=3.5)
        ax.plot(x, q[:, 2], marker, color=COLOURS[colour], markersize=5.5, label=kind)


def unitmem_distributions(study: Study, layers: Sequence[str]) -> Any:
    """UnitMem of all units of all encoders by layer: median, the middle half (thick) and the middle 95 % (thin)."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(WIDTH, 3.6), layout="constrained")
    quantiles(ax, len(layers), lambda i, kind: scores(study, kind, layers[i]))
    ax.axhline(unitmem.HIGH, color=COLOURS["paper"], linewidth=1, linestyle="--")
    ax.set(xlabel="layer", ylabel="UnitMem of the units", ylim=(0, 1), xticks=range(len(layers)))
    ax.set_xticklabels(layers)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return shown_once(figure)


def last_layer(study: Study, layer: str) -> Any:
    """Distribution of UnitMem over the units of one layer (Fig. 1a), with its controls."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, ax = plt.subplots(layout="constrained")
    for (kind, colour, _), line in zip(KINDS, ("-", "--", ":"), strict=True):
        sns.histplot(
            scores(study, kind, layer), ax=ax, bins=np.linspace(0, 1, 26).tolist(), stat="probability",
            element="step", fill=False, color=COLOURS[colour], linestyle=line, linewidth=2, label=kind,
        )  # fmt: skip
    ax.axvline(unitmem.HIGH, color=COLOURS["paper"], linewidth=1, linestyle="--")
    ax.set(xlabel=f"UnitMem of a unit of layer {layer}", ylabel="share of the units", xlim=(0, 1))
    ax.legend()
    return shown_once(figure)


def block_table(study: Study, layers: Sequence[str]) -> Any:
    """Mean UnitMem on disjoint blocks of the seen points, and its spread between blocks and between encoders."""
    import pandas as pd

    blocks = [name for name in study.tables[0].unitmem if name.startswith("seen-")]
    rows = []
    for layer in layers:
        means = np.array([[table.unitmem[b][layer].mean() for b in blocks] for table in study.tables])  # [E, B]
        rows.append(
            {
                "layer": layer,
                "UnitMem, a block": float(means.mean()),
                "std between blocks": float(means.std(1, ddof=1).mean()),
                "std between encoders": float(means.mean(1).std(ddof=1)) if len(means) > 1 else None,
            }
        )
    return table(pd.DataFrame(rows))
