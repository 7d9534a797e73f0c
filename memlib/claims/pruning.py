"""Claims of page 05_2_pruning: does it matter which units are pruned, and does UnitMem tell (paper A, Table 6)?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memlib.claims.pairs import interval
from memlib.claims.rules import Claim, Null, Verdict, correct, every, unlearned, verdict
from memlib.specs import nearest
from memlib.stats import Interval, kendall, overlap

if TYPE_CHECKING:
    import pandas as pd

PAGE = "05_2_pruning"
CELLS = (("layer", 0.1), ("layer", 0.2), ("total", 0.1), ("total", 0.2))  # Table 6, and 20 % in total
OTHERS = ("magnitude", "activation")  # what a user would prune by
UNSEEN = "UnitMem of points that the encoders did not see"
UNTRAINED = "untrained encoders"

TOP = Claim(
    "top",
    PAGE,
    "Pruning the units of the highest UnitMem costs more accuracy than pruning random ones",
    "paper A, section 5.2 and Table 6",
    "2.1 to 7.6 points more on three data sets, without a control",
    "accuracy with random units pruned less that with the top ones",
    "pairs of encoders",
)
LOW = Claim(
    "low",
    PAGE,
    "Pruning the units of the lowest UnitMem costs less accuracy than pruning random ones",
    "paper A, section 5.2 and Table 6",
    "3.3 to 5.9 points less on three data sets, without a control",
    "accuracy with the low units pruned less that with random ones",
    "pairs of encoders",
)
WINS = Claim(
    "wins",
    PAGE,
    "Pruning by low UnitMem keeps more accuracy than pruning by the weights' magnitude or by mean activation",
    "paper A, section 5.2, which compares pruning by UnitMem with random units alone",
    "no number",
    "accuracy with the low units pruned less that with the others'",
    "pairs of encoders",
)
CURVE = Claim(
    "curve",
    PAGE,
    "Over all shares that are pruned, low UnitMem keeps more accuracy than random, magnitude and activation",
    "not in paper A: its Table 6 has 10 % and 20 %",
    "no number",
    "mean accuracy over the curve of low UnitMem less that of another criterion",
    "pairs of encoders",
)
CLAIMS = (TOP, LOW, WINS, CURVE)

Cell = tuple[str, float]  # scope and share


@dataclass(frozen=True)
class Run:
    """One pair of encoders of complementary halves, pruned: one piece of evidence.

    Attributes:
        variants: (scope, criterion, share, draw) of each pruning; the first has nothing pruned.
        accuracy: {data set: 0..1, [2, V, S]}, by encoder, variant and seed of the probe; of data sets after the
            first, the first variants alone.
        untrained: {data set: 0..1, [T, S]}, of f before training, by the first variants.
        own: The data set that the encoders were trained on.
        scores: {what units are ranked by: [3, U]}: `unitmem`, `unseen`, `magnitude`, `activation`; untrained last.
        taken: Units pruned, by encoder, variant and layer [2, V, L].
        units: {layer: how many it has}, in forward order.
    """

    variants: Sequence[tuple[str, str, float, int]]
    accuracy: Mapping[str, NDArray[np.float64]]
    untrained: Mapping[str, NDArray[np.float64]]
    own: str
    scores: Mapping[str, NDArray[np.float64]]
    taken: NDArray[np.int64]
    units: Mapping[str, int]

    def rows(self, scope: str, criterion: str, share: float) -> list[int]:
        """The variants of a pruning, one a draw.

        Raises:
            KeyError: There is no such pruning.
        """
        found = [i for i, v in enumerate(self.variants) if v[:3] == (scope, criterion, share)]
        if not found:
            there = dict.fromkeys(f"{s} {c} {p:g}" for s, c, p, _ in self.variants)
            raise nearest(f"{scope} {criterion} {share:g}", there, "pruning")
        return found

    def at(self, dataset: str, scope: str, criterion: str, share: float, trained: bool = True) -> float:
        """Mean accuracy of a pruning; of a share of 0 that of the encoder as it is."""
        if not share:
            scope, criterion = "none", "none"
        rows = self.rows(scope, criterion, share)
        return float((self.accuracy[dataset][:, rows] if trained else self.untrained[dataset][rows]).mean())

    def shares(self, scope: str) -> list[float]:
        """The shares of a scope's curve, from 0 up."""
        return [
            0.0,
            *sorted({share for s, criterion, share, _ in self.variants if s == scope and criterion == "low"}),
        ]

    def area(self, dataset: str, scope: str, criterion: str) -> float:
        """Mean accuracy over a curve: the area under it, over the largest share."""
        shares = self.shares(scope)
        return float(np.trapezoid([self.at(dataset, scope, criterion, p) for p in shares], shares) / shares[-1])


