"""Each claim of the papers as a test on tables, with a verdict that is computed by written rules. No torch.

`rules` has the verdict, `pairs` the data of a pair of encoders, and each page of the book its own module: `sslmem`,
`layermem`, `unitmem`, with one function a claim and `page` for all of them under one correction. `takeaways` says it
in three sentences a page.
"""

from memlib.claims import layermem, sslmem, takeaways, unitmem
from memlib.claims.pairs import S_C, S_E, S_I, S_S, Pair, pair
from memlib.claims.rules import (
    FAILS,
    HOLDS,
    MARGIN,
    OPEN,
    TREND,
    VERDICTS,
    Claim,
    Null,
    Verdict,
    correct,
    every,
    verdict,
)
from memlib.claims.unitmem import Units, units

__all__ = [
    "FAILS",
    "HOLDS",
    "MARGIN",
    "OPEN",
    "S_C",
    "S_E",
    "S_I",
    "S_S",
    "TREND",
    "VERDICTS",
    "Claim",
    "Null",
    "Pair",
    "Units",
    "Verdict",
    "correct",
    "every",
    "layermem",
    "pair",
    "sslmem",
    "takeaways",
    "unitmem",
    "units",
    "verdict",
]
