"""Page 04_2_replacement: what layers cost when they are replaced, beside what they memorize."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from memlib import paper
from memlib.claims import replaced, replacement
from memlib.claims.replaced import RULES, Of, Pick, Run, Steps, gained, lost
from memlib.figures.html import Html, table
from memlib.figures.style import COLOURS, WIDTH, name_points, shown_once
from memlib.paper.replacement import Row
from memlib.stats import Interval

STANDS = (  # whose layer stands in: colour, marker, and words
    ("donor", "S_C", "o", "another data set"),
    ("g", "S_I", "s", "same data set"),
    ("untrained", "untrained", "^", "untrained"),
)


def replacement_map(runs: Sequence[Run]) -> Any:
    """Accuracy lost in percentage points: one layer on the diagonal, two below it, threes that hold it beneath.

    Here, the mean over runs; and where the layers are the paper's, the same from tables 30, 32 and 33.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    steps = runs[0].steps
    here = {s: 100 * float(np.mean([r.lost(s) for r in runs])) for n in runs[0].sizes() for s in runs[0].sets(n)}
    shown = {"here": here}
    if steps == tuple("12345678"):
        shown["paper A, STL10"] = {tuple(s.split()): _paper_lost(s) for s in paper.TABLE_30_32_33}
    figure, axes = plt.subplots(len(shown), 1, figsize=(WIDTH, 5.2 * len(shown)), squeeze=False, layout="constrained")
    for ax, (name, cost) in zip(axes.flat, shown.items(), strict=True):
        values = np.full((len(steps) + 1, len(steps)), np.nan)
        for i, step in enumerate(steps):
            values[i, i] = cost.get((step,), np.nan)
            values[-1, i] = _mean([v for s, v in cost.items() if len(s) == 3 and step in s])
        for i, j in combinations(range(len(steps)), 2):
            two = [v for s, v in cost.items() if len(s) == 2 and {steps[i], steps[j]} == set(s)]
            three = [v for s, v in cost.items() if len(s) == 3 and {steps[i], steps[j]} < set(s)]
            values[j, i] = _mean(two or three)
        texts = np.vectorize(lambda v: "" if np.isnan(v) else f"{round(v) + 0:.0f}".replace("-", "−"))(values)
        sns.heatmap(
            values, ax=ax, mask=np.isnan(values), cmap="cividis", annot=texts, fmt="", annot_kws={"size": 10.5},
            cbar=False, xticklabels=steps, yticklabels=[*steps, "threes"], square=len(steps) < 10,
        )  # fmt: skip
        ax.axhline(len(steps), color=COLOURS["paper"], linewidth=1.5)
        ax.set(
            title=f"{name}: accuracy lost (percentage points)", xlabel="replaced layer", ylabel="and replaced layer"
        )
        ax.tick_params(length=0, rotation=0)
        ax.grid(False)
    return shown_once(figure)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _paper_lost(steps: str) -> float:
    none = paper.TABLE_30_NONE if len(steps) == 1 else paper.TABLE_32_NONE
    return none[0] - paper.TABLE_30_32_33[steps][0]


def _paper_gained(steps: str) -> float:
    none = paper.TABLE_30_NONE if len(steps) == 1 else paper.TABLE_32_NONE
    return paper.TABLE_30_32_33[steps][2] - none[2]


