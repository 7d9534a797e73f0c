"""UnitMem in one call, with its control, intervals, tables and plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from memlib import metrics
from memlib.measure import Augment, Models, as_images, as_list, notes, skipped, sweep
from memlib.measure.passes import Peaks, Sweep, same_layers
from memlib.report.common import as_many, axes, duplicates, left_out, legend, named
from memlib.specs import is_whole, nearest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BLOCKS = 4  # disjoint blocks of points, whose spread stands in for several encoders


class Unit(NamedTuple):
    """A unit with its score and the index of the point that it answers most strongly to."""

    layer: str
    unit: int
    score: float
    point: int


@dataclass(frozen=True)
class UnitMem:
    """UnitMem of every unit, with the control's beside it.

    Attributes:
        peaks: {layer: `Peaks`} of each encoder on the images.
        control: The same on the control images; None without.
        blocks: {layer: `Peaks`} of each block of the images, for one encoder.
        note: What the intervals are over, and the choices behind the numbers.
        skipped: {layer: why it was left out}.
        notes: What makes the numbers less than they seem, or was guessed, a sentence each.
    """

    peaks: list[dict[str, Peaks]] = field(repr=False)
    control: list[dict[str, Peaks]] | None = field(repr=False)
    blocks: list[dict[str, Peaks]] = field(repr=False)
    note: str
    skipped: dict[str, str] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list, repr=False)

    def table(self) -> pd.DataFrame:
        """A row a unit: `layer, unit, unitmem, point`, and with a control `control`.

        Of several encoders also `encoder`, and their units are counted through. `point` is an index into the
        images. The control's are the same units; an untrained encoder's are others, to compare as a distribution.
        """
        import pandas as pd

        parts = []
        for layer in self.peaks[0]:
            start = 0
            for k, each in enumerate(self.peaks):
                peaks = each[layer]
                units = len(peaks.point)
                columns = {
                    "encoder": [k] * units,
                    "layer": [layer] * units,
                    "unit": range(start, start + units),
                    "unitmem": peaks.unitmem().tolist(),
                    "point": peaks.point.tolist(),
                }
                if self.control is not None:
                    columns["control"] = self.control[k][layer].unitmem().tolist()
                parts.append(pd.DataFrame(columns))
                start += units
        table = pd.concat(parts, ignore_index=True)
        if len(self.peaks) == 1:
            table = table.drop(columns="encoder")
        table.attrs["note"] = self.note
        return table

    def by_layer(self) -> pd.DataFrame:
        """A row a layer: `layer, units, unitmem, ci_low, ci_high`, and with a control `control, member_rate`.

        `unitmem` and `control` are means over the units. `member_rate` is the share of active units whose strongest
        point among images and control is an image: by chance a half, and missing where no unit is active. UnitMem
        has no bootstrap over points, as the largest of a resample is not the largest: intervals are over encoders;
        of one encoder they are the spread between disjoint blocks of its points, or the whole range where there are
        too few points for blocks.
        """
        import pandas as pd

        rows = []
        for layer in self.peaks[0]:
            each = [float(one[layer].unitmem().mean()) for one in self.peaks]
            mean = sum(each) / len(each)
            low, high = self._interval(layer, mean, each)
            row = {
                "layer": layer,
                "units": sum(len(one[layer].point) for one in self.peaks),
                "unitmem": mean,
                "ci_low": low,
                "ci_high": high,
            }
            if self.control is not None:
                pairs = [(one[layer], other[layer]) for one, other in zip(self.peaks, self.control, strict=True)]
                row["control"] = sum(float(c.unitmem().mean()) for _, c in pairs) / len(pairs)
                seen, unseen = (torch.cat([p[i].largest for p in pairs]) for i in (0, 1))
                active = torch.maximum(seen, unseen) > 0
                won = (seen > unseen).double() + 0.5 * (seen == unseen)
                row["member_rate"] = float(won[active].mean()) if active.any() else None
            rows.append(row)
        table = pd.DataFrame(rows)
        if self.control is not None:
            table["member_rate"] = table["member_rate"].astype("Float64")
        table.attrs["note"] = self.note
        return table

    def summary(self) -> str:
        """What was found, and what was left out of it, in a few sentences."""
        from memlib.stats import number

        layers, (best,) = self.by_layer(), self.top(1)
        said = [
            f"UnitMem of {layers['units'].sum()} units in {len(layers)} layers; "
            f"highest is unit {best.unit} of {best.layer!r}, {number(best.score, '.3f')}, at point {best.point}."
        ]
        if self.control is None:
            said.append("Without a control this is selectivity, which units have for unseen images too.")
        else:
            seen, unseen = (number(layers[column].mean(), ".3f") for column in ("unitmem", "control"))
            said.append(f"The mean over layers is {seen} on the images and {unseen} on the control.")
        return " ".join([*said, self.note, *self.notes, *left_out(self.skipped)])

    def top(self, k: int) -> list[Unit]:
        """The k units with the highest UnitMem, as (layer, unit, score, index of the point), highest first."""
        if not is_whole(k, 1):
            raise ValueError(f"k={k!r}: allowed is 1 or more")
        table = self.table().sort_values("unitmem", ascending=False, kind="stable").head(int(k))
        columns = (table[name].tolist() for name in ("layer", "unit", "unitmem", "point"))
        return [Unit(*row) for row in zip(*columns, strict=True)]

    def plot(self, ax: Axes | None = None) -> Axes:
        """The spread of UnitMem over the units of each layer, beside that of the control."""
        import matplotlib.pyplot as plt

        ax, line = axes(ax), {"color": plt.rcParams["text.color"]}
        table = self.table()
        names = list(self.peaks[0])
        sets = {"unitmem": "images", **({"control": "control"} if self.control else {})}
        for shift, (column, label) in enumerate(sets.items()):
            where = [i + 0.4 * shift - 0.2 * (len(sets) - 1) for i in range(len(names))]
            boxes = ax.boxplot(
                [table.loc[table["layer"] == name, column].to_numpy() for name in names],
                positions=where,
                widths=0.35,
                patch_artist=True,
                showfliers=False,
                medianprops={"color": "white"},
                boxprops=dict(line),
                whiskerprops=dict(line),
                capprops=dict(line),
            )
            for box in boxes["boxes"]:
                box.set_facecolor(f"C{shift}")
            boxes["boxes"][0].set_label(label)
        ax.set_xticks(range(len(names)), names, rotation=90 if len(names) > 12 else 0)
        ax.set_xlabel("layer")
        ax.set_ylabel("UnitMem")
        ax.set_ylim(0, 1)
        legend(ax)
        return ax

    def _interval(self, layer: str, mean: float, each: Sequence[float]) -> tuple[float, float]:
        from scipy.special import stdtrit

        if len(each) == 1:
            each = [float(block[layer].unitmem().mean()) for block in self.blocks]
            share = 1.0  # a block's own spread: with more points it is no larger
        else:
            share = len(each) ** -0.5
        if not each:
            return 0.0, 1.0
        half = share * float(torch.tensor(each, dtype=torch.float64).std() * stdtrit(len(each) - 1, 0.975))
        return max(0.0, mean - half), min(1.0, mean + half)


def unitmem(
    model: Models,
    images: Any,
    control: Any = None,
    augment: Augment = "normal",
    layers: Iterable[str] | None = None,
    views: int = 10,
    *,
    rest: str = "mean",
    signed: str = "abs",
    precision: str = "float32",
    seed: int = 0,
    units: Mapping[str, int] | None = None,
) -> UnitMem:
    """How strongly each unit prefers a single image over the others (eq. 5–8), in memory that does not grow with N.

    Selective units score high on images that the encoder has never seen, too: the control tells how high.

    Args:
        model: An encoder, or a list of them: intervals are over encoders then.
        images: What it was trained on: see `alignment`.
        control: As many images, that it was not trained on; as many, because a maximum grows with their number.
        augment, layers, views, signed, precision, seed, units: See `unit_activations`.
        rest: `mean`; the `median` needs the activations of all points, and is an error that says how to get it.

    Raises:
        KeyError, ValueError: See `alignment`; or control and images have different numbers of points, or there are
            fewer than two.
    """
    if rest not in metrics.RESTS:
        raise nearest(rest, metrics.RESTS, "rest of the points")
    if rest == "median":
        raise ValueError(
            "rest='median' needs the N x U table, and this pass keeps none: take "
            "metrics.unitmem(unit_activations(model, images, ...)[layer], rest='median')"
        )
    as_many(control, images)
    twice = duplicates(images=images, control=control)
    n = len(as_images(images))
    if n < 2:
        raise ValueError(f"images has {n} point: UnitMem compares a point with the others, and needs two or more")
    models = as_list(model)
    block = torch.arange(n) * BLOCKS // n
    blocks = range(BLOCKS if n >= 2 * BLOCKS and len(models) == 1 else 0)
    sets = {"all": torch.ones(n, dtype=torch.bool), **{f"block {b}": block == b for b in blocks}}

    sweeps: list[Sweep] = []

    def measured(points: Any, sets: Mapping[str, Tensor]) -> list[dict[str, dict[str, Peaks]]]:
        found = sweep(
            *(models, points, augment, layers, views, seed),
            align=False,
            units=sets,
            signed=signed,
            precision=precision,
            axes=units,
        )
        sweeps.extend(found)
        same_layers([one.peaks["all"] for one in found])
        return [one.peaks for one in found]

    seen = measured(images, sets)
    over = f"{len(models)} encoders" if len(models) > 1 else f"{BLOCKS} disjoint blocks of the points of one encoder"
    return UnitMem(
        peaks=[one["all"] for one in seen],
        control=None if control is None else [one["all"] for one in measured(control, {"all": sets["all"]})],
        blocks=[seen[0][f"block {b}"] for b in blocks],
        note=f"{n} points; intervals over {over}. {views} views, augmentation {named(augment)}, "
        f"rest mean, signed activations {signed}, {precision}.",
        skipped=skipped(sweeps),
        notes=[*twice, *notes(sweeps)],
    )
