"""Many encoders put together from the steps of a few, run as a tree: what they have in common is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from memlib.augment import augmentation
from memlib.encoders import Encoder
from memlib.measure import as_images
from memlib.measure.subjects import own
from memlib.specs import nearest

Variant = Mapping[str, str]  # {name of a step: name of the encoder that gives it}; the first encoder gives the others


def subsets(steps: Sequence[str], sizes: Sequence[int], by: str) -> list[Variant]:
    """A variant for each set of steps of these sizes, all given by one encoder: of 8 steps 8, 28 and 56.

    Args:
        steps: Names of steps.
        sizes: How many steps are replaced at once.
        by: Name of the encoder that gives them.

    Raises:
        ValueError: There are no so many steps.
    """
    if wrong := [size for size in sizes if not 0 <= size <= len(steps)]:
        raise ValueError(f"sets of {wrong[0]} of the steps {', '.join(steps)}: allowed are 0 to {len(steps)}")
    return [dict.fromkeys(chosen, by) for size in sizes for chosen in combinations(steps, size)]


def highest(scores: Mapping[str, float], size: int) -> tuple[str, ...]:
    """The names of the highest scores, in the order in which they are given; of equal ones the first.

    Raises:
        ValueError: There are fewer scores.
    """
    if not 0 <= size <= len(scores):
        raise ValueError(f"the {size} highest of {', '.join(scores)}: allowed are 0 to {len(scores)}")
    chosen = sorted(scores, key=lambda name: -scores[name])[:size]
    return tuple(name for name in scores if name in chosen)


def features(encoders: Mapping[str, Encoder], variants: Sequence[Variant], images: Any, batch: int = 64) -> Tensor:
    """What variants of an encoder make of images, all in one pass: `probe.features` of each, but for rounding.

    The steps that variants share from the image on are computed once for a batch (depth first in a tree of common
    prefixes), so that never more than a state for each step is kept.

    Args:
        encoders: {name: encoder}, of one architecture and on one device. The first is the one that is changed.
            Copies run, in evaluation mode.
        variants: Which steps come from another encoder.
        images: uint8, or float in 0..1, [N, 3, H, W]; or a data set. Brought to squares of their shorter side.
        batch: Images in a forward pass.

    Returns:
        float32 [V, N, dim], on the CPU.

    Raises:
        KeyError: A variant names a step or an encoder that is not there.
        ValueError: The encoders have other steps than the first, or parameters of other shapes.
    """
    pixels = as_images(images)
    encoders = {name: own(one).eval() for name, one in encoders.items()}
    names, chains = _chains(encoders)
    tree = _tree([_sources(variant, names, list(encoders)) for variant in variants])
    first = next(iter(encoders.values()))
    device = next(first.parameters()).device
    prepare, unused = augmentation("none", min(pixels.shape[2:])), torch.Generator()
    found = torch.empty(len(variants), len(pixels), first.dim)
    with torch.inference_mode():
        for start in range(0, len(pixels), batch):
            x = prepare(pixels[start : start + batch].to(device), unused)
            x = x.contiguous(memory_format=torch.channels_last)  # half as fast again on a processor
            for leaf, output in _run(tree, chains, x):
                found[leaf, start : start + batch] = output.float().cpu()
    return found


def _chains(encoders: Mapping[str, Encoder]) -> tuple[list[str], list[list[Any]]]:
    """Names of the steps, and of each encoder what runs them."""
    if not encoders:
        raise ValueError("encoders is empty: needed are {name: encoder}, the one that is changed first")
    chains = {name: one.steps() for name, one in encoders.items()}
    (first, steps), *others = chains.items()
    expected = _shapes(encoders[first])
    for name, chain in others:
        shapes = _shapes(encoders[name])
        if [s.name for s in chain] != [s.name for s in steps] or shapes != expected:
            differ = next((path for path in expected | shapes if expected.get(path) != shapes.get(path)), "steps")
            raise ValueError(
                f"{name!r} ({type(encoders[name]).__name__}) and {first!r} ({type(encoders[first]).__name__}) do not "
                f"fit: {differ!r} is {shapes.get(differ, 'missing')} and {expected.get(differ, 'missing')}; "
                "needed are encoders of one architecture"
            )
    return [step.name for step in steps], [[step.run for step in chain] for chain in chains.values()]


def _shapes(encoder: Encoder) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}


def _sources(variant: Variant, steps: Sequence[str], encoders: Sequence[str]) -> list[int]:
    """Which encoder gives each step."""
    for step, encoder in variant.items():
        if step not in steps:
            raise nearest(step, steps, "step")
        if encoder not in encoders:
            raise nearest(encoder, encoders, "encoder")
    return [encoders.index(variant[step]) if step in variant else 0 for step in steps]


Tree = dict[int, Any]  # {encoder that gives the next step: the tree behind it}; at the end {-1: [variants]}


def _tree(variants: Sequence[Sequence[int]]) -> Tree:
    """Variants by their common prefixes."""
    root: Tree = {}
    for number, sources in enumerate(variants):
        node = root
        for source in sources:
            node = node.setdefault(source, {})
        node.setdefault(-1, []).append(number)
    return root


def _run(
    tree: Tree, chains: Sequence[Sequence[Any]], state: Any, depth: int = 0
) -> Iterator[tuple[list[int], Tensor]]:
    """The outputs of a tree's leaves, depth first, with the variants that end there."""
    for source, below in tree.items():
        if source == -1:
            yield below, state
        else:
            yield from _run(below, chains, chains[source][depth](state), depth + 1)
