"""Encoders trained in different ways on the same points, and what one way does that another does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memlib.claims.pairs import Pair, interval
from memlib.claims.rules import Claim, Null, Verdict, verdict
from memlib.claims.unitmem import Units
from memlib.stats import Interval, MemberRate, complementary, excess, member_rate_test


@dataclass(frozen=True)
class Arm:
    """Encoders that were trained in one way.

    Attributes:
        units: the units of each encoder, f and g of the first pair first.
        untrained: those of the same encoders before training.
        pairs: f and g of each pair.
        probe: data set -> accuracy of a linear probe in [0, 1], for each encoder; empty where it was not measured.
        probe_untrained: the same before training.
        dataset: what they were trained on.
    """

    units: Sequence[Units]
    untrained: Sequence[Units] = ()
    pairs: Sequence[Pair] = ()
    probe: Sequence[Mapping[str, float]] = ()
    probe_untrained: Sequence[Mapping[str, float]] = ()
    dataset: str = ""

    @property
    def before(self) -> Arm:
        """The same encoders before training."""
        return Arm(self.untrained, probe=self.probe_untrained, dataset=self.dataset)


Each = Callable[[Arm], Sequence[float]]  # a number for each encoder of an arm


def arm(study: Any) -> Arm:
    """The arm of a measured design (`tables.Study`)."""

    def accuracies(tables: Sequence[Any]) -> list[dict[str, float]]:
        return [{name: float(np.mean(seeds)) for name, seeds in table.probe.items()} for table in tables]

    dataset = study.tables[0].header["encoder"]["dataset"]
    return Arm(study.units, study.untrained, study.pairs, accuracies(study.tables), accuracies(study.before), dataset)


def each(estimate: Callable[[Units], float]) -> Each:
    """An estimate from the units of every encoder."""
    return lambda arm: [estimate(units) for units in arm.units]


def contrast(more: Arm, less: Arm | None, of: Each, step: float = 0.0) -> Interval:
    """Interval of a number over the pairs of an arm, or of what it exceeds that of another arm by.

    Encoders of complementary halves count as one. Where both arms were trained on the same points, the difference
    is taken between encoders of the same points; otherwise it is Welch's.

    Args:
        step: grid that the number can only move on (see `stats.over_pairs`).
    """
    points = sum(u.member.size for u in more.units) // 2
    if less is None:
        return interval(_pieces(more, of), points, step)
    same = len(more.units) == len(less.units) and all(
        np.array_equal(a.member, b.member) for a, b in zip(more.units, less.units, strict=True)
    )
    if same:
        return interval(np.subtract(_pieces(more, of), _pieces(less, of)).tolist(), points, step)
    return excess(contrast(more, None, of, step), contrast(less, None, of, step))


def _pieces(arm: Arm, of: Each) -> list[float]:
    """One number for each piece of evidence: of encoders of complementary halves their mean."""
    values = of(arm)
    return [float(np.mean([values[e] for e in group])) for group in complementary([u.member for u in arm.units])]


def unlearned_of(arms: Mapping[str, Arm]) -> list[str]:
    """The arms whose linear probe is not shown to be better after training than before it, with what it gained.

    On the data set that they were trained on, by an interval over pairs that excludes zero; arms without probes, or
    of a single pair, are not among them.
    """
    found = []
    for name, one in arms.items():
        if all(p.get(one.dataset) is not None for p in (*one.probe, *one.probe_untrained)) and one.probe_untrained:

            def accuracy(side: Arm, dataset: str = one.dataset) -> list[float]:
                return [probed[dataset] for probed in side.probe]

            gain = contrast(one, one.before, accuracy)
            if np.isfinite(gain.low) and not gain.excludes_zero(1):
                found.append(f"{name} (gain {gain})")
    return found


def judge(
    claim: Claim,
    of: Each,
    more: Arm,
    less: Arm | None = None,
    control: tuple[str, Each] | None = None,
    margin: float | None = None,
    step: float = 0.0,
) -> Verdict:
    """Judge a number of an arm, or what it exceeds another's by, against a control and against untrained encoders.

    Args:
        control: name, and the same number where there is nothing to find in the same encoders.
        margin, step: see `rules.verdict` and `stats.over_pairs`.
    """
    nulls = []
    if control:
        name, at = control
        beyond = contrast(more, less, lambda arm: np.subtract(of(arm), at(arm)).tolist(), step)
        nulls.append(Null(name, contrast(more, less, at, step), beyond))
    if more.untrained and (less is None or less.untrained):
        before = contrast(more.before, less and less.before, of, step)
        nulls.append(Null("untrained encoders", before))
    return verdict(contrast(more, less, of, step), 1, nulls, margin, claim=claim)


def member_rate(encoders: Sequence[Units], layers: Sequence[str]) -> MemberRate:
    """Share of the active units of all these layers together whose strongest point is a member, over encoders."""

    def all_of(name: str) -> list[Any]:
        return [np.concatenate([getattr(e, name)[layer] for layer in layers]) for e in encoders]

    return member_rate_test(all_of("strongest"), [e.member for e in encoders], all_of("active"))
