"""What a pass over the points is made of: what hooks keep of each layer's output."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from memlib import metrics
from memlib.encoders import Encoder
from memlib.measure.axes import Layout
from memlib.measure.distances import view_distance
from memlib.measure.looks import Look, Run, look, matching
from memlib.measure.subjects import device_of, feeder, own
from memlib.measure.views import Views
from memlib.seeded import seeded

# modules that put out nothing below 0: their absolute value is not taken again
UNSIGNED = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Softmax, nn.Softplus, nn.Hardsigmoid)


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
    more: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # further distances [N], by their names
    skipped: dict[str, str] = field(default_factory=dict)  # layers that were left out: why
    notes: list[str] = field(default_factory=list)  # what to know of the numbers


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
    axes: Mapping[str, int]
    seed: int
    more: Mapping[str, tuple[str, bool]]


class Pass:
    """One model's part in a pass: which outputs are tapped, and what is kept of them as they come by."""

    def __init__(
        self, model: nn.Module, layers: Iterable[str] | None, views: Views, choices: Choices, x: Tensor
    ) -> None:
        # memlib's own take images in either layout, and are faster so
        self.model, self.feed = own(model), feeder(model, last=isinstance(model, Encoder))
        self.choices, self.n, self.each = choices, len(views.pixels), len(views.draws)
        self.device = device_of(model)
        self.found = Sweep()
        self.fresh: dict[str, list[Tensor]] = {}  # unit activations of the block, [points, U] each
        self.jobs: dict[str, list[Callable[[Tensor], None]]] = {}  # by output
        self.missing: set[str] = set()  # of these, those that have not come by yet
        with seeded(None, self.device):  # what takes random numbers begins where the next model's does
            x = x.to(self.device)
            chosen, seen = rows(self.model, layers, self._run, x, choices.units is not None, choices.axes)
        self.draws, self.found.skipped = seen.draws, seen.skipped
        self.found.notes = [f"{type(model).__name__}: {text}" for text in (*seen.warnings, *seen.notes)]
        for text in seen.warnings:
            warnings.warn(f"{type(model).__name__}: {text}", stacklevel=4)
        for row, tap, unit_tap in chosen:
            if choices.align:
                for kept in (self.found.align, *(self.found.more.setdefault(name, {}) for name in choices.more)):
                    kept[row] = torch.full((self.n,), torch.nan)
                self.jobs.setdefault(tap, []).append(self._distance(row, seen.layouts[tap]))
            if choices.units is not None:
                unsigned = isinstance(seen.modules[unit_tap], UNSIGNED)
                self.jobs.setdefault(unit_tap, []).append(self._activation(row, seen.layouts[unit_tap], unsigned))
                self.fresh[row] = []

    def _run(self, model: nn.Module, x: Tensor) -> None:
        model(self.feed(x))

    def forward(self, x: Tensor, points: range) -> None:
        """Run the model on these points' views [points * each, ...].

        Raises:
            ValueError: A layer did not run, or put out something else than before.
        """
        self.now, self.missing = slice(points.start, points.stop), set(self.jobs)
        with seeded(self.choices.seed + points.start, self.device) if self.draws else nullcontext():
            self._run(self.model, x)
        if self.missing:
            raise ValueError(
                f"layer {min(self.missing)!r} did not run on the points from {points.start} to {points.stop - 1}, "
                "and did on others: name layers that run each time"
            )

    def reduce(self, name: str, output: Tensor) -> None:
        """Inside the hook: what is kept of an output."""
        self.missing.discard(name)
        with torch.autocast(output.device.type, enabled=False):
            for job in self.jobs.get(name, ()):
                job(output)

    def _by_image(self, row: str, layout: Layout, output: Tensor) -> Tensor:
        images = (self.now.stop - self.now.start) * self.each
        if output.ndim <= layout.axis or output.shape[layout.axis] != images * layout.per:
            raise ValueError(
                f"layer {row!r} puts out {tuple(output.shape)} for {images} images, and had {layout.per} an image on "
                f"axis {layout.axis} before: name layers that put out as much for each"
            )
        return layout.by_image(output)

    def _distance(self, row: str, layout: Layout) -> Callable[[Tensor], None]:
        how = self.choices
        wanted = [(self.found.align[row], how.distance, how.unit_length)]
        wanted += [(self.found.more[name][row], *distance) for name, distance in how.more.items()]

        def job(output: Tensor) -> None:
            output = self._by_image(row, layout, output)
            if output.ndim == 4 and output.is_contiguous(memory_format=torch.channels_last):
                output = output.permute(0, 2, 3, 1)  # as it lies in memory: a distance knows no order
            features = output.reshape(-1, self.each, output.numel() // len(output))  # [points, views, D]
            for kept, distance, unit_length in wanted:
                kept[self.now] = view_distance(features, distance, unit_length, how.pairs)

        return job

    def _activation(self, row: str, layout: Layout, unsigned: bool) -> Callable[[Tensor], None]:
        signed = "unsigned" if unsigned else self.choices.signed

        def job(output: Tensor) -> None:
            output = self._by_image(row, layout, output)
            output = output[:, None] if output.ndim == 1 else output
            output = output.unflatten(0, (-1, self.each))[:, self.each - self.choices.views :]  # without the anchor
            if signed == "abs":
                output = output.abs()
            elif signed == "relu":
                output = output.relu()
            elif signed == "error" and (output < 0).any():
                raise ValueError(f"layer {row!r} puts out negative values: take signed='abs' or 'relu'")
            others = [d for d in range(1, output.ndim) if d != layout.unit + 1]
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
        kept += [item for rows in self.found.more.values() for item in rows.items()]
        kept += [(row, peaks.total) for rows in self.found.peaks.values() for row, peaks in rows.items()]
        for row, values in kept:
            if not torch.isfinite(values).all():
                raise ValueError(
                    f"layer {row!r} puts out values that are not finite, or too large for their squares: "
                    "the encoder may have diverged, or may need precision='float32'"
                )
        return self.found


def rows(
    model: nn.Module, layers: Iterable[str] | None, run: Run, x: Tensor, units: bool, axes: Mapping[str, int]
) -> tuple[list[tuple[str, str, str]], Look]:
    """What is measured of a model, (layer's name, output for distances, output for units), and a look at it.

    An encoder's table says which outputs are a layer's.

    Raises:
        KeyError: A layer is unknown.
        ValueError: A named layer puts out nothing that can be measured.
    """
    if not isinstance(model, Encoder):
        seen = look(model, layers, run, x, units, axes)
        return [(name, name, name) for name in seen.layouts], seen
    table = {row.name: (row.module, row.unit_module or row.module) for row in model.layers}
    chosen = [(row, *table[row]) for row in matching(layers, table)]
    given = {table[row][1]: axes[name] for name in axes for row in matching(name, table)}
    return chosen, look(model, [name for _, *taps in chosen for name in taps], run, x, units, given)


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
