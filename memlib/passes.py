"""What a pass over the points is made of: views block by block, and what hooks keep of each layer's output."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from memlib import metrics
from memlib.augment import Augmentation, augmentation
from memlib.distances import view_distance
from memlib.encoders import Encoder
from memlib.specs import nearest
from memlib.taps import ROOT, SUFFIX, record

BLOCK = 64  # points whose views are drawn together: part of what a seed means
# modules that put out nothing below 0: their absolute value is not taken again
UNSIGNED = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Softmax, nn.Softplus, nn.Hardsigmoid)

Augment = str | Callable[[Tensor, torch.Generator], Tensor]


class Views:
    """The views of every point, in blocks of `BLOCK` consecutive points.

    The generator of a block's view is seeded with (seed, block, view), and the last block is filled up with its
    last point: the views of a point depend neither on how many are processed at once nor on what follows it,
    and the first views stay what they are when more are drawn.

    Args:
        pixels: [N, 3, H, W].
        anchor: Whether the image itself stands before its views.
    """

    def __init__(self, pixels: Tensor, augment: Augment, views: int, seed: int, anchor: bool) -> None:
        self.pixels, self.seed = pixels, seed
        self.augment = augmentation(augment, min(pixels.shape[-2:])) if isinstance(augment, str) else augment
        self.draws: list[int | None] = [*([None] if anchor else []), *range(views)]
        if anchor:
            if not isinstance(self.augment, Augmentation):
                raise ValueError(
                    f"pairs='anchor' needs the image itself normalised as its views are, which {augment!r} does not "
                    "tell: pass a name or memlib.augmentation(...)"
                )
            mean, std = (x.flatten().tolist() for x in (self.augment.mean, self.augment.std))
            self.plain = augmentation("none", self.augment.size, mean, std)

    def block(self, start: int, device: torch.device) -> Tensor:
        """The views of `BLOCK` points from `start` on, point by point: float32 [BLOCK * each, 3, s, s]."""
        points = torch.arange(start, start + BLOCK).clamp(max=len(self.pixels) - 1)
        images = self.pixels[points].to(device)
        drawn = [self._view(images, start // BLOCK, draw) for draw in self.draws]
        return torch.stack(drawn, 1).flatten(0, 1).contiguous(memory_format=torch.channels_last)

    def _view(self, images: Tensor, block: int, draw: int | None) -> Tensor:
        key = hashlib.sha256(f"{self.seed}/{block}/{draw}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big"))
        view = self.plain(images, generator) if draw is None else self.augment(images, generator)  # type: ignore[operator]
        if view.ndim != 4 or len(view) != len(images) or not view.is_floating_point():
            raise ValueError(
                f"the augmentation put out {view.dtype} of shape {tuple(view.shape)} for {len(images)} images: "
                f"needed are floats [{len(images)}, channels, height, width]"
            )
        return view.float()


@dataclass
class Peaks:
    """What UnitMem needs of a layer's units on a set of points, without their table: each [U], but `count`."""

    largest: Tensor
    point: Tensor  # index of the point where it was reached; the first of several
    total: Tensor  # sum over the points, float64
    count: int = 0

    @classmethod
    def of(cls, units: int) -> Peaks:
        return cls(torch.full((units,), -1.0), torch.full((units,), -1), torch.zeros(units, dtype=torch.float64))

    def update(self, activations: Tensor, points: Tensor) -> None:
        """Take in more points: activations [n, U], 0 or more; their indices [n], ascending from call to call."""
        if not len(points):
            return
        where = activations.argmax(0, keepdim=True)  # [1, U]
        largest = activations.gather(0, where)[0]
        better = largest > self.largest
        self.largest = torch.where(better, largest, self.largest)
        self.point = torch.where(better, points[where[0]], self.point)
        self.total = self.total + activations.sum(0, dtype=torch.float64)
        self.count += len(points)

    def unitmem(self) -> Tensor:
        """UnitMem of each unit with the mean as the rest, [U] (eq. 8); the median needs the N x U table.

        Raises:
            ValueError: There were fewer than two points.
        """
        if self.count < 2:
            raise ValueError(f"UnitMem compares a point with the others, and there were {self.count} points")
        rest = (self.total - self.largest) / (self.count - 1)
        return metrics.selectivity(self.largest.double(), rest).float()


@dataclass
class Sweep:
    """What one pass found out about one model, by layer in forward order, on the CPU."""

    align: dict[str, Tensor] = field(default_factory=dict)  # distances [N]
    table: dict[str, Tensor] = field(default_factory=dict)  # unit activations [N, U]
    peaks: dict[str, dict[str, Peaks]] = field(default_factory=dict)  # of each set of points


