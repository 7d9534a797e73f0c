"""Figures and tables of the pages, in one style: they take numbers, intervals and words, and know no studies."""

from memlib.book.show.answers import answer, downloads, facts, result
from memlib.book.show.charts import curves, histograms, intervals, spreads
from memlib.book.show.html import Html, say, table
from memlib.book.show.images import images
from memlib.book.show.maps import heat, scatter
from memlib.book.show.style import COLOURS, style
from memlib.book.show.verdicts import verdicts

__all__ = [
    "COLOURS",
    "Html",
    "answer",
    "curves",
    "downloads",
    "facts",
    "heat",
    "histograms",
    "images",
    "intervals",
    "result",
    "say",
    "scatter",
    "spreads",
    "style",
    "table",
    "verdicts",
]
