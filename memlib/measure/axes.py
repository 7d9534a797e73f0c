"""Which axis of an output has the images and which one the units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn.modules import batchnorm, conv, pooling

Shape = tuple[int, ...]

# modules that put out channels on axis 1, places behind it
CHANNELS_FIRST = (
    *(conv._ConvNd, batchnorm._NormBase, nn.GroupNorm, pooling._MaxPoolNd, pooling._AvgPoolNd, pooling._LPPoolNd),
    *(pooling._AdaptiveAvgPoolNd, pooling._AdaptiveMaxPoolNd),
)
FEATURES_LAST = (nn.Linear, nn.MultiheadAttention)


@dataclass(frozen=True)
class Layout:
    """How an output is laid out.

    Attributes:
        axis: Which has the images.
        per: How many places an image has on it: the windows of an image, or its tokens.
        inner: Whether the places of different images alternate on it, or those of one stand together.
        unit: Which axis has the units, of what `by_image` gives.
    """

    axis: int = 0
    per: int = 1
    inner: bool = False
    unit: int = 1

    def by_image(self, output: Tensor) -> Tensor:
        """The output with the images on axis 0, behind it what an image has: a view."""
        if self.per == 1:
            return output.movedim(self.axis, 0)
        sizes = (self.per, -1) if self.inner else (-1, self.per)
        return output.unflatten(self.axis, sizes).movedim(self.axis + self.inner, 0)

    def behind(self, axis: int) -> int:
        """Where another axis of the output is in what `by_image` gives."""
        return axis + 1 if axis < self.axis else axis + (self.per > 1)

    def original(self, axis: int) -> int:
        """The inverse of `behind`."""
        return axis - 1 if axis <= self.axis else axis - (self.per > 1)

    def shape(self, shape: Shape) -> Shape:
        """That of what `by_image` gives, with 0 for the number of images."""
        behind = list(shape)
        behind[self.axis : self.axis + 1] = [self.per] if self.per > 1 else []
        return (0, *behind)


def unit_axis(module: nn.Module, shape: Shape, normalised: int | None = None) -> int | None:
    """Which axis of a module's output has the units, where the kind of module tells: channels or features.

    Args:
        normalised: Which axis has one variance at all places, where that was looked at.
    """
    last = len(shape) - 1
    if isinstance(module, CHANNELS_FIRST):
        return 1
    if isinstance(module, FEATURES_LAST):
        return last
    width = getattr(module, "normalized_shape", None)  # of a LayerNorm or RMSNorm; timm's over channels are, too
    if width is None or last < 2:
        return None
    fitting = [axis for axis in (last, 1) if shape[axis] == tuple(width)[-1]]
    return fitting[0] if len(fitting) == 1 else normalised


def unit_axes(
    layouts: Mapping[str, Layout],
    shapes: Mapping[str, Shape],
    told: Mapping[str, int | None],
    larger: Mapping[str, Shape],
) -> tuple[dict[str, Layout], dict[str, int]]:
    """The layouts with the axes of their units; and of which outputs they were guessed, as they are put out.

    In this order: what is told of an output; the one axis that larger images leave as it is; where other outputs of
    its shape have theirs; of tokens, the axis as wide as another layer; a guess, as the last output of its shape.

    Args:
        layouts: By output, in forward order, as the others.
        shapes: Of the outputs; `larger`: those on as many larger images, where the model takes them.
        told: Axes of the outputs as they are put out.
    """
    behind = {name: layout.shape(shapes[name]) for name, layout in layouts.items()}
    known: dict[str, int] = {}
    for name, layout in layouts.items():
        shape, grown, axis = shapes[name], larger.get(name, ()), told.get(name)
        if axis is None and len(grown) == len(shape):
            same = [a for a, size in enumerate(shape) if a != layout.axis and size == grown[a]]
            wide = [a for a in same if shape[a] > 1] or same  # of a single unit the axis is 1
            axis = wide[0] if len(wide) == 1 else None
        if len(behind[name]) < 3:
            known[name] = 1
        elif axis is not None and axis != layout.axis:
            known[name] = layout.behind(axis)
    widths = {behind[name][unit] for name, unit in known.items() if len(behind[name]) > 2}
    found: dict[str, Layout] = {}
    guessed: dict[str, int] = {}
    last: dict[Shape, int] = {}
    for name, layout in layouts.items():
        shape, unit = behind[name], known.get(name)
        if unit is None:
            alike = {other for of, other in known.items() if behind[of] == shape}
            as_wide = {axis for axis in (1, 2) if len(shape) == 3 and shape[axis] in widths}
            if len(alike or as_wide) == 1:
                (unit,) = alike or as_wide
                if shape[1:].count(shape[unit]) > 1:  # with its axes turned it would look the same
                    guessed[name] = layout.original(unit)
            else:
                long = [a for a, size in enumerate(shapes[name]) if a != layout.axis and size > 1]
                usual = 1 if len(shapes[name]) != 3 and layout.axis != 1 else len(shapes[name]) - 1
                usual = long[0] if len(long) == 1 else usual
                unit = last.get(shape, layout.behind(usual))
                guessed[name] = layout.original(unit)
        last[shape] = unit
        found[name] = replace(layout, unit=unit)
    return found, guessed
