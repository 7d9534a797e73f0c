"""The verdicts of a scale as rows of a file, from what is stored; and the list of the papers' claims beside them.

    python -m memlib.book verdicts laptop --csv book/verdicts.csv

The book shows the verdicts of `book/verdicts.csv`: start page and scoreboard are made from it (`memlib.book.board`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memlib import store
from memlib.book import paper
from memlib.book.designs import designs, scale
from memlib.book.plan import NOTEBOOKS
from memlib.book.verdicts import FAILS, HOLDS, SEEN, UNDECIDED, UNJUDGED, Verdict
from memlib.book.words import said

if TYPE_CHECKING:
    from memlib.book.claims import Judged, Page

Row = dict[str, str]

COLUMNS = (
    *("ids", "page", "claim", "statement", "verdict", "observation", "attribution", "contrast", "low", "high"),
    *("control", "margin", "sign", "unit", "p", "corrected p", "pairs", "reason", "scale"),
)
NOT_RUN = Verdict(UNJUDGED, "", "", said(UNJUDGED, "It did not run"))


def judged(scale_name: str) -> tuple[list[Row], dict[str, str]]:
    """Every claim of all pages at a scale, and {page that did not run: what is missing}. Nothing is trained or made.

    Raises:
        KeyError: The scale is unknown.
    """
    from memlib.book.claims import Judged, Page

    rows, missing, there = [], {}, {*designs(scale_name), *(scale(scale_name).get("experiments") or {})}
    for name, page in Page.all().items():
        try:
            found = _judged(page, scale_name, there)
        except FileNotFoundError as error:
            missing[name] = str(error.args[-1])
            found = {key: Judged(claim, NOT_RUN) for key, claim in page.claims.items()}
        rows += [_row(one, Path(scale_name).stem) for one in found.values()]
    return rows, missing


def _judged(page: Page, scale_name: str, there: set[str]) -> dict[str, Judged]:
    """A page's claims; a FileNotFoundError where something is not measured."""
    if unknown := [name for name in NOTEBOOKS.get(page.name, ()) if name not in there]:
        raise FileNotFoundError(f"the scale has no {' and no '.join(unknown)}")
    with store.only_read():
        taken = page.read(scale_name)
        return page.judge(*(taken if isinstance(taken, tuple) else (taken,)))


def _row(one: Judged, scale_name: str) -> Row:
    """A claim with its verdict, numbers as its page shows them: SSLMem′, points of accuracy, %."""
    claim, v = one.claim, one.verdict
    page, _, name = claim.id.partition("/")
    shown = claim.words.scale
    unit = "SSLMem′" if shown.log_ratio else (shown.apart if v.subtracted else shown.unit).strip()
    numbers: dict[str, float | None] = {}
    if v.decisive is not None:
        mean, low, high = v.decisive.mean, v.decisive.low, v.decisive.high
        numbers = {"contrast": mean, "low": low, "high": high, "margin": v.margin}
        numbers |= {"control": None if v.control is None else v.control.mean}
    return dict.fromkeys(COLUMNS, "") | {
        "ids": " ".join(claim.ids),
        "page": page,
        "claim": name,
        "statement": claim.statement,
        "verdict": v.verdict,
        "observation": v.observation,
        "attribution": v.attribution,
        **{key: "" if x is None else _number(shown.value(x)) for key, x in numbers.items()},
        "sign": str(v.sign) if numbers else "",
        "unit": unit if numbers else "",
        "p": _number(v.p) if numbers else "",
        "corrected p": _number(v.corrected_p) if numbers else "",
        "pairs": str(v.pairs),
        "reason": v.why,
        "scale": scale_name,
    }


def _number(x: float) -> str:
    """Four digits, for programs to read; nothing of what is not finite, as a single pair bounds nothing."""
    if not np.isfinite(x):
        return ""
    return f"{x if abs(x) > 1e-12 else 0.0:.4g}"  # what rounding leaves of zero differs between processors


def text(rows: Iterable[Row]) -> str:
    """The rows as CSV."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()


def read(path: Path) -> list[Row]:
    """Rows as `text` wrote them.

    Raises:
        FileNotFoundError: There is no such file; says what makes it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no verdicts in {path}: python -m memlib.book verdicts SCALE --csv {path}")
    with path.open(encoding="utf-8", newline="") as file:
        return [dict(row) for row in csv.DictReader(file)]


def of_list(rows: Sequence[Row]) -> list[tuple[Row, list[Row], str]]:
    """The papers' claims in their order: each with its tests, and its verdict, "" where no page tests it.

    A claim of several tests holds if each does, and falls with one.

    Raises:
        KeyError: A test is of a claim that the list does not have.
    """
    listed = {row["id"]: row for row in paper.claims()}
    tests: dict[str, list[Row]] = {name: [] for name in listed}
    for row in rows:
        for name in row["ids"].split():
            if name not in tests:
                raise KeyError(
                    f"{row['page']}/{row['claim']} tests {name!r}, which book/paper/claims.csv does not have"
                )
            tests[name].append(row)
    return [(listed[name], some, _whole([row["verdict"] for row in some])) for name, some in tests.items()]


def _whole(verdicts: Sequence[str]) -> str:
    """The verdict on a claim from those on its tests."""
    first = [one for one in (FAILS, SEEN, UNJUDGED, UNDECIDED, HOLDS) if one in verdicts]
    return first[0] if first else ""
