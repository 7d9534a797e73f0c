"""Units pruned by what they memorize: Table 6 (LayerMem paper, section 5.2), and what a user would prune by instead.

A score of every unit says in which order units go, lowest first: by UnitMem itself (`low`) or its negative (`top`),
the same on points that the encoder did not see (`low unseen`, `top unseen`), the size of the unit's weights
(`magnitude`), its mean activation (`activation`), or nothing (`random`). In scope `layer` that share of each layer
goes, in the scope `total` of all units together, and in `only <layer>` of one layer alone. Pruned units put out 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from memlib import measure, train
from memlib.book.cuts.paired import loaded, told_apart
from memlib.book.cuts.probes import accuracies
from memlib.book.experiments import Experiment
from memlib.encoders import Encoder, Layer
from memlib.pairs import S_C, S_I
from memlib.specs import nearest
from memlib.surgery import silenced_features

SIDES = ("f", "g")
ROLES = (*SIDES, "untrained")  # f before training, a control
CELLS = (("layer", 0.1), ("layer", 0.2), ("total", 0.1), ("total", 0.2))  # Table 6, whose first three are printed
SCORES = ("unitmem", "unseen", "magnitude", "activation")
ONCE = {  # criteria of one draw: the score they go by, and its sign
    "top": ("unitmem", -1),
    "low": ("unitmem", 1),
    "magnitude": ("magnitude", 1),
    "activation": ("activation", 1),
    "top unseen": ("unseen", -1),
    "low unseen": ("unseen", 1),
}
CURVES = ("top", "low", "magnitude", "activation")  # beside random
ALONE = ("top", "low")  # beside random, in one layer alone

Variant = tuple[str, str, float, int]  # scope, criterion, share, draw


def run(experiment: Experiment) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Prune f and g, which saw complementary points, in the same ways, and probe what is left.

    Roles: f and g; `untrained`, f before training, which gets Table 6's variants, with f's points as seen. Choices:
    `shares` of the curves; random `draws` of Table 6's cells and `curve_draws` of all others; `alone`, the share of
    one layer alone (None: none); `tested`, test images of a probe (None: all); `unit_points`, seen and as many unseen
    points that UnitMem is taken on (None: all); `views` of each; `precision` of the pruned encoders' passes. The
    first data set of `probe` gets all variants, the others Table 6's.

    Returns:
        Arrays, of f and g each: `accuracy-<data set>` float32 [2, V, S], by variant (of data sets after the first
        the first `table` ones) and seed; `scores` float32 [3, 4, U], what units are ranked by, in `scores` order, of
        `untrained` too; `taken` int16 [2, V, L], how many units of each layer were pruned. And
        `untrained-<data set>` float32 [table, S].
        Header: `variants` [[scope, criterion, share, draw]], the first with nothing pruned; `table`; `scores`;
        `layers` and `units`, the number of each one's.
    """
    encoders = [one.to(memory_format=torch.channels_last) for one in loaded(*map(experiment.encoder, ROLES))]
    rows = [row for row in encoders[0].layers if row.unit_module]
    counts = {row.name: row.units for row in rows}
    scores = _scores(experiment, encoders, rows)
    variants, table = plan(experiment, list(counts))
    pruned = []
    for role, score in zip(ROLES, scores, strict=True):
        seed, of_role = experiment.encoder(role).seed, variants if role in SIDES else variants[:table]
        pruned.append([choose(_order(v, score, seed), counts, v[0], v[2]) for v in of_role])
    arrays = {
        "scores": scores,
        "taken": torch.tensor(
            [[[len(one.get(n, ())) for n in counts] for one in side] for side in pruned[:2]]
        ).short(),
    }
    precision = train.arithmetic(experiment.choice("precision"))
    made = [partial(silenced_features, e, precision=precision) for e in encoders]
    for i, name in enumerate(experiment.probe):
        some = [side if i == 0 else side[:table] for side in pruned]
        found = [accuracies(experiment, *each, name) for each in zip(encoders, some, made, strict=True)]
        arrays[f"accuracy-{name}"], arrays[f"untrained-{name}"] = torch.stack(found[:2]), found[2]
    header = {
        "variants": [list(variant) for variant in variants],
        "table": table,
        "scores": list(SCORES),
        "layers": list(counts),
        "units": list(counts.values()),
    }
    return arrays, header


