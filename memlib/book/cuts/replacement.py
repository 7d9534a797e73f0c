"""Replacing layers of an encoder by those of another data set: tables 21 to 25, 30, 32 and 33, and appendix C.11."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from memlib.book.cuts.paired import loaded, memorization
from memlib.book.cuts.probes import accuracies
from memlib.book.experiments import Experiment
from memlib.encoders import Encoder, Step, previous
from memlib.encoders.base import parameters
from memlib.surgery import features, replace, subsets
from memlib.surgery.variants import Variant, highest

ROLES = ("f", "donor", "g", "untrained")  # whose layers stand in: f's own; another data set's; two controls


def run(experiment: Experiment) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Replace steps of f by those of the donor, and as controls of g and of an untrained encoder.

    Roles: f and g, a pair of which f saw S_C and g S_I; `donor`, of another data set; `untrained`. Choices: `sizes`,
    how many steps are replaced at once by the donor's; `drawn`, how many sets of a size are drawn beside those that
    memorization chooses, and the last (None: all sets there are); `controls`, how many of these sets g's steps
    replace as well, beside the chosen ones and the last (of one step all do, and the untrained encoder's); `tested`,
    test images of a probe (None: all); `views` of a point.

    Returns:
        Arrays: `accuracy` float32 [V, P, S], by variant, data set that is probed and seed; `mirrored` float32
        [1 + T, L], the mirrored estimate by layer, before, and with each of the T steps the donor's in f and in g
        (C.11), as half a log ratio of distances; `layermem` float32 [1 + T, 2, L], mean SSLMem' of S_C and of S_I;
        `similarity` float32 [3, B, 4], cosine between the BatchNorms of f and of donor, g and untrained (Table 25):
        of weights and biases, of weights, of biases, and the first by chance; `parameters` int64 [T].
        Header: `variants` [[role, steps]], the first with none; `steps`; `normed`, those B that have BatchNorms;
        `layers`; `rows` {step: layer at its end}; `previous` {layer: what its delta is taken against}; `drawn`
        {role: {size: sets}}, where not all were replaced.
    """
    encoders = dict(zip(ROLES, loaded(*map(experiment.encoder, ROLES)), strict=True))
    f, donor = encoders["f"], encoders["donor"]
    steps = [step for step in f.steps() if step.parts]
    names = [step.name for step in steps]
    ends = {step.name: _end(f, step) for step in steps}
    layers = [
        row.name
        for row in f.layers
        if row.name in ends.values() or row.name == "output" or (row.numbered and row.kind == "residual")
    ]
    # made as they are measured: those of a ResNet50 would be 34 copies at a time
    replaced = ((replace(f, donor, step.parts), replace(encoders["g"], donor, step.parts)) for step in steps)
    pairs = chain([(f, encoders["g"])], replaced)
    mirrored, layermem = zip(*memorization(experiment, pairs, layers), strict=True)

    before = dict(zip(layers, mirrored[0].tolist(), strict=True))
    earlier = previous(f.layers, layers)
    scores = [{name: before[row] for name, row in ends.items()}]
    scores += [{name: before[row] - before[earlier[row]] for name, row in ends.items() if row in earlier}]
    variants: list[tuple[str, Variant]] = [("f", {})]
    drawn: dict[str, dict[str, list[tuple[str, ...]]]] = {"donor": {}, "g": {}}
    generator = torch.Generator().manual_seed(experiment.encoder("f").seed)
    for size in experiment.choice("sizes"):
        sets = [tuple(variant) for variant in subsets(names, (size,), "donor")]
        chosen = [highest({k: sign * v for k, v in by.items()}, size) for by in scores for sign in (1, -1)]
        chosen.append(tuple(names[-size:]))
        if (count := experiment.choice("drawn")) is not None and count < len(sets):
            sets = drawn["donor"][str(size)] = _some(sets, count, generator)
        by_role = {"donor": sets}
        if size > 1:
            by_role["g"] = drawn["g"][str(size)] = _some(sets, experiment.choice("controls"), generator)
        for role, some in by_role.items():
            variants += [(role, dict.fromkeys(one, role)) for one in dict.fromkeys([*some, *chosen])]
    variants.append(("donor", dict.fromkeys(names, "donor")))  # the other encoder as a whole
    for role in ("g", "untrained"):
        variants += [(role, variant) for variant in [*subsets(names, (1,), role), dict.fromkeys(names, role)]]
    which, made = [variant for _, variant in variants], partial(features, encoders)
    accuracy = [accuracies(experiment, f, which, made, name) for name in experiment.probe]

    normed = [step for step in steps if _norms(f, step)]
    alike = [[_similarity(_norms(f, s), _norms(encoders[role], s)) for s in normed] for role in ROLES[1:]]
    arrays = {
        "accuracy": torch.stack(accuracy, 1),
        "mirrored": torch.stack(mirrored),
        "layermem": torch.stack(layermem),
        "similarity": torch.tensor(alike),
        "parameters": torch.tensor([sum(map(parameters, _modules(f, step))) for step in steps]),
    }
    header = {
        "variants": [[role, list(variant)] for role, variant in variants],
        "steps": names,
        "normed": [step.name for step in normed],
        "layers": layers,
        "rows": ends,
        "previous": earlier,
        "drawn": {role: {n: [list(one) for one in some] for n, some in by.items()} for role, by in drawn.items()},
    }
    return arrays, header


def _some(sets: Sequence[tuple[str, ...]], count: int, generator: torch.Generator) -> list[tuple[str, ...]]:
    """So many of the sets, drawn at random, in the order in which they are given."""
    return [sets[i] for i in sorted(torch.randperm(len(sets), generator=generator)[:count].tolist())]


def _end(encoder: Encoder, step: Step) -> str:
    """The layer at whose output a step ends: its last numbered row."""
    inside = [
        row.name
        for row in encoder.layers
        if row.numbered and any(row.module == path or row.module.startswith(f"{path}.") for path in step.parts)
    ]
    return inside[-1] if inside else step.name


def _modules(encoder: Encoder, step: Step) -> list[nn.Module]:
    return [encoder.get_submodule(path) for path in step.parts]


def _norms(encoder: Encoder, step: Step) -> list[nn.BatchNorm2d]:
    return [m for top in _modules(encoder, step) for m in top.modules() if isinstance(m, nn.BatchNorm2d)]


def _similarity(a: Sequence[nn.BatchNorm2d], b: Sequence[nn.BatchNorm2d]) -> tuple[float, float, float, float]:
    """Cosine between BatchNorms (Table 25): of weights and biases, of weights, of biases; and the first by chance.

    By chance: its mean over all permutations of one side's units, within each BatchNorm.
    """
    sums = {"weight": torch.zeros(4).double(), "bias": torch.zeros(4).double()}  # |a|², |b|², ab, ab by chance
    for one, two in zip(a, b, strict=True):
        for what, total in sums.items():
            x, y = (getattr(norm, what).detach().double().cpu() for norm in (one, two))
            total += torch.stack([x @ x, y @ y, x @ y, x.sum() * y.sum() / len(x)])
    weight, bias = sums.values()
    both = weight + bias
    return _cosine(both), _cosine(weight), _cosine(bias), _cosine(both[[0, 1, 3, 2]])


def _cosine(sums: Tensor) -> float:
    """0 where one side is zero, as the biases of an untrained encoder are."""
    length = float(sums[0] * sums[1]) ** 0.5
    return float(sums[2]) / length if length else 0.0
