"""Page 05_2_injection: UnitMem over the epochs in which a point is inserted into a unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from memlib.claims import injection
from memlib.claims.inserted import UNITS, WAYS, Run
from memlib.figures.html import Html, table
from memlib.figures.style import COLOURS, WIDTH, shown_once
from memlib.paper import TABLES_13_14
from memlib.stats import Interval

INSERTED = {
    "one": "its strongest point",
    "other": "another point",
    "none": "no point: weight decay alone",
    "points": "many points (table 14a)",
    "copies": "copies of one point (table 14b)",
}


def injection_curves(runs: Sequence[Run], inserted: str = "one") -> Any:
    """UnitMem of the highest and the silent unit over the epochs, beside the paper's, and the band of all others.

    Args:
        inserted: `one` (table 13), `points` (14a) or `copies` (14b).
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(WAYS), 1, figsize=(WIDTH, 6.2), sharex=True, sharey=True, layout="constrained")
    epochs, x = runs[0].epochs, np.arange(len(runs[0].epochs))
    for ax, way in zip(axes, WAYS, strict=True):
        others = np.concatenate([r.others(inserted, way, "highest") for r in runs], axis=1)
        low, middle, high = np.quantile(others, [0.05, 0.5, 0.95], axis=1)
        ax.fill_between(x, low, high, color=COLOURS["untrained"], alpha=0.2, linewidth=0, label="other units")
        ax.plot(x, middle, color=COLOURS["untrained"], linewidth=1)
        for unit, colour, marker in (("highest", "S_C", "o"), ("silent", "S_I", "s")):
            found = [injection.over(runs, Run.at, i, inserted, way, unit) for i in range(len(epochs))]
            mean, below, above = np.array([(i.mean, i.low, i.high) for i in found]).T
            error = np.nan_to_num(np.stack([mean - below, above - mean]), posinf=0, neginf=0)
            line = {"color": COLOURS[colour], "marker": marker, "markersize": 4.5, "capsize": 2}
            ax.errorbar(x, mean, yerr=error, label=f"{injection.called(runs, unit)} unit", **line)
            paper = TABLES_13_14[inserted][unit]
            printed = [paper.get(epoch, np.nan) for epoch in epochs]
            ax.plot(x, printed, color=COLOURS[colour], linestyle="--", linewidth=1.2)
        ax.plot([], [], color=COLOURS["paper"], linestyle="--", linewidth=1.2, label="the paper's")
        ax.set(title=way, ylabel="UnitMem", ylim=(-0.05, 1.05))
    ax.set_xticks(x, [f"{epoch:,}" for epoch in epochs])
    ax.set(xlabel="epochs of fine-tuning, not to scale")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return shown_once(figure)


def injection_table(runs: Sequence[Run]) -> Html:
    """Tables 13, 14a and 14b: UnitMem by epoch, the paper's and ours by what was tuned."""
    import pandas as pd

    rows = []
    for inserted, name in injection.TABLES.items():
        for unit in UNITS:
            curves = {"the paper's": TABLES_13_14[inserted][unit]}
            for way in WAYS:
                mean = np.mean([r.curve(inserted, way, unit) for r in runs], axis=0).tolist()
                curves[way] = dict(zip(runs[0].epochs, mean, strict=True))
            for tuned, curve in curves.items():
                scores = {f"epoch {epoch:,}": _score(curve.get(epoch)) for epoch in runs[0].epochs}
                rows.append({"": name, "unit": injection.called(runs, unit), "tuned": tuned, **scores})
    return table(pd.DataFrame(rows))


def injection_controls(runs: Sequence[Run]) -> Html:
    """What each insertion changes from the first to the last epoch: UnitMem of both units, and of all others."""
    return _of_each(
        runs,
        lambda row: {
            "highest unit": _text(row["highest"]),
            f"{injection.called(runs, 'silent')} unit": _text(row["silent"]),
            "a random unit": _text(row["random"]),
            "other units, mean |change|": _text(row["others"]),
        },
    )


def injection_outputs(runs: Sequence[Run]) -> Html:
    """What each insertion changes at the output: the unit's activation, and the distances between views."""
    return _of_each(
        runs,
        lambda row: {
            "the point's activation of the highest unit": "{:.2f} to {:.2f}".format(*row["activation"]),
            "distance of the point's views": _text(row["view distance"]),
            "of other points' views": _text(row["of others"]),
        },
    )


def _of_each(runs: Sequence[Run], columns: Callable[[dict[Any, Any]], dict[str, str]]) -> Html:
    """A row an insertion and way of tuning."""
    import pandas as pd

    rows = injection.control_table(runs).to_dict("records")
    named = ({"inserted": INSERTED[row["inserted"]], "tuned": row["way"]} for row in rows)
    return table(pd.DataFrame([name | columns(row) for name, row in zip(named, rows, strict=True)]))


def injection_encoders(runs: Sequence[Run]) -> Html:
    """What each encoder learned: linear probes after and before training, and how alike its features are."""
    import pandas as pd

    rows = [
        {
            "encoder": i,
            "linear probe": _percent(one.accuracy["f"]),
            "before training": _percent(one.accuracy["untrained"]),
            "cosine of two views of a point": _score(one.cosine["same"]),
            "of two points": _score(one.cosine["different"]),
        }
        for i, one in enumerate(runs)
    ]
    return table(pd.DataFrame(rows))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def injection_units(runs: Sequence[Run]) -> Html:
    """Which units and points were taken, an encoder a row."""
    import pandas as pd

    rows = []
    for i, one in enumerate(runs):
        start = {unit: one.curve("one", WAYS[0], unit)[0] for unit in UNITS}
        held = one.strongest["one", "highest"]["highest"][0] == one.point
        rows.append(
            {
                "encoder": i,
                "highest unit": one.units["highest"],
                "its UnitMem": _score(start["highest"]),
                "its strongest point on these views, too": "yes" if held else "no",
                f"{injection.called(runs, 'silent')} unit": one.units["silent"],
                "UnitMem of it": _score(start["silent"]),
                "silent on every view": "yes" if one.quiet else "no",
            }
        )
    return table(pd.DataFrame(rows))


def _score(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}" if 0 < value < 0.02 else f"{value:.3f}"


def _text(found: Interval) -> str:
    return str(found).replace("-", "−")
