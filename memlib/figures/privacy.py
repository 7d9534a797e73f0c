"""Page 05_1_privacy: units of an MAE without and with differential privacy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.claims import privacy
from memlib.claims.arms import Arm, contrast, each, member_rate
from memlib.figures.html import Html, table
from memlib.figures.style import COLOURS, WIDTH, shown_once
from memlib.stats import Interval

if TYPE_CHECKING:
    from memlib.tables import Study

KINDS = (("seen", "S_C", "-"), ("unseen", "S_I", "--"), ("untrained", "untrained", ":"))
LEVELS = (("S_C", "o"), ("S_S", "s"), ("S_I", "^"))  # colour and marker of a level


def privacy_distributions(arms: Mapping[str, Arm], layers: Sequence[str]) -> Any:
    """Distribution of UnitMem over all units (Fig. 1c), a panel a level: seen points, unseen points, untrained."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    size = (WIDTH, 0.7 + 1.7 * len(arms))
    figure, axes = plt.subplots(len(arms), 1, figsize=size, sharex=True, sharey=True, layout="constrained")
    for ax, (name, arm) in zip(np.atleast_1d(axes), arms.items(), strict=True):
        for kind, colour, line in KINDS:
            chosen = arm.untrained if kind == "untrained" else arm.units
            side = "unseen" if kind == "unseen" else "seen"
            scores = np.concatenate([getattr(u, side)[layer] for u in chosen for layer in layers])
            sns.histplot(
                scores, ax=ax, bins=np.linspace(0, 1, 41).tolist(), stat="probability", element="step", fill=False,
                color=COLOURS[colour], linestyle=line, linewidth=1.8, label=kind,
            )  # fmt: skip
        ax.axvline(privacy.HIGH, color=COLOURS["paper"], linewidth=1, linestyle="--")
        ax.set(title=name, ylabel="share of the units", xlim=(0, 1))
    ax.set(xlabel="UnitMem of a unit")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return shown_once(figure)


def privacy_curves(arms: Mapping[str, Arm], layers: Sequence[str]) -> Any:
    """By layer and level: mean UnitMem on seen points, what it exceeds that on unseen ones by, the member rate."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 6.6), sharex=True, layout="constrained")
    x = np.arange(len(layers))
    for i, ((name, arm), (colour, marker)) in enumerate(zip(arms.items(), LEVELS, strict=False)):
        found: tuple[list[Interval], ...] = ([], [], [])
        for layer in layers:
            found[0].append(contrast(arm, None, each(privacy.average([layer]))))
            found[1].append(contrast(arm, None, each(privacy.beyond([layer]))))
            found[2].append(member_rate(arm.units, [layer]).interval)
        for ax, intervals in zip(axes, found, strict=True):
            mean, low, high = np.array([(j.mean, j.low, j.high) for j in intervals]).T
            error = np.nan_to_num(np.stack([mean - low, high - mean]), posinf=0, neginf=0)
            ax.errorbar(
                x + 0.18 * (i - 1), mean, yerr=error, fmt=marker, color=COLOURS[colour], capsize=2, markersize=4.5,
                label=name,
            )  # fmt: skip
    for ax, chance, label in zip(
        axes, (None, 0.0, 0.5), ("UnitMem on\nseen points", "seen less\nunseen points", "member rate"), strict=True
    ):
        ax.set(ylabel=label, xticks=x)
        if chance is not None:
            ax.axhline(chance, color=COLOURS["paper"], linestyle="--", linewidth=1.2)
    ax.set(xlabel="layer")
    ax.set_xticklabels(layers, rotation=60)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return shown_once(figure)


def privacy_table(arms: Mapping[str, Arm], layers: Sequence[str]) -> Html:
    """UnitMem and its controls, the member rate and the mirrored estimate by level; the paper printed no numbers."""
    import pandas as pd

    found = privacy.level_table(arms, layers).to_dict("records")
    rows = []
    for row in found:
        shares = {
            f"UnitMem ≥ .5{side}": _percent(row[key])
            for side, key in ((", seen", "high"), (", unseen", "high unseen"), (", untrained", "high untrained"))
            if key in row
        }
        rows.append(
            {
                "level": row["level"],
                "UnitMem, seen": _text(row["UnitMem"]),
                "unseen": _text(row["unseen"]),
                "seen less unseen": _text(row["more"]),
                **({"untrained": _text(row["untrained"])} if "untrained" in row else {}),
                **shares,
                "member rate": _text(row["member rate"]),
                "mirrored LayerMem, output": _text(row["mirrored"]),
            }
        )
    return table(pd.DataFrame(rows))


def _text(found: Interval) -> str:
    return str(found).replace("-", "−")


def _percent(found: Interval) -> str:
    return f"{found.mean:.1%}"


def guarantees(studies: Mapping[str, Study]) -> Html:
    """The privacy that each encoder reached, as its training accounted for it."""
    import pandas as pd

    rows = []
    for name, study in studies.items():
        for one in study.tables:
            spec, training = one.header["encoder"], one.header["training"]
            private = training.get("private")
            rows.append(
                {
                    "level": name,
                    "encoder": one.header["name"],
                    "ε asked for": f"{private['target']:g}" if private else "∞",
                    "ε reached": f"{private['epsilon']:.3f}" if private else "∞",
                    "δ": f"{private['delta']:g}" if private else None,
                    "noise multiplier": f"{private['noise_multiplier']:.3f}" if private else None,
                    "clip": f"{private['clip']:g}" if private else None,
                    "batch": f"{spec['batch']:,}",
                    "steps": f"{training['steps']:,}",
                    "points": f"{training['points']:,}",
                }
            )
    return table(pd.DataFrame(rows))
