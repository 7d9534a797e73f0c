"""Pages 04_1_resnets, 04_1_vit and 04_1_frameworks: profiles of several encoders over their layers, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib import paper
from memlib.claims import frameworks, layermem, unitmem, vit
from memlib.figures.html import span, table
from memlib.figures.layermem import layers_of
from memlib.figures.style import COLOURS, WIDTH, shown_once
from memlib.figures.unitmem import quantiles, scores
from memlib.stats import Interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from memlib.tables import Study

MARKERS = "oDs^vP"
Printed = Mapping[str, float | tuple[float, ...]]  # row -> what the paper prints, LayerMem first


def depth_profiles(
    curves: Mapping[str, tuple[Study, Sequence[str]]], printed: Mapping[str, Sequence[float]], xlabel: str = ""
) -> Any:
    """The paper's curves above in a scale of their own, ours below: mirrored estimates with bands over pairs.

    Args:
        curves: label -> a study and its rows in forward order. Encoders of different numbers of rows are laid over
            each other by the share of the depth; otherwise rows are numbered.
        printed: label -> the paper's LayerMem in forward order; what has the label of a curve gets its colour.
        xlabel: in words; by default the share of the depth, or the layer.
    """
    import matplotlib.pyplot as plt

    lengths = {len(rows) for _, rows in curves.values()} | {len(v) for v in printed.values()}
    alike = len(lengths) == 1
    figure, (above, ax) = plt.subplots(
        2, 1, figsize=(WIDTH, 5.4), sharex=True, height_ratios=[1, 2.2], layout="constrained"
    )
    labels = list(dict.fromkeys([*curves, *printed]))
    look = {n: {"color": _colour(i), "marker": MARKERS[i % len(MARKERS)]} for i, n in enumerate(labels)}
    for label, values in printed.items():
        every = -(-len(values) // 15)  # markers that do not run into each other
        above.plot(
            _places(len(values), alike), values, "--", markersize=3.5, markevery=every, label=label, **look[label]
        )
    above.set(ylabel="LayerMem,\npaper A (raw)")
    for label, (study, rows) in curves.items():
        found, x = layermem.layer_table(study.pairs, rows), _places(len(rows), alike)
        ax.fill_between(x, found["mirrored_low"], found["mirrored_high"], color=look[label]["color"], alpha=0.16)
        ax.plot(x, found["mirrored"], markersize=3.5, markevery=-(-len(x) // 15), label=label, **look[label])
    ax.axhline(0, color=COLOURS["paper"], linewidth=1)
    ax.set(ylabel="mirrored estimate, here", xlabel=xlabel or ("layer" if alike else "share of the encoder’s depth"))
    if alike:
        ax.set_xticks(_places(lengths.pop(), alike))
    handles = {
        label: line for axis in (above, ax) for line, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=min(3, len(handles)))
    return shown_once(figure)


def _places(count: int, numbered: bool) -> np.ndarray:
    """Where rows stand: 1, 2, … or from 0 to 1."""
    return np.arange(1, count + 1) if numbered else np.linspace(0, 1, count)


def _colour(number: int) -> str:
    """Colours of curves, the grey of controls left out until there is no other."""
    colours = list(dict.fromkeys(COLOURS.values()))
    return colours[number % len(colours)]


def profile_controls(curves: Mapping[str, tuple[Study, Sequence[str]]]) -> Any:
    """What must not rise with depth, a panel an encoder: S_S, S_E, and the mirrored estimate before training."""
    import matplotlib.pyplot as plt

    columns = min(2, len(curves))
    lines = -(-len(curves) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(WIDTH, 2.2 * lines + 0.8), sharey=True, squeeze=False, layout="constrained"
    )
    for ax in axes.flat[len(curves) :]:
        ax.set_axis_off()
    for ax, (label, (study, rows)) in zip(axes.flat, curves.items(), strict=False):
        found = layers_of(study, rows)
        for column, colour, line, name in (
            ("external", "S_E", "--", "S_E: neither saw"),
            ("shared", "S_S", "-.", "S_S: both saw"),
        ):
            if column in found:
                _band(ax, found, column, colour, line, name)
        before = layermem.layer_table(study.nulls["untrained encoders"], rows)
        _band(ax, before, "mirrored", "untrained", ":", "mirrored, before training")
        _band(ax, found, "mirrored", "S_C", "-", "mirrored estimate")
        ax.axhline(0, color=COLOURS["paper"], linewidth=1)
        ax.set(title=label, xlabel="layer, from first to last", xticks=[])
    for ax in axes[:, 0]:
        ax.set_ylabel("LayerMem")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return shown_once(figure)


def _band(ax: Axes, found: pd.DataFrame, column: str, colour: str, line: str, label: str) -> None:
    """A curve over the rows of a table with its interval as a band."""
    x = np.arange(len(found))
    ax.fill_between(x, found[f"{column}_low"], found[f"{column}_high"], color=COLOURS[colour], alpha=0.16)
    ax.plot(x, found[column], linestyle=line, color=COLOURS[colour], label=label)


def printed_table(
    study: Study,
    rows: Sequence[str],
    printed: Mapping[str, Printed],
    previous: Mapping[str, str] | None = None,
) -> Any:
    """A row a layer: what the paper prints, the mirrored estimate, raw LayerMem, its controls and the delta.

    Args:
        printed: name of the column -> row -> the paper's LayerMem, with what stands beside it, if anything.
        previous: row -> the one that its delta is taken against; None: the row before it.
    """
    import pandas as pd

    found, entries = layers_of(study, rows, previous), []
    for row in found.to_dict("records"):
        entry: dict[str, Any] = {"layer": row["layer"]}
        for name, numbers in printed.items():
            entry[f"paper: {name}"] = _first(numbers.get(row["layer"]))
        for column, name in (
            ("mirrored", "mirrored"),
            ("raw", "raw S_C"),
            ("shared", "control S_S"),
            ("external", "control S_E"),
        ):
            if column in found:
                digits = 4 if column == "mirrored" else 3
                entry[name] = _ends(row, column, digits)
        entries.append({**entry, "delta": row["delta"]})
    return table(pd.DataFrame(entries), formats={"delta": "+.4f"})


def _ends(row: Mapping[str, Any], column: str, digits: int) -> str | None:
    """A number of a row with its interval; None where the row has none."""
    mean, low, high = (float(row.get(f"{column}{end}", np.nan)) for end in ("", "_low", "_high"))
    return None if np.isnan(mean) else span(mean, low, high, digits)


def _first(number: float | tuple[float, ...] | None) -> float | None:
    return number[0] if isinstance(number, tuple) else number


def vit_table(study: Study, kinds: Mapping[str, str], previous: Mapping[str, str]) -> Any:
    """Table 10 by block: what attention, the fully connected layer and the block add, the paper's beside ours."""
    import pandas as pd

    entries = []
    for row in vit.block_table(study.pairs, kinds, previous).to_dict("records"):
        block = row["block"]
        att, fc = (paper.TABLE_10.get(f"{n}{block}") for n in ("ATT", "FC"))
        entry: dict[str, Any] = {"block": block, "paper: FC less ATT": fc[0] - att[0] if fc and att else None}
        entry["FC less ATT"] = _ends(row, "FC less ATT", 4)
        for name, label in (("ATT", "attention"), ("FC", "fully connected"), ("FCRes", "block")):
            shown = paper.TABLE_10.get(f"{name}{block}")
            entry[f"paper: delta {label}"] = shown[1] if shown else None
            entry[f"delta {label}"] = _ends(row, f"delta {name}", 4)
        entries.append(entry)
    return table(pd.DataFrame(entries), formats={n: "+.3f" for n in entries[0] if n.startswith("paper")})


