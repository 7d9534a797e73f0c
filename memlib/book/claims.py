"""Claims: words, an estimate, and a control. A page collects its own, and `Page.judge` is the one judge of all.

    page = Page("04_1_layermem", source="LayerMem paper, section 4.1 and Table 1")

    @page.claim("Memorization increases with depth", paper="LayerMem grows from each layer to the next", ids=["A1"],
                above="Kendall's τ of memorization and depth is {}", scale=TAU)
    def depth(study):
        return Effect(rank([mirrored(row) for row in study.convolutions]), margin=0.1)

A claim's function takes what `judge` is given (studies, runs, joined studies), and returns an `Effect`; for a claim
about every part {name: Effect}; or `NotJudged(reason)`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from memlib.book.contrasts import Contrast
from memlib.book.designs import designs
from memlib.book.estimates import Estimate, mirrored
from memlib.book.pieces import Pieces
from memlib.book.runs import Runs, experiment
from memlib.book.study import Study, design
from memlib.book.verdicts import Evidence, Verdict, gate, judge
from memlib.book.words import SSLMEM, Scale, Words
from memlib.stats import permuted_p

MEMORIZED = "memorized"  # the gate: the encoders memorize in their last layer or output, by permutation


@dataclass(frozen=True)
class Effect:
    """The primary contrast of a claim, or of one of its parts.

    Attributes:
        estimate: What the claim is about: the observation.
        margin: The smallest effect that matters, above 0: in the units of the estimate, or a share of `reference`.
        reference: What the margin is a share of, of the same piece; None: the margin is a number.
        control: The same number where there is no memorization (points that the encoders did not see, encoders before
            training, layers of g), of the same piece: it is subtracted within the piece. None: a claim without one
            has an observation alone, or is one of membership, which permutation attributes.
        sign: +1 or -1, as claimed; 0: the claim is that there is no more than the margin.
        over: The pieces; None: what the page's judge was given first.
    """

    estimate: Estimate
    margin: float
    reference: Estimate | None = None
    control: Estimate | None = None
    sign: int = 1
    over: Pieces | None = None


@dataclass(frozen=True)
class NotJudged:
    """In place of an effect: why a claim cannot be judged, a sentence."""

    reason: str


Found = Effect | Mapping[str, Effect | NotJudged] | NotJudged
F = TypeVar("F", bound=Callable[..., Found])


@dataclass(frozen=True)
class Claim:
    """A claim of the papers, or of ours.

    Attributes:
        id: Page and name, unique in the book: `04_1_layermem/depth`.
        statement: What is claimed.
        paper: What the paper prints about it.
        source: Where the claim stands.
        ids: What it is in the list of the papers' claims: `A1`.
        words: How its verdict reads.
        needs: Gates that have to be open.
        of: What it is made from: the studies to its effect.
    """

    id: str
    statement: str
    paper: str
    source: str
    ids: tuple[str, ...]
    words: Words
    needs: tuple[str, ...]
    of: Callable[..., Found] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict."""

    claim: Claim
    verdict: Verdict


class Page:
    """A page's claims, in the order in which they are declared.

    Args:
        name: Of its notebook.
        source: Where the page's claims stand, unless one says otherwise.
        takes: What its claims' functions take: names of designs and experiments, one an argument; or a function of a
            scale and sizes (as `design` and `experiment` have them) that returns their only argument.
    """

    _all: dict[str, Page] = {}  # noqa: RUF012

    def __init__(self, name: str, source: str, takes: Sequence[str] | Callable[..., Any] = ()) -> None:
        self.name, self.source, self.takes = name, source, takes
        self.claims: dict[str, Claim] = {}
        self._all[name] = self

    def claim(
        self,
        statement: str,
        *,
        paper: str,
        above: str,
        control: str = "",
        scale: Scale = SSLMEM,
        parts: str = "parts",
        ids: Sequence[str] = (),
        source: str = "",
        needs: Sequence[str] = (MEMORIZED,),
    ) -> Callable[[F], F]:
        """Declare the function below as a claim; its name is the claim's.

        Args:
            above, control, scale, parts: See `words.Words`. Where the number is negative, `[more|less]` reads "less";
                without such words it has a minus.

        Raises:
            ValueError: The page has a claim of that name.
        """

        def declare(of: F) -> F:
            name = of.__name__
            if name in self.claims:
                raise ValueError(f"page {self.name} has two claims {name!r}: take another name for one")
            up, down = (re.sub(r"\[(.*?)\|(.*?)\]", side, above) for side in (r"\1", r"\2"))
            words = Words(up, down if down != up else up.replace("{}", "−{}"), control, scale, parts)
            place = source or self.source
            self.claims[name] = Claim(
                f"{self.name}/{name}", statement, paper, place, tuple(ids), words, tuple(needs), of
            )
            return of

        return declare

    def read(self, scale: str, **sizes: Any) -> Any:
        """What `judge` takes at a scale; what is missing is made first. Several arguments come as a tuple.

        Raises:
            ValueError: The page does not say what its claims take.
        """
        if callable(self.takes):
            return self.takes(scale, **sizes)
        if not self.takes:
            raise ValueError(f"page {self.name} does not say what its claims take: Page(..., takes=...)")
        there = designs(scale)
        found = [(design if name in there else experiment)(scale, name, **sizes) for name in self.takes]
        return tuple(found) if len(found) > 1 else found[0]

    def judge(self, *studies: Any) -> dict[str, Judged]:
        """The verdicts on all claims of the page, by name, corrected for their number.

        Args:
            studies: What the claims' functions take: pieces, or mappings of them.
        """
        looks = max(map(_looks, studies), key=len, default=())
        evidence = {name: _evidence(claim, studies, looks) for name, claim in self.claims.items()}
        found = judge(evidence)
        return {name: Judged(claim, found[name]) for name, claim in self.claims.items()}

    @classmethod
    def all(cls) -> dict[str, Page]:
        """All pages that have claims, by name."""
        from memlib.book import pages

        for module in pkgutil.iter_modules(pages.__path__):
            importlib.import_module(f"{pages.__name__}.{module.name}")
        return dict(sorted(cls._all.items()))


