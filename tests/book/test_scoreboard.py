"""All claims together: list, rows of a scale, start page and scoreboard agree, and nothing is made for them."""

import html
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from fabricate import DEEPER, study

from memlib import book, store
from memlib.book import board, paper, scoreboard
from memlib.book.__main__ import main
from memlib.book.claims import Effect, Page
from memlib.book.estimates import mirrored
from memlib.book.verdicts import FAILS, HOLDS, SEEN, UNDECIDED, UNJUDGED, VERDICTS

ROOT = Path(__file__).parents[2]
ROWS = scoreboard.read(ROOT / "book" / "verdicts.csv")
IDS = [*(f"A{n}" for n in range(1, 116)), *(f"B{n}" for n in range(1, 27))]


def row(**values) -> dict[str, str]:
    first = {"ids": "A1", "page": "04_1_layermem", "claim": "depth", "statement": "It is so", "verdict": HOLDS}
    numbers = {"contrast": "0.02", "low": "0.01", "high": "0.03", "margin": "0.005", "sign": "1", "pairs": "4"}
    return (
        dict.fromkeys(scoreboard.COLUMNS, "") | first | numbers | {"reason": "It is .02.", "scale": "laptop"} | values
    )


# ---------------------------------------------------------------- the list of claims


def test_the_list_has_all_141_claims_of_the_papers_once_in_their_order():
    listed = paper.claims()
    assert [one["id"] for one in listed] == IDS
    assert len({one["claim"] for one in listed}) == len(IDS) == 141
    assert all(one["claim"] and one["where"] and one["page"] for one in listed)
    assert {(one["id"][0], one["paper"]) for one in listed} == {("A", "LayerMem"), ("B", "SSLMem")}


def test_every_claim_of_a_page_is_in_the_list_and_in_the_published_verdicts_in_its_words():
    claims = [claim for page in Page.all().values() for claim in page.claims.values()]
    assert {name for claim in claims for name in claim.ids} <= set(IDS)
    published = {f"{one['page']}/{one['claim']}": (one["ids"], one["statement"]) for one in ROWS}
    assert published == {claim.id: (" ".join(claim.ids), claim.statement) for claim in claims}
    assert len(published) == len(ROWS)


def test_a_test_of_a_claim_that_the_list_does_not_have_is_an_error():
    with pytest.raises(KeyError, match="04_1_layermem/depth tests 'A116'"):
        scoreboard.of_list([row(ids="A1 A116")])


def test_a_claim_of_several_tests_holds_if_each_does_and_falls_with_one():
    for verdicts, whole in (
        ((HOLDS, HOLDS), HOLDS),
        ((HOLDS, UNDECIDED), UNDECIDED),
        ((UNDECIDED, UNJUDGED), UNJUDGED),
        ((UNJUDGED, SEEN), SEEN),
        ((SEEN, FAILS), FAILS),
    ):
        found = scoreboard.of_list([row(claim=str(i), verdict=one) for i, one in enumerate(verdicts)])
        assert found[0][2] == whole
        assert [verdict for _, _, verdict in found[1:]] == 140 * [""]


# ---------------------------------------------------------------- the rows of a scale


@pytest.fixture
def pages(monkeypatch):
    """Two pages of their own, of which one is measured."""
    monkeypatch.setattr(Page, "_all", {})
    there = Page("there", "a test", takes=lambda scale: study(DEEPER, pairs=8))
    lost = Page("lost", "a test", takes=lambda scale: book.design(scale, "base"))
    for page in (there, lost):

        @page.claim("Layer 8 memorizes", paper="no number", ids=("A2",), above="Layer 8 memorizes {}")
        def last(study):
            return Effect(mirrored("8"), 0.01)

    monkeypatch.setattr(Page, "all", classmethod(lambda cls: dict(cls._all)))


