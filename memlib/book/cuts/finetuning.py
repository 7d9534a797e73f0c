"""Fine-tuning chosen layers of an encoder, with a head, on another data set: Table 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from memlib import data, metrics, train
from memlib.book.cuts.paired import loaded, memorization
from memlib.book.experiments import Experiment
from memlib.encoders import previous
from memlib.surgery import parts, tune

MOST = 3  # layers that are tuned together by choice, as in Table 5
COMPARED = (("6", "8"), ("7", "8"), ("4", "6", "8"), ("6", "7", "8"))  # sets that section 4.2 compares
STARTS = ("f", "untrained")

Layers = tuple[str, ...]


def run(experiment: Experiment) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tune sets of layers of f, and as a control the same sets of an encoder that was not trained.

    Roles: f and g, a pair, of which f is tuned and g measures memorization with it; `untrained`, f before training.
    The data set is the first of `probe`, with `probe_points` images. Choices: `tested`, test images (None: all);
    `epochs`, `batch`, `lr` and `precision` of `surgery.tune`, or `auto`; `seeds`, how many; `views` of a point.

    Sets of layers: none (the head alone), each layer, those that section 4.2 compares, all, the first layers that
    together have no more parameters than the last, and 1 to 3 layers by four choices: the highest mirrored estimate,
    its highest delta, the last layers, the lowest mirrored estimate. And by each choice what has no more parameters
    than the last 1 to 3 layers: its layers one after another, each that there is still room for. Each set is tuned
    once.

    Returns:
        Arrays: `accuracy` float32 [2, V, S], on test images, by start (f, untrained), set and seed; `parameters`
        int64 [V], of the encoder's that were trained; `mirrored` float32 [L], the mirrored estimate of each layer as
        half a log ratio of distances; `layermem` float32 [2, L], mean SSLMem' of S_C and of S_I.
        Header: `sets`, the layers of each; `layers`; `chosen` {choice: its sets of 1 to 3 layers}; `budgeted`
        {choice: its sets of the last 1 to 3 layers' parameters}.
    """
    f, g, untrained = loaded(*map(experiment.encoder, ("f", "g", "untrained")))
    layers = [row.name for row in f.layers if row.numbered and row.parts]
    size = [sum(p.numel() for m in own.values() for p in m.parameters()) for own in parts(f, layers).values()]
    rows = [row.name for row in f.layers if row.name in layers or (row.numbered and row.kind == "residual")]
    found, layermem = next(memorization(experiment, [(f, g)], rows))
    by = orders(dict(zip(rows, found.tolist(), strict=True)), layers, previous(f.layers, rows))
    numbers = range(1, min(MOST, len(layers) - 1) + 1)
    chosen = {choice: [_forward(order[:k], layers) for k in numbers] for choice, order in by.items()}
    rooms = [sum(size[-k:]) for k in numbers]
    budgeted = {choice: [within(room, order, layers, size) for room in rooms] for choice, order in by.items()}
    sets = wanted(layers, size, [one for some in (*chosen.values(), *budgeted.values()) for one in some])

    name, spec = experiment.probe[0], experiment.encoder("f")
    known, asked = (data.load(name, split, size=spec.size) for split in ("train", "test"))
    n, m = experiment.probe_points, experiment.choice("tested")
    accuracy = torch.zeros(len(STARTS), len(sets), experiment.choice("seeds"))
    values = {key: experiment.choice(key) for key in ("epochs", "batch", "lr")}
    values["precision"] = train.arithmetic(experiment.choice("precision"))
    for start, encoder in enumerate((f, untrained)):
        for number, chosen_layers in enumerate(sets):
            for seed in range(accuracy.shape[2]):
                seed_of_run = spec.seed + seed  # the same for f and untrained, another in each run
                tuned = tune(encoder, chosen_layers, known.images[:n], known.labels[:n], seed=seed_of_run, **values)
                accuracy[start, number, seed] = tuned.accuracy(asked.images[:m], asked.labels[:m])
    trained = dict(zip(layers, size, strict=True))
    at = [rows.index(layer) for layer in layers]
    arrays = {
        "accuracy": accuracy,
        "parameters": torch.tensor([sum(trained[layer] for layer in one) for one in sets]),
        "mirrored": found[at],
        "layermem": layermem[:, at],
    }
    header = {
        "sets": [list(one) for one in sets],
        "layers": layers,
        "chosen": {choice: [list(one) for one in some] for choice, some in chosen.items()},
        "budgeted": {choice: [list(one) for one in some] for choice, some in budgeted.items()},
    }
    return arrays, header


def orders(level: Mapping[str, float], layers: Sequence[str], before: Mapping[str, str]) -> dict[str, list[str]]:
    """The layers in the order in which each choice takes them.

    Args:
        level: Mirrored estimate of layers and of the sums between them.
        layers: Those that can be tuned, in forward order.
        before: {layer: what its delta is taken against}; the first layer has no delta, and is not chosen by it.
    """
    delta = metrics.delta(dict(level), dict(before))
    return {
        "layermem": sorted(layers, key=lambda n: -level[n]),
        "delta": sorted((n for n in layers if n in delta), key=lambda n: -delta[n]),
        "last": list(reversed(layers)),
        "least": sorted(layers, key=lambda n: level[n]),
    }


def within(room: int, order: Sequence[str], layers: Sequence[str], size: Sequence[int]) -> Layers:
    """The layers of an order, one after another, each that a budget of parameters still has room for.

    Args:
        room: Parameters that may be tuned.
        size: Parameters of each of `layers`.

    Returns:
        In forward order.
    """
    sizes, taken = dict(zip(layers, size, strict=True)), []
    for layer in order:
        if sizes[layer] <= room:
            taken.append(layer)
            room -= sizes[layer]
    return _forward(taken, layers)


def _forward(chosen: Sequence[str], layers: Sequence[str]) -> Layers:
    return tuple(layer for layer in layers if layer in chosen)


def wanted(layers: Sequence[str], size: Sequence[int], chosen: Sequence[Layers]) -> list[Layers]:
    """The sets to tune, each once, those of more layers behind.

    Args:
        size: Parameters of each layer.
        chosen: Sets beside each layer, `COMPARED`, the first layers within the last one's parameters, and all.
    """
    first = [name for i, name in enumerate(layers) if sum(size[: i + 1]) <= size[-1] and i < len(layers) - 1]
    compared = [one for one in COMPARED if set(one) <= set(layers)]
    found = [(), *((name,) for name in layers), *compared, tuple(first), tuple(layers), *chosen]
    return sorted(dict.fromkeys(found), key=lambda one: (len(one), [layers.index(name) for name in one]))
