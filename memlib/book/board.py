"""What the book says of all claims together, made from `book/verdicts.csv` while the book is rendered.

A page asks for it by the directive `computed`, which this module adds to Sphinx:

    ```{computed} ledger
    ```
"""

from __future__ import annotations

import html
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import Directive

from memlib.book import paper, scoreboard
from memlib.book.scoreboard import Row
from memlib.book.show.ledger import Mark, ledger
from memlib.book.show.verdicts import MARKS
from memlib.book.verdicts import FAILS, HOLDS, SEEN, UNDECIDED, UNJUDGED
from memlib.stats import number

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SAID = {
    HOLDS: "holds",
    SEEN: "is seen, but not by memorization",
    FAILS: "does not hold",
    UNDECIDED: "is undecided",
    UNJUDGED: "was not judged",
}
NO_TEST = "no test"  # in the place of a verdict
BEFORE = {"old-rules": "first rules, first encoders", "old-encoders": "today's rules, first encoders"}


# ---------------------------------------------------------------- pages and their questions


def pages(root: Path) -> dict[str, str]:
    """{page: where it lies} of the book's contents, in their order."""
    import yaml

    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    return {Path(one["file"]).name: one["file"] for part in toc["parts"] for one in part["chapters"]}


def question(root: Path, page: str) -> str:
    """The title of a page; its name where there is none."""
    path, prose = root / "notebooks" / f"{page}.ipynb", root / "book" / f"{page}.md"
    if path.is_file():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "".join(next(cell for cell in cells if cell["cell_type"] == "markdown")["source"])
    elif prose.is_file():
        text = prose.read_text(encoding="utf-8")
    else:
        return page
    return next(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))


def _ordered(rows: Sequence[Row], root: Path) -> dict[str, list[Row]]:
    """{page: its rows}, pages in the order of the contents."""
    found: dict[str, list[Row]] = {page: [] for page in pages(root)}
    for row in rows:
        found.setdefault(row["page"], []).append(row)
    return {page: some for page, some in found.items() if some}


def _link(page: str, claim: str = "") -> str:
    return f"../notebooks/{page}.html" + (f"#{claim}" if claim else "")


def _badge(verdict: str) -> str:
    return f"<span class='badge badge-{MARKS.get(verdict, 'none')}'>{verdict}</span>"


# ---------------------------------------------------------------- the figure


def mark(row: Row) -> Mark:
    """A claim's place in the ledger."""
    words = f"{row['ids']}: {row['statement']}\n{row['verdict']}. {row['reason']}"
    link = _link(row["page"], row["claim"])
    if not (row["low"] and row["high"]) or row["verdict"] == UNJUDGED:
        return Mark(words, row["verdict"], link=link)
    contrast, low, high, margin = (float(row[key]) for key in ("contrast", "low", "high", "margin"))
    sign, half = int(row["sign"]), (high - low) / 2
    words += f"\n{_span(row)} {row['unit']}, {row['pairs']} pairs".replace(" ,", ",")
    if not half:
        return Mark(words, row["verdict"], link=link)
    claimed = margin - abs(contrast) if sign == 0 else sign * contrast
    control = sign * float(row["control"]) / half if row["control"] else None
    return Mark(words, row["verdict"], claimed / half, control, link)


def _span(row: Row) -> str:
    """The contrast with its interval, two digits of its half width."""
    contrast, low, high = (float(row[key]) for key in ("contrast", "low", "high"))
    digits = min(4, max(0, 1 - math.floor(math.log10(high - low) - math.log10(2)))) if high > low else 3
    return f"{number(contrast, f'.{digits}f')} [{number(low, f'.{digits}f')}, {number(high, f'.{digits}f')}]"


def figure(rows: Sequence[Row], root: Path) -> str:
    """The ledger for a wide screen and for a phone, of which one is shown."""
    ordered = _ordered(rows, root)
    marks = {question(root, page): list(map(mark, some)) for page, some in ordered.items()}
    links = {question(root, page): _link(page) for page in ordered}
    return f"<div class='ledgers'>{ledger(marks, True, links)}{ledger(marks, False, links)}</div>"


def drawing(rows: Sequence[Row], root: Path) -> str:
    """The ledger as a file of its own, for a wide screen."""
    ordered = _ordered(rows, root)
    return ledger({question(root, page): list(map(mark, some)) for page, some in ordered.items()}, file=True) + "\n"


# ---------------------------------------------------------------- the sentences


