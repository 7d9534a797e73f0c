"""Each claim of the papers as a test on tables, with a verdict that is computed by written rules. No torch.

`rules` has the verdict, `pairs` the data of a pair of encoders, `arms` what one way of training does that another
does not, `sides` what several frameworks do alike, `replaced` and `inserted` the runs of two experiments, and each
page of the book its own module: `sslmem`, `layermem`, `resnets`, `vit`, `frameworks`, `replacement`, `finetuning`,
`unitmem`, `ssl_vs_sl`, `privacy`, `pruning`, `injection`, with one function a claim and `page` for all of them under
one correction. `takeaways` (of the later pages the function of that name) says it in three sentences a page.
"""

from memlib.claims import (
    finetuning,
    frameworks,
    injection,
    inserted,
    layermem,
    privacy,
    pruning,
    replaced,
    replacement,
    resnets,
    ssl_vs_sl,
    sslmem,
    takeaways,
    unitmem,
    vit,
)
from memlib.claims.arms import Arm, arm
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
    "Arm",
    "Claim",
    "Null",
    "Pair",
    "Units",
    "Verdict",
    "arm",
    "correct",
    "every",
    "finetuning",
    "frameworks",
    "injection",
    "inserted",
    "layermem",
    "pair",
    "privacy",
    "pruning",
    "replaced",
    "replacement",
    "resnets",
    "ssl_vs_sl",
    "sslmem",
    "takeaways",
    "unitmem",
    "units",
    "verdict",
    "vit",
]