def replacement_scatter(runs: Sequence[Run]) -> Any:
    """What a layer memorizes against the accuracy that its replacement costs, by whose layer stands in."""
    import matplotlib.pyplot as plt

    def percent(steps: Steps, role: str) -> Of:
        return lambda one: 100 * one.lost(steps, role)

    figure, axes = plt.subplots(len(STANDS), 1, figsize=(WIDTH, 7.6), sharex=True, sharey=True, layout="constrained")
    means: dict[str, list[float]] = {}
    x = [replacement.over(runs, replaced.memory(step)) for step in runs[0].steps]
    for ax, (role, colour, marker, name) in zip(axes, STANDS, strict=True):
        y = [replacement.over(runs, percent((step,), role)) for step in runs[0].steps]
        for across, up in zip(x, y, strict=True):
            ax.errorbar(
                across.mean, up.mean, xerr=_bounds(across), yerr=_bounds(up), fmt=marker, color=COLOURS[colour],
                capsize=2, markersize=5, linewidth=1, alpha=0.9,
            )  # fmt: skip
        means[role] = [up.mean for up in y]
        ax.axhline(0, color=COLOURS["paper"], linewidth=1)
        ax.set(title=f"layer of: {name}", ylabel="accuracy lost\n(percentage points)")
    axes[-1].set(xlabel="memorization of the layer (mirrored estimate)")
    for ax, each in zip(axes, means.values(), strict=True):
        name_points(ax, [across.mean for across in x], each, runs[0].steps)
    return shown_once(figure)


def _bounds(found: Interval) -> Any:
    """Lengths of an error bar [2, 1], none where one run gives none."""
    return np.nan_to_num([[found.mean - found.low], [found.high - found.mean]], posinf=0, neginf=0)


def replaced_curves(runs: Sequence[Run]) -> Any:
    """Mirrored estimate by layer before and after each single replacement in f and in g (C.11), mean over runs."""
    import matplotlib.pyplot as plt

    layers, steps = list(runs[0].layers), runs[0].steps
    mean = np.mean([one.mirrored for one in runs], axis=0)  # [1 + T, L]
    figure, ax = plt.subplots(figsize=(WIDTH, 4.4), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0.15, 0.85, len(steps)))
    for step, curve, colour in zip(steps, mean[1:], colours, strict=True):
        ax.plot(curve, "-", color=colour, linewidth=1.1, label=f"{step} replaced")
        at = layers.index(runs[0].rows[step])
        ax.plot(at, curve[at], "X", color=colour, markersize=7)
    before = [replacement.over(runs, replaced.at(name)) for name in layers]
    ax.errorbar(
        np.arange(len(layers)), mean[0], yerr=np.hstack([_bounds(i) for i in before]), fmt="o-", capsize=2,
        color=COLOURS["S_I"], markersize=4, label="before",
    )  # fmt: skip
    ax.axhline(0, color=COLOURS["paper"], linewidth=1)
    ax.set(xlabel="layer", ylabel="mirrored estimate", xticks=range(len(layers)))
    ax.set_xticklabels(layers, rotation=60 if len(layers) > 8 else 0)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return shown_once(figure)


def single_table(runs: Sequence[Run]) -> Html:
    """A row a layer: what it memorizes, what its replacement costs by whose layer stands in, and gains (Table 30)."""
    import pandas as pd

    rows, added = [], runs[0].memory("delta")
    for step in runs[0].steps:
        rows.append(
            {
                "layer": step,
                "parameters": f"{runs[0].parameters[step]:,}",
                "mirrored LayerMem": _text(runs, replaced.memory(step)),
                "delta": _text(runs, replaced.memory(step, "delta")) if step in added else None,
                **{f"lost, {name}": _points(runs, lost((step,), role)) for role, _, _, name in STANDS},
                "gained on the donor’s data": _points(runs, gained((step,))),
                **(
                    {"paper, STL10: lost; gained": _minus(f"{_paper_lost(step):.1f}; {_paper_gained(step):.1f}")}
                    if step in paper.TABLE_30_32_33
                    else {}
                ),
            }
        )
    return table(pd.DataFrame(rows))


