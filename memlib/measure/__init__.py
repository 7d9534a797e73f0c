"""The passes over the points: distances between views and unit activations, of all layers in the same forwards.

A pass holds the views of one block of points and one batch of activations, whatever the number of points, layers
and units; the views of a point do not depend on what is measured beside it (`memlib.measure.views`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from memlib.measure.distances import DISTANCES, PAIRS
from memlib.measure.passes import Choices, Pass, Peaks, Sweep, same_layers
from memlib.measure.views import BLOCK, Augment, Views, hinted
from memlib.progress import progress
from memlib.specs import is_whole, nearest
from memlib.taps import record

__all__ = ["BLOCK", "Peaks", "Sweep", "alignment", "average", "sweep", "unit_activations"]

BATCH = {"float32": 80, "bfloat16": 160}  # images in a forward on a processor: what its cache holds
SIGNED = ("abs", "relu", "error")
PRECISIONS = ("float32", "bfloat16")

Models = nn.Module | Sequence[nn.Module]


class Measured(dict[str, Tensor]):
    """{layer: Tensor}, and what to know of it.

    Attributes:
        skipped: {layer: why it was left out}.
        notes: What makes the numbers less than they seem, a sentence each.
    """

    def __init__(self, values: Mapping[str, Tensor], found: Sequence[Sweep]) -> None:
        super().__init__(values)
        self.skipped, self.notes = skipped(found), notes(found)


def skipped(found: Iterable[Sweep]) -> dict[str, str]:
    """What several passes left out, {layer: why}."""
    return {name: why for one in found for name, why in one.skipped.items()}


def notes(found: Iterable[Sweep]) -> list[str]:
    """What several passes noted, each once."""
    return list(dict.fromkeys(note for one in found for note in one.notes))


def alignment(
    model: Models,
    images: Any,
    augment: Augment = "normal",
    layers: Iterable[str] | None = None,
    views: int = 10,
    distance: str = "l2",
    unit_length: bool = True,
    seed: int = 0,
    pairs: str = "views",
    precision: str = "float32",
) -> Measured:
    """Mean distance between augmented views of each point, at every layer (the inner expectation of eq. 1).

    Args:
        model: Any module, on its device; of a list (several seeds) the distances are averaged, as in eq. 1. A copy
            is measured, in its dtype and memory layout: the model stays as it is.
        images: uint8, or float in 0..1, [N, 3, H, W]; or a data set.
        augment: Name of an augmentation set, with views as large as the images' shorter side; a callable of
            (images, generator) as `augmentation` returns it; or a transform of torchvision or kornia.
        layers: Rows of an encoder's layer table; of other modules names or patterns as in `record`. None: all
            rows; every module that puts out floats, some of them for each image.
        views: Drawn for each point, 2 or more; the distance is averaged over all pairs of them.
        distance, unit_length: See `distances.view_distance`.
        seed: Of the views. The same views are drawn for every model.
        pairs: `views`, or `anchor`: the image itself against each of its views, as the authors' code has it.
        precision: `float32`, or `bfloat16` autocast.

    Returns:
        {layer: float32 [N], on the CPU}, in forward order; `.skipped` says what was left out and why.

    Raises:
        KeyError: A layer or another name is unknown.
        ValueError: Images or numbers are not as above, a named layer puts out nothing that can be measured, or
            a layer puts out values that are not finite, or does not run on all points.

    Warns:
        UserWarning: The model's evaluation is random, or what it puts out for an image depends on the others in its
            batch.
    """
    found = sweep(
        model, images, augment, layers, views, seed, distance, unit_length, pairs=pairs, precision=precision
    )
    return Measured(average([one.align for one in found]), found)


def unit_activations(
    model: Models,
    images: Any,
    augment: Augment = "normal",
    layers: Iterable[str] | None = None,
    views: int = 10,
    seed: int = 0,
    signed: str = "abs",
    precision: str = "float32",
    units: Mapping[str, int] | None = None,
) -> Measured:
    """Mean activation of every unit on every point, over its views (eq. 5).

    Of convolutions it is averaged over space, of tokens over all tokens. It is taken after the non-linearity
    where the encoder's layer table knows one. Elements that may be negative count by their absolute value, taken
    before anything is averaged (`signed="abs"`), or as 0 (`relu`), or are a ValueError (`error`).

    Args:
        model: Any module; the units of a list of them stand side by side.
        images, augment, layers, views, seed, precision: As for `alignment`; views may be 1.
        units: {layer: the axis of its output that has the units}, where looking at the model does not tell.

    Returns:
        {layer: float32 [N, U], on the CPU}, in forward order; `.skipped` and `.notes` say what was left out and what
        was guessed.

    Raises:
        As `alignment` does.
    """
    found = sweep(
        *(model, images, augment, layers, views, seed),
        align=False,
        units="table",
        axes=units,
        signed=signed,
        precision=precision,
    )
    same_layers([one.table for one in found])
    return Measured({name: torch.cat([one.table[name] for one in found], 1) for name in found[0].table}, found)


@torch.no_grad()  # not inference_mode: what it makes, and something keeps, could not be trained with
def sweep(
    model: Models,
    images: Any,
    augment: Augment = "normal",
    layers: Iterable[str] | None = None,
    views: int = 10,
    seed: int = 0,
    distance: str = "l2",
    unit_length: bool = True,
    *,
    pairs: str = "views",
    align: bool = True,
    units: str | Mapping[str, Tensor] | None = None,
    signed: str = "abs",
    precision: str = "float32",
    batch: int | None = None,
    axes: Mapping[str, int] | None = None,
    more: Mapping[str, tuple[str, bool]] | None = None,
) -> list[Sweep]:
    """One pass for all of it: distances and unit activations, of several models, on the same views.

    Args:
        align: Whether to take distances (`Sweep.align`).
        units: `table` for unit activations as `unit_activations` returns them (`Sweep.table`); or {name of a
            set: bool [N]} for their `Peaks` on sets of the points, which takes no N x U table (`Sweep.peaks`).
        batch: Images in a forward pass, at most; None: what suits the device.
        axes: The axes of units, as `units` of `unit_activations`.
        more: {name: (distance, unit_length)} of further distances between the same views (`Sweep.more`).
        model, images, augment, layers, views, seed, distance, unit_length, pairs, signed, precision: As for
            `alignment` and `unit_activations`.

    Returns:
        One `Sweep` a model.

    Raises:
        As `alignment` does.
    """
    models = as_list(model)
    pixels = as_images(images)
    for name, value, allowed in (
        ("distance", distance, DISTANCES),
        *(("distance", further, DISTANCES) for further, _ in (more or {}).values()),
        ("pairs", pairs, PAIRS),
        ("signed", signed, SIGNED),
        ("precision", precision, PRECISIONS),
    ):
        if value not in allowed:
            raise nearest(value, allowed, name)
    least = 2 if align and pairs == "views" else 1
    if not is_whole(views, least):
        raise ValueError(f"views={views!r}: allowed is {least} or more" + " to compare them" * (least == 2))
    if isinstance(units, Mapping):
        for name, mask in units.items():
            if mask.dtype != torch.bool or mask.shape != (len(pixels),):
                shape = tuple(mask.shape)
                raise ValueError(f"set {name!r}: {mask.dtype} {shape}; needed is one bool a point, [{len(pixels)}]")
        units = {name: mask.cpu() for name, mask in units.items()}
    elif units not in (None, "table"):
        raise ValueError(f"units={units!r}: allowed are None, 'table' and {{name of a set: bool [N]}}")
    if not align and units is None:
        raise ValueError("nothing to measure: align=False with units=None")
    drawn = Views(pixels, augment, views, seed, pairs == "anchor")
    views = int(views)
    choices = Choices(views, distance, unit_length, pairs, align, units, signed, axes or {}, seed, more or {})
    few = drawn.block(0, torch.device("cpu"))[:1]
    passes: list[Pass] = []
    for net in models:
        with hinted(net, pixels):
            passes.append(Pass(net, layers, drawn, choices, few))
    each, batch = len(drawn.draws), batch or (BATCH[precision] if passes[0].device.type == "cpu" else BLOCK * views)
    together = 1 << max(0, (batch // each).bit_length() - 1)  # points a forward: a power of 2, which divides BLOCK
    with ExitStack() as stack:
        outputs = [stack.enter_context(record(one.model, list(one.jobs), one.reduce)) for one in passes]
        done = stack.enter_context(progress(len(pixels), "measuring", "image"))
        for start in range(0, len(pixels), BLOCK):
            block = drawn.block(start, passes[0].device)
            points = range(start, min(start + BLOCK, len(pixels)))
            for now in (points[i : i + together] for i in range(0, len(points), together)):
                x = block[(now.start - start) * each : (now.stop - start) * each]
                for one, output in zip(passes, outputs, strict=True):
                    output.clear()
                    with torch.autocast(one.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                        one.forward(x, now)
                done(len(now))
            for one in passes:
                one.finish(points)
    return [one.result() for one in passes]


def average(found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over several encoders of their distances, {layer: [N]}: the expectation in eq. 1.

    Raises:
        KeyError: They have different layers.
    """
    same_layers(found)
    return {name: torch.stack([one[name] for one in found]).mean(0) for name in found[0]}


