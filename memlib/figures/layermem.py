"""Page 04_1_layermem: memorization by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib import paper
from memlib.claims import layermem
from memlib.claims.pairs import S_C, S_E, S_I, S_S, SETS
from memlib.figures.html import span, table
from memlib.figures.style import COLOURS, WIDTH, shown_once

if TYPE_CHECKING:
    import pandas as pd

    from memlib.claims import Pair
    from memlib.tables import Study


def layers_of(study: Study, rows: Sequence[str], previous: Mapping[str, str] | None = None) -> pd.DataFrame:
    """`claims.layermem.layer_table` of the pairs, with S_S of the crossed pairs where there are any."""
    found = layermem.layer_table(study.pairs, rows, previous)
    if study.crossed and "shared" not in found:
        crossed = layermem.layer_table(study.crossed, rows)
        for column in ("shared", "shared_low", "shared_high"):
            found[column] = crossed[column]
    return found


def layer_curves(study: Study, rows: Sequence[str]) -> Any:
    """Mirrored estimate, raw LayerMem and controls by layer; the paper's curve in a panel of its own scale."""
    import matplotlib.pyplot as plt

    found = layers_of(study, rows)
    figure, (above, ax) = plt.subplots(
        2, 1, figsize=(WIDTH, 5.4), sharex=True, height_ratios=[1, 2.6], layout="constrained"
    )
    x = np.arange(len(rows))
    above.plot(x, [paper.TABLE_1[r][0] for r in rows], "s--", color=COLOURS["paper"], label="paper A, Table 1 (raw)")
    above.set(ylabel="LayerMem", ylim=(0, 0.35))
    above.legend(loc="upper left")
    series = (
        ("external", "S_E", "control S_E: neither saw", "v", 0.24),
        ("shared", "S_S", "control S_S: both saw", "^", 0.08),
        ("raw", "S_I", "raw, S_C", "o", -0.08),
        ("mirrored", "S_C", "mirrored estimate", "D", -0.24),
    )
    for column, colour, label, marker, shift in series:
        if column not in found:
            continue
        mean, low, high = (found[c].to_numpy(float) for c in (column, f"{column}_low", f"{column}_high"))
        error = np.nan_to_num(np.stack([mean - low, high - mean]), posinf=0, neginf=0)
        ax.errorbar(
            x + shift, mean, yerr=error, fmt=marker, color=COLOURS[colour], label=label, capsize=3, markersize=5
        )
    ax.axhline(0, color=COLOURS["paper"], linewidth=1)
    ax.set(ylabel="LayerMem, here", xlabel="layer", xticks=x)
    ax.set_xticklabels(rows)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return shown_once(figure)


def layermem_table(study: Study, rows: Sequence[str], k: int) -> Any:
    """Table 1, the paper's numbers beside ours."""
    import pandas as pd

    found = layers_of(study, rows).set_index("layer")
    extremes = layermem.extremes(study.pairs, rows, k).query("set == 'S_C'").pivot(index="layer", columns="points")
    entries = []
    for row in rows:
        ours, theirs = found.loc[row], paper.TABLE_1[row]
        entries.append(
            {
                "layer": row,
                "paper: LayerMem": theirs[0],
                "mirrored": span(ours["mirrored"], ours["mirrored_low"], ours["mirrored_high"], 4),
                "raw S_C": span(ours["raw"], ours["raw_low"], ours["raw_high"]),
                **(
                    {"control S_S": span(ours["shared"], ours["shared_low"], ours["shared_high"])}
                    if "shared" in found
                    else {}
                ),
                "control S_E": span(ours["external"], ours["external_low"], ours["external_high"]),
                "paper: delta": theirs[1],
                "delta": ours["delta"],
                "paper: Top50": theirs[2],
                f"top {k}": float(extremes.loc[row, ("mean", "most")]),
                "paper: Least50": theirs[4],
                f"least {k}": float(extremes.loc[row, ("mean", "least")]),
            }
        )
    return table(pd.DataFrame(entries), formats={"delta": "+.4f", "paper: delta": "+.3f"})


