"""Page 05_2_pruning: what is left of an encoder without some of its units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib import paper
from memlib.claims import pruning
from memlib.claims.pruning import Estimate, Run, over
from memlib.figures.html import Html, table
from memlib.figures.style import COLOURS, WIDTH, shown_once
from memlib.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOK = {  # criterion: colour, marker
    "top": (COLOURS["S_I"], "v"),
    "random": (COLOURS["untrained"], "o"),
    "low": (COLOURS["S_C"], "^"),
    "magnitude": (COLOURS["S_S"], "s"),
    "activation": (COLOURS["S_E"], "D"),
}
SCOPES = {"layer": "in each layer", "total": "in total"}
LABELS = {
    "top": "top UnitMem",
    "low": "low UnitMem",
    "activation": "mean activation",
    "top unseen": "top, unseen points",
    "low unseen": "low, unseen points",
}


def pruning_curves(runs: Sequence[Run]) -> Any:
    """Accuracy on the first data set over the share of pruned units: in each layer above, in total below."""
    import matplotlib.pyplot as plt

    dataset = next(iter(runs[0].accuracy))
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 6.2), sharex=True, sharey=True, layout="constrained")
    for ax, (scope, said) in zip(axes, SCOPES.items(), strict=True):
        shares = runs[0].shares(scope)
        for criterion, (colour, marker) in LOOK.items():
            found = [
                over(runs, lambda run, p=share, s=scope, c=criterion: run.at(dataset, s, c, p))  # type: ignore[misc]
                for share in shares
            ]
            label = LABELS.get(criterion, criterion)
            ax.plot(shares, [i.mean for i in found], marker, linestyle="-", color=colour, markersize=4, label=label)
            low, high = _bounds(found)
            ax.fill_between(shares, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.set(title=f"pruned {said}", ylabel=f"accuracy on {dataset}")
    largest = max(run.accuracy[dataset].mean((0, 2)).max() for run in runs)
    axes[-1].set(xlabel="share of the units that is pruned", ylim=(0, min(1, 1.1 * largest)))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return shown_once(figure)


def pruning_layers(runs: Sequence[Run]) -> Any:
    """Which layers the scope `total` takes its tenth from, and the accuracy lost where one layer alone is pruned."""
    import matplotlib.pyplot as plt

    layers, dataset = list(runs[0].units), next(iter(runs[0].accuracy))
    alone = [v[2] for v in runs[0].variants if v[0] == f"only {layers[0]}"]
    figure, axes = plt.subplots(
        1 + bool(alone), 1, figsize=(WIDTH, 3.2 * (1 + bool(alone))), sharex=True, squeeze=False, layout="constrained"
    )
    for criterion, shift in zip(("top", "low", "magnitude", "activation"), (-0.24, -0.08, 0.08, 0.24), strict=True):
        found = [over(runs, lambda run, n=n, c=criterion: taken(run, n, c)) for n in layers]  # type: ignore[misc]
        _points(axes[0, 0], found, shift, criterion)
    axes[0, 0].axhline(0.1, color=COLOURS["paper"], linestyle="--", linewidth=1.2)
    axes[0, 0].set(ylabel="share of the layer’s units\namong the 10 % in total", ylim=(0, None))
    if alone:
        for criterion, shift in zip(("top", "random", "low"), (-0.18, 0, 0.18), strict=True):
            found = [
                over(runs, lambda run, n=n, c=criterion: lost(run, dataset, n, c, alone[0]))  # type: ignore[misc]
                for n in layers
            ]
            _points(axes[1, 0], found, shift, criterion)
        axes[1, 0].axhline(0, color=COLOURS["paper"], linestyle="--", linewidth=1.2)
        axes[1, 0].set(ylabel=f"accuracy lost with {alone[0]:.0%}\nof this layer alone")
    axes[-1, 0].set(xlabel="layer", xticks=range(len(layers)))
    axes[-1, 0].set_xticklabels(layers)
    labels = {text: line for ax in axes[:, 0] for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=3)
    return shown_once(figure)


def taken(run: Run, layer: str, criterion: str) -> float:
    """Share of a layer's units among those that the scope `total` prunes at 10 %, mean of both encoders."""
    (row,) = run.rows("total", criterion, 0.1)
    return float(run.taken[:, row, list(run.units).index(layer)].mean() / run.units[layer])