def as_list(model: Models) -> list[nn.Module]:
    """One model or several as a list.

    Raises:
        ValueError: There is none, or it is no module.
    """
    models = list(model) if isinstance(model, Iterable) and not isinstance(model, nn.Module) else [model]
    if not models or not all(isinstance(one, nn.Module) for one in models):
        kinds = ", ".join(type(one).__name__ for one in models) or "an empty list"
        raise ValueError(f"model is {kinds}: allowed is a torch.nn.Module, or a list of them")
    return models


def as_images(images: Any) -> Tensor:
    """The pixels of a data set or tensor, [N, 3, H, W].

    Raises:
        ValueError: They are not uint8, nor float in 0..1, [N, 3, H, W], N from 1 up.
    """
    pixels = getattr(images, "images", images)
    if not isinstance(pixels, Tensor):
        raise ValueError(f"images is {type(images).__name__}: allowed is a tensor [N, 3, H, W] or a data set")
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not len(pixels):
        raise ValueError(f"images of shape {tuple(pixels.shape)}: allowed is [N, 3, H, W] with N from 1 up")
    if pixels.dtype != torch.uint8 and not pixels.is_floating_point():
        raise ValueError(f"images of {pixels.dtype}: allowed are uint8, and floats in 0..1")
    return pixels
