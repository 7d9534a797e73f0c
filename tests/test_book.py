"""The whole way: README's commands in a copy of the checkout, and the pages that come out, in a browser."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import browser
import nbformat
import pytest
import yaml
from test_house import ROOT, commands

from memlib import claims, figures

pytestmark = pytest.mark.timeout(1500)  # the smoke book is minutes on two quiet cores, and more beside other work

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
LISTED = [TOC["root"], *(page["file"] for part in TOC["parts"] for page in part["chapters"])]


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A copy of the checkout without what is ignored."""
    folder = tmp_path_factory.mktemp("tree")
    ignored = shutil.ignore_patterns(".*", "_build", "*.egg-info", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)
    return folder


def readme(start: str, tree: Path) -> subprocess.CompletedProcess:
    """Run the command of README that starts so, in a copy of the checkout and with this environment's programs."""
    (line,) = [line for line in commands() if line.startswith(start)]
    env = os.environ | {"PYTHONPATH": str(tree), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
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


def test_the_start_page_has_what_each_page_found():
    start = (ROOT / "book" / "start.md").read_text()
    modules = [module for module in vars(claims).values() if isinstance(module, ModuleType)]
    made = {claim.page for module in modules for claim in vars(module).values() if isinstance(claim, claims.Claim)}
    glued = re.findall(r"^```\{glue\} found_(\w+)\n:doc: \.\./notebooks/(\w+)\.ipynb$", start, re.M)
    assert {key for key, _ in glued} == made
    pages = [Path(page).name for page in LISTED]
    assert [page for _, page in glued] == [page for page in pages if page in made]


def test_the_reference_covers_every_module():
    documented = re.findall(r"automodule:: memlib\.(\w+)$", (ROOT / "book" / "api.md").read_text(), re.M)
    modules = {path.stem for path in (ROOT / "memlib").glob("*.py")} | {
        path.parent.name for path in (ROOT / "memlib").glob("*/__init__.py")
    }
    assert sorted(documented) == sorted(modules - {"__init__"})


def test_the_speed_table_has_a_row_a_benchmark_and_says_how_to_make_them(tmp_path):
    assert "MEMLIB_BENCHMARKS=" in repr(figures.speed_table(tmp_path))
    entry = {
        "name": "training",
        "unit": "times",
        "target": 2.0,
        "value": 2.5,
        "runs": [2.4, 2.5, 3.1],
        "machine": "M",
    }
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(entry | {"name": name}))
    rows = repr(figures.speed_table(tmp_path)).splitlines()[1:]
    assert [row.split() for row in rows] == [[n, "2.500", "2.40", "3.10", "times", "2"] for n in ("a", "b")]
    assert figures.speed_machine(tmp_path) == "M"


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
    env |= {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    out = tmp_path / path.name
    begin = time.monotonic()
    command = [sys.executable, "-m", "memlib.pages", "run", str(path), str(out), "--timeout", "240"]
    subprocess.run(command, env=env, check=True, stdin=subprocess.DEVNULL)
    took = time.monotonic() - begin
    assert tables(out) == tables(path)
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    assert took < 60 or os.getloadavg()[0] > 2 * os.cpu_count(), f"{took:.0f} s"


def tables(path: Path) -> list[str]:
    """The tables of an executed notebook, and what it glued, in their order."""
    page = nbformat.read(path, as_version=4)
    outputs = [part for cell in page.cells for part in cell.get("outputs", [])]
    shown = [part["data"]["text/html"] for part in outputs if "<table" in part.get("data", {}).get("text/html", "")]
    glued = [json.dumps(part["data"]) for part in outputs if "scrapbook" in part.get("metadata", {})]
    assert shown
    return shown + glued


# ---------------------------------------------------------------- the rendered pages


def test_readme_s_command_makes_the_book_at_scale_smoke(smoke):
    assert (smoke / "index.html").exists()
    for page in LISTED:
        assert (smoke / f"{page}.html").exists()
    text = (smoke / "notebooks" / "03_sslmem.html").read_text()
    assert "smoke" in text
    start = (smoke / "book" / "start.html").read_text()
    assert "This copy was made at scale smoke" in start
    assert start.count("class='badge badge-") >= 15


def test_a_second_time_nothing_runs(tree, smoke):
    begin = time.monotonic()
    done = readme("snakemake", tree)
    assert "Nothing to be done" in done.stderr
    assert time.monotonic() - begin < 30


def test_readme_s_command_renders_the_committed_pages_without_a_warning(published):
    for page in LISTED:
        assert (published / f"{page}.html").exists()


@pytest.mark.parametrize("book", ["smoke", "published"])
def test_every_page_reads_offline_wide_and_narrow(book, request):
    folder = request.getfixturevalue(book)
    if not browser.browser():
        if os.environ.get("CI"):
            pytest.fail(browser.MISSING)
        pytest.skip(f"NOT TESTED: {browser.MISSING}")
    assert browser.problems(folder) == []


def test_the_browser_test_sees_what_leaves_the_machine(tmp_path):
    if not browser.browser():
        pytest.skip(f"NOT TESTED: {browser.MISSING}")
    (tmp_path / "page.html").write_text('<script src="https://example.com/a.js"></script><img src="none.png">')
    found = browser.problems(tmp_path)
    assert any("request leaves the machine: https://example.com/a.js" in line for line in found)
    assert any("image does not load" in line for line in found)


def test_a_key_that_no_notebook_glued_fails_the_book(tree, published, tmp_path):
    copy = tmp_path / "tree"
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns("_build"))
    start = copy / "book" / "start.md"
    start.write_text(start.read_text().replace("{glue} found_", "{glue} lost_", 1))
    done = readme("jupyter-book", copy)
    assert done.returncode
    assert "lost_" in done.stdout + done.stderr