@dataclass
class Choices:
    """How a pass measures; see `measure.alignment` and `measure.sweep`."""

    views: int
    distance: str
    unit_length: bool
    pairs: str
    align: bool
    units: str | Mapping[str, Tensor] | None
    signed: str


class Pass:
    """One model's part in a pass: which outputs are tapped, and what is kept of them as they come by."""

    def __init__(
        self, model: nn.Module, layers: Iterable[str] | None, views: Views, choices: Choices, few: Tensor
    ) -> None:
        self.model, self.choices, self.n = model, choices, len(views.pixels)
        self.each = len(views.draws)
        self.device = next((x.device for x in (*model.parameters(), *model.buffers())), torch.device("cpu"))
        self.found = Sweep()
        self.now: slice | None = None  # points whose views are in the model
        self.fresh: dict[str, list[Tensor]] = {}  # unit activations of the block, [points, U] each
        self.jobs: dict[str, list[Callable[[Tensor], None]]] = {}  # by output
        for row, tap, unit_tap in rows(model, layers, few.to(self.device), choices.units is not None):
            if choices.align:
                self.found.align[row] = torch.empty(self.n)
                self.jobs.setdefault(tap, []).append(self._distance(row))
            if choices.units is not None:
                name, axis, unsigned = unit_tap
                self.jobs.setdefault(name, []).append(self._activation(row, axis, unsigned))
                self.fresh[row] = []

    def forward(self, x: Tensor, points: range) -> None:
        """Run the model on these points' views [points * each, ...]."""
        self.now = slice(points.start, points.stop)
        self.model(x)
        self.now = None

    def reduce(self, name: str, output: Tensor) -> None:
        """Inside the hook: what is kept of an output."""
        if self.now is None:  # the same model, or a part of it, runs for another pass
            return
        with torch.autocast(output.device.type, enabled=False):
            for job in self.jobs.get(name, ()):
                job(output)

    def _distance(self, row: str) -> Callable[[Tensor], None]:
        kept, how = self.found.align[row], self.choices

        def job(output: Tensor) -> None:
            if output.ndim == 4 and output.is_contiguous(memory_format=torch.channels_last):
                output = output.permute(0, 2, 3, 1)  # as it lies in memory: a distance knows no order
            features = output.reshape(-1, self.each, output.numel() // len(output))  # [points, views, D]
            kept[self.now] = view_distance(features, how.distance, how.unit_length, how.pairs)

        return job

    def _activation(self, row: str, axis: int, unsigned: bool) -> Callable[[Tensor], None]:
        signed = "unsigned" if unsigned else self.choices.signed

        def job(output: Tensor) -> None:
            output = output[:, None] if output.ndim == 1 else output
            output = output.unflatten(0, (-1, self.each))[:, self.each - self.choices.views :]  # without the anchor
            if signed == "abs":
                output = output.abs()
            elif signed == "relu":
                output = output.relu()
            elif signed == "error" and (output < 0).any():
                raise ValueError(f"layer {row!r} puts out negative values: take signed='abs' or 'relu'")
            others = [d for d in range(1, output.ndim) if d != axis + 1]
            self.fresh[row].append(output.mean(others, dtype=torch.float32).cpu())  # [points, U]

        return job

    def finish(self, points: range) -> None:
        """After a block: its unit activations go where they are kept."""
        units = self.choices.units
        for row, parts in self.fresh.items():
            activations = torch.cat(parts)
            parts.clear()
            if units == "table":
                if row not in self.found.table:
                    self.found.table[row] = torch.empty(self.n, activations.shape[1])
                self.found.table[row][points.start : points.stop] = activations
            elif isinstance(units, Mapping):
                for name, mask in units.items():
                    inside = mask[points.start : points.stop].nonzero()[:, 0]
                    peaks = self.found.peaks.setdefault(name, {}).setdefault(row, Peaks.of(activations.shape[1]))
                    peaks.update(activations[inside], inside + points.start)

    def result(self) -> Sweep:
        """What was found, checked.

        Raises:
            ValueError: A layer put out values that are not finite.
        """
        kept = [*self.found.align.items(), *self.found.table.items()]
        kept += [(row, peaks.total) for rows in self.found.peaks.values() for row, peaks in rows.items()]
        for row, values in kept:
            if not torch.isfinite(values).all():
                raise ValueError(
                    f"layer {row!r} puts out values that are not finite, or too large for their squares: "
                    "the encoder may have diverged, or may need precision='float32'"
                )
        return self.found


def rows(
    model: nn.Module, layers: Iterable[str] | None, x: Tensor, units: bool
) -> list[tuple[str, str, tuple[str, int, bool]]]:
    """What is measured of a model: (layer's name, output for distances, (output for units, axis, unsigned)).

    Args:
        x: A few images to find out with what the layers put out.
        units: Whether units are wanted: an encoder's table tells everything else.

    Raises:
        KeyError: A layer is unknown.
        ValueError: A named layer puts out nothing that can be measured.
    """
    if isinstance(model, Encoder):
        table = {row.name: row for row in model.layers}
        chosen = _matching(layers, table)
        taps = [t for row in chosen for t in (table[row].module, table[row].unit_module or table[row].module)]
        axes = _axes(model, taps, x) if units else dict.fromkeys(taps, 1)
        return [
            (row, table[row].module, _unit_tap(model, table[row].unit_module or table[row].module, axes))
            for row in chosen
        ]
    axes = _axes(model, layers, x)
    return [(name, name, _unit_tap(model, name, axes)) for name in axes]


def _matching(asked: Iterable[str] | None, names: Mapping[str, Any]) -> list[str]:
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


def _unit_tap(model: nn.Module, name: str, axes: dict[str, int]) -> tuple[str, int, bool]:
    return name, axes[name], isinstance(_module(model, name), UNSIGNED)


def _module(model: nn.Module, name: str) -> nn.Module:
    """The module that an output comes from."""
    stem = SUFFIX.sub("", name)
    return model if stem == ROOT and ROOT not in dict(model.named_children()) else model.get_submodule(stem)


def _axes(model: nn.Module, layers: Iterable[str] | None, x: Tensor) -> dict[str, int]:
    """{output: axis of its units} of the layers that put out floats, one row of them an image."""
    asked = None if layers is None else [layers] if isinstance(layers, str) else list(layers)
    seen: dict[tuple[int, ...], int] = {}

    def look(name: str, output: Tensor) -> tuple[tuple[int, ...], bool, int]:
        shape = tuple(output.shape)
        seen[shape[1:]] = axis = unit_axis(_module(model, name), shape, seen)
        return shape, output.is_floating_point(), axis

    found = []
    for images in (2, 3):  # what follows their number has a row an image
        with torch.inference_mode(), record(model, asked, look) as outputs:
            model(x[:images])
        found.append(dict(outputs))
    axes = {}
    for name, (shape, floats, axis) in found[0].items():
        other = found[1].get(name, ((),))[0]
        if floats and 0 not in shape and shape[:1] == (2,) and other == (3, *shape[1:]):
            axes[name] = axis
        elif asked is not None and name in asked:
            raise ValueError(
                f"layer {name!r} puts out {'floats' if floats else 'no floats'} of shape {shape} for two images and "
                f"{other} for three: needed are floats whose first axis is the images"
            )
    if not axes:
        raise ValueError(f"no layer{f' of {asked}' if asked else ''} puts out floats whose first axis is the images")
    return axes


def unit_axis(module: nn.Module, shape: tuple[int, ...], seen: Mapping[tuple[int, ...], int]) -> int:
    """Which axis the units are on: channels of convolutions, features of linear layers and of tokens.

    An output that a module does not decide has its units where the last output of its shape had them: an
    activation function, or the sum at a block's end.
    """
    last = len(shape) - 1
    if last < 2:
        return 1
    if isinstance(module, nn.modules.conv._ConvNd | nn.modules.batchnorm._NormBase):
        return 1
    if isinstance(module, nn.Linear):
        return last
    if isinstance(module, nn.LayerNorm):  # timm's over channels is one, too
        return last if module.normalized_shape[-1] == shape[-1] else 1
    dims = getattr(module, "dims", None)
    if type(module).__name__ == "Permute" and dims is not None:  # torchvision's, around the above
        before = [0] * len(shape)
        for to, of in enumerate(dims):
            before[of] = shape[to]
        return list(dims).index(seen.get(tuple(before[1:]), 1))
    return seen.get(shape[1:], last if last == 2 else 1)


def same_layers(found: Sequence[Mapping[str, Any]]) -> None:
    """Check that several models have the same layers.

    Raises:
        KeyError: They have not.
    """
    for one in found:
        if list(one) != list(found[0]):
            raise KeyError(
                f"the models have different layers, {', '.join(found[0])} and {', '.join(one)}: "
                "name those that are compared"
            )