def framework_table(families: frameworks.Families, rows: frameworks.Rows) -> Any:
    """A row an encoder and framework: how memorization grows, its last row, and the units of its last layer."""
    found = frameworks.framework_table(families, rows)
    names = {
        "tau": "τ with depth",
        "last row": "mirrored, last row",
        "seen": "UnitMem seen",
        "high": "units ≥ .5",
    }
    return table(_spans(found).rename(columns=names), formats={"units ≥ .5": ".0%"})


def learned_table(
    families: Mapping[str, Mapping[str, Study]], printed: Mapping[str, Mapping[str, float]] | None = None
) -> Any:
    """A row an encoder and framework: its linear probe after and before training, and which show no gain.

    Args:
        printed: encoder -> framework -> the paper's accuracy in [0, 1].
    """
    found = frameworks.learned(families)
    theirs = [(printed or {}).get(row.encoder, {}).get(row.framework) for row in found.itertuples()]
    if any(theirs):
        found.insert(3, "paper", theirs)
    named = ", ".join(frameworks.lost(families)) or "none"
    names = {"after": "accuracy", "before": "before training"}
    caption = (
        f"Not shown to probe better after training than before it (the interval does not exclude zero): {named}."
    )
    return table(_spans(found).rename(columns=names), caption=caption)


def contrast_table(families: frameworks.Families, rows: frameworks.Rows) -> Any:
    """A row an encoder and two frameworks: agreement of their profiles, with its nulls, and their differences."""
    names = {
        "tau": "τ of the profiles",
        "level": "mirrored, mean over layers",
        "UnitMem": "UnitMem, last layer",
        "units high": "share of units ≥ .5",
    }
    return table(_spans(frameworks.contrast_table(families, rows)).rename(columns=names))


def differences(
    studies: Mapping[str, Study], rows: Sequence[str], printed: Mapping[str, Printed] | None = None
) -> Any:
    """A row a layer: the mirrored estimate of one framework less another's, every two.

    Args:
        printed: name of a column -> row -> the paper's difference.
    """
    found = _spans(frameworks.differences(studies, rows))
    for name, numbers in (printed or {}).items():
        found.insert(1, f"paper: {name}", [_first(numbers.get(row)) for row in found["layer"]])
    return table(found)


def _spans(frame: pd.DataFrame) -> pd.DataFrame:
    """Intervals of a frame as text."""
    return frame.map(lambda v: span(v.mean, v.low, v.high) if isinstance(v, Interval) else v)


def framework_units(families: Mapping[str, Mapping[str, Study]]) -> Any:
    """UnitMem of the last layer's units by framework (Fig. 12), with its controls."""
    import matplotlib.pyplot as plt

    found = [(f"{family}\n{name}", study) for family, studies in families.items() for name, study in studies.items()]
    figure, ax = plt.subplots(figsize=(WIDTH * 1.15, 3.8), layout="constrained")
    last = [frameworks.last_layer(study.units[0].seen) for _, study in found]
    quantiles(ax, len(found), lambda i, kind: scores(found[i][1], kind, last[i]))
    ax.axhline(unitmem.HIGH, color=COLOURS["paper"], linewidth=1, linestyle="--")
    ax.set(xlabel="encoder and framework", ylabel="UnitMem of the units", ylim=(0, 1), xticks=range(len(found)))
    ax.set_xticklabels([label for label, _ in found])
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return shown_once(figure)
