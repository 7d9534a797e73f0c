"""Page speed: ratios that the benchmarks have measured, each in one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from memlib import store
from memlib.book import show


def benchmarks(folder: Path | str | None = None) -> list[dict[str, Any]]:
    """What `tests/benchmarks` wrote into a folder; by default `book/results/benchmarks`."""
    folder = store.results("benchmarks") if folder is None else Path(folder)
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [entry for entry in found if "runs" in entry]


def table(folder: Path | str | None = None) -> show.Html:
    """A row a benchmark: its median over interleaved rounds, the rounds' range, and the target.

    Returns:
        The table; where there is none, how to make them.
    """
    if not (found := benchmarks(folder)):
        how = "None was published. MEMLIB_BENCHMARKS=book/results/benchmarks pytest tests/benchmarks makes them."
        return show.say(how)
    rows = [
        {
            "what": entry["name"],
            "median": entry["value"],
            "from": min(entry["runs"]),
            "to": max(entry["runs"]),
            "unit": entry["unit"],
            "target": entry["target"],
        }
        for entry in found
    ]
    return show.table(rows, {"median": ".2f", "from": ".2f", "to": ".2f", "target": "g"})


def machine(folder: Path | str | None = None) -> show.Html:
    """On what the benchmarks ran, each machine and day once."""
    return show.say("; ".join(dict.fromkeys(entry["machine"] for entry in benchmarks(folder))))
