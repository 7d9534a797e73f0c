"""Numbers that the papers print, for pages that show them beside ours. They decide nothing that runs or is tested.

A file a table lies in book/paper. Its first line says what the table holds; the notes behind it say where the file
departs from what is printed, and where the papers contradict themselves.

LayerMem paper: "Localizing Memorization in SSL Vision Encoders" (NeurIPS 2024).
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from memlib.specs import nearest

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parents[2] / "book" / "paper"
LISTS = ("claims", "entries")  # and no tables
LAYERS = ("layer", "other layer", "layers")  # names, though many look like numbers


def tables() -> list[str]:
    """The names of all tables."""
    return sorted(path.stem for path in FOLDER.glob("*.csv") if path.stem not in LISTS)


def claims() -> list[dict[str, str]]:
    """The papers' claims: `id`, `claim`, `where` it stands, `page`, `paper`, and why there is `no test` of it."""
    return _listed("claims")


def entries() -> list[dict[str, str]]:
    """Every table and figure of the LayerMem paper: `entry`, `what` it shows, the `page` of the book that has it."""
    return _listed("entries")


def named(where: str) -> list[str]:
    """The tables and figures that a claim's `where` names, as entries: `T15–17` is Tables 15, 16 and 17."""
    known, found = [one["entry"] for one in entries()], []
    for first, part, last in re.findall(r"\bT(\d+)([ab]?)(?:[–-](\d+))?", where):
        found += [f"Table {n}{part}" for n in range(int(first), int(last or first) + 1)]
    for some in re.findall(r"\bFigs?\. (\d+[a-c]?(?:, \d+[a-c]?)*)", where):
        found += [f"Fig. {n}" for n in some.split(", ")]
    return [one if one in known else one.rstrip("ab") for one in found]  # parts of one entry


def _listed(name: str) -> list[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def table(name: str) -> pd.DataFrame:
    """What a table of the papers prints, in its units and its order.

    Args:
        name: As `table_1`: one of `tables()`.

    Returns:
        A row a printed row. What the paper leaves out is NaN; names of layers are strings, several joined by a blank,
        `none` where there are none. `.attrs["caption"]` says which table it is and what it holds.

    Raises:
        KeyError: There is no such table.
    """
    return _read(name).copy()


@cache
def _read(name: str) -> pd.DataFrame:
    import pandas as pd

    if name not in (known := tables()):
        raise nearest(name, known, "table of the papers")
    path = FOLDER / f"{name}.csv"
    found = pd.read_csv(path, comment="#", dtype=dict.fromkeys(LAYERS, str), keep_default_na=False, na_values="")
    with path.open(encoding="utf-8") as file:
        found.attrs["caption"] = file.readline().removeprefix("# ").rstrip()
    return found