def lost(run: Run, dataset: str, layer: str, criterion: str, share: float) -> float:
    """Accuracy that is lost with a share of one layer's units."""
    return run.at(dataset, "none", "none", 0.0) - run.at(dataset, f"only {layer}", criterion, share)


def _points(ax: Axes, found: Sequence[Interval], shift: float, criterion: str) -> None:
    colour, marker = LOOK[criterion]
    mean = np.array([i.mean for i in found])
    low, high = _bounds(found)
    ax.errorbar(
        np.arange(len(found)) + shift, mean, yerr=np.stack([mean - low, high - mean]), fmt=marker, color=colour,
        capsize=2, markersize=4.5, label=LABELS.get(criterion, criterion),
    )  # fmt: skip


def _bounds(found: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds; the mean where one run gives none."""
    low, high = (np.array([v if np.isfinite(v := getattr(i, s)) else i.mean for i in found]) for s in ("low", "high"))
    return low, high


def pruning_table(runs: Sequence[Run]) -> Html:
    """Table 6 beside ours, and what a user would prune by: accuracy in percent, with 95 % intervals over runs."""
    import pandas as pd

    ours, theirs = list(runs[0].accuracy), list(paper.TABLE_6[("none", "none", 0.0)])
    rows = []
    cells = [("none", 0.0), *pruning.CELLS]
    for scope, share in cells:
        order = ("top", "random", "low", "magnitude", "activation", "top unseen", "low unseen")
        for criterion in order if share else ("none",):
            printed = paper.TABLE_6.get((scope, criterion, share), {})
            row = {
                "units pruned": "none" if not share else LABELS.get(criterion, criterion),
                "share": f"{share:.0%} {SCOPES[scope]}".replace(" ", "\u00a0") if share else None,
            }
            for name in ours:
                row[name] = _percent(over(runs, lambda run, n=name, v=(scope, criterion, share): run.at(n, *v)))  # type: ignore[misc]
            if criterion == "random":
                row["between draws"] = "; ".join(f"{n} {100 * _spread(runs, n, scope, share):.1f}" for n in ours)
            row |= {f"untrained, {n}": _percent(over(runs, _before(n, scope, criterion, share))) for n in ours}
            for name in theirs:
                row[f"paper, {name}"] = " ± ".join(f"{v:.2f}" for v in printed[name]) if printed else None
            rows.append(row)
    return table(pd.DataFrame(rows))


def _before(dataset: str, scope: str, criterion: str, share: float) -> Estimate:
    return lambda run: run.at(dataset, scope, criterion, share, trained=False)


def _spread(runs: Sequence[Run], dataset: str, scope: str, share: float) -> float:
    """Standard deviation between draws within an encoder, mean over encoders."""
    each = [np.asarray(r.accuracy[dataset])[:, r.rows(scope, "random", share)].mean(2).std(1, ddof=1) for r in runs]
    return float(np.mean(each))


def _percent(found: Interval) -> str:
    text = f"{100 * found.mean:.1f}"
    return f"{text} [{100 * found.low:.1f},\u00a0{100 * found.high:.1f}]" if np.isfinite(found.low) else text


def pruning_controls(runs: Sequence[Run]) -> Html:
    """How alike the criteria are: rank correlation with UnitMem of seen points, and the lowest tenth in common."""
    import pandas as pd

    rows = [
        {
            "UnitMem of seen points and": {"unseen": "UnitMem of unseen points"}.get(row["compared with"])
            or LABELS.get(row["compared with"], row["compared with"]),
            "Kendall’s τ": str(row["tau"]).replace("-", "−"),
            "lowest tenth in common": str(row["same"]),
            "by chance": f"{row['chance']:.2f}",
        }
        for row in pruning.control_table(runs).to_dict("records")
    ]
    return table(pd.DataFrame(rows))


def pruning_inactive(runs: Sequence[Run]) -> Html:
    """How many units no seen point activates, as a sentence."""
    found = over(runs, pruning.inactive)
    said = (
        f"Units that no view of a seen point activates: {_percent(found)} %. Their UnitMem is 0, and pruning them "
        "changes nothing on such points."
    )
    return Html(f"<p>{said}</p>", said)
