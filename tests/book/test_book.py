"""The whole way: README's commands in a copy of the checkout, and the pages that come out, in a browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import browser
import nbformat
import pytest
import yaml
from test_house import ROOT, commands

from memlib.book.claims import Page

pytestmark = pytest.mark.timeout(1500)  # the smoke book is minutes on two quiet cores, and more beside other work

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
API = (ROOT / "book" / "api.md").read_text()
LISTED = [TOC["root"], *(page["file"] for part in TOC["parts"] for page in part["chapters"])]


AS_GIVEN = os.environ.copy()  # before the session has a store of its own: in CI the book was made with the user's


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A copy of the checkout without what is ignored; in CI the checkout, where the book has just been made."""
    return ROOT if os.environ.get("CI") else copied(tmp_path_factory.mktemp("tree"))


def copied(folder: Path) -> Path:
    """The checkout without what is ignored, in another folder."""
    ignored = shutil.ignore_patterns(".*", "_build", "*.egg-info", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)
    return folder


def readme(start: str, tree: Path) -> subprocess.CompletedProcess:
    """Run the command of README that starts so, in a copy of the checkout and with this environment's programs."""
    (line,) = [line for line in commands() if line.startswith(start)]
    env = AS_GIVEN if os.environ.get("CI") else os.environ
    env = env | {"PYTHONPATH": str(tree), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        line, shell=True, cwd=tree, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def smoke(tree):
    """The book at scale smoke, made by README's command."""
    done = readme("snakemake", tree)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return tree / "_build" / "smoke" / "html"


@pytest.fixture(scope="session")
def published(tree):
    """The published book, made by README's command."""
    done = readme("jupyter-book", tree)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return tree / "_build" / "html"


# ---------------------------------------------------------------- the contents


def test_the_contents_list_every_page_once():
    prose = {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")}
    assert sorted(LISTED) == sorted(prose | {f"notebooks/{path.stem}" for path in NOTEBOOKS})


def test_start_page_and_scoreboard_have_what_all_pages_found():
    asked = {}
    for name in ("start", "scoreboard", "choices", "appendix"):
        asked[name] = re.findall(r"^```\{computed\} (\w+)$", (ROOT / "book" / f"{name}.md").read_text(), re.M)
    assert asked == {
        "start": ["sentences", "ledger"],
        "scoreboard": ["scoreboard"],
        "choices": ["changes"],
        "appendix": ["entries"],
    }
    assert {*Page.all()} <= {Path(page).name for page in LISTED}


def test_the_reference_covers_every_module():
    documented = re.findall(r"automodule:: memlib\.([\w.]+)$", API, re.M)
    assert len(documented) == len(set(documented))
    for inside in ("", "book."):
        folder = ROOT / "memlib" / inside.rstrip(".")
        files = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")]
        modules = {inside + name for name in (*files, *(path.parent.name for path in folder.glob("*/__init__.py")))}
        assert modules == {name for name in documented if re.fullmatch(rf"{inside}\w+", name)}
    assert [name for name in documented if not find_spec(f"memlib.{name}")] == []


def test_the_reference_s_examples_run_one_after_the_other(tmp_path):
    source = "\n".join(re.findall(r"^```python\n(.*?)^```", API, re.M | re.S))
    env = os.environ | {"MEMLIB_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", source], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "LayerMem of 23 layers" in done.stdout


# ---------------------------------------------------------------- the committed pages


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_page_is_a_complete_run_and_tells_nothing_of_the_machine(path):
    page = nbformat.read(path, as_version=4)
    nbformat.validate(page)
    for cell in page.cells:
        if cell.cell_type == "code" and cell.source.strip():
            assert cell.execution_count is not None
            assert not [part for part in cell.outputs if part.output_type == "error" or part.get("name") == "stderr"]
        if "figure" in cell.metadata.get("mystnb", {}):
            assert sum("image/png" in part.get("data", {}) for part in cell.outputs) == 1, cell.source
        assert "injected-parameters" not in cell.metadata.get("tags", [])  # it stands at its defaults
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users|mnt|var)/", path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_that_is_shown_and_what_it_prints_fit_the_column(path):
    """76 characters: what is wider is cut off at its right end until the reader scrolls."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and not cell.metadata.get("tags"):
            lines = cell.source.splitlines()
            lines += [line for one in cell.outputs for line in one.get("text", "").splitlines()]
            assert [line for line in lines if len(line) > 76] == []


ORDER = [
    "In code",
    "Verdicts",
    "What was run",
    "All numbers",
    "Controls",
    "Deviations from the papers",
    "Code of this page",
    "Try it",
]


@pytest.mark.parametrize("name", Page.all())
def test_a_page_of_claims_answers_first_and_has_its_parts_in_one_order(name):
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    source = "\n".join(cell.source for cell in cells)
    assert re.match("# .*[?]", source)
    parts = [
        "book.show.answer(",
        "**The question.** ",
        "**The claim.** ",
        *(f"\n## {heading}\n" for heading in ORDER),
    ]
    places = [f"{source}\n".find(part) for part in parts]
    assert min(places) > 0
    assert places == sorted(places)
    hero = next(i for i, cell in enumerate(cells) if "figure" in cell.metadata.get("mystnb", {}))
    code = next(i for i, cell in enumerate(cells) if cell.source.startswith("## In code"))
    shown = [i for i, cell in enumerate(cells) if cell.cell_type == "code" and not cell.metadata.tags]
    assert hero < code
    assert shown == [code + 1]
    assert 3 <= len(cells[code + 1].source.splitlines()) <= 10


BLOCKED = """
import socket

def refuse(self, address, *rest):
    raise OSError(f"this test lets nothing leave: {address}")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_page_comes_out_again_from_the_published_measurements_alone(path, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    env = {name: value for name, value in os.environ.items() if name not in ("MEMLIB_RESULTS", "MEMLIB_DATA")}
    env |= {"MEMLIB_HOME": str(tmp_path / "home"), "MEMLIB_DATA": str(tmp_path / "none")}
    # one thread: more of them on a loaded machine wait for each other at full speed, five times the work of this page
    env |= {"PYTHONPATH": f"{tmp_path}:{ROOT}", "OMP_NUM_THREADS": "1"}
    out = tmp_path / path.name
    command = [sys.executable, "-m", "memlib.book.render", "run", str(path), str(out), "--timeout", "240"]
    begin = os.times()
    subprocess.run(command, env=env, check=True, stdin=subprocess.DEVNULL)
    end = os.times()
    if path.stem == "X_your_encoder":  # it measures encoders, and processors round differently
        assert numbers(out) == [[pytest.approx(row, abs=0.005) for row in one] for one in numbers(path)]
    else:
        assert tables(out) == tables(path)
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    # of the processor: what else runs on the machine hardly disturbs it
    assert end.children_user + end.children_system - begin.children_user - begin.children_system < 60


def tables(path: Path) -> list[str]:
    """The tables of an executed notebook, in their order."""
    page = nbformat.read(path, as_version=4)
    outputs = [part for cell in page.cells for part in cell.get("outputs", [])]
    shown = [part["data"]["text/html"] for part in outputs if "<table" in part.get("data", {}).get("text/html", "")]
    assert shown
    return shown


def numbers(path: Path) -> list[list[list[float]]]:
    """The scores in the tables of an executed notebook, by their decimal points, row by row."""
    cells = [re.findall(r"<tr.*?</tr>", one, re.S) for one in tables(path)]
    return [
        [[float(x) for x in re.findall(r">(-?\d*\.\d+)<", row.replace("−", "-"))] for row in one] for one in cells
    ]


# ---------------------------------------------------------------- the rendered pages


def test_readme_s_command_makes_the_book_at_scale_smoke(smoke):
    assert (smoke / "index.html").exists()
    for page in LISTED:
        assert (smoke / f"{page}.html").exists()
    text = (smoke / "notebooks" / "03_sslmem.html").read_text()
    assert "smoke" in text
    start = (smoke / "book" / "start.html").read_text()
    assert "This copy was made at scale smoke" in start
    board = (smoke / "book" / "scoreboard.html").read_text()
    assert board.count("<tr data-verdict=") == 141
    assert board.count("class='badge badge-") >= 141
    (given,) = smoke.glob("_downloads/*/verdicts.csv")
    assert given.read_bytes() == (smoke.parent / "verdicts.csv").read_bytes()
    assert given.read_text().count(",smoke\n") == sum(len(page.claims) for page in Page.all().values())


def test_a_second_time_nothing_runs(tree, smoke):
    begin = time.monotonic()
    done = readme("snakemake", tree)
    assert "Nothing to be done" in done.stderr
    assert time.monotonic() - begin < 30


def test_readme_s_command_renders_the_committed_pages_without_a_warning(published):
    for page in LISTED:
        assert (published / f"{page}.html").exists()


def test_every_mark_and_every_verdict_leads_to_the_verdict_s_place_on_its_page(published):
    for page in ("start", "scoreboard"):
        text = (published / "book" / f"{page}.html").read_text()
        links = {*re.findall(r"""href=["']\.\./notebooks/(\w+)\.html#(\w+)["']""", text)}
        assert len(links) > 70
        there = {name: (published / "notebooks" / f"{name}.html").read_text() for name, _ in links}
        assert [link for link in links if not re.search(rf"""id=["']{link[1]}["']""", there[link[0]])] == []


@pytest.mark.parametrize("book", ["smoke", "published"])
def test_every_page_reads_offline_wide_and_narrow(book, request):
    folder = request.getfixturevalue(book)
    if not browser.browser():
        if os.environ.get("CI"):
            pytest.fail(browser.MISSING)
        pytest.skip(f"NOT TESTED: {browser.MISSING}")
    assert looked_at(folder) == "nothing to complain about"


def looked_at(folder: Path, minutes: float = 10) -> str:
    """What the browser complains about; one that hangs is ended with all its processes, and started once more."""
    command = [sys.executable, browser.__file__, str(folder)]
    for _ in range(2):
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as pages:
            running = subprocess.Popen(
                command, stdout=said, stderr=pages, stdin=subprocess.DEVNULL, start_new_session=True
            )
            try:
                running.wait(60 * minutes)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
            for file in (said, pages):
                file.seek(0)
            told, last = said.read().removeprefix(f"{folder}: ").strip(), pages.read()[-2000:]
        if running.returncode >= 0:
            return told or last
    pytest.fail(f"the browser hung twice, the second time behind {last}")


def test_the_browser_test_sees_what_leaves_the_machine(tmp_path):
    if not browser.browser():
        pytest.skip(f"NOT TESTED: {browser.MISSING}")
    (tmp_path / "page.html").write_text('<script src="https://example.com/a.js"></script><img src="none.png">')
    found = browser.problems(tmp_path)
    assert any("request leaves the machine: https://example.com/a.js" in line for line in found)
    assert any("image does not load" in line for line in found)


def test_a_key_that_no_notebook_glued_fails_the_book(published, tmp_path):
    copy = copied(tmp_path / "tree")
    start = copy / "book" / "start.md"
    start.write_text(f"{start.read_text()}\n```{{glue}} lost_key\n:doc: ../notebooks/03_sslmem.ipynb\n```\n")
    done = readme("jupyter-book", copy)
    assert done.returncode
    assert "lost_key" in done.stdout + done.stderr