def sentences(rows: Sequence[Row], root: Path) -> str:
    """How much is memorized and where, what UnitMem tells, and how many of the papers' claims hold."""
    by = {(row["page"], row["claim"]): row for row in rows}
    output, depth = by["03_sslmem", "without_offset"], by["04_1_layermem", "depth"]
    units, spread = by["05_1_unitmem", "fraction"], by["05_1_unitmem", "spread"]
    tau, score = "", "the output was not judged"
    if depth["contrast"]:
        tau = f": Kendall's τ of memorization and depth is {number(float(depth['contrast']), '.2f')}"
    if output["verdict"] != UNJUDGED and output["low"]:
        score = f"at the output, training images have an SSLMem′ (below) of {_span(output)}; 0 is none, 1 the most"
    short = ""
    if units["verdict"] == SEEN:
        left, matters = number(float(units["contrast"]), ".1f"), number(float(units["margin"]), "g")
        short = f" The difference, {left} {units['unit']}, is less than the {matters} that would matter."
    said = [
        ("How much, and where", f"{score}. The claim that it grows with depth {SAID[depth['verdict']]}{tau}."),
        (
            "Which units",
            f"the claim that {_lower(units['statement'])} {SAID[units['verdict']]}. {units['reason']}{short} "
            f"The claim that memorizing units are spread over the entire encoder {SAID[spread['verdict']]}.",
        ),
        ("What the papers say", counted(rows)),
    ]
    items = "".join(f"<li><strong>{lead}:</strong> {html.escape(text)}</li>" for lead, text in said)
    return f"<ul class='answer'>{items}</ul>"


def counts(rows: Sequence[Row]) -> Counter[str]:
    """How many claims of the papers' list have each verdict, or no test."""
    return Counter(verdict or NO_TEST for _, _, verdict in scoreboard.of_list(rows))


def counted(rows: Sequence[Row]) -> str:
    """The counts in a sentence, and why claims were not judged."""
    n, ours = counts(rows), sum(claim["where"] == "ours" for claim, _, _ in scoreboard.of_list(rows))
    reasons = Counter(row["reason"] for row in rows if row["verdict"] == UNJUDGED).most_common(1)
    why = f" (most often: “{reasons[0][0].rstrip('.')}”)" if reasons else ""
    holding = "holds" if n[HOLDS] == 1 else "hold"
    seen = "was seen but is" if n[SEEN] == 1 else "were seen but are"
    return (
        f"of {n.total()} claims, {ours} of them this book's own, {n[HOLDS]} {holding}, {n[SEEN]} {seen} not "
        f"memorization, {n[FAILS]} do not hold, {n[UNDECIDED]} are undecided, {n[UNJUDGED]} were not judged{why}, "
        f"and {n[NO_TEST]} have no test yet."
    )


def _lower(statement: str) -> str:
    return statement[0].lower() + statement[1:]


# ---------------------------------------------------------------- the tables


def table(rows: Sequence[Row], root: Path) -> str:
    """All claims of the list, each with its page and its verdict, or why it has none."""
    there, cells = pages(root), []
    for claim, tests, verdict in scoreboard.of_list(rows):
        named = list(dict.fromkeys(row["page"] for row in tests)) or claim["page"].split(", ")
        where = ", ".join(_question(root, there, page) for page in named)
        shown = verdict or NO_TEST
        cells.append(
            f"<tr data-verdict='{html.escape(shown)}' data-question='{named[0] if named[0] in there else NO_TEST}'>"
            f"<td class='id' id='{claim['id']}'>{claim['id']}</td>"
            f"<td data-head='claim'>{html.escape(claim['claim'])}"
            f" <span class='source'>{html.escape(claim['where'])}</span></td>"
            f"<td data-head='question'>{where}</td><td data-head='verdict'>{_verdict(tests, shown)}</td>"
            f"<td data-head='why'>{_why(claim, tests, named, there)}</td></tr>"
        )
    heads = "".join(f"<th scope='col'>{head}</th>" for head in ("id", "claim", "question", "verdict", "why"))
    return f"<table class='results board'><thead><tr>{heads}</tr></thead><tbody>{''.join(cells)}</tbody></table>"


def _question(root: Path, there: Mapping[str, str], page: str) -> str:
    """A page as a link, its name where it is not there yet."""
    if page not in there:
        return "<span class='source'>no page yet</span>"
    return f"<a href='../{there[page]}.html'>{html.escape(question(root, page))}</a>"


def _verdict(tests: Sequence[Row], verdict: str) -> str:
    if not tests:
        return _badge(verdict)
    first = next(row for row in tests if row["verdict"] == verdict)
    return f"<a href='{_link(first['page'], first['claim'])}'>{_badge(verdict)}</a>"


