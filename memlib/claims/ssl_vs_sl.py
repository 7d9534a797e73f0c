"""Claims of page 05_1_ssl_vs_sl: do units hold points or classes, with and without labels (Figs. 2 and 3, Table 20)?

UnitMem has the maximum of hundreds of points in its numerator, ClassMem the maximum of a few class means: UnitMem is
higher where units know neither. So what UnitMem exceeds ClassMem by is compared with what UnitMem on points that the
encoder did not see exceeds ClassMem of permuted labels by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from memlib.claims.arms import Arm, Each, contrast, each, judge, member_rate, unlearned_of
from memlib.claims.pairs import Array
from memlib.claims.rules import HOLDS, Claim, Verdict, correct, every, unlearned
from memlib.claims.unitmem import Units
from memlib.specs import nearest

if TYPE_CHECKING:
    import pandas as pd

PAGE = "05_1_ssl_vs_sl"
EDGE = 2  # convolutions that are called the first and the last ones, of eight
SSL, SL, ENDED = "SSL", "SL", "SL, to the end"
NEITHER = "unseen points and permuted labels"

POINTS = Claim(
    "points",
    PAGE,
    "In SSL, units hold single points more than classes, in every layer",
    "paper A, section 5.1 and Fig. 2",
    "mean UnitMem above mean ClassMem throughout all layers, without a control",
    "mean UnitMem less mean ClassMem",
    "pairs of encoders",
)
DIAGONAL = Claim(
    "diagonal",
    PAGE,
    "In SSL, most units of every layer lie under the diagonal, with a higher UnitMem than ClassMem",
    "paper A, section 5.1 and Fig. 3",
    "most units of all eight layers, seen in scatter plots",
    "share of units with UnitMem above ClassMem, less 1/2",
    "pairs of encoders",
)
FIRST = Claim(
    "first",
    PAGE,
    "In SL, units of the first layers tend to points rather than classes",
    "paper A, section 5.1 and Fig. 3",
    "a slight tendency in the initial layers",
    "mean UnitMem less mean ClassMem",
    "pairs of encoders",
)
LAST = Claim(
    "last",
    PAGE,
    "In SL, units of the last layers hold classes more than points",
    "paper A, section 5.1, Figs. 2 and 3",
    "the trend reverses in later layers, where most units memorize classes",
    "mean ClassMem less mean UnitMem",
    "pairs of encoders",
)
GROWS = Claim(
    "grows",
    PAGE,
    "In SL, ClassMem increases in deep layers",
    "paper A, section 5.1 and Fig. 2",
    "a significant increase in deeper layers",
    "mean ClassMem of the last layers less that of the first",
    "pairs of encoders",
)
TURN = Claim(
    "turn",
    PAGE,
    "It is supervision that turns the last layer to classes: more so in SL than in SSL",
    "paper A, section 5.1 and Fig. 2",
    "in SSL no such difference over the network; both scores increase slightly",
    "ClassMem less UnitMem in the last layer, SL less SSL",
    "pairs of encoders",
)
PRETRAINED = Claim(
    "pretrained",
    PAGE,
    "On the data set that it was trained on, the SL encoder is the better one",
    "paper A, appendix C.4 and Table 20",
    "CIFAR100: 66.1 % against 65.4 %",
    "probe accuracy of SL less SSL",
    "pairs of encoders",
)
TRANSFER = Claim(
    "transfer",
    PAGE,
    "On other data sets, the SSL encoder is the better one",
    "paper A, appendix C.4 and Table 20",
    "CIFAR10 57.6 against 56.7 %, STL10 48.7 against 46.1 %, SVHN 59.2 against 58.6 %",
    "probe accuracy of SSL less SL",
    "pairs of encoders",
)
CLAIMS = (POINTS, DIAGONAL, FIRST, LAST, GROWS, TURN, PRETRAINED, TRANSFER)


def mean_gap(layer: str) -> Callable[[Units], float]:
    """Mean UnitMem less mean ClassMem of a layer."""
    return lambda units: float(np.mean(units.seen[layer]) - np.mean(classmem(units)[layer]))


def null_gap(layer: str) -> Callable[[Units], float]:
    """The same where units know neither: UnitMem on unseen points less ClassMem of permuted labels."""
    return lambda units: float(np.mean(units.unseen[layer]) - np.mean(classmem(units, shuffled=True)[layer]))


def classmem(units: Units, shuffled: bool = False) -> Mapping[str, Array]:
    """ClassMem by layer, or that of permuted labels.

    Raises:
        ValueError: if it was not measured.
    """
    found = units.classmem_shuffled if shuffled else units.classmem
    if not found:
        raise ValueError("these encoders were measured without ClassMem: state `classes: true` in their design")
    return found


def under(above: Array, below: Array) -> float:
    """Share of units with the first score above the second, in [0, 1]; units with both equal count half."""
    a, b = np.asarray(above), np.asarray(below)
    return float(((a > b) + 0.5 * (a == b)).mean())


def points(ssl: Arm, layers: Sequence[str]) -> Verdict:
    """Mean UnitMem above mean ClassMem in every layer of SSL."""
    return every(POINTS, {n: _gap(POINTS, ssl, n) for n in layers})


def first(sl: Arm, layers: Sequence[str]) -> Verdict:
    """Mean UnitMem above mean ClassMem in the first layers of SL."""
    return every(FIRST, {n: _gap(FIRST, sl, n) for n in layers[:EDGE]})


def last(sl: Arm, layers: Sequence[str]) -> Verdict:
    """Mean ClassMem above mean UnitMem in the last layers of SL."""
    return every(LAST, {n: _gap(LAST, sl, n, -1) for n in layers[-EDGE:]})


def turn(ssl: Arm, sl: Arm, layers: Sequence[str]) -> Verdict:
    """(ClassMem - UnitMem) of SL less (ClassMem - UnitMem) of SSL, in the last layer."""
    return _gap(TURN, sl, layers[-1], -1, ssl)


def _gap(claim: Claim, arm: Arm, layer: str, sign: int = 1, less: Arm | None = None) -> Verdict:
    def signed(gap: Callable[[Units], float]) -> Each:
        return each(lambda units: sign * gap(units))

    return judge(claim, signed(mean_gap(layer)), arm, less, (NEITHER, signed(null_gap(layer))))


def diagonal(ssl: Arm, layers: Sequence[str]) -> Verdict:
    """More than half of the units have a higher UnitMem than ClassMem, in every layer of SSL."""

    def part(layer: str) -> Verdict:
        found = each(lambda u: under(u.seen[layer], classmem(u)[layer]) - 0.5)
        null = each(lambda u: under(u.unseen[layer], classmem(u, shuffled=True)[layer]) - 0.5)
        return judge(DIAGONAL, found, ssl, None, (NEITHER, null), step=1 / len(ssl.units[0].seen[layer]))

    return every(DIAGONAL, {layer: part(layer) for layer in layers})


def grows(sl: Arm, layers: Sequence[str]) -> Verdict:
    """ClassMem of SL's last layers less that of its first, against permuted labels."""

    def growth(shuffled: bool) -> Each:
        def of(units: Units) -> float:
            mean = [float(np.mean(classmem(units, shuffled)[n])) for n in layers]
            return float(np.mean(mean[-EDGE:]) - np.mean(mean[:EDGE]))

        return each(of)

    return judge(GROWS, growth(False), sl, None, ("permuted labels", growth(True)))


