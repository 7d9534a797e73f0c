"""What every page has: what was run, verdicts, nulls and take-aways, as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from memlib.figures.html import Html, table

if TYPE_CHECKING:
    from memlib.claims import Verdict

MARK = {"holds": "yes", "trend only": "trend", "does not hold": "no", "not tested here": "open"}


def facts(studies: Mapping[str, Mapping[str, str]]) -> Html:
    """What was run, a column a design, from `tables.Study.ran`."""
    import pandas as pd

    rows = list(dict.fromkeys(row for found in studies.values() for row in found))
    return table(
        pd.DataFrame({"": rows, **{name: [found.get(r, "") for r in rows] for name, found in studies.items()}})
    )


def verdicts(found: Sequence[Verdict], glue: bool = False, brief: bool = False) -> Html:
    """Each claim with its verdict and what that rests on; of claims about every layer the parts, folded.

    Args:
        glue: Also leave the page's verdicts where the start page finds them (`found_<page>`).
        brief: A table of one row a claim.
    """
    if brief:
        return summary(found)
    if glue:
        from myst_nb import glue as leave

        page = next(v.claim.page for v in found if v.claim)
        leave(f"found_{page}", summary(found), display=False)
    return Html("\n".join(_box(v) for v in found), "\n".join(map(str, found)))


def summary(found: Sequence[Verdict]) -> Html:
    """A row a claim: its statement, its verdict, the number behind it."""
    rows = "".join(
        f"<tr><td>{html.escape(v.claim.statement)}</td><td>{_badge(v)}</td>"
        f"<td>{html.escape(v.claim.unit)} {_minus(v.corrected)}</td></tr>"
        for v in found
        if v.claim
    )
    return Html(
        '<div class="table-scroll"><table class="results found"><thead><tr><th>claim</th><th>verdict</th>'
        f"<th>what it rests on</th></tr></thead><tbody>{rows}</tbody></table></div>",
        "\n".join(f"{v.claim.statement}: {v.verdict}" for v in found if v.claim),
    )


def nulls(found: Iterable[Verdict], folded: bool = True) -> Html:
    """The number behind each verdict where there is nothing to find, beside the number itself."""
    import pandas as pd

    rows = []
    for v in found:
        for name, part in (v.parts or {"": v}).items():
            for null in part.nulls:
                rows.append(
                    {
                        "claim": v.claim.statement if v.claim else "",
                        "part": name,
                        "control": null.name,
                        "of the control": _minus(null.interval),
                        "claimed": _minus(part.effect),
                    }
                )
    frame = pd.DataFrame(rows)
    shown = table(frame.drop(columns="part") if not frame["part"].any() else frame)
    if folded and len(rows) > 12:
        return Html(f"<details><summary>{len(rows)} controls, one a row</summary>{shown.data}</details>", shown.text)
    return shown


def takeaways(sentences: Sequence[str]) -> Html:
    """The page's take-aways as a list."""
    items = "".join(f"<li>{html.escape(s)}</li>" for s in sentences)
    return Html(f"<ol class='takeaways'>{items}</ol>", "\n".join(f"{i}. {s}" for i, s in enumerate(sentences, 1)))


def _box(v: Verdict) -> str:
    claim = v.claim
    head = f"<p class='statement'>{html.escape(claim.statement)}</p>" if claim else ""
    source = f"<p class='source'>{html.escape(f'{claim.source}: {claim.paper}')}</p>" if claim else ""
    parts = ""
    if v.parts:
        rows = "".join(
            f"<tr><td>{html.escape(n)}</td><td>{_badge(p)}</td><td>{_minus(p.effect)}</td></tr>"
            for n, p in v.parts.items()
        )
        parts = (
            "<details><summary>part by part</summary><div class='table-scroll'><table class='results'>"
            f"<tbody>{rows}</tbody></table></div></details>"
        )
    return (
        f"<div class='verdict verdict-{MARK[v.verdict]}'>{head}<p>{_badge(v)} {html.escape(v.reason)}</p>"
        f"{source}{parts}</div>"
    )


def _badge(v: Verdict) -> str:
    return f"<span class='badge badge-{MARK[v.verdict]}'>{v.verdict}</span>"


def _minus(number: object) -> str:
    return str(number).replace("-", "−")
