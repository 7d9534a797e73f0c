"""Linear probes of many variants of an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from memlib import data, probe
from memlib.book.experiments import Experiment
from memlib.encoders import Encoder

SEEDS = 3
BYTES = 2**31  # of features at a time: all variants of a ResNet9 at the published scale, some of a ResNet50

V = TypeVar("V")


def accuracies(
    experiment: Experiment,
    encoder: Encoder,
    variants: Sequence[V],
    features: Callable[[Sequence[V], Tensor], Tensor],
    name: str,
) -> Tensor:
    """Accuracy of linear probes on a data set; all variants that memory has room for are solved together.

    Args:
        experiment: Says how many images: `probe_points` to train on, its choice `tested` to test on (None: all).
        encoder: What the variants are made from, on the device where the probes are solved.
        features: What some variants make of images uint8 [N, 3, H, W]: float [V, N, dim].
        name: Of the data set.

    Returns:
        float32 [V, S], by variant and seed, 0..1.
    """
    size, device = experiment.encoder("f").size, next(encoder.parameters()).device
    sets = [data.load(name, split, size=size) for split in ("train", "test")]
    counts = (experiment.probe_points, experiment.choice("tested"))
    images = [one.images[:n] for one, n in zip(sets, counts, strict=True)]
    labels = [one.labels[:n] for one, n in zip(sets, counts, strict=True)]
    at_once = max(1, BYTES // (4 * encoder.dim * sum(map(len, labels))))
    found = []
    for some in (variants[i : i + at_once] for i in range(0, len(variants), at_once)):
        known, asked = (features(some, part).to(device) for part in images)
        found += [one.each for one in probe.grid(known, labels[0], asked, labels[1], seeds=SEEDS)]
    return torch.tensor(found)
