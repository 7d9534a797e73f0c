"""Experiments, run: read where a run exists, made where it does not."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from memlib import store, train
from memlib.book import designs
from memlib.book.experiments import Experiment, experiments
from memlib.book.measuring import measure_one
from memlib.book.paths import fingerprints, place
from memlib.book.pieces import Pieces
from memlib.book.plan import Planned
from memlib.book.study import Study, design
from memlib.specs import nearest


@dataclass(frozen=True, eq=False)
class Run:
    """One run of an experiment.

    Attributes:
        arrays: What `run` of its kind (`memlib.book.cuts`) returned, by name.
        header: What was run, with that of `run`: encoders, training, choices, circumstances.
        made: Whether it was computed just now, and not read.
        plan: Its plan.
    """

    arrays: dict[str, np.ndarray]
    header: dict[str, Any]
    made: bool
    plan: Experiment


@dataclass(frozen=True)
class Runs(Pieces[Run]):
    """An experiment at a scale: its runs, each with other encoders.

    Attributes:
        pieces: A run each.
        scale, experiment: Which.
    """

    scale: str = ""
    experiment: str = ""

    @cached_property
    def study(self) -> Study:
        """The measured pairs of the design that the runs' encoders f come from, as many as there are runs."""
        whole = design(self.scale, self._design)
        return replace(whole, pieces=whole.pieces[: len(self)])

    @property
    def looks(self) -> tuple[float, ...]:
        """As `Study.looks`, of the experiment's own plan."""
        return designs.shares(designs.looks(self.scale, self.experiment), len(self)) if self.pieces else ()

    @property
    def _design(self) -> str:
        roles: Mapping[str, str] = designs.scale(self.scale)["experiments"][self.experiment]["roles"]
        return roles["f"].split(".")[0]

    @property
    def studies(self) -> Mapping[str, Study]:
        """The design of the encoders f; none where there are no runs, as the scale may not have the experiment."""
        return {self.study.design: self.study} if self.pieces else {}

    def ran(self) -> dict[str, str]:
        """What was run, for the reader: encoders by role, sizes, choices, circumstances."""
        from memlib.book.ran import of_runs

        return of_runs(self.pieces)


def experiment(scale: str, name: str, **overrides: Any) -> Runs:
    """The runs of an experiment at a scale; what is missing is made first, encoders included.

    Args:
        overrides: As for `experiments.experiments`.

    Raises:
        KeyError: The scale, the experiment or an override is unknown.
    """
    known = experiments(scale, name, **overrides)
    if name not in known:
        raise nearest(name, known, f"experiment of scale {scale}")
    found = []
    for planned in known[name]:
        path = place(planned, scale)
        made = not path.exists()
        arrays, header = store.find_or_make(path, partial(run, planned))
        found.append(Run({key: value.numpy() for key, value in arrays.items()}, header, made, planned))
    return Runs(found, scale=scale, experiment=name)


def run(planned: Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and header of a run: what its kind computes, and what is to be said of every run."""
    kind = importlib.import_module(f"memlib.book.cuts.{planned.kind}")
    trained = {role: train.artefact(spec)[1] for role, spec in planned.roles}
    began = time.monotonic()
    arrays, said = kind.run(planned)
    header = {
        "kind": "experiment",
        "name": planned.name,
        "experiment": planned.kind,
        "encoders": {role: spec.values() for role, spec in planned.roles},
        "training": {
            role: {key: value for key, value in header.items() if key not in ("kind", "spec")}
            for role, header in trained.items()
        },
        "probe": list(planned.probe),
        "probe_points": planned.probe_points,
        "choices": dict(planned.choices),
        "fingerprints": fingerprints(planned),
        "seconds": round(time.monotonic() - began, 1),
        **train.circumstances(train.device(), train.arithmetic(dict(planned.choices).get("precision", "float32"))),
    }
    return arrays, said | header


def make(planned: Planned, scale: str) -> tuple[Path, dict[str, Any]]:
    """Path and header of a measurement or of a run of an experiment, made first if it is missing."""
    path = place(planned, scale)
    if isinstance(planned, Experiment):
        return path, store.find_or_make(path, partial(run, planned))[1]
    return path, store.find_or_make(path, partial(measure_one, planned))[1]