Estimate = Callable[[Run], float]


def runs(outcomes: Iterable[Any]) -> list[Run]:
    """The runs of an experiment (`tables.Outcome`)."""
    found = []
    for one in outcomes:
        said, arrays = one.header, one.arrays
        found.append(
            Run(
                [
                    (str(scope), str(criterion), float(share), int(draw))
                    for scope, criterion, share, draw in said["variants"]
                ],
                {name: arrays[f"accuracy-{name}"].astype(np.float64) for name in said["probe"]},
                {name: arrays[f"untrained-{name}"].astype(np.float64) for name in said["probe"]},
                said["encoders"]["f"]["dataset"],
                {name: arrays["scores"][:, i].astype(np.float64) for i, name in enumerate(said["scores"])},
                arrays["taken"].astype(np.int64),
                dict(zip(said["layers"], said["units"], strict=True)),
            )
        )
    return found


def over(found: Sequence[Run], of: Estimate) -> Interval:
    """Interval of a number over the runs."""
    return interval([of(run) for run in found], 2 * sum(sum(run.units.values()) for run in found))


def gap(dataset: str, cell: Cell, more: str, less: str, trained: bool = True) -> Estimate:
    """Accuracy with units pruned by one criterion less that by another."""
    scope, share = cell
    return lambda run: run.at(dataset, scope, more, share, trained) - run.at(dataset, scope, less, share, trained)


def beyond(effect: Estimate, control: Estimate) -> Estimate:
    """A number less that of a control, within runs."""
    return lambda run: effect(run) - control(run)


def _named(cell: Cell) -> str:
    return f"{100 * cell[1]:g} % {'per layer' if cell[0] == 'layer' else 'in total'}"


def _cells(found: Sequence[Run]) -> list[tuple[str, str, Cell]]:
    """Name, data set and cell of everything that Table 6 has."""
    return [(f"{name}, {_named(cell)}", name, cell) for name in found[0].accuracy for cell in CELLS]


def _unseen(criterion: str) -> str:
    return criterion if criterion == "random" else f"{criterion} unseen"


def _against_controls(claim: Claim, found: Sequence[Run], more: str, less: str) -> Verdict:
    """Each cell of a contrast with random units, against the same by unseen points, and in untrained encoders."""
    parts = {}
    for name, dataset, cell in _cells(found):
        effect = gap(dataset, cell, more, less)
        controls = {
            UNSEEN: gap(dataset, cell, _unseen(more), _unseen(less)),
            UNTRAINED: gap(dataset, cell, more, less, trained=False),
        }
        nulls = [Null(what, over(found, of), over(found, beyond(effect, of))) for what, of in controls.items()]
        parts[name] = verdict(over(found, effect), 1, nulls, claim=claim)
    return every(claim, parts)


def top(found: Sequence[Run]) -> Verdict:
    """Random less top, in every cell of Table 6."""
    return _against_controls(TOP, found, "random", "top")


def low(found: Sequence[Run]) -> Verdict:
    """Low less random, in every cell of Table 6."""
    return _against_controls(LOW, found, "low", "random")


def wins(found: Sequence[Run]) -> Verdict:
    """Low less each other criterion, in every cell of Table 6."""
    return every(
        WINS,
        {
            f"{name}, {other}": verdict(over(found, gap(dataset, cell, "low", other)), claim=WINS)
            for name, dataset, cell in _cells(found)
            for other in OTHERS
        },
    )


