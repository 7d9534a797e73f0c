"""Claims of page 04_2_replacement: do the layers that memorize matter most (paper A, section 4.2, C.7, C.11)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memlib.claims import replaced, rules
from memlib.claims.pairs import interval
from memlib.claims.replaced import RULES, Of, Rule, Run, alike, chosen, gained, less, lost, mean_lost
from memlib.claims.rules import Claim, Null, Verdict, above_zero, correct, every, unlearned, unranked, verdict
from memlib.stats import Interval, equivalence

PAGE = "04_2_replacement"
SHARE = 0.25  # of what layers memorized: less change than that counts as none
SAME, UNTRAINED = "layers of an encoder of the same data set", "layers of an untrained encoder"

RUNS = "runs"  # what counts as one piece of evidence

LEAST = Claim(
    "least",
    PAGE,
    "Replacing the most memorizing layers costs more accuracy than replacing the least memorizing ones",
    "paper A, sections 4.2 and C.7, Tables 21 to 23",
    "three layers: 36.6 and 39.1 % are left of 69.1 %, against 59.1 and 50.0 %",
    "accuracy lost, most less least memorizing",
    RUNS,
)
RANDOM = Claim(
    "random",
    PAGE,
    "Replacing the most memorizing layers costs more accuracy than replacing random ones",
    "paper A, sections 4.2 and C.7, Tables 21 to 23",
    "three layers: 36.6 and 39.1 % are left of 69.1 %, against 43.2 %",
    "accuracy lost, most memorizing less the mean of all sets of that size",
    RUNS,
)
LAST = Claim(
    "last",
    PAGE,
    "The largest deltas name layers whose replacement costs more than that of the last ones",
    "paper A, section C.12, Tables 30, 32 and 33",
    "6, 6 8 and 4 6 8 cost more than 8, 7 8 and 6 7 8",
    "accuracy lost, largest delta less last layers",
    RUNS,
)
RANK = Claim(
    "rank",
    PAGE,
    "The more a layer memorizes, the more accuracy its replacement costs",
    "paper A, sections 4.2 and C.12, Table 30",
    "seen in the tables, no correlation computed",
    "Kendall's tau of a layer's memorization and the accuracy lost",
    RUNS,
)
GAIN = Claim(
    "gain",
    PAGE,
    "Replacing the most memorizing layers gains most accuracy on the donor's data set",
    "paper A, sections 4.2 and C.7, Tables 21 to 23",
    "three layers: 32.3 and 29.8 % from 17.8 %, against 23.1 and 24.7 % for the least memorizing ones",
    "accuracy gained there, most less least memorizing",
    RUNS,
)
FOREIGN = Claim(
    "foreign",
    PAGE,
    "A layer of another data set costs more accuracy than one of an encoder of the same data set",
    "not in paper A, which takes the loss for one of memorization without this control",
    "no number",
    "accuracy lost by the donor's layers less by g's, mean over layers",
    RUNS,
)
BATCHNORM = Claim(
    "batchnorm",
    PAGE,
    "BatchNorms of encoders of different data sets are similar, so that their statistics need no adjustment",
    "paper A, section C.7, Table 25",
    "cosine .779 to .881 by layer, .823 on average",
    "cosine of BatchNorm weights and biases, mean over layers",
    RUNS,
)
DROPS = Claim(
    "drops",
    PAGE,
    "The LayerMem of a replaced layer always drops",
    "paper A, section C.11, Tables 23b and 30",
    "it drops at every layer, less at early ones",
    "mirrored estimate before less after the layer was replaced in f and in g",
    RUNS,
)
UNCHANGED = Claim(
    "unchanged",
    PAGE,
    "The LayerMem of the other layers is not affected by a replacement",
    "paper A, section C.11",
    "not affected significantly",
    "change of the mirrored estimate, mean over the layers behind the replaced one",
    RUNS,
)
BLOCKS = Claim(
    "blocks",
    PAGE,
    "In a ResNet50, replacing the most memorizing blocks costs more accuracy than random or the least memorizing",
    "paper A, section C.7, Table 24",
    "three blocks: 43.7 % are left of 77.1 %, against 51.1 and 57.4 %",
    "accuracy lost, most memorizing less the others",
    RUNS,
)
CLAIMS = (LEAST, RANDOM, LAST, RANK, GAIN, FOREIGN, BATCHNORM, DROPS, UNCHANGED, BLOCKS)
BY_RANK = (LEAST, RANDOM, LAST, RANK, GAIN, BLOCKS)  # need an order of layers by what they memorize


def over(runs: Sequence[Run], of: Of, step: float = 0.0) -> Interval:
    """Interval of a number over runs, each of which has encoders of its own."""
    return interval([of(one) for one in runs], sum(one.tested for one in runs), step)


def _judge(
    claim: Claim,
    of: Of,
    runs: Sequence[Run],
    nulls: Mapping[str, Of] | None = None,
    sign: int = 1,
    margin: float | None = None,
    step: float = 0.0,
) -> Verdict:
    """Judge a number over runs against the same where there is nothing to find, within runs."""
    found = [
        Null(name, over(runs, null, step), over(runs, less(of, null), step)) for name, null in (nulls or {}).items()
    ]
    return verdict(over(runs, of, step), sign, found, margin, claim=claim)


def _contrast(size: int, by: Rule, role: str = "donor", gain: bool = False) -> Of:
    """What the most memorizing layers cost, or gain, less the least memorizing ones."""
    what = gained if gain else lost
    return less(what(chosen(size, by), role), what(chosen(size, by, most=False), role))


def _controls(size: int) -> dict[str, str]:
    """Whose layers stand in where there is nothing to find; several of an untrained encoder were not replaced."""
    return {SAME: "g", UNTRAINED: "untrained"} if size == 1 else {SAME: "g"}


def _against_least(claim: Claim, runs: Sequence[Run], gain: bool = False) -> Verdict:
    parts = {}
    for n in _few(runs):
        for by in RULES:
            nulls = {name: _contrast(n, by, role, gain) for name, role in _controls(n).items()}
            parts[f"{n} by {by}"] = _judge(claim, _contrast(n, by, gain=gain), runs, nulls)
    return every(claim, parts)


def _few(runs: Sequence[Run]) -> list[int]:
    """One layer and three, as in the papers' tables of choices."""
    return [size for size in runs[0].sizes() if size in (1, 3)]