def test_what_is_stored_is_judged_and_what_is_not_did_not_run_and_is_not_made(pages, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    rows, missing = scoreboard.judged("smoke")
    assert [(one["page"], one["verdict"]) for one in rows] == [("there", HOLDS), ("lost", UNJUDGED)]
    assert float(rows[0]["low"]) < float(rows[0]["contrast"]) < float(rows[0]["high"])
    assert rows[0]["unit"] == "SSLMem′"
    assert (rows[1]["reason"], rows[1]["contrast"]) == ("It did not run.", "")
    assert [*missing] == ["lost"]
    assert "base-0" in missing["lost"]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_verdicts_come_as_lines_or_as_csv_that_reads_as_it_was(pages, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    assert main(["verdicts", "smoke", "--csv", str(tmp_path / "new" / "v.csv")]) == 0
    assert "lost did not run at smoke: base-0" in capsys.readouterr().err
    assert main(["verdicts", "smoke", "--csv"]) == 0
    text = capsys.readouterr().out
    assert (
        (tmp_path / "new" / "v.csv").read_text() == text == scoreboard.text(scoreboard.read(tmp_path / "new/v.csv"))
    )
    assert main(["verdicts", "smoke"]) == 0
    assert "lost/last" in capsys.readouterr().out
    assert main(["verdicts", "smok"]) == 2
    assert "did you mean 'smoke'" in capsys.readouterr().err


def test_within_only_read_nothing_is_made_and_outside_it_is(tmp_path):
    def make():
        return {}, {}

    with store.only_read(), pytest.raises(store.NotMade, match="a is neither published nor in the store"):
        store.find_or_make(tmp_path / "a.safetensors", make)
    assert not list(tmp_path.iterdir())
    store.find_or_make(tmp_path / "a.safetensors", make)
    with store.only_read():
        assert store.find_or_make(tmp_path / "a.safetensors", make) == ({}, {})


def test_verdicts_that_are_not_there_say_what_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m memlib\.book verdicts SCALE --csv"):
        scoreboard.read(tmp_path / "verdicts.csv")


# ---------------------------------------------------------------- pages, start page and scoreboard agree


def shown(page: str) -> list[tuple[str, str]]:
    """Statement and verdict of each claim, as a committed page has them."""
    cells = nbformat.read(ROOT / "notebooks" / f"{page}.ipynb", as_version=4).cells
    text = "".join(part.get("data", {}).get("text/html", "") for cell in cells for part in cell.get("outputs", []))
    found = re.findall(r"<span class='statement'>(.*?)</span> <span class='badge[^>]*>(.*?)</span>", text)
    return [(html.unescape(statement), verdict) for statement, verdict in found]


@pytest.mark.parametrize("page", sorted({one["page"] for one in ROWS}))
def test_a_page_shows_the_verdicts_that_start_page_and_scoreboard_show(page):
    """Where it fails: python -m memlib.book verdicts laptop --csv book/verdicts.csv --svg book/_static/ledger.svg."""
    assert shown(page) == [(one["statement"], one["verdict"]) for one in ROWS if one["page"] == page]
    assert {one["scale"] for one in ROWS} == {"laptop"}


def test_the_scoreboard_has_a_row_a_claim_with_a_page_or_a_reason():
    cells = re.findall(r"<tr data-verdict='([^']*)' data-question='[^']*'>(.*?)</tr>", board.table(ROWS, ROOT))
    assert [re.search(r"id='(\w+)'", text)[1] for _, text in cells] == IDS
    for verdict, text in cells:
        why = re.search(r"<td data-head='why'>(.*)</td>", text)[1]
        assert verdict in (*VERDICTS, board.NO_TEST)
        assert why
        assert ("notebooks/" in text) or verdict == board.NO_TEST


def test_start_page_and_scoreboard_count_alike():
    shown = Counter(re.findall(r"<tr data-verdict='([^']*)'", board.table(ROWS, ROOT)))
    assert shown == board.counts(ROWS)
    said = board.sentences(ROWS, ROOT)
    assert [
        int(n)
        for n in re.findall(r"(\d+) (?:claims|holds?|(?:was|were) seen|do not|are undecided|were not|have no)", said)
    ] == [
        141,
        *(shown[verdict] for verdict in (HOLDS, SEEN, FAILS, UNDECIDED, UNJUDGED, board.NO_TEST)),
    ]


@pytest.mark.parametrize(("verdict", "told"), [(SEEN, True), (HOLDS, False)])
def test_the_start_page_says_how_far_what_is_seen_is_from_what_would_matter(verdict, told):
    found = {"verdict": verdict, "contrast": "7.81", "margin": "10", "unit": "percentage points"}
    rows = [row | found if row["claim"] == "fraction" else row for row in ROWS]
    sentence = "The difference, 7.8 percentage points, is less than the 10 that would matter."
    assert (sentence in board.sentences(rows, ROOT)) == told


def test_the_figure_has_a_mark_a_test_that_leads_to_its_verdict_and_the_committed_file_is_it():
    drawn = board.figure(ROWS, ROOT)
    wide = drawn[: drawn.index("</svg>")]
    links = re.findall(r'href="(\.\./notebooks/\w+\.html#\w+)"', wide)
    assert sorted(links) == sorted(f"../notebooks/{one['page']}.html#{one['claim']}" for one in ROWS)
    assert wide.count('class="mark ') == len(ROWS)
    assert "nan" not in drawn
    assert (ROOT / "book/_static/ledger.svg").read_text() == board.drawing(ROWS, ROOT)


def test_a_mark_stands_right_of_zero_as_claimed_and_a_control_beside_it():
    assert board.mark(row()).x == pytest.approx(2.0)
    assert board.mark(row(sign="-1")).x == pytest.approx(-2.0)
    assert board.mark(row(sign="0", margin="0.05")).x == pytest.approx(3.0)  # within the margin
    assert board.mark(row(sign="-1", control="0.01")).control == pytest.approx(-1.0)
    assert board.mark(row(low="", high="")).x is None
    assert board.mark(row(verdict=UNJUDGED)).x is None


def test_marks_of_one_place_do_not_lie_on_each_other():
    drawn = board.figure([row(claim=str(i)) for i in range(3)], ROOT)
    places = re.findall(r'class="mark yes" transform="translate\(([^)]*)\)"', drawn[: drawn.index("</svg>")])
    assert len(set(places)) == 3


# ---------------------------------------------------------------- tables and figures of the paper

ENTRIES = [one["entry"] for one in paper.entries()]


def test_every_table_and_figure_of_the_paper_has_one_place_in_the_book():
    tables = [f"Table {n}" for n in (*range(1, 14), "14a", "14b", *range(15, 35))]
    figures = [f"Fig. {n}" for n in ("1a", "1b", "1c", *range(2, 14))]
    assert tables + figures == ENTRIES
    assert {name for one in paper.claims() for name in paper.named(one["where"])} <= set(ENTRIES)
    printed = [re.match(r"table_(\d+[ab]?)", name) for name in paper.tables()]
    assert {f"Table {found[1]}" for found in printed if found} <= set(ENTRIES)
    assert paper.named("T21-23") == tables[21:24]
    assert paper.named("4.2, T21–23, Figs. 2, 3; T24a") == [*tables[21:25], "Fig. 2", "Fig. 3"]
    assert {one["page"] for one in paper.entries()} <= set(board.pages(ROOT))


@pytest.mark.parametrize("entry", [one for one in paper.entries() if one["page"] in Page.all()], ids=str)
def test_the_page_of_a_table_or_figure_names_it(entry):
    """On the page or in the code of it, `Tables 15 to 17` and `tables 14a and 14b` as well."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{entry['page']}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    claims = Page.all()[entry["page"]].claims.values()
    text += Path(sys.modules[next(iter(claims)).of.__module__].__file__).read_text()
    kind, number = entry["entry"].split()
    named = set()
    word, one = rf"\b(?i:{kind.rstrip('.')})(?:s|ure|ures)?\.?", r"\d+[a-c]?"
    for some in re.findall(rf"{word} ({one}(?:(?:, | and | to ){one})*)", text):
        named |= {*re.findall(r"\d+[a-c]?", some)}
        for first, last in re.findall(r"(\d+) to (\d+)", some):
            named |= {str(n) for n in range(int(first), int(last) + 1)}
    assert number in named


def test_the_appendix_has_a_row_an_entry_with_the_verdicts_that_rest_on_it():
    made = board.entries(ROWS, ROOT)
    found = dict(re.findall(r"<tr><td class='id'>([^<]*)</td>(.*?)</tr>", made))
    assert [*found] == ENTRIES
    assert "scoreboard.html#A1'" in found["Table 1"]
    assert ">laptop<" in found["Table 1"]
    assert found["Table 9"].endswith("<td>–</td><td>–</td>")
    told = {one["id"] for one in paper.claims() if paper.named(one["where"])}
    assert {*re.findall(r"scoreboard.html#(\w+)'", made)} == told


# ---------------------------------------------------------------- old and new verdicts


def test_every_claim_that_had_a_verdict_by_the_first_rules_stands_beside_today_s():
    old, new = (board._stored(ROOT, name) for name in board.BEFORE)
    assert len(old) == 75
    assert Counter(one["verdict"] for one in old.values()) == Counter(
        {"not tested here": 41, "does not hold": 24, "trend only": 6, "holds": 4}
    )
    assert {*old} <= {*new}
    shown = board.changes(ROWS, ROOT)
    assert shown.count("<tr>") == 1 + len({*new} | {(one["page"], one["claim"]) for one in ROWS})


def test_verdicts_by_other_encoders_are_a_column_more():
    same = list(board._stored(ROOT, "old-encoders").values())
    assert "today's encoders" not in board.changes(same, ROOT)
    moved = [one | {"verdict": HOLDS} for one in same]
    assert "today's encoders" in board.changes(moved, ROOT)
    assert "today's encoders" not in board.changes([one | {"scale": "smoke"} for one in moved], ROOT)


def test_an_unknown_name_is_an_error_of_the_book(tmp_path):
    (tmp_path / "index.md").write_text("# A\n\n```{computed} legder\n```\n")
    (tmp_path / "conf.py").write_text("extensions = ['myst_nb', 'memlib.book.board']\nnb_execution_mode = 'off'\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "verdicts.csv").write_text(scoreboard.text(ROWS))
    command = [sys.executable, "-m", "sphinx", "-W", "-q", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode
    assert "allowed are sentences, ledger" in done.stdout + done.stderr


def test_the_sentences_of_a_scale_that_judges_nothing_say_so():
    unjudged = {"verdict": "not judged", "contrast": "", "low": "", "high": "", "reason": "It did not run."}
    said = board.sentences([{**row, **unjudged} for row in scoreboard.read(ROOT / "book" / "verdicts.csv")], ROOT)
    assert "the output was not judged" in said
    assert "Kendall" not in said
