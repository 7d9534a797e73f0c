"""What was run, in words: sizes, seeds, choices, circumstances, and whether it was read or computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book.experiments import KINDS
from memlib.book.measuring import SETS, Table

if TYPE_CHECKING:
    from memlib.book.runs import Run
    from memlib.book.study import Study


def of_study(study: Study) -> dict[str, str]:
    """Of a design: rows of words."""
    first, headers = study.tables[0], [table.header for table in study.tables]
    spec, choices, trained = first.header["encoder"], first.header["choices"], [h["training"] for h in headers]
    counts = [f"{int((first.sets == i).sum()):,} {name}" for i, name in enumerate(SETS) if (first.sets == i).any()]
    made = sum(table.made for table in study.tables)
    dates = sorted({h["date"] for h in headers})
    return {
        "encoders": f"{len(study)} pairs f, g: {spec['arch']}, {spec['framework']}, {spec['dataset']}",
        "points": f"{', '.join(counts)}; each encoder was trained on {trained[0]['points']:,}",
        "training": f"{spec['epochs']:,} epochs of {spec['augment']} views, batches of {spec['batch']}, "
        f"{spec['optimizer']} {spec['lr']:g}{_end(spec, trained)}; {_each(t['precision'] for t in trained)}",
        **_privacy(spec, trained),
        "seeds": f"weights and views {', '.join(str(h['encoder']['seed']) for h in headers)}; "
        f"split {spec['split_seed']}",
        "choices": f"{choices['views']} views a point, all pairs of them; {choices['distance']} distance of unit "
        "vectors" + ("; UnitMem against the mean of the other points" if study.unit_rows else ""),
        **_probes(study.tables),
        "cost": f"{sum(t['seconds'] for t in trained) / 60:,.0f} minutes of training and "
        f"{sum(h['seconds'] for h in headers) / 60:,.1f} of measuring on {_each(t['device'] for t in trained)}, "
        f"{_threads(trained)} an encoder",
        "measured": f"{dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'}; "
        + (f"{made} of {len(study.tables)} computed while this page was executed" if made else "read from the store"),
    }


def _end(spec: dict[str, Any], trained: list[dict[str, Any]]) -> str:
    """Where training ended, if not with its last epoch."""
    if (wanted := spec.get("until")) is not None:
        reached, epochs = sum(t["reached"] for t in trained), _range([t["epochs"] for t in trained], ",.0f")
        return f"; ended after {epochs} of them, {reached} of {len(trained)} with a linear probe of {wanted:.1%}"
    return "" if spec.get("stop") is None else f"; ended after {spec['stop']:,} of them"


def _privacy(spec: dict[str, Any], trained: list[dict[str, Any]]) -> dict[str, str]:
    """The epsilon that was reached, of private encoders."""
    if spec.get("epsilon") is None:
        return {}
    private = [t["private"] for t in trained]
    spent, noise = (
        _range([p["epsilon"] for p in private], ".2f"),
        _range([p["noise_multiplier"] for p in private], ".2f"),
    )
    return {
        "privacy": f"DP-SGD: epsilon {spent} was spent, {spec['epsilon']:g} allowed, at delta {spec['delta']:g}; "
        f"each point's gradient clipped to {spec['clip']:g}, noise of {noise} times that"
    }


def _probes(tables: list[Table]) -> dict[str, str]:
    """Accuracy of the linear probes, over encoders."""
    said = []
    for name in tables[0].probe:
        each = [float(np.mean(table.probe[name])) for table in tables]
        said.append(f"{name} {np.mean(each):.1%} ± {np.std(each, ddof=1):.1%}")
    return {"linear probe": f"{', '.join(said)} (mean and standard deviation over encoders)"} if said else {}


def _range(values: list[float], form: str) -> str:
    """The values from the lowest to the highest, or the only one."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def of_runs(outcomes: Sequence[Run]) -> dict[str, str]:
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
    choices = KINDS[first["experiment"]].choices
    return {
        "runs": f"{len(outcomes)}, each with other encoders",
        **{f"encoder {role}": said for role, said in encoders.items()},
        **(labelled if first["probe"] else {}),
        "choices": "; ".join(f"{choices[name].words} {_words(value)}" for name, value in first["choices"].items()),
        "cost": f"{sum(trained.values()) / 60:,.0f} minutes of training, shared with other pages, and "
        f"{sum(header['seconds'] for header in headers) / 60:,.1f} of this experiment on "
        f"{_each(header['device'] for header in headers)}, {_threads(headers)}",
        "measured": f"{dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'}; "
        + (f"{made} of {len(outcomes)} computed while this page was executed" if made else "read from the store"),
    }


def _each(found: Iterable[str]) -> str:
    """What all have in common; otherwise each with how many have it, as encoders come from several machines."""
    counts = Counter(found)
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{one} ({n})" for one, n in counts.items())


def _threads(headers: Sequence[dict[str, Any]]) -> str:
    found = _range([header["threads"] for header in headers], "d")
    return f"{found} thread{'s' * (found != '1')}"


def _words(value: Any) -> str:
    if value is None:
        return "all"
    return ", ".join(map(_words, value)) if isinstance(value, list | tuple) else str(value)
