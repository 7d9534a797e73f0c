"""What a look at a model tells before it is measured: which rows are whose, where units are, what is not repeatable.

A model is run on a few different images, on fewer of them, in another order, and on larger ones. An axis that grows
with their number has the images, one that grows with their size has places and no units, and what lies on the first
moves with its image or cannot be told to be its. All layers are looked at, whichever are asked for: what is found
out about one does not depend on that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from memlib.measure.axes import Layout, Shape, unit_axes, unit_axis
from memlib.measure.repeats import FEWER, IMAGES, ORDER, alike, different, prints, sentence, states
from memlib.measure.subjects import own
from memlib.specs import nearest
from memlib.taps import module_of, record, resolve

Run = Callable[[nn.Module, Tensor], Any]
Axes = Callable[[str, Tensor], list[int]]


@dataclass
class Look:
    """What was found out about a model.

    Attributes:
        layouts: {output that can be measured: `Layout`}, of what was asked for, in forward order.
        modules: {output: the module that puts it out}.
        skipped: {what else was asked for: why it is left out}.
        warnings: What makes its numbers less than they seem.
        notes: What was guessed.
        guessed: {output: the axis that was taken for that of its units}.
        draws: Whether its forward pass takes random numbers.
    """

    layouts: dict[str, Layout] = field(default_factory=dict)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    guessed: dict[str, int] = field(default_factory=dict)
    draws: bool = False


@dataclass(frozen=True)
class _Seen:
    """An output as it came by."""

    shape: Shape
    floats: bool
    eps: float  # of its numbers
    axes: list[int]  # that grew with the images
    prints: Tensor  # of what lies at each place on that axis, where it is one: a projection and the norm, [places, 2]
    normalised: int | None  # the axis along which it has one variance everywhere, where the module may mean two


def look(
    model: nn.Module,
    layers: Iterable[str] | None,
    run: Run,
    x: Tensor,
    units: bool = True,
    given: Mapping[str, int] | None = None,
) -> Look:
    """Find out how a model's outputs are laid out, and whether they are the same when it is run again.

    Args:
        layers: Names and patterns as for `record`; None: every module.
        run: Feeds images to the model.
        x: An image as an augmentation put it out, [1, 3, H, W].
        units: Whether the axes of the units are wanted.
        given: {output or pattern: the axis of its units}, from who knows it.

    Raises:
        KeyError: A layer is unknown.
        ValueError: A layer was named and puts out nothing that can be measured; or none does.
    """
    asked = None if layers is None else [layers] if isinstance(layers, str) else list(layers)
    runs, images, found = _Runs(model, asked, run), different(x), Look()
    made = _parameters(model)
    shapes, wanted = runs.shapes(images[:FEWER])
    if made := [name for name in _parameters(model) if name not in made]:
        found.notes.append(
            f"Some of its weights are made when it first runs: {', '.join(made)}, as they would be now."
        )
    first = runs.seen(images, lambda name, output: _growing(shapes.get(name, ()), output.shape))
    before = states(x.device)

    def axes(name: str, output: Tensor) -> list[int]:
        return first[name].axes if name in first and output.ndim == len(first[name].shape) else []

    turned, fewer = runs.seen(images[ORDER], axes), runs.seen(images[:FEWER], axes)
    found.draws = before != states(x.device)
    eps = max([1e-3, *(8 * one.eps for one in first.values())])
    known: dict[str, Layout] = {}
    restless = []  # outputs that are not their image's alone
    for name in shapes | first:
        if not all(name in each for each in (shapes, first, turned, fewer)):
            found.skipped[name] = "does not run each time"
        elif why := _unfit(shapes[name], first[name]):
            found.skipped[name] = why
        else:
            layout, alone = _follows(first[name], turned[name], fewer[name], eps)
            if layout is None:
                found.skipped[name] = f"puts out {first[name].shape} for three images: which are whose cannot be told"
            else:
                known[name] = layout
                restless += [] if alone else [name]
    if found.draws or restless:
        again = runs.seen(images, axes)
        noisy = [name for name in restless if name not in again or not _same(again[name], first[name], eps)]
        found.warnings.append(sentence(found.draws, noisy, restless))
    if units:
        told = {name: unit_axis(runs.source[name], shapes[name], first[name].normalised) for name in known}
        told |= _given(given or {}, wanted, shapes, known)
        unclear = [name for name in known if told[name] is None and len(shapes[name]) > 2]
        known, found.guessed = unit_axes(known, shapes, told, runs.larger(images[:FEWER]) if unclear else {})
        alike = Counter((re.sub(r"\d+", "*", name), axis) for name, axis in found.guessed.items() if name in wanted)
        several = {key: f", {n} layers" if n > 1 else "" for key, n in alike.items()}
        if named := ", ".join(f"{name} (axis {axis}{more})" for (name, axis), more in several.items()):
            found.notes.append(f"Which axis has the units was guessed of {named}: units={{layer: axis}} tells it.")
    found.layouts = {name: known[name] for name in wanted if name in known}
    found.modules = {name: runs.source[name] for name in found.layouts}
    found.skipped = {name: found.skipped[name] for name in wanted if name in found.skipped}
    _complain(found, asked)
    found.skipped |= runs.silent(asked, wanted)
    return found


def matching(asked: Iterable[str] | None, names: Mapping[str, Any]) -> list[str]:
    """The names that are asked for by name or pattern, in their own order."""
    if asked is None:
        return list(names)
    chosen = set()
    for one in [asked] if isinstance(asked, str) else asked:
        pattern = re.compile(re.escape(one).replace(r"\*", ".*").replace(r"\?", "."))
        matches = [one] if one in names else [name for name in names if pattern.fullmatch(name)]
        if not matches:
            raise nearest(one, names, "layer")
        chosen.update(matches)
    if not chosen:
        raise ValueError(f"layers is empty: name some of {', '.join(names)}, or take None for all")
    return [name for name in names if name in chosen]


class _Runs:
    """A model's runs on a few images, each with what its layers put out."""

    def __init__(self, model: nn.Module, asked: list[str] | None, run: Run) -> None:
        self.model, self.asked, self.run = model, asked, run
        self.every = None if asked is None else ["*", *asked]  # and second names of modules that have two
        self.modules = {name: module for name, (module, _) in resolve(model, self.every).items()}
        self.source: dict[str, nn.Module] = {}

    def shapes(self, images: Tensor) -> tuple[dict[str, Shape], dict[str, Any]]:
        """The shapes of all outputs, and those outputs that are asked for."""
        with (
            record(self.model, self.every, lambda _, output: tuple(output.shape)) as shapes,
            record(self.model, self.asked, lambda *_: True) as wanted,
        ):
            self.run(self.model, images)
        self.source = {name: self.modules[module_of(name, self.modules)] for name in shapes}
        self.calls = wanted.calls
        return dict(shapes), dict(wanted)

    def larger(self, images: Tensor) -> dict[str, Shape]:
        """The shapes on larger images, of a copy, as it may keep something of their size; none if it takes none."""
        copy, larger = own(self.model), nn.functional.interpolate(images, scale_factor=2.0)
        try:
            with record(copy, None, lambda _, output: tuple(output.shape)) as shapes:
                self.run(copy, larger)
        except Exception:  # what a model does about a size that it was not made for is its own
            return {}
        return dict(shapes)

    def seen(self, images: Tensor, axes: Axes) -> dict[str, _Seen]:
        """What all layers put out."""

        def keep(name: str, output: Tensor) -> _Seen:
            floats = output.is_floating_point()
            grew = axes(name, output) if floats and output.numel() else []
            return _Seen(
                tuple(output.shape),
                floats,
                torch.finfo(output.dtype).eps if floats else 0.0,
                grew,
                prints(output, grew[0]) if len(grew) == 1 else torch.empty(0, 2),
                _normalised(self.source.get(name), output) if grew else None,
            )

        with record(self.model, self.every, keep) as outputs:
            self.run(self.model, images)
        return dict(outputs)

    def silent(self, asked: list[str] | None, wanted: Mapping[str, Any]) -> dict[str, str]:
        """What was asked for and put out no tensor, and why; containers, which only hold others, are no layers."""
        found = {}
        sources = {module_of(output, self.modules) for output in wanted}
        for name, (module, _) in resolve(self.model, asked).items():
            if name in self.calls and name not in sources:
                found[name] = "puts out no tensor"
            elif name not in self.calls and type(module).forward is not nn.Module.forward:
                found[name] = "does not run in evaluation, or its weights are used without calling it"
        return found


