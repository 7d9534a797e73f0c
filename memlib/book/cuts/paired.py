"""An experiment's encoders, the points that tell its f and g apart, and what pairs made from these memorize."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from memlib import data, measure, train
from memlib.book.experiments import Experiment
from memlib.encoders import Encoder
from memlib.measure import Sweep
from memlib.pairs import S_C, S_I, Pair
from memlib.specs import EncoderSpec


def loaded(*specs: EncoderSpec) -> list[Encoder]:
    """Encoders, trained first if they are missing, on the GPU where there is one."""
    return [train.encoder(spec).to(train.device()) for spec in specs]


def told_apart(experiment: Experiment) -> tuple[data.Dataset, Tensor, Tensor]:
    """The points that one of the experiment's f and g saw and the other did not: data set, indices, sets, each [N].

    S_C, which f saw, comes first; each side is in the order of the images' hashes, and so in a random one.
    """
    spec, other = experiment.encoder("f"), experiment.encoder("g")
    dataset = data.load(spec.dataset, "train", size=spec.size)
    seen, others = (train.training_points(one, len(dataset)) for one in (spec, other))
    sides = seen[~torch.isin(seen, others)], others[~torch.isin(others, seen)]
    sets = torch.cat([torch.full((len(side),), code) for side, code in zip(sides, (S_C, S_I), strict=True)])
    return dataset, torch.cat(sides), sets


def memorization(
    experiment: Experiment, pairs: Iterable[tuple[nn.Module, nn.Module]], layers: Sequence[str]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each pair the mirrored estimate as half a log ratio [L], and mean SSLMem' of S_C and S_I [2, L], float32.

    All on the same views of the same points: those that one of the experiment's f and g saw and the other did not.
    """
    dataset, points, sets = told_apart(experiment)
    images, augment = dataset.images[points], train.views_of(experiment.encoder("f"))
    for pair in pairs:
        yield scores(
            measure.sweep(list(pair), images, augment, layers, views=experiment.choice("views")), layers, sets
        )


def scores(sweeps: Sequence[Sweep], layers: Sequence[str], sets: Tensor) -> tuple[Tensor, Tensor]:
    """The same of one pair, from the passes of f and g over points of these sets [N]."""
    f, g = ({layer: one.align[layer].numpy() for layer in layers} for one in sweeps)
    found = Pair(f, g, sets.numpy())
    return (
        torch.tensor([found.mirrored(layer) for layer in layers]),
        torch.tensor([[found.mean(layer, code) for layer in layers] for code in (S_C, S_I)]),
    )