def modules_table(study: Study, rows: Sequence[str]) -> Any:
    """Table 18: every module, the delta to the row before it."""
    import pandas as pd

    found = layers_of(study, rows)
    entries = [
        {
            "module": row.layer,
            "paper: LayerMem": paper.TABLE_18[row.layer][0] if row.layer in paper.TABLE_18 else None,
            "mirrored": span(row.mirrored, row.mirrored_low, row.mirrored_high, 4),
            "raw S_C": span(row.raw, row.raw_low, row.raw_high),
            "paper: delta": paper.TABLE_18[row.layer][1] if row.layer in paper.TABLE_18 else None,
            "delta": row.delta,
        }
        for row in found.itertuples()
    ]
    return table(pd.DataFrame(entries), formats={"delta": "+.4f", "paper: delta": "+.3f"})


def extreme_curves(frame: pd.DataFrame) -> Any:
    """Most and least memorized points by layer, candidates at the left and points that neither saw at the right.

    Args:
        frame: As `claims.layermem.extremes` returns it.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(WIDTH * 1.1, 3.2), sharey=True, layout="constrained")
    titles = {"S_C": "candidates, S_C", "S_E": "neither saw, S_E"}
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        part = frame[frame["set"] == name]
        for points, marker, shift in (
            ("most", "o", -0.1),
            ("least", "v", 0.1),
        ):  # side by side, or one hides the other
            one = part[part["points"] == points]
            error = np.nan_to_num(np.stack([one["mean"] - one["low"], one["high"] - one["mean"]]), posinf=0, neginf=0)
            colour = COLOURS["S_C" if points == "most" else "S_I"]
            x = np.arange(len(one)) + shift
            ax.errorbar(x, one["mean"], yerr=error, fmt=f"{marker}-", color=colour, label=points, capsize=3)
        ax.axhline(0, color=COLOURS["paper"], linewidth=1)
        ax.set(title=title, xlabel="layer", xticks=range(part["layer"].nunique()))
        ax.set_xticklabels(part["layer"].unique())
    axes[0].set_ylabel("LayerMem on unused views")
    axes[0].legend(title="memorized", loc="upper left")
    return shown_once(figure)


def agreement_maps(pairs: Sequence[Pair], layers: Sequence[str]) -> Any:
    """Table 3 as heat maps of overlap and Kendall's tau: the paper's above the diagonal, the mean over pairs below.

    The diagonal is a layer with itself on other views: how well its own ranking repeats.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 9.4), layout="constrained")
    for column, (ax, what, name) in enumerate(
        zip(
            axes,
            ("overlap", "tau"),
            ("overlap of the most memorized points", "Kendall’s τ of all points"),
            strict=True,
        )
    ):
        shown = np.mean([layermem.agreement(p, layers, S_C, what=what) for p in pairs], axis=0)
        for (a, b), numbers in paper.TABLE_3.items():
            if a in layers and b in layers:
                shown[layers.index(a), layers.index(b)] = numbers[column]
        texts = np.vectorize(lambda v: f"{v:.2f}".replace("0.", ".").replace("-", "−"))(shown)
        sns.heatmap(
            shown, ax=ax, vmin=0, vmax=1, cmap="cividis", annot=texts, fmt="", annot_kws={"size": 10.5},
            cbar=False, xticklabels=layers, yticklabels=layers, square=True,
        )  # fmt: skip
        ax.set(title=f"{name}\n(above the diagonal: paper A; below: here)", xlabel="layer", ylabel="layer")
        ax.tick_params(length=0, rotation=0)
        ax.grid(False)
    return shown_once(figure)


def single_pairs(pairs: Sequence[Pair], layers: Sequence[str]) -> Any:
    """Raw LayerMem of every single pair on all sets: what an offset between two encoders looks like."""
    import matplotlib.pyplot as plt

    columns = min(2, len(pairs))
    lines = -(-len(pairs) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(WIDTH, 2.4 * lines + 0.6),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat[len(pairs) :]:
        ax.set_axis_off()
    for number, (ax, pair) in enumerate(zip(axes.flat, pairs, strict=False), 1):
        for code, marker in ((S_C, "o"), (S_S, "^"), (S_E, "v"), (S_I, "s")):
            if pair.has(code):
                name = SETS[code]
                means = [float(pair.of(layer, code).mean()) for layer in layers]
                ax.plot(layers, means, f"{marker}-", color=COLOURS[name.split()[0]], label=name, markersize=4)
        ax.axhline(0, color=COLOURS["paper"], linewidth=1)
        ax.set(title=f"pair {number}")
    for ax in axes[-1]:
        ax.set_xlabel("layer")
    for ax in axes[:, 0]:
        ax.set_ylabel("raw LayerMem")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return shown_once(figure)
