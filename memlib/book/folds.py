"""What Sphinx adds to the executed pages: sections that are folded, and a page's code in one block.

Which sections are folded is said by their headings. A page none of whose claims is judged is folded below its answer.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PAGES = "notebooks/"
FOLDED = ("What was run", "All numbers", "Controls", "Deviations from the papers", "Code of this page")
OPEN = "Try it"


class PageCode(SphinxDirective):
    """`{page-code}`: the cells of the notebook that it stands in, and the page's file, in one block."""

    def run(self) -> list[nodes.Node]:
        """The block."""
        cells = json.loads(Path(self.env.doc2path(self.env.docname)).read_text(encoding="utf-8"))["cells"]
        parts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        for name in re.findall(r"^from memlib\.book\.pages import (\w+)$", "\n".join(parts), re.M):
            file = Path(__file__).parent / "pages" / f"{name}.py"
            self.env.note_dependency(str(file))
            parts.append(f"# {'-' * 20} memlib/book/pages/{file.name}\n\n{file.read_text(encoding='utf-8')}")
        code = "\n\n".join(parts)
        return [nodes.literal_block(code, code, language="python")]


def fold(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Fold sections of an executed page, each under its heading."""
    if not name.startswith(PAGES):
        return
    unjudged = any("answer-unjudged" in raw.astext() for raw in doctree.findall(nodes.raw))
    for section in list(doctree.findall(nodes.section)):
        heading = section.children[0]
        below = isinstance(section.parent, nodes.section) and isinstance(section.parent.parent, nodes.document)
        if below and (heading.astext() in FOLDED or (unjudged and heading.astext() != OPEN)):
            start, middle, end = (
                nodes.raw("", text, format="html")
                for text in ("<details class='fold'><summary>", "</summary>", "</details>")
            )
            section.children[:] = [start, heading, middle, *section.children[1:], end]
            for node in (start, middle, end):
                node.parent = section


def setup(app: Sphinx) -> dict[str, Any]:
    """As Sphinx asks of an extension."""
    app.add_directive("page-code", PageCode)
    app.connect("doctree-resolved", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
