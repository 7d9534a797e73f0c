"""Page 03_sslmem: scores of the four sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.figures.html import span, table
from memlib.figures.style import COLOURS, WIDTH, shown_once
from memlib.stats import two_level

if TYPE_CHECKING:
    from memlib.claims import Pair


def score_distributions(designs: Mapping[str, Mapping[str, Sequence[np.ndarray]]]) -> Any:
    """Distribution of SSLMem' of each set, a panel a design, with the set's mean and interval over pairs below it.

    Args:
        designs: design -> set -> scores, one array a pair, as `claims.sslmem.scores` returns them.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    designs = {name: sets for name, sets in designs.items() if sets}
    figure, axes = plt.subplots(
        2, len(designs), figsize=(WIDTH * 1.25, 4.2), sharex="col", height_ratios=[2.2, 1], squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for column, (design, sets) in enumerate(designs.items()):
        top, bottom = axes[:, column]
        for i, (name, scores) in enumerate(sets.items()):
            colour = COLOURS[name.split()[0]]
            sns.kdeplot(np.concatenate(scores), ax=top, color=colour, label=name, linewidth=2)
            found = two_level(scores)
            error = None
            if np.isfinite(found.low):
                error = [[found.mean - found.low], [found.high - found.mean]]
            bottom.errorbar(found.mean, -i, xerr=error, fmt="o", color=colour, capsize=4, linewidth=2)
        limit = 1.05 * max(np.quantile(np.abs(np.concatenate(s)), 0.995) for s in sets.values())
        bottom.set(xlabel="SSLMem′ of a point", xlim=(-limit, limit), yticks=[], ylim=(-len(sets) + 0.4, 0.6))
        top.set(title=design, ylabel="density" if not column else "", yticks=[])
        bottom.set_ylabel("mean, 95 %" if not column else "")
        for ax in (top, bottom):
            ax.axvline(0, color=COLOURS["paper"], linewidth=1)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return shown_once(figure)


def sslmem_table(designs: Mapping[str, Sequence[Pair]]) -> Any:
    """Mean SSLMem' at the output of each set in each design, beside what paper B claims."""
    import pandas as pd

    from memlib.claims import sslmem

    claimed = {"S_S": "about S_E", "S_C": "highest", "S_I": "lowest", "S_E": "about S_S"}
    rows: dict[str, dict[str, Any]] = {}
    for design, pairs in designs.items():
        if not pairs:
            continue
        for row in sslmem.set_table(pairs).itertuples():
            entry = rows.setdefault(row.set, {"set": row.set, "paper B": claimed[row.set.split()[0]]})
            entry[design] = span(row.mean, row.low, row.high, 4)
            entry[f"{design}: pairs, points"] = f"{row.pairs}, {row.points:,}"
    return table(pd.DataFrame(list(rows.values())))