def plan(experiment: Experiment, layers: Sequence[str]) -> tuple[list[Variant], int]:
    """All variants, Table 6's first, and how many those are."""
    draws, few = experiment.choice("draws"), experiment.choice("curve_draws")
    found: list[Variant] = [("none", "none", 0.0, 0)]
    for scope, share in CELLS:
        found += [(scope, name, share, 0) for name in ONCE]
        found += [(scope, "random", share, draw) for draw in range(draws)]
    table = len(found)
    for scope in ("layer", "total"):
        for share in experiment.choice("shares"):
            if (scope, share) not in CELLS:
                found += [(scope, name, share, 0) for name in CURVES]
                found += [(scope, "random", share, draw) for draw in range(few)]
    if (share := experiment.choice("alone")) is not None:
        for layer in layers:
            found += [(f"only {layer}", name, share, 0) for name in ALONE]
            found += [(f"only {layer}", "random", share, draw) for draw in range(few)]
    for _, _, share, _ in found:
        if not 0 <= share < 1:
            raise ValueError(f"a share of {share!r} of the units: allowed is 0 to below 1")
    return found, table


def choose(score: Tensor, counts: Mapping[str, int], scope: str, share: float) -> dict[str, Tensor]:
    """The units of the lowest scores, {layer: indices}; of equal ones the first.

    Args:
        score: [U], of all layers' units one after another.
        counts: {layer: its number of units}, in that order.
        scope: `layer`, `total`, `only <layer>`, or `none`.
        share: Of the units; to the nearest whole number of them.

    Raises:
        ValueError: The scope is none of these.
    """
    parts = dict(zip(counts, score.split(list(counts.values())), strict=True))
    if scope == "total":
        gone = torch.zeros(len(score), dtype=torch.bool)
        gone[score.argsort(stable=True)[: round(share * len(score))]] = True
        found = {n: g.nonzero()[:, 0] for n, g in zip(counts, gone.split(list(counts.values())), strict=True)}
        return {name: indices for name, indices in found.items() if len(indices)}
    alone = scope.removeprefix("only ")
    if scope not in ("layer", "none") and (alone == scope or alone not in counts):
        raise ValueError(f"scope {scope!r}: allowed are 'layer', 'total', 'none' and 'only ' with one of {[*counts]}")
    inside = parts if scope == "layer" else {n: part for n, part in parts.items() if n == alone}
    return {n: part.argsort(stable=True)[: round(share * len(part))] for n, part in inside.items()}


def _order(variant: Variant, scores: Tensor, seed: int) -> Tensor:
    """The score [U] by which a variant prunes; a random draw's is the same at every share."""
    _, criterion, _, draw = variant
    if criterion in ONCE:
        name, sign = ONCE[criterion]
        return sign * scores[SCORES.index(name)]
    if criterion not in ("random", "none"):  # where nothing is pruned no order matters
        raise nearest(criterion, [*ONCE, "random", "none"], "criterion")
    return torch.rand(scores.shape[1], generator=torch.Generator().manual_seed(1000 * seed + draw))


def _scores(experiment: Experiment, encoders: Sequence[Encoder], rows: Sequence[Layer]) -> Tensor:
    """`SCORES` of all encoders, [3, 4, U]: UnitMem on the points that it saw, and on as many that the other saw."""
    dataset, every, codes = told_apart(experiment)
    own = [every[codes == code] for code in (S_C, S_I)]
    n = min(*map(len, own), experiment.choice("unit_points") or len(dataset))
    points = torch.cat([chosen[:n] for chosen in own])
    sets = {side: torch.arange(2 * n) // n == i for i, side in enumerate(SIDES)}
    names = [row.name for row in rows]
    sweeps = measure.sweep(
        encoders, dataset.images[points], train.views_of(experiment.encoder("f")), names, experiment.choice("views"),
        align=False, units=sets,
    )  # fmt: skip
    found = []
    for encoder, sweep, (saw, not_saw) in zip(encoders, sweeps, (SIDES, SIDES[::-1], SIDES), strict=True):
        seen, unseen = sweep.peaks[saw], sweep.peaks[not_saw]
        activation = torch.cat([(seen[name].total / seen[name].count).float() for name in names])
        unitmem = [torch.cat([peaks[name].unitmem() for name in names]) for peaks in (seen, unseen)]
        magnitudes = torch.cat([magnitude(encoder, row) for row in rows])
        found.append(torch.stack([*unitmem, magnitudes, activation]))
    return torch.stack(found)


def magnitude(encoder: Encoder, row: Layer) -> Tensor:
    """l2 norm of the weights that put each unit of a layer out, [U].

    What `torch.nn.utils.prune.ln_structured` goes by, with n = 2 along the first axis. Before training it is the same
    in all layers, as their weights are drawn with a variance of one over their number: so it can rank across layers.
    """
    weights = [p for p in encoder.get_submodule(row.module).parameters() if p.ndim > 1][-1]
    return torch.linalg.vector_norm(weights.detach().flatten(1).float(), dim=1).cpu()