def _why(claim: Row, tests: Sequence[Row], named: Sequence[str], there: Mapping[str, str]) -> str:
    if not tests:
        no_page = "There is no page on it yet."
        return html.escape(claim["no test"] or ("Its page does not test it yet." if named[0] in there else no_page))
    if len(tests) == 1:
        return html.escape(tests[0]["reason"])
    return "".join(
        f"<p><a href='{_link(row['page'], row['claim'])}'>{row['verdict']}</a>. {html.escape(row['reason'])}</p>"
        for row in tests
    )


def entries(rows: Sequence[Row], root: Path) -> str:
    """Every table and figure of the LayerMem paper: its page, the scale that ran, the verdicts that rest on it."""
    there, of_entry = pages(root), dict[str, list[tuple[Row, list[Row], str]]]()
    for one in scoreboard.of_list(rows):
        for name in paper.named(one[0]["where"]):
            of_entry.setdefault(name, []).append(one)
    cells = []
    for entry in paper.entries():
        some = of_entry.get(entry["entry"], [])
        ran = sorted({row["scale"] for _, tests, _ in some for row in tests if row["pairs"] not in ("", "0")})
        told = " ".join(
            f"<span class='told'><a href='scoreboard.html#{claim['id']}'>{claim['id']}</a> "
            f"{_verdict(tests, verdict or NO_TEST)}</span>"
            for claim, tests, verdict in some
        )
        cells.append(
            f"<tr><td class='id'>{entry['entry']}</td><td>{html.escape(entry['what'])}</td>"
            f"<td>{_question(root, there, entry['page'])}</td>"
            f"<td>{', '.join(ran) or '–'}</td><td>{told or '–'}</td></tr>"
        )
    heads = "".join(f"<th scope='col'>{head}</th>" for head in ("", "what it shows", "page", "scale", "claims"))
    return f"<table class='results entries'><thead><tr>{heads}</tr></thead><tbody>{''.join(cells)}</tbody></table>"


def changes(rows: Sequence[Row], root: Path) -> str:
    """Verdicts before and after: what the rules alone moved, and what encoders moved; a row a test."""
    columns = {words: _stored(root, name) for name, words in BEFORE.items()}
    first = columns[BEFORE["old-encoders"]]
    now = {(row["page"], row["claim"]): row for row in rows}
    scales = [{row["scale"] for row in some.values()} for some in (first, now)]
    if scales[0] == scales[1] and first != now:
        columns["today's rules, today's encoders"] = now
    names: dict[tuple[str, str], Row] = {}
    for some in columns.values():
        names |= some
    ordered = _ordered(list(names.values()), root)
    cells = "".join(
        f"<tr><td>{row['ids'].replace(' ', ', ')}</td><td>{html.escape(row['statement'])}</td>"
        + "".join(
            f"<td>{some[key]['verdict'] if (key := (page, row['claim'])) in some else '–'}</td>"
            for some in columns.values()
        )
        + "</tr>"
        for page, listed in ordered.items()
        for row in listed
    )
    heads = "".join(f"<th scope='col'>{head}</th>" for head in ("id", "claim", *columns))
    counted = "".join(f"<td>{_summed(some)}</td>" for some in columns.values())
    return (
        f"<div class='table-scroll'><table class='results'><thead><tr>{heads}</tr></thead><tbody>"
        f"<tr class='total'><td></td><td>all</td>{counted}</tr>{cells}</tbody></table></div>"
    )


def _stored(root: Path, name: str) -> dict[tuple[str, str], Row]:
    rows = scoreboard.read(root / "book" / "results" / "verdicts" / f"{name}.csv")
    return {(row["page"], row["claim"]): row for row in rows}


def _summed(some: Mapping[Any, Row]) -> str:
    return ", ".join(
        f"{n} {verdict}" for verdict, n in Counter(row["verdict"] for row in some.values()).most_common()
    )


# ---------------------------------------------------------------- Sphinx

COMPUTED: dict[str, Callable[[Sequence[Row], Path], str]] = {
    "sentences": sentences,
    "ledger": figure,
    "scoreboard": table,
    "entries": entries,
    "changes": changes,
}


class Computed(Directive):
    """One of `COMPUTED`, in the place of the directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """HTML, as it stands."""
        env = self.state.document.settings.env
        root = Path(env.app.srcdir)
        read = [root / "book" / "verdicts.csv", root / "_toc.yml", *root.glob("book/results/verdicts/*.csv")]
        for path in (*read, *root.glob("notebooks/*.ipynb")):
            env.note_dependency(str(path))
        if (name := self.arguments[0]) not in COMPUTED:
            raise self.error(f"unknown {name!r}: allowed are {', '.join(COMPUTED)}")
        made = COMPUTED[name](scoreboard.read(root / "book" / "verdicts.csv"), root)
        return [nodes.raw("", made, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.add_directive("computed", Computed)
    return {"parallel_read_safe": True}