def least(runs: Sequence[Run]) -> Verdict:
    """Accuracy lost, most less least memorizing: one and three layers, by LayerMem and by its delta."""
    return _against_least(LEAST, runs)


def gain(runs: Sequence[Run]) -> Verdict:
    """Accuracy gained on the donor's data set, likewise."""
    return _against_least(GAIN, runs, gain=True)


def random(runs: Sequence[Run]) -> Verdict:
    """Accuracy lost, most memorizing layers less all sets of as many, or those drawn."""
    parts = {}
    for n in _few(runs):
        for by in RULES:
            nulls = {name: _above_random(n, by, role) for name, role in _controls(n).items()}
            parts[f"{n} by {by}"] = _judge(RANDOM, _above_random(n, by), runs, nulls)
    return every(RANDOM, parts)


def _above_random(size: int, by: Rule, role: str = "donor") -> Of:
    return less(lost(chosen(size, by), role), mean_lost(size, role))


def last(runs: Sequence[Run]) -> Verdict:
    """Accuracy lost, largest delta less last layers, for each number of layers."""
    parts = {}
    for n in runs[0].sizes():

        def more(role: str, n: int = n) -> Of:
            return less(lost(chosen(n, "delta"), role), lost(replaced.last(n), role))

        if all(run.chosen(n, "delta") == run.steps[-n:] for run in runs):
            parts[str(n)] = rules.alike(
                LAST, over(runs, more("donor")), "the largest deltas are the last layers' in every run"
            )
            continue
        parts[str(n)] = _judge(LAST, more("donor"), runs, {name: more(role) for name, role in _controls(n).items()})
    return every(LAST, parts)


def rank(runs: Sequence[Run]) -> Verdict:
    """Tau of memorization and cost, against depth, size, and what layers of other encoders cost."""
    parts: dict[str, Verdict] = {}
    for by in RULES:

        def memory(one: Run, by: Rule = by) -> dict[str, float]:
            return one.memory(by)

        nulls = {
            "depth instead of memorization": replaced.tau(replaced.among(memory, replaced.depth)),
            "parameters instead of memorization": replaced.tau(replaced.among(memory, replaced.parameters)),
            SAME: replaced.tau(memory, "g"),
            UNTRAINED: replaced.tau(memory, "untrained"),
        }
        parts[by] = _judge(RANK, replaced.tau(memory), runs, nulls, step=_grid(len(memory(runs[0]))))
    return every(RANK, parts)


def _grid(layers: int) -> float:
    """What a tau of so many layers can only move by."""
    return 4 / (layers * (layers - 1))


def foreign(runs: Sequence[Run]) -> Verdict:
    """Accuracy lost by the donor's single layers less by g's."""
    return _judge(FOREIGN, less(mean_lost(1), mean_lost(1, "g")), runs)


def batchnorm(runs: Sequence[Run]) -> Verdict:
    """Cosine of f's and the donor's BatchNorms, against permuted units."""
    return _judge(BATCHNORM, alike("donor"), runs, {"units permuted": alike("donor", 3)})


def drops(runs: Sequence[Run]) -> Verdict:
    """Mirrored estimate before less after a layer's own replacement, of the layers that are shown to memorize.

    Where none is, of all: without a margin, as nothing can be small beside nothing.
    """
    shown = memorizing(runs)
    parts = {}
    for step, row in runs[0].rows.items():
        if step in shown or not shown:
            margin = SHARE * over(runs, replaced.at(row)).mean if shown else None
            parts[step] = _judge(DROPS, less(replaced.at(row), replaced.at(row, step)), runs, margin=margin)
    return every(DROPS, parts)


