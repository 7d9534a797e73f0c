"""The measurements that pages are computed from: small tables, read where they exist and made where they do not.

One table holds one encoder: the distances of every layer on every point of its design for two independent draws of
views, what UnitMem needs of every unit, and where its design asks for them ClassMem and the accuracy of linear
probes. Those of the published scale lie in `book/results`. A study is a design, measured; an outcome is a run of an
experiment.
"""

from pathlib import Path
from typing import Any

from memlib import store, studies
from memlib.tables.measured import BLOCKS, DRAWS, SETS, Table, measure_one, table, thumbnails
from memlib.tables.outcomes import Outcome, experiment, ran, run
from memlib.tables.places import place
from memlib.tables.studied import Study, study

__all__ = [
    "BLOCKS",
    "DRAWS",
    "SETS",
    "Outcome",
    "Study",
    "Table",
    "experiment",
    "make",
    "place",
    "ran",
    "study",
    "table",
    "thumbnails",
]


def make(measurement: studies.Planned, scale: str) -> tuple[Path, dict[str, Any]]:
    """Path and header of a measurement or of a run of an experiment, made first if it is missing."""
    path = place(measurement, scale)
    if isinstance(measurement, studies.Experiment):
        return path, store.find_or_make(path, lambda: run(measurement))[1]
    return path, store.find_or_make(path, lambda: measure_one(measurement))[1]
