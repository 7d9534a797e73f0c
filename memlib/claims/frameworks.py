"""Claims of page 04_1_frameworks: do frameworks share a pattern (paper A, tables 4, 29 and 31, Fig. 12)?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.claims.arms import Arm, arm, contrast, each, unlearned_of
from memlib.claims.layermem import depth as rising
from memlib.claims.pairs import PERMUTATIONS, Array, Measured, interval, judge, mirror, negligible
from memlib.claims.rules import Claim, Verdict, correct, elsewhere, every, unlearned, verdict
from memlib.claims.sides import Side, agreement, apart, of_all, profile, step
from memlib.claims.unitmem import member_rate, share_high
from memlib.stats import Interval

if TYPE_CHECKING:
    import pandas as pd

PAGE = "04_1_frameworks"
SHARE = 0.25  # frameworks have the same level if they differ by less than this share of their mean
UNITMEM = 0.05  # mean UnitMem of two frameworks counts as the same within .05
UNITS = 0.1  # and the share of highly memorizing units within a tenth of the units

Families = Mapping[str, Mapping[str, Measured]]  # architecture -> framework -> its encoders
Rows = Mapping[str, Sequence[str]]  # architecture -> the rows that are compared, in forward order

DEEPER = Claim(
    "frameworks-deeper",
    PAGE,
    "With every framework, memorization occurs primarily in the deeper layers",
    "paper A, section 4.1, Tables 4, 29 and 31",
    "LayerMem grows from each row to the next in both frameworks: tau = 1",
    "Kendall's tau of mirrored estimate and depth",
)
PROFILE = Claim(
    "frameworks-profile",
    PAGE,
    "Encoders of one architecture share a pattern over their layers, whatever the framework",
    "paper A, section 4.1, Tables 4, 29 and 31",
    "the rows of both frameworks are in the same order: tau = 1",
    "Kendall's tau of two frameworks' mirrored estimates over layers",
)
LEVEL = Claim(
    "frameworks-level",
    PAGE,
    "Corresponding layers memorize about as much with one framework as with another",
    "paper A, section 4.1, Table 4",
    "last rows .302 and .311 (ResNet50), .274 and .271 (ViT-Base)",
    "difference of mean mirrored estimates over layers",
)
MAGNITUDE = Claim(
    "frameworks-magnitude",
    PAGE,
    "Units of the last layer memorize about as much with one framework as with another",
    "paper A, appendix C.1, Fig. 12",
    "histograms, no number; without unseen points or another control",
    "difference of mean UnitMem of the last layer",
    "pairs of encoders",
)
NUMBER = Claim(
    "frameworks-number",
    PAGE,
    "Frameworks give roughly the same number of highly memorizing units",
    "paper A, section 4.1 and Fig. 12",
    "histograms, no number; without unseen points or another control",
    "difference of the shares of units with UnitMem >= .5",
    "pairs of encoders",
)
RESNET50 = Claim(
    "frameworks-resnet50",
    PAGE,
    "ResNet50 on ImageNet: SimCLR and DINO share a pattern",
    "paper A, Tables 4 and 29",
    "LayerMem .038 (conv1) to .304 (last convolution) with SimCLR, .040 to .309 with DINO",
    "Kendall's tau of the two frameworks' mirrored estimates over layers",
)
VIT_BASE = Claim(
    "frameworks-vit-base",
    PAGE,
    "ViT-Base on ImageNet: MAE and DINO share a pattern",
    "paper A, Tables 4 and 31",
    "LayerMem .019 (block 1) to .271 (block 12) with MAE, .019 to .275 with DINO",
    "Kendall's tau of the two frameworks' mirrored estimates over layers",
)
CLAIMS = (DEEPER, PROFILE, LEVEL, MAGNITUDE, NUMBER, RESNET50, VIT_BASE)

PAPERS = {  # what the paper's claims name: the encoder and its data, and the two frameworks
    RESNET50: ({"arch": "resnet50", "dataset": "imagenet"}, ("simclr", "dino")),
    VIT_BASE: ({"arch": "vit_base", "dataset": "imagenet"}, ("mae", "dino")),
}


def deeper(families: Families, rows: Rows) -> Verdict:
    """Kendall's tau between mirrored estimate and depth, in each architecture with each framework."""
    parts = {
        f"{family} {name}": rising(study.pairs, rows[family], study.nulls, DEEPER)
        for family, studies in families.items()
        for name, study in studies.items()
    }
    return every(DEEPER, parts)


