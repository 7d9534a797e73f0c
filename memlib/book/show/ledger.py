"""The ledger: all claims in one figure, a row a question, as SVG that follows the text's colour."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memlib.book.show.verdicts import MARKS
from memlib.book.verdicts import UNJUDGED
from memlib.stats import number

EDGE, TICKS = 12.0, (-10, -3, -1, 0, 1, 3, 10)  # of the axis, in half widths: what lies beyond stands at its edge
APART, LANES = 9.5, (0.0, -9.5, 9.5)  # of marks that would lie on each other, in pixels
SHAPES = {  # 5 pixels around the origin; told apart without colour, too
    "yes": '<circle r="5"/>',
    "seen": '<path d="M0-6L6 0L0 6L-6 0Z"/>',
    "no": '<path class="line" d="M-4.5-4.5L4.5 4.5M-4.5 4.5L4.5-4.5"/>',
    "open": '<circle class="line" r="4.2"/>',
    "unjudged": '<path class="line" d="M-4 0H4"/>',
}
STYLE = """.ledger{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.ledger text{fill:currentColor}.ledger .soft{opacity:.75;font-size:12px}.ledger .middle{text-anchor:middle}
.ledger .end{text-anchor:end}.ledger .rule{stroke:currentColor;opacity:.16}
.ledger .zero{stroke:currentColor;opacity:.6}
.ledger .band{fill:currentColor;opacity:.07}.ledger .control{stroke:currentColor;stroke-width:2.5;opacity:.45}
.ledger .line{fill:none;stroke-width:2.2}.ledger .mark .hit{fill:none;stroke:none;pointer-events:all}
.ledger .yes{fill:#009e73;stroke:#009e73}.ledger .seen{fill:#c98a00;stroke:#c98a00}
.ledger .no{fill:#d55e00;stroke:#d55e00}.ledger :is(.open,.unjudged){fill:#7d7d7d;stroke:#7d7d7d}
.ledger rect.unjudged{opacity:.45}"""
FILE = (
    """svg{color:#23231f}.page{fill:#fff}@media(prefers-color-scheme:dark){svg{color:#e6e6e0}.page{fill:#16181c}}"""
)


@dataclass(frozen=True)
class Mark:
    """A claim in the ledger.

    Attributes:
        words: What hovering shows.
        verdict: One of the five.
        x: Contrast over the half width of its interval, above 0 as claimed; None: there is no interval.
        control: The control on the same axis; None: there is none.
        link: Where its verdict stands.
    """

    words: str
    verdict: str
    x: float | None = None
    control: float | None = None
    link: str = ""


@dataclass(frozen=True)
class _Layout:
    """Where things stand, in pixels: of a wide screen, or of a phone, where questions stand above their rows."""

    width: int
    label: int  # width of the questions; 0: above
    start: int
    end: int
    lane: tuple[int, int]
    bar: tuple[int, int]
    row: int
    letters: int


WIDE = _Layout(900, 262, 276, 690, (704, 786), (800, 894), 33, 37)
NARROW = _Layout(360, 0, 8, 214, (224, 288), (304, 356), 74, 46)


def ledger(
    rows: Mapping[str, Sequence[Mark]], wide: bool = True, links: Mapping[str, str] | None = None, file: bool = False
) -> str:
    """All claims as SVG.

    Args:
        rows: {question: its claims}.
        wide: For a wide screen; otherwise for a phone.
        links: {question: its page}.
        file: To be shown by itself, as an image: with a ground of its own, and without links.
    """
    at = WIDE if wide else NARROW
    top, most = 34, max(map(len, rows.values()))
    height = top + at.row * len(rows) + 58
    parts = [_axis(at, top, top + at.row * len(rows)), _heads(at)]
    for i, (question, marks) in enumerate(rows.items()):
        y = top + at.row * i
        link = "" if file else (links or {}).get(question, "")
        parts.append(_row(at, y, question, marks, link, most, not file))
    parts.append(_key(at, height))
    style = f"<style>{STYLE}</style>"
    if file:
        style += f'<style>{FILE}</style><rect class="page" width="100%" height="100%" rx="8"/>'
    count = sum(map(len, rows.values()))
    words = f"All {count} tests of the papers' claims, by question; the scoreboard has them as a table"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ledger {"wide" if wide else "narrow"}" role="img" '
        f'viewBox="0 0 {at.width} {height}" aria-label="{html.escape(words)}">{style}{"".join(parts)}</svg>'
    )


def _place(at: _Layout, x: float) -> float:
    """Where a contrast stands: linear around 0, logarithmic far off."""
    share = math.asinh(max(-EDGE, min(EDGE, x))) / math.asinh(EDGE)
    return at.start + (at.end - at.start) * (0.5 + 0.5 * share)


def _axis(at: _Layout, top: int, bottom: int) -> str:
    low, high = _place(at, -1), _place(at, 1)
    band = f'<rect class="band" x="{low:.1f}" y="{top}" width="{high - low:.1f}" height="{bottom - top}"/>'
    ticks = "".join(
        f'<path class="{"zero" if tick == 0 else "rule"}" d="M{_place(at, tick):.1f} {top}V{bottom}"/>'
        f'<text class="soft middle" x="{_place(at, tick):.1f}" y="{bottom + 15}">{number(tick)}</text>'
        for tick in TICKS
    )
    return band + ticks


def _heads(at: _Layout) -> str:
    y, middle = 22, (at.start + at.end) / 2
    said = ("← against the claim", "as claimed →") if at.label else ("← against", "as claimed →")
    return (
        f'<text class="soft end" x="{middle - 14}" y="{y}">{said[0]}</text>'
        f'<text class="soft" x="{middle + 14}" y="{y}">{said[1]}</text>'
        f'<text class="soft" x="{at.lane[0]}" y="{y}">not judged</text>'
        f'<text class="soft" x="{at.bar[0]}" y="{y}">{"verdicts" if at.label else "all"}</text>'
    )


def _row(at: _Layout, y: float, question: str, marks: Sequence[Mark], link: str, most: int, links: bool) -> str:
    middle = y + at.row / 2 if at.label else y + at.row - 20
    lines = _lines(question, at.letters)
    first = middle + 4 - 7 * (len(lines) - 1) if at.label else y + 14
    text = "".join(
        f'<text x="{2 if at.label else at.start}" y="{first + 14 * i:.1f}">{html.escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    if link:
        text = f'<a href="{html.escape(link)}">{text}</a>'
    judged = [mark for mark in marks if mark.verdict != UNJUDGED]
    others = [mark for mark in marks if mark.verdict == UNJUDGED]
    places = [_place(at, mark.x or 0.0) for mark in judged]
    placed = list(zip(judged, places, [middle + lane for lane in _lanes(places)], strict=True))
    drawn = [
        f'<path class="control" d="M{_place(at, mark.control):.1f} {height - 6:.1f}v12"/>'
        for mark, _, height in placed
        if mark.control is not None
    ]
    drawn += [_mark(mark, x, height, links) for mark, x, height in placed]
    columns = max(1, (at.lane[1] - at.lane[0]) // 13)
    for i, mark in enumerate(others):
        line, column = divmod(i, columns)
        rows = (len(others) - 1) // columns
        drawn.append(_mark(mark, at.lane[0] + 6 + 13 * column, middle + 11 * (line - rows / 2), links))
    rule = f'<path class="rule" d="M0 {y + at.row}H{at.width}"/>'
    return f"{rule}{text}{''.join(drawn)}{_bar(at, middle, marks, most)}"


def _mark(mark: Mark, x: float, y: float, links: bool) -> str:
    kind = MARKS[mark.verdict]
    drawn = (
        f'<g class="mark {kind}" transform="translate({x:.1f} {y:.1f})"><title>{html.escape(mark.words)}</title>'
        f'<rect class="hit" x="-7" y="-6" width="14" height="12"/>{SHAPES[kind]}</g>'
    )
    return f'<a href="{html.escape(mark.link)}">{drawn}</a>' if links and mark.link else drawn


def _lanes(xs: Sequence[float]) -> list[float]:
    """Heights of marks, so that none lies on another: in turn from the left, in the first lane with room."""
    ends, found = [-math.inf] * len(LANES), [0.0] * len(xs)
    for i in sorted(range(len(xs)), key=lambda i: xs[i]):
        free = [lane for lane, end in enumerate(ends) if xs[i] - end >= APART]
        lane = free[0] if free else min(range(len(LANES)), key=lambda lane: ends[lane])
        ends[lane], found[i] = xs[i], LANES[lane]
    return found


def _bar(at: _Layout, y: float, marks: Sequence[Mark], most: int) -> str:
    """Counts of verdicts, stacked."""
    counts = {verdict: sum(mark.verdict == verdict for mark in marks) for verdict in MARKS}
    x, wide = float(at.bar[0]), (at.bar[1] - at.bar[0] - 18) / most
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    drawn = [f"<title>{said}</title>"]
    for verdict, count in counts.items():
        if count:
            drawn.append(
                f'<rect class="{MARKS[verdict]}" stroke="none" x="{x:.1f}" y="{y - 6:.1f}" '
                f'width="{max(wide * count - 1, 1):.1f}" height="12"/>'
            )
            x += wide * count
    return f'<g>{"".join(drawn)}<text class="soft" x="{x + 4:.1f}" y="{y + 4:.1f}">{len(marks)}</text></g>'


def _key(at: _Layout, height: int) -> str:
    """What shapes mean."""
    x, y, drawn = float(at.start if at.label else 8), height - 14.0, []
    if not at.label:
        y -= 16
    for verdict, kind in MARKS.items():
        width = 24 + 6.3 * len(verdict)
        if x + width > at.width:
            x, y = 8.0, y + 17
        drawn.append(f'<g class="{kind}" transform="translate({x + 6:.1f} {y - 4:.1f})">{SHAPES[kind]}</g>')
        drawn.append(f'<text class="soft" x="{x + 16:.1f}" y="{y:.1f}">{verdict}</text>')
        x += width
    drawn.append(f'<path class="control" d="M{x + 6:.1f} {y - 10:.1f}v12"/>')
    drawn.append(f'<text class="soft" x="{x + 14:.1f}" y="{y:.1f}">control</text>')
    return "".join(drawn)


def _lines(text: str, letters: int) -> list[str]:
    """At most two lines of so many letters."""
    import textwrap

    return textwrap.wrap(text, letters, max_lines=2, placeholder=" …")
