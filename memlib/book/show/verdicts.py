"""Verdicts as a page shows them: a line each, what it rests on folded."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

from memlib.book.show.html import Html, table
from memlib.book.verdicts import FAILS, HOLDS, SEEN, UNDECIDED, UNJUDGED
from memlib.book.words import p_value

if TYPE_CHECKING:
    from memlib.book.claims import Judged

MARKS = {HOLDS: "yes", SEEN: "seen", FAILS: "no", UNDECIDED: "open", UNJUDGED: "unjudged"}


def verdicts(judged: Mapping[str, Judged]) -> Html:
    """A line a claim: its verdict, two sentences, the number that decides; all that it rests on is folded."""
    text = "\n".join(f"{one.claim.statement}: {one.verdict}" for one in judged.values())
    return Html("\n".join(map(_box, judged.values())), text)


def _box(one: Judged) -> str:
    """A line: claim, verdict, why, and the number that decides; a click on it shows what it rests on."""
    claim, v = one.claim, one.verdict
    return (
        f"<details class='verdict verdict-{MARKS[v.verdict]}' id='{claim.id.partition('/')[2]}'>"
        f"<summary><span class='statement'>{html.escape(claim.statement)}</span> {badge(v.verdict)} "
        f"{html.escape(v.why)} <span class='decides'>{html.escape(_decides(one))}</span></summary>"
        f"{_details(one)}</details>"
    )


def _decides(one: Judged) -> str:
    """The interval that the verdict rests on, and p after all corrections."""
    v, scale = one.verdict, one.claim.words.scale
    if v.decisive is None or v.verdict == UNJUDGED:
        return ""
    words, terms, unit = ("Minus its control: ", 2, scale.apart) if v.subtracted else ("", 1, scale.unit)
    return f"{words}{scale.span(v.decisive, terms)}{unit}, p {p_value(v.corrected_p)}."


def _details(one: Judged) -> str:
    """The numbers, as a table; of a claim about every part a row a part."""
    claim, v = one.claim, one.verdict
    source = f"<p class='source'>{html.escape(f'{claim.source}: {claim.paper}')}</p>"
    parts = v.parts or ({} if v.effect is None else {"": v})
    if not parts:
        return source
    scale = claim.words.scale
    rows = [
        {
            **({claim.words.parts: name, "verdict": part.verdict} if name else {}),
            "seen": scale.span(part.seen) if part.seen else "–",
            **({"control": scale.span(part.control)} if part.control else {}),
            **({"seen minus control": scale.span(part.effect, 2)} if part.control and part.effect else {}),
            "what matters": scale.show(part.margin),
            "observation": part.observation,
            "attribution": part.attribution or "–",
            "p": p_value(part.p).removeprefix("= "),
            "p, corrected": p_value(part.corrected_p).removeprefix("= "),
            "pairs": part.pairs,
        }
        for name, part in parts.items()
    ]
    corrections = "p, corrected: by Holm for the claims of the page" + (
        "; of a part that does not hold, also by Bonferroni for the parts." if v.parts else "."
    )
    return source + table(rows, kept=False).data + f"<p class='source'>{corrections}</p>"


def badge(verdict: str, words: str = "") -> str:
    """A verdict's badge, or other words with the mark of that verdict."""
    return f"<span class='badge badge-{MARKS[verdict]}'>{words or verdict}</span>"