def same_profile(
    studies: Mapping[str, Measured], rows: Sequence[str], claim: Claim = PROFILE, only: Sequence[str] = ()
) -> Verdict:
    """Agreement of the profiles of all frameworks of one architecture, or of two of them."""
    found, nulls = of_all(studies)
    tau = agreement(only or list(studies), rows)
    return judge(claim, tau, found, nulls, step=step(rows), permutations=PERMUTATIONS)


def profiles(families: Families, rows: Rows) -> Verdict:
    """The mean agreement of every two frameworks, in each architecture."""
    return every(PROFILE, {family: same_profile(studies, rows[family]) for family, studies in families.items()})


def levels(families: Families, rows: Rows) -> Verdict:
    """Difference of two frameworks' mean profiles, within a quarter of the mean of both (TOST)."""

    def part(found: Sequence[Side], a: str, b: str, of: Sequence[str]) -> Verdict:
        def mean_of_both(side: Side) -> float:
            return float(profile(side.here[a], of).mean() + profile(side.here[b], of).mean()) / 2

        return negligible(LEVEL, lambda side: float(apart(a, b, of)(side).mean()), found, mean_of_both, SHARE)

    parts = {}
    for family, studies in families.items():
        found = of_all(studies)[0]
        for a, b in combinations(studies, 2):
            parts[f"{family} {a} and {b}"] = part(found, a, b, rows[family])
    return every(LEVEL, parts)


def units_alike(claim: Claim, families: Families, estimate: Callable[[Array], float], margin: float) -> Verdict:
    """A number of the last layer's units is the same for every two frameworks, within a margin (TOST)."""
    parts = {
        f"{family} {a} and {b}": verdict(units_apart(studies[a], studies[b], estimate), 0, (), margin, claim=claim)
        for family, studies in families.items()
        for a, b in combinations(studies, 2)
    }
    return every(claim, parts)


def units_apart(first: Measured, second: Measured, estimate: Callable[[Array], float]) -> Interval:
    """A number of the last layer's units on seen points, of one framework less another; f and g count as one."""
    return contrast(Arm(first.units), Arm(second.units), each(lambda u: estimate(u.seen[last_layer(u.seen)])))


def last_layer(units: Mapping[str, Array]) -> str:
    """The deepest layer that has units."""
    return list(units)[-1]


def mean(scores: Array) -> float:
    """Mean over units."""
    return float(np.mean(scores))


def page(
    families: Families, rows: Rows, ran: Mapping[str, Mapping[str, str]], lost: Sequence[str] = ()
) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm); those on encoders that did not run at the end.

    Args:
        families: architecture -> framework -> its encoders, trained on the same points.
        rows: architecture -> rows compared, in forward order: convolutions, or blocks.
        ran: architecture -> what it was: {"arch": …, "dataset": …}.
        lost: what was not shown to learn anything, see `lost`; each claim speaks of every framework, and is then not
            tested.

    Raises:
        ValueError: if the frameworks of an architecture were measured on different points.
    """
    tested = [
        deeper(families, rows),
        profiles(families, rows),
        levels(families, rows),
        units_alike(MAGNITUDE, families, mean, UNITMEM),
        units_alike(NUMBER, families, share_high, UNITS),
    ]
    named, away = [], []
    for claim, (asked, two) in PAPERS.items():
        near = [
            family
            for family, studies in families.items()
            if all(name in studies for name in two) and family_of(ran[family]) == family_of(asked)
        ]
        near.sort(key=lambda family: dict(ran[family]) != asked)  # the encoder itself, if it ran
        for family in near[:1]:
            found = same_profile(families[family], rows[family], claim, two)
            if dict(ran[family]) == asked:
                named.append(found)
            else:
                away.append(elsewhere(found, asked, ran[family]))
    return [*(unlearned(one, lost) for one in correct([*tested, *named])), *away]


def family_of(facts: Mapping[str, str]) -> str:
    """`resnet` or `vit`: what an architecture's name begins with."""
    return facts["arch"].rstrip("0123456789").split("_")[0]