def _parameters(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if not is_lazy(parameter)]


def _growing(two: Shape, three: Shape) -> list[int]:
    if len(two) != len(three):
        return []
    return [axis for axis, (a, b) in enumerate(zip(two, three, strict=True)) if a * IMAGES == b * FEWER and b]


def _normalised(module: nn.Module | None, output: Tensor) -> int | None:
    """Which of the axes that a LayerNorm may mean it has normalised: the one along which squares have one mean."""
    width = getattr(module, "normalized_shape", None)
    if width is None or output.ndim < 3 or not output.shape[1] == output.shape[-1] == tuple(width)[-1]:
        return None
    off = {}
    for axis in (output.ndim - 1, 1):
        y = output.detach().movedim(axis, -1).float()
        for name, undo in (("bias", torch.sub), ("weight", torch.div)):
            if isinstance(value := getattr(module, name, None), Tensor):
                y = undo(y, value.float())
        off[axis] = float((y.square().mean(-1) - 1).abs().nan_to_num(torch.inf).amax())
    return min(off, key=lambda axis: off[axis])


def _unfit(two: Shape, one: _Seen) -> str:
    """Why an output cannot be measured at all; nothing if it can."""
    came = f"of shape {two} for two images and {one.shape} for three"
    if not one.floats:
        return f"puts out no floats {came}: needed are floats"
    return "" if len(one.axes) == 1 else f"puts out floats {came}: needed is one axis that grows with the images"


