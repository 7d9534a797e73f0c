"""Numbers of a run of fine-tuning, as estimates: accuracies by the set of layers that was tuned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from memlib.book.cuts.finetuning import STARTS
from memlib.book.estimates import Estimate
from memlib.book.runs import Run
from memlib.specs import nearest

Layers = tuple[str, ...]
Pick = Callable[[Run], Layers]
HEAD: Layers = ()


def tuned(layers: Layers | Pick, start: str = "f") -> Estimate:
    """Accuracy on test images after tuning a set of layers with the head, in [0, 1], mean over seeds.

    Args:
        layers: The set, or which each run takes.
        start: "f", or "untrained": the same encoder before training.
    """
    return Estimate(
        lambda run: float(run.arrays["accuracy"][STARTS.index(start), _place(run, layers)].mean(dtype=np.float64))
    )


def more(first: Layers | Pick, second: Layers | Pick, start: str = "f") -> Estimate:
    """What tuning one set yields beyond another."""
    return tuned(first, start) - tuned(second, start)


def memory(layer: str) -> Estimate:
    """The mirrored estimate of a layer of the trained encoder."""
    return Estimate(lambda run: float(run.arrays["mirrored"][run.header["layers"].index(layer)]), scale="log ratio")


def size(layers: Layers | Pick) -> Estimate:
    """How many of the encoder's parameters a set tunes."""
    return Estimate(lambda run: int(run.arrays["parameters"][_place(run, layers)]))


def choice(name: str, count: int, budget: bool = False) -> Pick:
    """So many layers by one choice of `finetuning.orders`, or what fits into the last ones' parameters."""
    return lambda run: tuple(run.header["budgeted" if budget else "chosen"][name][count - 1])


def sets(run: Run) -> list[Layers]:
    """The sets that were tuned, fewer layers first."""
    return [tuple(one) for one in run.header["sets"]]


def _place(run: Run, layers: Layers | Pick) -> int:
    known, wanted = sets(run), layers(run) if callable(layers) else layers
    if wanted not in known:
        raise nearest(named(wanted), map(named, known), "set of tuned layers")
    return known.index(wanted)


def named(layers: Layers) -> str:
    """A set of layers in words."""
    whole = len(layers) > 3 and layers == tuple("12345678")[: len(layers)]
    return f"{layers[0]} to {layers[-1]}" if whole else ", ".join(layers) or "head only"