def memorizing(runs: Sequence[Run]) -> list[str]:
    """The steps that are shown to memorize."""
    return above_zero({step: over(runs, replaced.at(row)) for step, row in runs[0].rows.items()})


def unchanged(runs: Sequence[Run]) -> Verdict:
    """Mirrored estimate of the layers behind a replaced one within a quarter of what it was (TOST)."""
    parts = {}
    for step in runs[0].steps:

        def behind(one: Run, after: str | None, step: str = step) -> float:
            layers = one.layers[one.layers.index(one.rows[step]) + 1 :]
            return float(np.mean([one.at(layer, after) for layer in layers]))

        before = np.array([behind(one, None) for one in runs])
        change = np.array([behind(one, step) for one in runs]) - before
        margin = max(float(SHARE * before.mean()), 0.0)  # nothing there: no difference is small beside it
        p = equivalence(change, SHARE * before) if len(runs) > 1 else 1.0
        effect = interval(change.tolist(), sum(one.tested for one in runs))
        parts[step] = verdict(effect, 0, (), margin, p, claim=UNCHANGED)
    return every(UNCHANGED, parts)


def blocks(runs: Sequence[Run]) -> Verdict:
    """Accuracy lost by the most memorizing three, less that of the sets drawn and of the least memorizing three."""
    parts = {}
    for by in RULES:
        for name, of in {"random": _above_random, "least": _contrast}.items():
            parts[f"{name}, by {by}"] = _judge(BLOCKS, of(3, by), runs, {SAME: of(3, by, "g")})
    return every(BLOCKS, parts)


def learned(runs: Sequence[Run]) -> Interval:
    """Accuracy of f on its own data set less that of the untrained encoder."""
    return over(runs, lost(lambda one: one.steps, "untrained"))


def _learned(found: Verdict, runs: Sequence[Run]) -> Verdict:
    """Not tested, where a linear probe does not show that these encoders learned anything."""
    gain = learned(runs)
    lost = [] if len(runs) < 2 or gain.excludes_zero(1) else [f"these encoders (gain {points(gain)} points)"]
    return unlearned(found, lost)


def page(runs: Sequence[Run], of_blocks: Sequence[Run] = ()) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm).

    None is judged where a linear probe does not show that its encoders learned anything, and none that needs an order
    of layers by memorization where none of them is shown to memorize.

    Args:
        runs: of the replacement of layers.
        of_blocks: of the replacement of a ResNet50's blocks, if that ran.
    """
    tests = [least, random, last, rank, gain, foreign, drops, unchanged]
    if runs[0].similarity["donor"]:
        tests.insert(6, batchnorm)
    found = correct([*(test(runs) for test in tests), *([blocks(of_blocks)] if of_blocks else [])])
    shown, layers = memorizing(runs), runs[0].rows
    if shown and len(shown) < len(layers):
        said = f"Judged of the layers that are shown to memorize, {len(shown)} of {len(layers)}"
        found = [rules.partial(v, said) if v.claim == DROPS else v for v in found]
    found = [_learned(v, of_blocks if v.claim == BLOCKS else runs) for v in found]
    return [
        unranked(v, memorizing(of_blocks if v.claim == BLOCKS else runs)) if v.claim in BY_RANK else v for v in found
    ]


def takeaways(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> list[str]:
    """Three sentences, made from the page's numbers."""
    found = {v.claim.key: v for v in verdicts if v.claim}
    words = {key: v.verdict for key, v in found.items()}
    costs = {step: over(runs, lost((step,))) for step in runs[0].steps}
    dearest, cheapest = (pick(costs, key=lambda step: costs[step].mean) for pick in (max, min))
    grid = _grid(len(runs[0].steps))
    ranked, by_depth = (over(runs, replaced.tau(score), grid) for score in (Run.memory, replaced.depth))
    said = {role: points(over(runs, mean_lost(1, role))) for role in ("donor", "g", "untrained")}
    return [
        f"Layer {dearest} costs most accuracy when it is replaced, {points(costs[dearest])} percentage points, and "
        f"layer {cheapest} least, {points(costs[cheapest])}: that the most memorizing layers cost more than the "
        f"least memorizing gets «{words['least']}», more than random ones «{words['random']}».",
        f"Kendall's tau of memorization and cost is {ranked}, that of mere depth and cost {by_depth}: that "
        f"memorization ranks layers by their cost gets «{words['rank']}».",
        f"One layer of another data set costs {said['donor']} points on average, one of an encoder of the same data "
        f"set {said['g']}, and one of an untrained encoder {said['untrained']}: that it is the data set and not the "
        f"exchange gets «{words['foreign']}».",
    ]


def points(found: Interval) -> str:
    """A share as percentage points, without bounds where one run gives none."""
    mean, low, high = (f"{round(100 * x, 1) + 0.0:.1f}" for x in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]" if np.isfinite(found.low) else mean
