"""Claims of page 04_2_finetuning: do the layers that memorize most gain most by fine-tuning (paper A, Table 5)?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memlib.claims.pairs import interval
from memlib.claims.rules import Claim, Null, Verdict, above_zero, alike, correct, every, unranked, verdict
from memlib.specs import nearest
from memlib.stats import Interval, kendall

PAGE = "04_2_finetuning"
MARGIN = 0.01  # one point of accuracy: less is taken as none
CHOICES = {
    "layermem": "highest LayerMem",
    "delta": "highest delta",
    "last": "last layers",
    "least": "lowest LayerMem",
}
STARTS = ("f", "untrained")
SECTION = "paper A, section 4.2 and Table 5"
LESS = "accuracy of the one less that of the other"

Layers = tuple[str, ...]
HEAD: Layers = ()
STEPS: tuple[tuple[Layers, Layers], ...] = (
    (("6",), HEAD),
    (("6", "8"), ("6",)),
    (("4", "6", "8"), ("6", "8")),
)

RANK = Claim(
    "rank",
    PAGE,
    "The more a layer memorizes, the more tuning it yields",
    SECTION,
    "layer 6, with the highest delta, 53.0 %; layer 8, with the highest LayerMem, 52.7 %; other layers not shown",
    "Kendall's tau of mirrored estimate and accuracy over layers",
)
MOST = Claim(
    "most",
    PAGE,
    "Tuning the most memorizing layers yields more than tuning as many of the least memorizing",
    SECTION,
    "the most memorizing are tuned, the least not",
    LESS,
)
SIXTH = Claim(
    "tune-sixth",
    PAGE,
    "Tuning layer 6 yields more than tuning the last layer, 8",
    SECTION,
    "53.0 ± 0.86 % and 52.7 ± 0.97 %",
    LESS,
)
PAIR = Claim(
    "tune-pair",
    PAGE,
    "Tuning layers 6 and 8 yields more than tuning the last two, 7 and 8",
    SECTION,
    "56.7 ± 0.84 % and 55.3 ± 0.77 %",
    LESS,
)
TRIPLE = Claim(
    "tune-triple",
    PAGE,
    "Tuning layers 4, 6 and 8 yields more than tuning the last three, 6, 7 and 8",
    SECTION,
    "57.9 ± 0.79 % and 56.5 ± 0.95 %",
    LESS,
)
ADDING = Claim(
    "adding",
    PAGE,
    "Each further layer adds accuracy: head, 6, then 8, then 4",
    SECTION,
    "48.6, 53.0, 56.7 and 57.9 %",
    LESS,
)
LAYERMEM = Claim(
    "by-layermem",
    PAGE,
    "Layers chosen by LayerMem yield more than as many last layers",
    SECTION,
    "LayerMem rises with depth in Table 1, so that its highest are the last layers; Table 5 names 6 and 4,6,8",
    LESS,
)
DELTA = Claim(
    "by-delta",
    PAGE,
    "Layers chosen by the delta of LayerMem yield more than as many last layers",
    SECTION,
    "6 above 8, 6,8 above 7,8 and 4,6,8 above 6,7,8, by 0.3, 1.4 and 1.4 %",
    LESS,
)
EQUAL = Claim(
    "equal",
    PAGE,
    "At equal numbers of trained parameters LayerMem, and its delta, choose better than taking the last layers",
    "not in paper A, which counts layers and not parameters",
    "no number",
    LESS,
)
CLAIMS = (RANK, MOST, SIXTH, PAIR, TRIPLE, ADDING, LAYERMEM, DELTA, EQUAL)
BY_RANK = (RANK, MOST, LAYERMEM, DELTA, EQUAL)  # need an order of layers by what they memorize


@dataclass(frozen=True)
class Tuning:
    """One run: sets of layers of one encoder, tuned.

    Attributes:
        accuracy: {layers: accuracy on test images in [0, 1], mean over seeds}, for the trained encoder.
        untrained: The same for the encoder before training.
        parameters: {layers: how many of the encoder's were trained}.
        mirrored: {layer: mirrored estimate of its memorization}, in forward order.
        chosen: {choice: its sets of 1, 2 and 3 layers}.
        budgeted: {choice: its sets with at most the parameters of the last 1, 2 and 3 layers}.
        tested: Test images.
    """

    accuracy: Mapping[Layers, float]
    untrained: Mapping[Layers, float]
    parameters: Mapping[Layers, int]
    mirrored: Mapping[str, float]
    chosen: Mapping[str, Sequence[Layers]]
    budgeted: Mapping[str, Sequence[Layers]]
    tested: int = 0

    def of(self, layers: Layers, start: str = "f") -> float:
        """Accuracy after tuning these layers.

        Raises:
            KeyError: They were not tuned, or there is no such start.
        """
        if start not in STARTS:
            raise nearest(start, STARTS, "start")
        side = self.accuracy if start == "f" else self.untrained
        if layers not in side:
            raise nearest(name(layers), map(name, side), "set of tuned layers")
        return side[layers]


Estimate = Callable[[Tuning, str], float]  # of a run and a start: f, or untrained


def tuning(outcome: Any) -> Tuning:
    """A run of the experiment (`tables.Outcome`)."""
    arrays, header = outcome.arrays, outcome.header
    sets = [tuple(one) for one in header["sets"]]
    trained, untrained = arrays["accuracy"].astype(np.float64).mean(2)  # [V] each
    return Tuning(
        dict(zip(sets, trained.tolist(), strict=True)),
        dict(zip(sets, untrained.tolist(), strict=True)),
        dict(zip(sets, arrays["parameters"].tolist(), strict=True)),
        dict(zip(header["layers"], arrays["mirrored"].tolist(), strict=True)),
        {choice: [tuple(one) for one in some] for choice, some in header["chosen"].items()},
        {choice: [tuple(one) for one in some] for choice, some in header["budgeted"].items()},
        int(header["tested"]),
    )


def name(layers: Layers) -> str:
    """A set of layers as the page writes it."""
    return ", ".join(layers) or "head only"


def over(runs: Sequence[Tuning], of: Estimate, start: str = "f", step: float = 0.0) -> Interval:
    """Interval of a number over the runs."""
    return interval([of(run, start) for run in runs], sum(run.tested for run in runs), step)


def at(layers: Layers) -> Estimate:
    """Accuracy after tuning a set."""
    return lambda run, start: run.of(layers, start)


def less(first: Layers, second: Layers) -> Estimate:
    """What tuning one set yields beyond another."""
    return lambda run, start: run.of(first, start) - run.of(second, start)


def choice_at(choice: str, k: int, budget: bool = False) -> Estimate:
    """Accuracy after tuning what a choice takes, each run its own: k layers, or the last k layers' parameters."""

    def of(run: Tuning, start: str) -> float:
        if choice not in CHOICES:
            raise nearest(choice, CHOICES, "choice of layers")
        return run.of((run.budgeted if budget else run.chosen)[choice][k - 1], start)

    return of


def choice_less(choice: str, other: str, k: int, budget: bool = False) -> Estimate:
    """What a choice yields beyond another."""
    first, second = choice_at(choice, k, budget), choice_at(other, k, budget)
    return lambda run, start: first(run, start) - second(run, start)


def judge(claim: Claim, of: Estimate, runs: Sequence[Tuning], step: float = 0.0, null: bool = True) -> Verdict:
    """Judge a number of trained encoders; its null is the same number of untrained ones, taken off within runs.

    A layer's memorization is that of the trained encoder, in the null as well: an untrained encoder holds none, and
    what it shows comes from the layer's place and size.
    """
    nulls = []
    if null:
        more = over(runs, lambda run, _: of(run, "f") - of(run, "untrained"), step=step)
        nulls.append(Null("untrained encoders", over(runs, of, "untrained", step), more))
    return verdict(over(runs, of, step=step), 1, nulls, MARGIN if not step else None, claim=claim)


def rank(runs: Sequence[Tuning]) -> Verdict:
    """Kendall's tau between mirrored estimate and accuracy over single layers, one for each run."""

    def tau(run: Tuning, start: str) -> float:
        gains = [run.of((layer,), start) for layer in run.mirrored]
        return kendall(list(run.mirrored.values()), gains)[0] if np.ptp(gains) else 0.0

    count = len(runs[0].mirrored)
    return judge(RANK, tau, runs, step=4 / (count * (count - 1)))


def most(runs: Sequence[Tuning]) -> Verdict:
    """1, 2 and 3 layers of the highest mirrored estimate less as many of the lowest."""
    return every(MOST, {_layers(k): judge(MOST, choice_less("layermem", "least", k), runs) for k in sizes(runs)})


def adding(runs: Sequence[Tuning]) -> Verdict:
    """Each set of the paper's less the one before it; it speaks of accuracy alone, and so has no null."""
    parts = {f"{name(a)} above {name(b)}": judge(ADDING, less(a, b), runs, null=False) for a, b in STEPS}
    return every(ADDING, parts)


def chosen(runs: Sequence[Tuning], claim: Claim, choice: str) -> Verdict:
    """1, 2 and 3 layers of a choice less as many last ones."""
    return every(claim, {_layers(k): _beyond_last(runs, claim, choice, k) for k in sizes(runs)})


def equal(runs: Sequence[Tuning]) -> Verdict:
    """What each of the two choices takes of the last 1, 2 and 3 layers' parameters less those layers."""
    parts = {
        f"{CHOICES[choice]}, within {_layers(k)}": _beyond_last(runs, EQUAL, choice, k, budget=True)
        for choice in ("layermem", "delta")
        for k in sizes(runs)
    }
    return every(EQUAL, parts)


def _beyond_last(runs: Sequence[Tuning], claim: Claim, choice: str, k: int, budget: bool = False) -> Verdict:
    of = choice_less(choice, "last", k, budget)
    taken = [run.budgeted if budget else run.chosen for run in runs]
    if all(one[choice][k - 1] == one["last"][k - 1] for one in taken):
        return alike(claim, over(runs, of), "the choice takes the last layers in every run")
    return judge(claim, of, runs)


def page(runs: Sequence[Tuning]) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm).

    None that needs an order of layers by memorization is judged where no layer is shown to memorize.

    Raises:
        KeyError: A set of Table 5 was not tuned: the encoder is no ResNet9.
        ValueError: There are no runs.
    """
    if not runs:
        raise ValueError("no runs were given: the claims are judged over one or more")
    found = correct(
        [
            rank(runs),
            most(runs),
            judge(SIXTH, less(("6",), ("8",)), runs),
            judge(PAIR, less(("6", "8"), ("7", "8")), runs),
            judge(TRIPLE, less(("4", "6", "8"), ("6", "7", "8")), runs),
            adding(runs),
            chosen(runs, LAYERMEM, "layermem"),
            chosen(runs, DELTA, "delta"),
            equal(runs),
        ]
    )
    shown = above_zero({layer: interval([run.mirrored[layer] for run in runs], 0) for layer in runs[0].mirrored})
    return [unranked(one, shown) if one.claim in BY_RANK else one for one in found]


def sizes(runs: Sequence[Tuning]) -> list[int]:
    """How many layers the choices took: 1, 2 and 3."""
    return [k + 1 for k in range(len(runs[0].chosen["last"]))]


def common(runs: Sequence[Tuning]) -> list[Layers]:
    """The sets that were tuned in every run, fewer layers first."""
    return [one for one in runs[0].accuracy if all(one in run.accuracy for run in runs)]


def takeaways(runs: Sequence[Tuning], verdicts: Sequence[Verdict]) -> list[str]:
    """Three sentences, made from the page's numbers."""
    found = {v.claim.key: v for v in verdicts if v.claim}
    layers = tuple(runs[0].mirrored)
    head, everything = over(runs, at(HEAD)), over(runs, at(layers))
    best = max(common(runs)[1:], key=lambda one: over(runs, at(one)).mean if one != layers else 0.0)
    same = {c: all(run.chosen[c] == run.chosen["last"] for run in runs) for c in ("layermem", "delta")}
    names = [CHOICES[choice] for choice, is_same in same.items() if is_same]
    said = f" ({' and '.join(names)}: the same layers as the last in every run)" if names else ""
    gained, before = (over(runs, less(best, HEAD), start) for start in ("f", "untrained"))
    so = ", so that a gain by itself does not show that a layer held memorization" if before.mean > MARGIN else ""
    return [
        f"The head alone reaches {_percent(head)}, tuning all layers with it {_percent(everything)}; of the smaller "
        f"sets that every run tuned, {name(best)} is highest with {_percent(over(runs, at(best)))}.",
        f"Choosing layers by LayerMem instead of taking the last gets «{found['by-layermem'].verdict}», by its delta "
        f"«{found['by-delta'].verdict}»{said}; at equal numbers of parameters «{found['equal'].verdict}».",
        f"Tuning {name(best)} adds {_points(gained)} to the head of a trained encoder and {_points(before)} to "
        f"that of one that was never trained and memorizes nothing{so}: that layers which memorize more gain more "
        f"by tuning gets «{found['rank'].verdict}».",
    ]


def _layers(k: int) -> str:
    return f"{k} layer{'s' * (k > 1)}"


def _percent(found: Interval) -> str:
    return f"{100 * found.mean:.1f} %"


def _points(found: Interval) -> str:
    return f"{100 * found.mean:.1f} points of accuracy".replace("-", "−")
