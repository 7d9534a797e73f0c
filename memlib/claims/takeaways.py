"""Three sentences a page, made from its numbers: they change when the numbers do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memlib.claims.frameworks import framework_table
from memlib.claims.pairs import S_C, S_E, S_I, S_S, SETS, Measured, Pair
from memlib.claims.resnets import convolutions
from memlib.claims.rules import HOLDS, Verdict
from memlib.claims.unitmem import Units, member_rate
from memlib.claims.vit import block_table
from memlib.stats import Interval, mirrored_pairs


def sslmem(pairs: Sequence[Pair], single: Sequence[Pair], verdicts: Sequence[Verdict]) -> list[str]:
    """Of page 03_sslmem.

    Args:
        pairs: With all four sets, those that were tested.
        single: Of the papers' design.
    """
    mirrored = _of(verdicts, "mirrored")
    means = {code: float(np.mean([p.of("output", code).mean() for p in pairs])) for code in SETS}
    order = sorted(means, key=lambda code: -means[code])
    named = ", ".join(f"{SETS[c].split()[0]} {_signed(means[c])}" for c in order)
    claimed = order[0] == S_C and order[-1] == S_I
    offset = max(abs(float(p.of("output", S_E).mean())) for p in single)
    gap = float(np.mean([p.of("output", S_C).mean() - p.of("output", S_S).mean() for p in single]))
    return [
        f"With the offset between f and g taken out, candidates at the output score {mirrored.effect}, over "
        f"{mirrored.effect.pairs} pairs of encoders: the claim that they are memorized gets «{mirrored.verdict}».",
        f"The sets' means are, in descending order, {named}; paper B's order, S_C first and S_I last, is "
        f"{'the one seen' if claimed else 'not the one seen'}.",
        f"In the papers' own design a single pair scores up to {offset:.3f} away from 0 on points that neither "
        f"encoder saw, and candidates stand {_signed(gap)} above shared points: only comparisons within a pair, "
        "over several pairs, tell memorization from the difference between two encoders.",
    ]


def layermem(
    pairs: Sequence[Pair], single: Sequence[Pair], verdicts: Sequence[Verdict], layers: Sequence[str]
) -> list[str]:
    """Of page 04_1_layermem; arguments as for `sslmem`."""
    every = _of(verdicts, "every-layer")
    level = {n: _level(pairs, n) for n in layers}
    passed = [n for n, v in every.parts.items() if v.verdict == HOLDS]
    top = max(level, key=lambda n: level[n].mean)
    offsets = [max(abs(float(p.of(n, S_E).mean())) for p in [*pairs, *single]) for n in layers]
    worst = int(np.argmax(offsets))
    return [
        f"Memorization is shown in {len(passed)} of {len(layers)} convolutions"
        f"{': ' + ', '.join(passed) if passed else ''}. The first has a mirrored estimate of {level[layers[0]]}, "
        f"where the paper reports .091 without a control.",
        f"It is highest in layer {top}, with {level[top]}; that it grows with depth gets "
        f"«{_of(verdicts, 'depth').verdict}».",
        f"On points that neither encoder saw, the raw score of a single pair reaches {offsets[worst]:.3f} (layer "
        f"{layers[worst]}), and {offsets[0]:.3f} in layer 1: without a control this passes for memorization.",
    ]


def resnets(
    studies: Mapping[str, Measured], kinds: Mapping[str, Mapping[str, str]], verdicts: Sequence[Verdict]
) -> list[str]:
    """Of page 04_1_resnets; arguments as for `claims.resnets.page`."""
    depth, last, pool = (_of(verdicts, f"resnets-{key}") for key in ("depth", "last", "pool"))
    ends = []
    for name, study in studies.items():
        rows = convolutions(kinds[name])
        low, high = (_level(study.pairs, row) for row in (rows[0], rows[-1]))
        ends.append(f"{name} {low} to {high}")
    taus = "; ".join(f"{part.effect} in {name}" for name, part in depth.parts.items())
    return [
        f"Mirrored estimates of the first and the last convolution: {'; '.join(ends)}. That memorization grows with "
        f"depth gets «{depth.verdict}»: Kendall's τ is {taus}.",
        f"That the last convolution memorizes most gets «{last.verdict}»{_passing(last)}.",
        f"That the average pool has less than the last convolution gets «{pool.verdict}»: the difference is "
        f"{'; '.join(f'{part.effect} in {name}' for name, part in pool.parts.items())}.",
    ]


def vit(
    pairs: Sequence[Pair], kinds: Mapping[str, str], previous: Mapping[str, str], verdicts: Sequence[Verdict]
) -> list[str]:
    """Of page 04_1_vit; arguments as for `claims.vit.page`."""
    blocks, within, added, sums = (_of(verdicts, f"vit-{key}") for key in ("blocks", "within", "added", "sums"))
    table = block_table(pairs, kinds, previous)
    above = int((table["FC less ATT"] > 0).sum())
    first, last = (_level(pairs, f"FCRes{b}") for b in (1, len(table)))
    return [
        f"From block 1 to block {len(table)} the mirrored estimate goes from {first} to {last}; that deeper blocks "
        f"memorize more gets «{blocks.verdict}», with τ = {blocks.effect}.",
        f"The fully connected layer lies above attention in {above} of {len(table)} blocks, by {within.effect} on "
        f"average: «{within.verdict}». As deltas, what each adds to its input, the difference is {added.effect}: "
        f"«{added.verdict}».",
        f"That the residual sums change little gets «{sums.verdict}»: "
        f"{'; '.join(f'{part.effect} {name}' for name, part in sums.parts.items())}.",
    ]


def frameworks(
    families: Mapping[str, Mapping[str, Measured]], rows: Mapping[str, Sequence[str]], verdicts: Sequence[Verdict]
) -> list[str]:
    """Of page 04_1_frameworks; arguments as for `claims.frameworks.page`."""
    deeper, profile, level, magnitude, number = (
        _of(verdicts, f"frameworks-{key}") for key in ("deeper", "profile", "level", "magnitude", "number")
    )
    table = framework_table(families, rows)
    top, bottom = (table.loc[pick] for pick in (table["seen"].idxmax(), table["seen"].idxmin()))
    rates = [row for row in table.to_dict("records") if row["member rate"].low > 0.5]
    shared = "; ".join(f"{name} τ = {part.effect}" for name, part in profile.parts.items())
    return [
        f"That every framework memorizes primarily in its deeper layers gets «{deeper.verdict}»{_passing(deeper)}.",
        f"That frameworks share a pattern over layers gets «{profile.verdict}» ({shared}); that they reach about the "
        f"same level gets «{level.verdict}»{_passing(level)}.",
        f"Mean UnitMem of the last layer goes from {bottom['seen']:.3f} ({bottom['encoder']}, {bottom['framework']}) "
        f"to {top['seen']:.3f} ({top['encoder']}, {top['framework']}): that it is alike gets «{magnitude.verdict}», "
        f"and that as many units are highly memorizing «{number.verdict}». Its units respond to training points "
        f"above chance in {len(rates)} of {len(table)}"
        f"{': ' + ', '.join('{encoder} {framework}'.format(**row) for row in rates) if rates else ''}.",
    ]


def unitmem(
    units: Sequence[Units], untrained: Sequence[Units], verdicts: Sequence[Verdict], layers: Sequence[str]
) -> list[str]:
    """Of page 05_1_unitmem."""
    spread, last = _of(verdicts, "spread"), layers[-1]
    passed = [n for n, v in spread.parts.items() if v.verdict == HOLDS]
    seen, unseen, before = (
        float(np.mean([getattr(u, side)[last].mean() for u in who]))
        for side, who in (("seen", units), ("unseen", units), ("seen", untrained))
    )
    first_rate, last_rate = (member_rate(units, n).interval for n in (layers[0], last))
    return [
        f"Mean UnitMem of layer {last} is {seen:.3f} on seen points, {unseen:.3f} on as many unseen ones, and "
        f"{before:.3f} before training: by itself it does not tell memory from selectivity.",
        f"The strongest point of a unit is a training point in {last_rate} of the units of layer {last} and in "
        f"{first_rate} of those of layer 1, where .5 is chance.",
        f"Layers whose units respond to training points above chance: {', '.join(passed) if passed else 'none'}. "
        f"That memorizing units are spread over the entire encoder gets «{spread.verdict}».",
    ]


def _of(verdicts: Sequence[Verdict], key: str) -> Verdict:
    return next(v for v in verdicts if v.claim and v.claim.key == key)


def _level(pairs: Sequence[Pair], layer: str) -> Interval:
    return mirrored_pairs([(p.of(layer, S_C), p.of(layer, S_I)) for p in pairs])


def _passing(found: Verdict) -> str:
    """Of a claim about every part: in how many it holds, and which those are."""
    passed = [name for name, part in found.parts.items() if part.verdict == HOLDS]
    named = f": {'; '.join(passed)}" if 0 < len(passed) < len(found.parts) else ""
    return f", and holds in {len(passed)} of {len(found.parts)} by itself{named}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