def framework_table(families: Families, rows: Rows) -> pd.DataFrame:
    """A row an architecture and framework: growth, the last row's estimate, its units with their controls."""
    import pandas as pd

    entries = []
    for family, studies in families.items():
        for name, study in studies.items():
            unit_row = last_layer(study.units[0].seen)
            grows = rising(study.pairs, rows[family], claim=DEEPER).effect
            points = sum(p.sets.size for p in study.pairs)
            top = interval([mirror(p, rows[family][-1]) for p in study.pairs], points)
            entries.append(
                {
                    "encoder": family,
                    "framework": name,
                    "tau": grows,
                    "last row": top,
                    "seen": mean(np.concatenate([u.seen[unit_row] for u in study.units])),
                    "unseen": mean(np.concatenate([u.unseen[unit_row] for u in study.units])),
                    "untrained": mean(np.concatenate([u.seen[unit_row] for u in study.untrained]))
                    if study.untrained
                    else None,
                    "high": mean(np.array([share_high(u.seen[unit_row]) for u in study.units])),
                    "member rate": member_rate(study.units, unit_row).interval,
                }
            )
    return pd.DataFrame(entries)


def learned(families: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row an architecture, framework and data set: accuracy of a linear probe after training, before, and the gain.

    Where the gain is below zero, training took away more than it taught: the representation has collapsed in part,
    and what such encoders show says little about their framework.

    Args:
        families: architecture -> framework -> its measured design (`tables.Study`), with probes.
    """
    import pandas as pd

    entries = []
    for family, studies in families.items():
        for name, study in studies.items():
            one = arm(study)
            for dataset in one.probe[0]:

                def accuracy(of: Arm, dataset: str = dataset) -> list[float]:
                    return [found[dataset] for found in of.probe]

                after, before = (contrast(side, None, accuracy) for side in (one, one.before))
                row = {"encoder": family, "framework": name, "probe on": dataset, "after": after, "before": before}
                entries.append({**row, "gain": contrast(one, one.before, accuracy)})
    return pd.DataFrame(entries)


def lost(families: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The frameworks whose probe is not shown to be better after training than before it, see `unlearned_of`."""
    arms = {f"{family} {name}": arm(study) for family, studies in families.items() for name, study in studies.items()}
    return unlearned_of(arms)


def contrast_table(families: Families, rows: Rows) -> pd.DataFrame:
    """A row an architecture and two frameworks: agreement after and before training, and the differences."""
    import pandas as pd

    entries = []
    for family, studies in families.items():
        found, nulls = of_all(studies)
        points, grid = sum(side.sets.size for side in found), step(rows[family])
        for a, b in combinations(studies, 2):
            tau, less = agreement((a, b), rows[family]), apart(a, b, rows[family])
            entries.append(
                {
                    "encoder": family,
                    "frameworks": f"{a}, {b}",
                    "tau": interval([tau(side) for side in found], points, grid),
                    **{
                        f"tau, {name}": interval([tau(s) for s in null], points, grid) for name, null in nulls.items()
                    },
                    "level": interval([float(less(side).mean()) for side in found], points),
                    "UnitMem": units_apart(studies[a], studies[b], mean),
                    "units high": units_apart(studies[a], studies[b], share_high),
                }
            )
    return pd.DataFrame(entries)


def differences(studies: Mapping[str, Measured], rows: Sequence[str]) -> pd.DataFrame:
    """A row a layer: the mirrored estimate of one framework less another's, a column for every two."""
    import pandas as pd

    found = of_all(studies)[0]
    points = sum(side.sets.size for side in found)
    columns: dict[str, list[object]] = {"layer": list(rows)}
    for a, b in combinations(studies, 2):
        less = np.stack([apart(a, b, rows)(side) for side in found])  # [K, L]
        columns[f"{a} less {b}"] = [interval(layer.tolist(), points) for layer in less.T]
    return pd.DataFrame(columns)