def _looks(given: Any) -> tuple[float, ...]:
    """The looks at the designs in what a page's judge is given."""
    if isinstance(given, Study | Runs):
        return given.looks
    inside = given.studies if isinstance(given, Pieces) else given
    return max(map(_looks, inside.values()), key=len, default=()) if isinstance(inside, Mapping) else ()


def _evidence(claim: Claim, studies: Sequence[Pieces], looks: tuple[float, ...]) -> Evidence:
    """A claim's contrasts, or why it is not judged."""
    found = claim.of(*studies)
    if isinstance(found, NotJudged):
        return Evidence(claim.words, {}, found.reason, looks)
    contrasts, missing = {}, {}
    for part, effect in ({"": found} if isinstance(found, Effect) else found).items():
        if isinstance(effect, NotJudged):
            missing[part] = effect.reason
            continue
        pieces = studies[0] if effect.over is None else effect.over
        contrasts[part] = _contrast(effect, pieces)
        gated = pieces.studies.values() if MEMORIZED in claim.needs else ()
        if reasons := [reason for study in gated if (reason := memorizes(study))]:
            missing[part] = reasons[0]
    if not contrasts and not missing:
        missing[""] = "there is nothing to compare here"
    # what the gate stops is a test that was made, and counts in the corrections; of other parts it is left out
    judged = {part: contrast for part, contrast in contrasts.items() if part not in missing}
    reason = "" if judged else next(iter(missing.values()))
    if isinstance(found, Effect):
        return Evidence(claim.words, contrasts[""], reason, looks)
    return Evidence(claim.words, judged or contrasts, reason, looks, missing)


def _contrast(effect: Effect, pieces: Pieces) -> Contrast:
    """The numbers of an effect, one a piece, with what its points alone make each vary by."""
    values = pieces.values(effect.estimate)
    control = None if effect.control is None else pieces.values(effect.control)
    if control is not None and not any(control):
        control = None  # a share that is none in every piece: there is nothing to subtract
    return Contrast(
        values,
        effect.margin,
        effect.sign,
        pieces.variances(effect.estimate),
        control,
        None if control is None else pieces.variances(effect.control),  # type: ignore[arg-type]
        None if effect.reference is None else pieces.values(effect.reference),
        _p(values, pieces.permuted(effect.estimate)) if effect.sign else None,
        effect.estimate.grid,
        pieces.points_in_all,
        pieces.each,
    )


def _p(values: Sequence[float], permuted: np.ndarray | None) -> float | None:
    """Two-sided p of the mean over pieces by permuted membership [K, D]."""
    if permuted is None:
        return None
    return float(permuted_p(np.mean(values), permuted.mean(0)))


def memorizes(study: Study) -> str:
    """Why claims about these encoders are not judged; "" where they memorize in their last layer or output.

    By permuted membership over all pairs, with Bonferroni's correction for the two.
    """
    if "gate" not in vars(study):  # once a study: claims and their parts ask again
        vars(study)["gate"] = _gate(study)
    return vars(study)["gate"]


def _gate(study: Study) -> str:
    """As `memorizes`."""
    last = (study.convolutions or [row.name for row in study.layers if row.numbered])[-1]
    found = []
    for row in (last, "output"):
        values = study.values(mirrored(row))
        p = _p(values, study.permuted(mirrored(row)))
        assert p is not None
        found.append((min(1.0, 2 * p), float(np.mean(values))))
    p, estimate = min(found, key=lambda one: (one[1] <= 0, one[0]))
    return gate(p, estimate)
