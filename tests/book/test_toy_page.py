"""A page more takes one file, one notebook and a line in the plan, and runs from images to its verdict."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from memlib.book.verdicts import FAILS, HOLDS, SEEN, UNDECIDED

ROOT = Path(__file__).parents[2]

PAGE = '''
"""Page toy: is the output memorized?"""

from memlib.book import show
from memlib.book.claims import Effect, Page
from memlib.book.estimates import mirrored

page = Page("toy", source="a test")


@page.claim("The output memorizes", paper="no number", ids=("A1",), above="The output memorizes {}", needs=())
def memorizes(study):
    return Effect(mirrored("output"), margin=0.01)


def layers(study):
    return show.table([{"layer": row, "memorization": study.over(mirrored(row))} for row in study.convolutions])
'''
PARAMETERS = 'scale = "laptop"\npairs = None\nepochs = None\nsubset = None\nviews = None'
CELLS = [
    """from memlib import book
from memlib.book.pages import toy

base = book.design(scale, "base", pairs=pairs, epochs=epochs, subset=subset, views=views, external=20, batch=20)
book.show.style()""",
    "toy.layers(base)",
    "book.show.verdicts(toy.page.judge(base))",
]
SIZES = {"scale": "smoke", "pairs": 2, "epochs": 1, "subset": 40, "views": 2}


@pytest.fixture
def tree(tmp_path):
    """A checkout with one file, one notebook and one line more."""
    for name in ("memlib", "notebooks/scales"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "memlib/book/pages/toy.py").write_text(PAGE.lstrip())
    plan = tmp_path / "memlib/book/plan.py"
    before, line, after = plan.read_text().partition('    "03_sslmem": ("base",),\n')
    plan.write_text(f'{before}{line}    "toy": ("base",),\n{after}')
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# Toy"), parameters, *map(new_code_cell, CELLS)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), tmp_path / "notebooks/toy.ipynb")
    return tmp_path


def python(tree: Path, *arguments: str) -> str:
    env = {name: value for name, value in os.environ.items() if name != "MEMLIB_RESULTS"}
    env |= {"PYTHONPATH": str(tree), "MEMLIB_HOME": str(tree / "home")}
    done = subprocess.run([sys.executable, *arguments], cwd=tree, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_added_page_needs_one_file_one_notebook_and_a_line_in_the_plan(tree):
    parameters = [part for name, value in SIZES.items() for part in ("-p", name, str(value))]
    python(tree, "-m", "memlib.book.render", "run", "notebooks/toy.ipynb", "out.ipynb", *parameters)
    page = nbformat.read(tree / "out.ipynb", as_version=4)
    shown = [[part.get("data", {}).get("text/html", "") for part in cell.outputs] for cell in page.cells[-2:]]
    table, judged = map("".join, shown)
    assert table.count("<tr>") >= 8
    assert "The output memorizes" in judged
    assert any(f"{verdict}</span>" in judged for verdict in (HOLDS, SEEN, FAILS, UNDECIDED))


def test_an_added_page_is_planned_and_collected_as_the_others_are(tree):
    code = """
from memlib.book import jobs
from memlib.book.claims import Page
plan = jobs.plan("smoke")
print(len(plan.of("toy")), {"base" in plan.designs[key] for key in plan.of("toy")}, [*Page.all()["toy"].claims])
"""
    assert python(tree, "-c", code).strip() == "1 {True} ['memorizes']"
