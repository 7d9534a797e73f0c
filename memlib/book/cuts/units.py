"""Units measured again on other points and views, and otherwise (LayerMem paper, appendices C.1 and C.2).

A variant says on which points of a side UnitMem is taken, by which views, and against what: `own`, on all points by
the set that the encoder was trained with; the name of another set; `median`, against the median of the other points;
`25 points`, fewer of them; `one a class`, and `as many as one a class`; a concept such as `automobile truck`, the
points of these classes alone, and `as many as automobile truck`. Fewer points come as disjoint blocks of that many,
over which scores are averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from memlib import measure, metrics, train
from memlib.augment import augmentation
from memlib.book.cuts.paired import loaded, told_apart
from memlib.book.experiments import Experiment
from memlib.pairs import S_C
from memlib.specs import nearest

ROLES = ("f", "g", "f_untrained", "g_untrained")
SIDES = ("seen", "unseen")
STATS = ("mean", "lowest", "highest")  # over the units of a layer, as Table 34 has them
OWN, MEDIAN, CLASSES = "own", "median", "one a class"

Blocks = list[Tensor]  # indices of points, a block each


def run(experiment: Experiment) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """UnitMem of a pair, after and before training, in every variant: one pass for each set of augmentations.

    Roles: f and g, which saw complementary points; `f_untrained` and `g_untrained`, each before training. Choices:
    `sets`, augmentation sets beside the encoders' own (`none` takes each image once, as it is); `counts`, numbers of
    points; `concepts`, names of classes, those that share one with blanks between them; `views` of a point.

    Returns:
        Arrays: `unitmem` float32 [4, V, 2, L, 3], by role, variant, side (points that the encoder saw, and those that
        the other one saw), layer and `STATS`; `members` float32 [4, S, L], member rates by role, set and layer.
        Header: `variants`, `sets`, `layers`, and `points`, how many each variant takes of the seen side of f.
    """
    encoders = loaded(*map(experiment.encoder, ROLES))
    layers = [row.name for row in encoders[0].layers if row.unit_module]
    dataset, points, sets = told_apart(experiment)
    by_f = sets == S_C
    saw = [by_f, ~by_f, by_f, ~by_f]  # by role
    of_side = {
        mask: blocks(experiment, dataset.labels[points[inside]], dataset.classes)
        for mask, inside in ((True, by_f), (False, ~by_f))
    }
    names = [OWN, *experiment.choice("sets")]
    variants = [*names, MEDIAN, *of_side[True]]
    found = torch.zeros(len(ROLES), len(variants), len(SIDES), len(layers), len(STATS))
    members = torch.zeros(len(ROLES), len(names), len(layers))
    for s, name in enumerate(names):
        tables = activations(experiment, encoders, dataset.images[points], name, layers)
        for role, (table, seen) in enumerate(zip(tables, saw, strict=True)):
            for at, layer in enumerate(layers):
                members[role, s, at] = metrics.member_rate(table[layer], seen)
                for side, inside in enumerate((seen, ~seen)):
                    mine = table[layer][inside]
                    found[role, s, side, at] = summary(metrics.unitmem(mine))
                    if name != OWN:
                        continue
                    found[role, len(names), side, at] = summary(metrics.unitmem(mine, "median"))
                    some = of_side[bool(inside[0])]
                    for v, parts in enumerate(some.values(), len(names) + 1):
                        each = torch.stack([metrics.unitmem(mine[part]) for part in parts])
                        found[role, v, side, at] = torch.stack([summary(one) for one in each]).mean(0)
    everywhere = int(by_f.sum())
    counted = {variant: len(parts[0]) for variant, parts in of_side[True].items()}
    header = {
        "variants": variants,
        "sets": names,
        "layers": layers,
        "points": [counted.get(variant, everywhere) for variant in variants],
    }
    return {"unitmem": found, "members": members}, header


def activations(
    experiment: Experiment, encoders: Sequence[torch.nn.Module], images: Tensor, name: str, layers: Sequence[str]
) -> list[Mapping[str, Tensor]]:
    """The activations of all units on all points, {layer: [N, U]} of each encoder, on the same views of a set."""
    spec = experiment.encoder("f")
    augment = train.views_of(spec) if name == OWN else augmentation(name, spec.size, flip=spec.flip)
    views = 1 if augment.name == "none" else experiment.choice("views")
    return [
        one.table
        for one in measure.sweep(list(encoders), images, augment, layers, views=views, align=False, units="table")
    ]


def blocks(experiment: Experiment, labels: Tensor, classes: Sequence[str]) -> dict[str, Blocks]:
    """The points of each variant that takes fewer than all of a side.

    Args:
        labels: Of the side's points, [n].
        classes: Their names.

    Raises:
        ValueError: A number of points is more than there are, or a concept has fewer than two points.
        KeyError: A concept names a class that is unknown.
    """
    n, every = len(labels), torch.arange(len(labels))
    found = {}
    for count in experiment.choice("counts"):
        if count > n:
            raise ValueError(f"counts={count} of {experiment.name!r}: allowed is 2 to {n}, the points of a side")
        found[f"{count} points"] = _chunks(every, count)
    of_class = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    least = min(map(len, of_class))
    found[CLASSES] = [torch.stack([points[i] for points in of_class]) for i in range(least)]
    found[f"as many as {CLASSES}"] = _chunks(every, len(of_class))
    for concept in experiment.choice("concepts"):
        for name in (wanted := concept.split()):
            if name not in classes:
                raise nearest(name, classes, f"class of the points of {experiment.name!r}")
        numbers = torch.tensor([list(classes).index(name) for name in wanted])
        having = torch.isin(labels, numbers).nonzero()[:, 0]
        if len(having) < 2:
            raise ValueError(f"concept {concept!r} of {experiment.name!r} has {len(having)} points: take 2 or more")
        found[concept] = [having]
        found[f"as many as {concept}"] = _chunks(every, len(having))
    return found


def _chunks(points: Tensor, count: int) -> Blocks:
    """As many disjoint blocks of so many points as there are; what is left over is in none."""
    return list(points[: len(points) // count * count].view(-1, count))


def summary(scores: Tensor) -> Tensor:
    """`STATS` of the scores [U] of a layer's units."""
    return torch.stack([scores.mean(), scores.min(), scores.max()])


def concepts(variants: Sequence[str]) -> Iterator[str]:
    """The variants that are concepts: those that others take as many points as, but `CLASSES`."""
    for name in variants:
        if f"as many as {name}" in variants and name != CLASSES:
            yield name
