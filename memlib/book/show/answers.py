"""What every page has, as HTML: its answer, sentences that state a result, what was run."""

from __future__ import annotations

import html
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from memlib.book.show import numbers
from memlib.book.show.html import Html, table
from memlib.book.show.verdicts import badge
from memlib.book.verdicts import (
    FAILS,
    HOLDS,
    NOTHING_LEARNED,
    NOTHING_MEMORIZED,
    SEEN,
    UNDECIDED,
    UNJUDGED,
    VERDICTS,
)

if TYPE_CHECKING:
    from memlib.book.claims import Judged

REPLIES = {
    HOLDS: "Yes.",
    SEEN: "It is seen, but not by memorization.",
    FAILS: "No.",
    UNDECIDED: "Undecided.",
    UNJUDGED: "Not judged.",
}
SEVERAL = {HOLDS: "hold", FAILS: "do not hold"}
LONGER = (
    "Encoders that are trained for longer may answer it: set scale to paper, or to a file with sizes of your own."
)


def answer(judged: Mapping[str, Judged], lead: str, sentence: str, scale: str) -> Html:
    """The page's answer: what its leading claim says, in a sentence, how many claims have which verdict, the scale.

    Where no claim is judged it is a banner: why, and what would answer it; the book then folds the rest of the page.

    Args:
        judged: The verdicts of the page, by name.
        lead: Name of the claim that the page's title asks about.
        sentence: With the number that it rests on.
        scale: Of the page.

    Raises:
        KeyError: The page has no claim of that name.
    """
    from memlib.specs import nearest

    if lead not in judged:
        raise nearest(lead, judged, "claim")
    found = [one.verdict for one in judged.values()]
    counts = Counter(v.verdict for v in found)
    pairs = max(v.pairs for v in found)
    size = f", {pairs} pairs of encoders or runs" if pairs else ""
    badges = {n: f"{k} {SEVERAL.get(n, n) if k > 1 else n}" for n in VERDICTS if (k := counts[n])}
    reply, kind = REPLIES[judged[lead].verdict.verdict], "page-answer"
    if counts[UNJUDGED] == len(found):
        reply, kind = "Not judged.", "page-answer answer-unjudged"
        sentence = Counter(v.why for v in found).most_common(1)[0][0]
        sentence += f" {LONGER}" * (sentence in (NOTHING_MEMORIZED, NOTHING_LEARNED))
    ran = f"{len(found)} claims, scale {Path(scale).stem}{size}"
    drawn = " ".join(badge(n, words) for n, words in badges.items())
    return Html(
        f"<div class='{kind}'><p><strong>{reply}</strong> {html.escape(sentence)}</p>"
        f"<p class='counts'>{drawn} <span>{html.escape(ran)}</span></p></div>",
        f"{reply} {sentence}\n{', '.join(badges.values())} ({ran})",
    )


def result(found: Judged | str) -> Html:
    """What the figure below shows, in a sentence: that of a verdict, or another one."""
    if isinstance(found, str):
        return Html(f"<p class='result'>{html.escape(found)}</p>", found)
    v = found.verdict
    return Html(f"<p class='result'>{badge(v.verdict)} {html.escape(v.why)}</p>", v.text)


def facts(studies: Mapping[str, Mapping[str, str]]) -> Html:
    """What was run, a column a design, from `Study.ran` and `Runs.ran`."""
    rows = dict.fromkeys(row for found in studies.values() for row in found)
    return table([{"": row, **{name: found.get(row, "") for name, found in studies.items()}} for row in rows])


def downloads() -> Html:
    """Links to the numbers of all tables and figures that the page has shown so far, as CSV."""
    links = [
        f"<li><a download='numbers-{i}.csv' href='data:text/csv;base64,{b64encode(text.encode()).decode()}'>"
        f"{html.escape(words)}</a></li>"
        for i, (words, text) in enumerate(numbers.kept().items(), 1)
    ]
    return Html(f"<ul class='downloads'>{''.join(links)}</ul>", "\n".join(numbers.kept()))
