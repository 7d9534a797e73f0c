"""The benchmarks of the speed page: ratios that one run each has measured."""

from __future__ import annotations

import json
from pathlib import Path

from memlib import store
from memlib.figures.html import Html, table


def speed_table(folder: Path | str | None = None) -> Html:
    """A row a benchmark: its median over interleaved rounds, the rounds' range, and the target.

    Args:
        folder: of the files that `tests/benchmarks` writes; by default `book/results/benchmarks`.

    Returns:
        The table; where there is no such file, how to make them.
    """
    import pandas as pd

    folder = store.results("benchmarks") if folder is None else Path(folder)
    entries = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not entries:
        how = "None was published. MEMLIB_BENCHMARKS=book/results/benchmarks pytest tests/benchmarks makes them."
        return Html(f"<p>{how}</p>", how)
    rows = [
        {
            "what": entry["name"],
            "median": f"{entry['value']:.3f}",
            "from": f"{min(entry['runs']):.2f}",
            "to": f"{max(entry['runs']):.2f}",
            "unit": entry["unit"],
            "target": "" if entry["target"] is None else f"{entry['target']:g}",
        }
        for entry in entries
    ]
    return table(pd.DataFrame(rows))


def speed_machine(folder: Path | str | None = None) -> str:
    """On what the benchmarks of a folder ran, each machine and day once."""
    folder = store.results("benchmarks") if folder is None else Path(folder)
    found = dict.fromkeys(json.loads(path.read_text()).get("machine", "") for path in sorted(folder.glob("*.json")))
    return "; ".join(filter(None, found))