def accuracy(dataset: str) -> Each:
    """Accuracy of the linear probe on a data set.

    Raises:
        KeyError: if it was not probed.
    """

    def of(arm: Arm) -> list[float]:
        for found in arm.probe:
            if dataset not in found:
                raise nearest(dataset, found, "probed data set")
        return [found[dataset] for found in arm.probe]

    return of


def pretrained(ssl: Arm, converged: Arm) -> Verdict:
    """Probe accuracy of SL above that of SSL on the data set that both were trained on."""
    return judge(PRETRAINED, accuracy(ssl.dataset), _probed(converged), _probed(ssl))


def transfer(ssl: Arm, converged: Arm) -> Verdict:
    """Probe accuracy of SSL above that of SL on every other data set."""
    names = others(ssl)
    return every(TRANSFER, {n: judge(TRANSFER, accuracy(n), _probed(ssl), _probed(converged)) for n in names})


def others(arm: Arm) -> list[str]:
    """Data sets that the encoders of an arm were probed on but not trained on."""
    return [name for name in arm.probe[0] if name != arm.dataset]


def _probed(arm: Arm) -> Arm:
    """The arm, with untrained encoders only where these were probed, too."""
    return arm if arm.probe_untrained and all(arm.probe_untrained) else Arm(arm.units, probe=arm.probe)