def choice_table(runs: Sequence[Run]) -> Html:
    """Tables 21 to 24: what each rule chooses in each run, and what replacing it costs, by g's layers too, and gains.

    The paper's column is that of the donor's data set, where it has it, and that of STL10 elsewhere.
    """
    import pandas as pd

    rows = []
    donor = "svhn" if runs[0].theirs == "svhn" else "stl10"
    printed = {1: paper.TABLE_23, 3: paper.TABLE_22} if runs[0].steps == tuple("12345678") else {3: paper.TABLE_24}
    for size in runs[0].sizes():
        names: dict[str, Pick] = {
            **{f"most, {by}": replaced.chosen(size, by) for by in RULES},
            "last": replaced.last(size),
            **{f"least, {by}": replaced.chosen(size, by, most=False) for by in RULES},
        }
        for name, choose in names.items():
            chosen = dict.fromkeys(" ".join(choose(r)) for r in runs)
            rows.append(
                {
                    "layers": size,
                    "chosen": name,
                    "which": ", ".join(chosen),
                    "lost": _points(runs, lost(choose)),
                    "lost, same data set": _points(runs, lost(choose, "g")),
                    "gained on the donor’s data": _points(runs, gained(choose)),
                    **_printed(printed.get(size, {}).get(donor, {}), name),
                }
            )
        some = "" if size in runs[0].drawn.get("donor", {}) else "all "
        rows.append(
            {
                "layers": size,
                "chosen": "random",
                "which": f"mean of {some}{len(runs[0].sets(size))}",
                "lost": _points(runs, replaced.mean_lost(size)),
                "lost, same data set": _points(runs, replaced.mean_lost(size, "g")),
                "gained on the donor’s data": _points(runs, replaced.mean_gained(size)),
                **_printed(printed.get(size, {}).get(donor, {}), "random"),
            }
        )
    return table(pd.DataFrame(rows))


def _printed(rows: dict[str, tuple[str, Row]], name: str) -> dict[str, str | None]:
    name = name if name in rows else name.split(",")[0]  # Table 24 does not say by which rule
    if name not in rows:
        return {"paper: which": None, "paper: lost": None, "paper: gained": None}
    which, row = rows[name]
    none = rows["none"][1]
    return {
        "paper: which": which,
        "paper: lost": f"{none[0] - row[0]:.1f}",
        "paper: gained": _minus(f"{row[2] - none[2]:.1f}"),
    }


def whole_table(runs: Sequence[Run]) -> Html:
    """Accuracy of f, and of the encoders whose layers stood in, on each data set that was probed."""
    import pandas as pd

    def accuracy(role: str, dataset: str) -> Of:
        return lambda one: one.accuracy[role, () if role == "f" else one.steps][dataset]

    names = {"f": "f, nothing replaced"} | {role: f"all layers from: {name}" for role, _, _, name in STANDS}
    probed = runs[0].accuracy["f", ()]
    rows = [
        {"encoder": name} | {dataset: f"{_points(runs, accuracy(role, dataset))} %" for dataset in probed}
        for role, name in names.items()
    ]
    return table(pd.DataFrame(rows))


def batchnorm_table(runs: Sequence[Run]) -> Html:
    """Table 25: cosine of BatchNorm weights and biases between f and the encoders whose layers stood in."""
    import pandas as pd

    rows = []
    for step in (*runs[0].similarity["donor"], "mean"):
        found = {
            name: _text(runs, replaced.alike(role, which, None if step == "mean" else step))
            for name, role, which in (
                ("donor", "donor", 0), ("donor, units permuted", "donor", 3), ("donor, weights", "donor", 1),
                ("donor, biases", "donor", 2), ("same data set", "g", 0), ("untrained", "untrained", 0),
            )
        }  # fmt: skip
        printed = paper.TABLE_25 | {"mean": 0.823}
        rows.append({"layer": step, **found, "paper": printed.get(step)})
    return table(pd.DataFrame(rows))


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _text(runs: Sequence[Run], of: Of) -> str:
    return _minus(str(replacement.over(runs, of)).replace(" (one pair)", ""))


def _points(runs: Sequence[Run], of: Of) -> str:
    return _minus(replacement.points(replacement.over(runs, of)))
