"""What several pages show of a design: memorization row by row beside its controls, its units, and its probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from memlib.book import show
from memlib.book.estimates import accuracy, delta, level, mirrored, untrained
from memlib.book.study import Study
from memlib.pairs import S_E, S_S
from memlib.stats import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Printed = Mapping[str, Mapping[str, float]]  # column -> row -> what a paper prints


def profile(study: Study, rows: Sequence[str]) -> dict[str, Interval]:
    """The mirrored estimate of each row."""
    return {row: study.over(mirrored(row)) for row in rows}


def controls(studies: Mapping[str, tuple[Study, Sequence[str]]], columns: int = 1) -> Figure:
    """A panel a study: raw scores of points that both saw and neither saw, and the mirrored estimate before training.

    Args:
        studies: title -> a study and its rows.
    """
    series = {}
    for title, (study, rows) in studies.items():
        series[title] = {
            "mirrored estimate": profile(study, rows),
            "both saw": {row: study.crossed.over(level(row, S_S)) for row in rows},
            "neither saw": {row: study.over(level(row, S_E)) for row in rows},
            "untrained: mirrored": {row: study.over(untrained(mirrored(row))) for row in rows},
        }
    return show.curves(series, "row", "LayerMem", columns=columns)


def table(study: Study, rows: Sequence[str], printed: Printed) -> show.Html:
    """The rows of an encoder: what the papers print, the mirrored estimate, its delta, and f's raw score."""
    previous = study.previous(rows)
    found = [
        {
            "row": row,
            **{f"LayerMem paper: {name}": values.get(row) for name, values in printed.items()},
            "mirrored estimate": study.over(mirrored(row)),
            "delta": study.over(delta(row, previous[row])) if row in previous else None,
            "raw, f only": study.over(level(row)),
        }
        for row in rows
    ]
    return show.table(found, {"mirrored estimate": ".4f", "delta": "+.4f"})


def units(study: Study, *rows: str) -> dict[str, np.ndarray]:
    """UnitMem of all units of some rows, of all encoders: on seen points, on unseen ones, and before training."""
    found = {of: study.unit_scores(of, *rows) for of in ("seen", "unseen")}
    return found | {"untrained": study.before.unit_scores("seen", *rows)}


def learned(studies: Mapping[str, Study], printed: Mapping[str, float] | None = None) -> show.Html:
    """Accuracy in % of linear probes after training and before, and what training gained.

    Args:
        printed: name of a study -> the paper's accuracy in %.
    """
    found = [
        {
            "encoders": name,
            "probe on": dataset,
            **({"LayerMem paper": printed.get(name)} if printed else {}),
            "after training": study.over(accuracy(dataset)),
            "before": study.over(untrained(accuracy(dataset))),
            "gain": study.over(accuracy(dataset) - untrained(accuracy(dataset))),
        }
        for name, study in studies.items()
        for dataset in study.tables[0].probe
    ]
    formats = dict.fromkeys(("after training", "before", "gain"), "%")
    return show.table(found, formats | ({"LayerMem paper": ".1f"} if printed else {}))