def page(ssl: Arm, sl: Arm, converged: Arm, layers: Sequence[str]) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm).

    None is judged where probes do not show that the encoders it is about learned anything.

    Args:
        sl: supervised, ended at the probe accuracy of `ssl` (Figs. 2 and 3).
        converged: supervised, trained to the end (Table 20).
        layers: the convolutions in forward order. Without a data set that was only probed, the claim about
            transfer is left out.
    """
    found = [
        points(ssl, layers),
        diagonal(ssl, layers),
        first(sl, layers),
        last(sl, layers),
        grows(sl, layers),
        turn(ssl, sl, layers),
        pretrained(ssl, converged),
    ]
    found = correct([*found, *([transfer(ssl, converged)] if others(ssl) else [])])
    names = {POINTS: [SSL], DIAGONAL: [SSL], TURN: [SSL, SL], PRETRAINED: [SSL, ENDED], TRANSFER: [SSL, ENDED]}
    arms = {SSL: ssl, SL: sl, ENDED: converged}
    taught = {name: unlearned_of({name: arm}) for name, arm in arms.items()}
    return [unlearned(v, [lost for n in names.get(v.claim, [SL]) for lost in taught[n]]) for v in found if v.claim]


def layer_table(arms: Mapping[str, Arm], layers: Sequence[str]) -> pd.DataFrame:
    """A row an arm and layer: mean UnitMem and ClassMem with their intervals and nulls, and before training."""
    import pandas as pd

    rows = []
    for name, arm in arms.items():
        for layer in layers:
            scores = _scores(layer)
            row: dict[str, object] = {"arm": name, "layer": layer}
            for column, of in scores.items():
                i = contrast(arm, None, each(of))
                row |= {column: i.mean, f"{column}_low": i.low, f"{column}_high": i.high}
            if arm.untrained:
                row |= {f"{c} untrained": contrast(arm.before, None, each(scores[c])).mean for c in scores}
            rows.append(row)
    return pd.DataFrame(rows)


def _scores(layer: str) -> dict[str, Callable[[Units], float]]:
    """The columns of `layer_table`: how each comes from an encoder's units."""

    def mean(of: Callable[[Units], Mapping[str, Array]]) -> Callable[[Units], float]:
        return lambda units: float(np.mean(of(units)[layer]))

    return {
        "UnitMem": mean(lambda u: u.seen),
        "unseen": mean(lambda u: u.unseen),
        "ClassMem": mean(classmem),
        "ClassMem unseen": mean(lambda u: u.classmem_unseen),
        "permuted": mean(lambda u: classmem(u, shuffled=True)),
        "under": lambda u: under(u.seen[layer], classmem(u)[layer]),
        "under null": lambda u: under(u.unseen[layer], classmem(u, shuffled=True)[layer]),
    }


def takeaways(ssl: Arm, sl: Arm, converged: Arm, verdicts: Sequence[Verdict], layers: Sequence[str]) -> list[str]:
    """Three sentences, made from the page's numbers."""
    found, end = {v.claim.key: v for v in verdicts if v.claim}, layers[-1]
    gap, null = (contrast(ssl, None, each(of(end))) for of in (mean_gap, null_gap))
    passed = [n for n, v in found["points"].parts.items() if v.verdict == HOLDS]
    rates = {name: member_rate(arm.units, [end]).interval for name, arm in ((SSL, ssl), (SL, sl))}
    sentences = [
        f"In layer {end} of the SSL encoders UnitMem exceeds ClassMem by {gap}; on unseen points and with permuted "
        f"labels, where units can know neither, by {null}. That units hold points more than classes stands against "
        f"this in {len(passed)} of {len(layers)} layers{': ' + ', '.join(passed) if passed else ''}.",
        f"In SL, ClassMem less UnitMem is {contrast(sl, None, each(lambda u: -mean_gap(end)(u)))} in layer {end} "
        f"(«{found['last'].verdict}» for the last {EDGE}), and higher than in SSL by {found['turn'].effect} "
        f"(«{found['turn'].verdict}»). The strongest point of a unit of this layer is a training point in "
        f"{rates[SL]} of the units, in SSL in {rates[SSL]}; .5 is chance.",
    ]
    last_one = (
        f"A linear probe on {ssl.dataset} is {_points(found['pretrained'])} percentage points better on the SL "
        f"encoder trained to the end («{found['pretrained'].verdict}»)"
    )
    if "transfer" in found:
        by = [f"{_points(v)} on {n}" for n, v in found["transfer"].parts.items()]
        last_one += f"; the SSL encoder is ahead by {', '.join(by)} («{found['transfer'].verdict}»)"
    return [*sentences, f"{last_one}."]


def _points(v: Verdict) -> str:
    """An accuracy difference in percentage points, with its interval."""
    shown = [f"{100 * x:.1f}" for x in (v.effect.mean, v.effect.low, v.effect.high)]
    text = f"{shown[0]} [{shown[1]}, {shown[2]}]" if np.isfinite(v.effect.low) else shown[0]
    return text.replace("-", "−")