def curve(found: Sequence[Run]) -> Verdict:
    """Area under the curve of low less that of random and of each other criterion, in both scopes."""
    parts = {}
    dataset = next(iter(found[0].accuracy))
    for scope in ("layer", "total"):
        for other in ("random", *OTHERS):
            name = f"{'per layer' if scope == 'layer' else 'in total'}, {other}"
            parts[name] = verdict(over(found, area_gap(dataset, scope, "low", other)), claim=CURVE)
    return every(CURVE, parts)


def area_gap(dataset: str, scope: str, more: str, less: str) -> Estimate:
    """Area under one criterion's curve less that under another's."""
    return lambda run: run.area(dataset, scope, more) - run.area(dataset, scope, less)


def page(found: Sequence[Run]) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm); none of encoders not shown to have learned.

    Raises:
        ValueError: There are no runs.
    """
    if not found:
        raise ValueError("no runs were given")
    return [unlearned(v, _unlearned(found)) for v in correct([top(found), low(found), wins(found), curve(found)])]


def _unlearned(found: Sequence[Run]) -> list[str]:
    """The encoders, with what their probe gained by training, if it is not shown to be more than nothing."""
    own = found[0].own
    if own not in found[0].accuracy or len(found) < 2:
        return []
    gain = over(found, lambda run: run.at(own, "none", "none", 0.0) - run.at(own, "none", "none", 0.0, trained=False))
    return [] if gain.excludes_zero(1) else [f"f and g (gain {gain})"]


def control_table(found: Sequence[Run]) -> pd.DataFrame:
    """How alike the criteria are: Kendall's tau with UnitMem, and how many of the lowest tenth are the same."""
    import pandas as pd

    rows = []
    for name in ("unseen", *OTHERS):
        values = [
            [_alike(run.scores["unitmem"][e], run.scores[name][e]) for e in range(2)] for run in found
        ]  # [R, 2, 3]
        tau, same, chance = np.mean(values, 1).T
        points = 2 * sum(sum(run.units.values()) for run in found)
        rows.append(
            {"compared with": name, "tau": interval(tau, points), "same": interval(same, points), "chance": chance[0]}
        )
    return pd.DataFrame(rows)


def _alike(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float, float]:
    shared, chance, _ = overlap(-a, -b, max(1, round(0.1 * len(a))))
    return kendall(a, b)[0], shared, chance


def inactive(run: Run) -> float:
    """Share of the units that no view of a seen point activates: they are silent before they are pruned."""
    return float((run.scores["activation"][:2] == 0).mean())


def takeaways(found: Sequence[Run], verdicts: Sequence[Verdict]) -> list[str]:
    """Three sentences, made from the page's numbers."""
    by = {v.claim.key: v for v in verdicts if v.claim}
    first, cell = next(iter(found[0].accuracy)), CELLS[0]
    scope, share = cell

    def shown(criterion: str) -> str:
        return _percent(over(found, lambda run: run.at(first, scope, criterion, share)))

    whole = _percent(over(found, lambda run: run.at(first, "none", "none", 0.0)))
    lost = gap(first, cell, "low", "top"), gap(first, cell, "low unseen", "top unseen")
    seen, unseen = (_percent(over(found, one)) for one in lost)
    return [
        f"Of {whole} on {first}, {shown('top')} are left without the {_named(cell)} of highest UnitMem, "
        f"{shown('random')} without random ones and {shown('low')} without the lowest: that the top ones cost more "
        f"gets «{by['top'].verdict}», that the low ones cost less «{by['low'].verdict}».",
        f"Low and top differ by {seen} of the images; ranked by points that the encoder did not see, by {unseen}: "
        "what such points find as well would be selectivity, and not memory.",
        f"Pruning by magnitude leaves {shown('magnitude')} and by mean activation {shown('activation')}: that low "
        f"UnitMem wins gets «{by['wins'].verdict}», over the whole curve «{by['curve'].verdict}».",
    ]


def _percent(share: Interval) -> str:
    return f"{100 * share.mean:.1f} %".replace("-", "−")
