"""Page 04_2_finetuning: accuracy after tuning sets of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memlib.claims import finetuning
from memlib.claims.finetuning import HEAD, Layers, Tuning, at, choice_at, choice_less, less, over
from memlib.claims.pairs import interval
from memlib.figures.html import Html, table
from memlib.figures.style import COLOURS, WIDTH, name_points, shown_once
from memlib.paper import TABLE_5
from memlib.stats import Interval

STARTS = (("f", "trained encoder", "S_C", "o"), ("untrained", "untrained encoder", "untrained", "s"))


def tuned_sets(runs: Sequence[Tuning]) -> Any:
    """Accuracy after tuning each set that every run tuned, of trained and of untrained encoders."""
    import matplotlib.pyplot as plt

    sets = finetuning.common(runs)
    figure, ax = plt.subplots(figsize=(WIDTH, 1.3 + 0.26 * len(sets)), layout="constrained")
    y = np.arange(len(sets))[::-1]
    for shift, (start, label, colour, marker) in zip((0.12, -0.12), STARTS, strict=True):
        found = [over(runs, at(one), start) for one in sets]
        ax.errorbar(
            _means(found), y + shift, xerr=_errors(found), fmt=marker, color=COLOURS[colour], capsize=2,
            markersize=4.5, label=label,
        )  # fmt: skip
    ax.set(yticks=y, xlabel="accuracy on test images (%)", ylabel="tuned layers, with the head")
    ax.set_yticklabels([_short(one, runs) for one in sets])
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return shown_once(figure)


def tuned_budget(runs: Sequence[Tuning]) -> Any:
    """Accuracy against the number of the encoder's parameters that were trained, a point a set."""
    import matplotlib.pyplot as plt

    sets = [one for one in finetuning.common(runs) if one]
    figure, ax = plt.subplots(figsize=(WIDTH, 4.4), layout="constrained")
    x = np.array([runs[0].parameters[one] for one in sets])
    accuracy = {start: _means([over(runs, at(one), start) for one in sets]) for start, *_ in STARTS}
    for start, label, colour, marker in STARTS:
        head = over(runs, at(HEAD), start)
        ax.axhline(100 * head.mean, color=COLOURS[colour], linestyle="--", linewidth=1.2)
        ax.plot(x, accuracy[start], marker, color=COLOURS[colour], markersize=4.5, label=label)
    ax.set(xscale="log", xlabel="parameters of the encoder that are tuned", ylabel="accuracy on test images (%)")
    ax.plot([], [], "--", color=COLOURS["paper"], label="head alone")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    ax.margins(x=0.15)
    name_points(ax, x, accuracy["f"], [_short(one, runs) for one in sets])
    return shown_once(figure)


def tuned_layers(runs: Sequence[Tuning]) -> Any:
    """By layer: the mirrored estimate of its memorization, and what tuning it adds to the head alone."""
    import matplotlib.pyplot as plt

    layers = list(runs[0].mirrored)
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 5.0), sharex=True, layout="constrained")
    x = np.arange(len(layers))
    level = [interval([run.mirrored[layer] for run in runs], 0) for layer in layers]
    axes[0].errorbar(
        x,
        [i.mean for i in level],
        yerr=_errors(level) / 100,
        fmt="D",
        color=COLOURS["S_S"],
        capsize=2,
        markersize=4.5,
    )
    axes[0].set(ylabel="mirrored LayerMem")
    for shift, (start, label, colour, marker) in zip((-0.1, 0.1), STARTS, strict=True):
        found = [over(runs, less((layer,), HEAD), start) for layer in layers]
        axes[1].errorbar(
            x + shift, _means(found), yerr=_errors(found), fmt=marker, color=COLOURS[colour], capsize=2,
            markersize=4.5, label=label,
        )  # fmt: skip
    axes[1].set(ylabel="accuracy gained\nby tuning (%)", xlabel="layer", xticks=x)
    axes[1].set_xticklabels(layers)
    for ax in axes:
        ax.axhline(0, color=COLOURS["paper"], linestyle="--", linewidth=1.2)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return shown_once(figure)


def tuned_table(runs: Sequence[Tuning]) -> Html:
    """A row a set: parameters, the paper's accuracy and ours, and what tuning the set adds to the head alone."""
    import pandas as pd

    rows = []
    for one in finetuning.common(runs):
        printed = TABLE_5.get(one)
        rows.append(
            {
                "tuned layers": finetuning.name(one),
                "parameters": f"{runs[0].parameters[one]:,}",
                "paper (%)": f"{printed[0]:.1f} ± {printed[1]:.2f}" if printed else None,
                "ours (%)": _percent(over(runs, at(one))),
                "beyond the head": _percent(over(runs, less(one, HEAD))) if one else None,
                "untrained (%)": _percent(over(runs, at(one), "untrained")),
                "beyond its head": _percent(over(runs, less(one, HEAD), "untrained")) if one else None,
            }
        )
    return table(pd.DataFrame(rows))


def tuned_choices(runs: Sequence[Tuning], budget: bool = False) -> Html:
    """A row a choice of 1, 2 or 3 layers: which in how many runs, accuracy, and that beyond as many last layers'.

    Args:
        budget: a row a choice of at most as many parameters as the last 1, 2 or 3 layers have.
    """
    import pandas as pd

    rows = []
    for choice, words in finetuning.CHOICES.items():
        for k in finetuning.sizes(runs):
            sets = [(run.budgeted if budget else run.chosen)[choice][k - 1] for run in runs]
            counts = {finetuning.name(one): sets.count(one) for one in sorted(set(sets))}
            which = [n if m == len(runs) else f"{n} ({m} of {len(runs)})" for n, m in counts.items()]
            size = np.mean([run.parameters[one] for run, one in zip(runs, sets, strict=True)])
            found, beyond = choice_at(choice, k, budget), choice_less(choice, "last", k, budget)
            rows.append(
                {
                    "choice": words,
                    "within the last" if budget else "layers": k,
                    "which": "; ".join(which),
                    **({"parameters": f"{size:,.0f}"} if budget else {}),
                    "ours (%)": _percent(over(runs, found)),
                    "beyond the last": None if choice == "last" else _percent(over(runs, beyond)),
                    "untrained (%)": _percent(over(runs, found, "untrained")),
                }
            )
    return table(pd.DataFrame(rows))


def _short(layers: Layers, runs: Sequence[Tuning]) -> str:
    """The name of a set where there is little room."""
    if layers == tuple(runs[0].mirrored):
        return "all"
    whole = len(layers) > 3 and layers == tuple(runs[0].mirrored)[: len(layers)]
    return f"{layers[0]} to {layers[-1]}" if whole else finetuning.name(layers)


def _means(found: Sequence[Interval]) -> np.ndarray:
    return 100 * np.array([one.mean for one in found])


def _errors(found: Sequence[Interval]) -> np.ndarray:
    """Below and above the means, in percent, [2, K]; none where a single run gives none."""
    sides = 100 * np.array([(one.mean - one.low, one.high - one.mean) for one in found]).T
    return np.nan_to_num(sides, posinf=0, neginf=0)


def _percent(found: Interval) -> str:
    mean, low, high = (round(100 * side, 1) + 0.0 for side in (found.mean, found.low, found.high))
    text = f"{mean:.1f} [{low:.1f}, {high:.1f}]" if np.isfinite(low) else f"{mean:.1f}"
    return text.replace("-", "−")
