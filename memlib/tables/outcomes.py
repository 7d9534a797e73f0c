"""Experiments, run: read where a run exists, made where it does not."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from memlib import store, studies, train
from memlib.specs import nearest
from memlib.tables.places import fingerprints, place

NAMES = {  # choices of experiments in words
    "sizes": "layers replaced at once",
    "drawn": "sets drawn of each size",
    "controls": "of them by layers of g",
    "tested": "test images",
    "views": "views of a point",
    "lr": "learning rate",
    "seeds": "seeds of a run",
    "shares": "shares pruned",
    "draws": "random draws in the table",
    "curve_draws": "random draws elsewhere",
    "alone": "share pruned of one layer alone",
    "unit_points": "points of UnitMem",
    "pool": "views of a point that training draws from",
    "weight_decay": "weight decay",
}


@dataclass(frozen=True)
class Outcome:
    """One run of an experiment.

    Attributes:
        arrays: What `run` of its kind (`memlib.experiments`) returned, by name.
        header: What was run, with that of `run`: encoders, training, choices, circumstances.
        made: Whether it was computed just now, and not read.
        experiment: Its plan.
    """

    arrays: dict[str, np.ndarray]
    header: dict[str, Any]
    made: bool
    experiment: studies.Experiment


def experiment(scale: str, name: str, **overrides: Any) -> list[Outcome]:
    """The runs of an experiment at a scale; what is missing is made first, encoders included.

    Args:
        overrides: As for `studies.experiments`.

    Raises:
        KeyError: The scale, the experiment or an override is unknown.
    """
    known = studies.experiments(scale, name, **overrides)
    if name not in known:
        raise nearest(name, known, f"experiment of scale {scale}")
    found = []
    for planned in known[name]:
        path = place(planned, scale)
        made = not path.exists()
        arrays, header = store.find_or_make(path, partial(run, planned))
        found.append(Outcome({key: value.numpy() for key, value in arrays.items()}, header, made, planned))
    return found


def run(planned: studies.Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and header of a run: what its kind computes, and what is to be said of every run."""
    kind = importlib.import_module(f"memlib.experiments.{planned.kind}")
    trained = {role: train.artefact(spec)[1] for role, spec in planned.roles}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
        **train.circumstances(device, dict(planned.choices).get("precision", "float32")),
    }
    return arrays, said | header


def ran(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """What was run, for the reader: encoders by role, sizes, circumstances, and whether it was read or computed."""
    first, headers = outcomes[0].header, [one.header for one in outcomes]
    encoders = {
        role: f"{spec['arch']}, {spec['framework']}, {spec['dataset']}, "
        + (
            f"{first['training'][role]['points']:,} points, {spec['epochs']:,} epochs"
            if spec["epochs"]
            else "untrained"
        )
        + f"; seeds {', '.join(str(header['encoders'][role]['seed']) for header in headers)}"
        for role, spec in first["encoders"].items()
    }
    trained = {str(h["encoders"][role]): h["training"][role]["seconds"] for h in headers for role in encoders}
    dates, made = sorted({header["date"] for header in headers}), sum(one.made for one in outcomes)
    points = first["probe_points"]
    labelled = {"labelled images": f"{', '.join(first['probe'])}, {f'{points:,}' if points else 'all'} for training"}
    return {
        "runs": f"{len(outcomes)}, each with other encoders",
        **{f"encoder {role}": said for role, said in encoders.items()},
        **(labelled if first["probe"] else {}),
        "choices": "; ".join(f"{NAMES.get(name, name)} {_words(value)}" for name, value in first["choices"].items()),
        "cost": f"{sum(trained.values()) / 60:,.0f} minutes of training, shared with other pages, and "
        f"{sum(header['seconds'] for header in headers) / 60:,.1f} of this experiment on {first['device']}, "
        f"{first['threads']} thread{'s' * (first['threads'] > 1)}",
        "measured": f"{dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'}; "
        + (f"{made} of {len(outcomes)} computed while this page was executed" if made else "read from the store"),
    }


def _words(value: Any) -> str:
    if value is None:
        return "all"
    return ", ".join(map(_words, value)) if isinstance(value, list | tuple) else str(value)
