"""Page 05_1_ssl_vs_sl: units of points and units of classes, without labels and with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib import paper
from memlib.claims import ssl_vs_sl
from memlib.claims.arms import Arm, contrast, member_rate
from memlib.figures.html import Html, span, table
from memlib.figures.style import COLOURS, WIDTH, shown_once

if TYPE_CHECKING:
    from memlib.tables import Study

LINES = (  # column, colour, marker, line, name
    ("UnitMem", "S_C", "o", "-", "UnitMem, seen points"),
    ("unseen", "S_C", "o", ":", "UnitMem, unseen points"),
    ("ClassMem", "S_I", "s", "-", "ClassMem, seen points"),
    ("ClassMem unseen", "S_I", "s", ":", "ClassMem, unseen points"),
    ("permuted", "paper", "^", "--", "ClassMem, permuted labels"),
)
COLUMNS = 4  # panels in a row of the scatter plots


def class_curves(arms: Mapping[str, Arm], layers: Sequence[str]) -> Any:
    """Mean UnitMem and ClassMem by layer with their controls (Fig. 2), a panel an arm; intervals over pairs."""
    import matplotlib.pyplot as plt

    found = ssl_vs_sl.layer_table(arms, layers).set_index("arm")
    size = (WIDTH, 0.6 + 2.1 * len(arms))
    figure, axes = plt.subplots(len(arms), 1, figsize=size, sharex=True, sharey=True, layout="constrained")
    x = np.arange(len(layers))
    for ax, name in zip(np.atleast_1d(axes), arms, strict=True):
        rows = found.loc[[name]]
        for i, (column, colour, marker, line, label) in enumerate(LINES):
            mean, low, high = (rows[c].to_numpy(float) for c in (column, f"{column}_low", f"{column}_high"))
            error = np.nan_to_num(np.stack([mean - low, high - mean]), posinf=0, neginf=0)
            ax.errorbar(
                x + 0.06 * (i - 2), mean, yerr=error, color=COLOURS[colour], linestyle=line, marker=marker,
                markersize=4.5, linewidth=1.4, capsize=2, label=label,
                markerfacecolor=COLOURS[colour] if line == "-" else "none",
            )  # fmt: skip
        ax.set(ylabel="mean over units", title=name, xticks=x)
        ax.set_xticklabels(layers)
    ax.set(xlabel="layer", ylim=(0, None))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return shown_once(figure)


def unit_scatter(arms: Mapping[str, Arm], layers: Sequence[str]) -> Any:
    """ClassMem against UnitMem of every unit (Fig. 3), a panel a layer, with the share under the diagonal."""
    import matplotlib.pyplot as plt

    down = -(-len(layers) // COLUMNS)
    figure = plt.figure(figsize=(WIDTH, 1.5 * down * len(arms) + 0.7), layout="constrained")
    parts = figure.subfigures(len(arms), 1, squeeze=False)[:, 0]
    for part, (name, arm) in zip(parts, arms.items(), strict=True):
        part.set_facecolor("none")
        part.suptitle(name)
        axes = part.subplots(down, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        for ax, layer in zip(axes, layers, strict=False):
            points = np.concatenate([u.seen[layer] for u in arm.units])
            classes = np.concatenate([ssl_vs_sl.classmem(u)[layer] for u in arm.units])
            ax.scatter(points, classes, s=2, alpha=0.35, color=COLOURS["S_C"], linewidths=0, rasterized=True)
            ax.plot([0, 1], [0, 1], color=COLOURS["paper"], linewidth=1)
            ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[0, 1], yticks=[0, 1])
            ax.set(xlabel="UnitMem", ylabel="ClassMem")
            ax.set_title(f"{layer}: {ssl_vs_sl.under(points, classes):.0%}", fontsize=9)
            ax.grid(False)
        for ax in axes[len(layers) :]:
            ax.remove()
        for ax in axes[: len(layers)]:
            ax.label_outer()
    return shown_once(figure)


def class_table(arms: Mapping[str, Arm], layers: Sequence[str]) -> Html:
    """UnitMem, ClassMem, their controls, the share of units under the diagonal and the member rate by layer."""
    import pandas as pd

    rows = []
    for row in ssl_vs_sl.layer_table(arms, layers).to_dict("records"):
        before = {
            "UnitMem untrained": row.get("UnitMem untrained"),
            "ClassMem untrained": row.get("ClassMem untrained"),
        }
        rows.append(
            {
                "encoders": row["arm"],
                "layer": row["layer"],
                "UnitMem": _shown(row, "UnitMem"),
                "unseen points": row["unseen"],
                "ClassMem": _shown(row, "ClassMem"),
                "unseen points ": row["ClassMem unseen"],
                "permuted labels": row["permuted"],
                **before,
                "UnitMem above ClassMem": row["under"],
                "neither known": row["under null"],
                "member rate": _rate(arms[row["arm"]], row["layer"]),
            }
        )
    return table(pd.DataFrame(rows), formats={"UnitMem above ClassMem": ".0%", "neither known": ".0%"})


def _rate(arm: Arm, layer: str) -> str:
    found = member_rate(arm.units, [layer]).interval
    return span(found.mean, found.low, found.high)


def _shown(row: Mapping[str, Any], column: str) -> str:
    return span(row[column], row[f"{column}_low"], row[f"{column}_high"])


def stops_table(studies: Mapping[str, Study]) -> Html:
    """Where the training of each encoder ended, and the accuracy of the probe that ended it."""
    import pandas as pd

    rows = []
    for name, study in studies.items():
        spec, trained = study.tables[0].header["encoder"], [t.header["training"] for t in study.tables]
        probed = [t["probed"][-1][1] for t in trained if t.get("probed")]
        rows.append(
            {
                "encoders": name,
                "epochs planned": f"{spec['epochs']:,}",
                "epochs trained": _range([t["epochs"] for t in trained], ",.0f"),
                "stop at a probe of": f"{spec['until']:.1%}" if spec.get("until") else None,
                "probe at the stop": _range(probed, ".1%") if probed else None,
                "reached by": f"{sum(t['reached'] for t in trained)} of {len(trained)}" if probed else None,
            }
        )
    return table(pd.DataFrame(rows))


def _range(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def probe_table(arms: Mapping[str, Arm]) -> Html:
    """Table 20, the paper's numbers beside ours: accuracy of linear probes, with intervals over pairs."""
    import pandas as pd

    ours = list(next(iter(arms.values())).probe[0])
    rows = []
    for name in dict.fromkeys([*ours, *paper.TABLE_20]):
        printed = paper.TABLE_20.get(name, {})
        row: dict[str, object] = {"data set": name}
        for kind in ("SSL", "SL"):
            mean, deviation = printed.get(kind, (None, None))
            row[f"paper: {kind}"] = mean and f"{mean:.1f} ± {deviation:.1f}"
        for kind, arm in arms.items():
            row[kind] = _accuracy(arm, name) if name in ours else "not tested here"
        first = next(iter(arms.values()))
        if first.probe_untrained and all(first.probe_untrained):
            row["before training"] = _accuracy(first.before, name) if name in ours else "not tested here"
        rows.append(row)
    return table(pd.DataFrame(rows))


def _accuracy(arm: Arm, dataset: str) -> str:
    i = contrast(arm, None, ssl_vs_sl.accuracy(dataset))
    return span(100 * i.mean, 100 * i.low, 100 * i.high, 1)