def _follows(one: _Seen, turned: _Seen, fewer: _Seen, eps: float) -> tuple[Layout | None, bool]:
    """Whose each place on the axis of the images is, if that can be told; whether all of it is its image's alone.

    Where an image has one place, it is taken to be its own even if what is there changes with the others.
    """
    axis, per = one.axes[0], one.shape[one.axes[0]] // IMAGES
    if turned.shape != one.shape or len(fewer.prints) != per * FEWER:
        return (Layout(axis), False) if per == 1 else (None, False)
    three = (one.prints, turned.prints, fewer.prints)
    ways = {}
    for layout in [Layout(axis, per)] if per == 1 else [Layout(axis, per), Layout(axis, per, inner=True)]:
        a, b, c = (replace(layout, axis=0).by_image(p) for p in three)  # [images, (per,) 2]
        ways[layout] = float((b - a[ORDER]).abs().amax()), alike(b, a[ORDER], a, eps), alike(c, a[:FEWER], a, eps)
    best, *others = sorted(ways, key=lambda way: ways[way][0])
    apart, moves, alone = ways[best]
    if per > 1 and not (moves and (apart == 0 or ways[others[0]][0] > 10 * apart)):
        return None, moves
    return best, moves and alone


def _same(one: _Seen, other: _Seen, eps: float) -> bool:
    return one.shape == other.shape and alike(one.prints, other.prints, other.prints, eps)


def _given(
    given: Mapping[str, int], wanted: Mapping[str, Any], shapes: Mapping[str, Shape], known: Mapping[str, Layout]
) -> dict[str, int]:
    """The axes that the user tells, checked, counted from the front."""
    found = {}
    for name, axis in {name: axis for asked, axis in given.items() for name in matching(asked, wanted)}.items():
        axes = [a for a in range(len(shapes[name])) if name in known and a != known[name].axis]
        if axis not in [*axes, *(a - len(shapes[name]) for a in axes)]:
            raise ValueError(
                f"units={{{name!r}: {axis!r}}}: it puts out {shapes[name]} for two images, and allowed are {axes}"
            )
        found[name] = axis % len(shapes[name])
    return found


def _complain(found: Look, asked: list[str] | None) -> None:
    """Raise where a layer was named of which nothing can be measured, or where there is no layer at all."""
    for one in asked or ():
        why = next((why for name, why in found.skipped.items() if name == one or module_of(name, [one]) == one), None)
        if why and not any(name == one or module_of(name, [one]) == one for name in found.layouts):
            raise ValueError(f"layer {one!r} {why}")
    if not found.layouts:
        raise ValueError(f"no layer{f' of {asked}' if asked else ''} puts out floats, some for each image")
