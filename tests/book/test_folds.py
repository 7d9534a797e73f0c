"""Sections of the executed pages are folded by their headings; a page that judges nothing, below its answer."""

import json
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document

from memlib.book import folds


def folded(name="notebooks/x", said="<div class='answer'>"):
    """Headings of the folded sections of a page with three of them."""
    page = new_document("page", get_default_settings())
    top = nodes.section("", nodes.title("", "Is it so?"), nodes.raw("", said, format="html"))
    for heading in ("Verdicts", "Controls", "Try it"):
        top += nodes.section("", nodes.title("", heading), nodes.paragraph("", "words"))
    page += top
    folds.fold(None, page, name)
    return [s.children[1].astext() for s in page.findall(nodes.section) if isinstance(s.children[0], nodes.raw)]


@pytest.mark.parametrize(
    ("name", "said", "found"),
    [
        ("notebooks/x", "<div class='answer'>", ["Controls"]),
        ("notebooks/x", "<div class='answer answer-unjudged'>", ["Verdicts", "Controls"]),
        ("book/rules", "<div class='answer'>", []),
    ],
)
def test_sections_are_folded_by_their_headings(name, said, found):
    assert folded(name, said) == found


def test_the_code_of_a_page_is_its_cells_and_its_file_in_one_block(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["words"]},
        {"cell_type": "code", "source": ["from memlib.book.pages import vit\n", "vit.page"]},
    ]
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": cells}))
    env = SimpleNamespace(
        docname="x", doc2path=lambda name: str(tmp_path / f"{name}.ipynb"), note_dependency=lambda _: None
    )
    state = SimpleNamespace(document=SimpleNamespace(settings=SimpleNamespace(env=env)))
    (block,) = folds.PageCode("page-code", [], {}, [], 0, 0, "", state, SimpleNamespace(reporter=None)).run()
    assert block.astext().startswith("from memlib.book.pages import vit\nvit.page\n\n# ----")
    assert 'page = Page("04_1_vit"' in block.astext()
    assert "words" not in block.astext().partition("\n\n# ")[0]
