"""LayerMem in one call, with its controls, intervals, table and plot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from memlib import metrics
from memlib.encoders import Encoder, previous
from memlib.measure import Augment, Models, as_images, as_list, average, notes, skipped, sweep
from memlib.measure.passes import Sweep, same_layers
from memlib.report.common import as_many, axes, duplicates, left_out, legend, named

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from memlib.stats import Interval

Scores = dict[str, Tensor]  # {layer: SSLMem of each point [N]}


@dataclass(frozen=True)
class LayerMem:
    """LayerMem of every layer with what it was measured against.

    Attributes:
        scores: {layer: SSLMem [N]} of the images, positive where f aligns better.
        control, mirror: The same of the control and the mirror images; None without.
        intervals: {column of the table: {layer: interval}}: `layermem`, `excess`, `mirrored`.
        note: What the intervals are over, and the choices behind the numbers.
        previous: {layer: what its delta is taken against}; None: the layer measured before it.
        skipped: {layer: why it was left out}.
        notes: What makes the numbers less than they seem, a sentence each.
    """

    scores: Scores = field(repr=False)
    control: Scores | None = field(repr=False)
    mirror: Scores | None = field(repr=False)
    intervals: dict[str, dict[str, Interval]] = field(repr=False)
    note: str
    previous: dict[str, str] | None = field(default=None, repr=False)
    skipped: dict[str, str] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list, repr=False)

    def table(self) -> pd.DataFrame:
        """A row a layer: `layer, layermem, delta, ci_low, ci_high`, and what the control and the mirror add.

        `delta` is against the row above, and missing in the first: give `layers` as the numbered layers for the
        deltas of the papers' Table 1, all rows for those of Table 18. A ViT's are those of Table 10: attention
        against the sum that enters the block, MLP against the sum in it, and the sum that leaves against the one
        that enters.
        """
        import pandas as pd

        mean = {layer: interval.mean for layer, interval in self.intervals["layermem"].items()}
        deltas = metrics.delta(mean, self.previous)
        columns: dict[str, Any] = {
            "layer": list(mean),
            "layermem": list(mean.values()),
            "delta": pd.array([deltas.get(layer) for layer in mean], dtype="Float64"),
            **self._bounds("layermem", "ci"),
        }
        if self.control is not None:
            columns["control"] = [float(scores.double().mean()) for scores in self.control.values()]
            columns |= {"excess": self._means("excess"), **self._bounds("excess", "excess")}
        if self.mirror is not None:
            columns |= {"mirrored": self._means("mirrored"), **self._bounds("mirrored", "mirrored")}
        table = pd.DataFrame(columns)
        table.attrs["note"] = self.note
        return table

    def summary(self) -> str:
        """What was found, and what was left out of it, in a few sentences."""
        found = self.intervals["layermem"]
        most = max(found, key=lambda layer: found[layer].mean)
        said = [
            f"LayerMem of {len(found)} layers; it is largest at {most!r}, {_in_words(found[most])}.",
            f"Its interval lies above 0 at {sum(one.low > 0 for one in found.values())} of them.",
        ]
        for column, what in (("excess", "Beyond the control"), ("mirrored", "By the mirrored estimate")):
            if each := self.intervals.get(column):
                above = sum(one.low > 0 for one in each.values())
                layers = "1 layer" if above == 1 else f"{above} layers"
                said.append(f"{what} it is {_in_words(each[most])} there, and above 0 at {layers}.")
        if self.control is None and self.mirror is None:
            said.append("Without a control or a mirror an offset between f and g counts as memorization.")
        return " ".join([*said, self.note, *self.notes, *left_out(self.skipped)])

    def plot(self, ax: Axes | None = None) -> Axes:
        """LayerMem by layer with its intervals, beside it the control and the mirrored estimate."""
        ax = axes(ax)
        table = self.table()
        where = range(len(table))
        ax.axhline(0, color="0.6", linewidth=0.8)
        _errorbar(ax, where, table, "layermem", "ci", "LayerMem", "o")
        if self.control is not None:
            ax.plot(where, table["control"], "x", color="0.5", label="control")
        if self.mirror is not None:
            _errorbar(ax, where, table, "mirrored", "mirrored", "mirrored", "D")
        ax.set_xticks(where, table["layer"], rotation=90 if len(table) > 12 else 0)
        ax.set_xlabel("layer")
        ax.set_ylabel("memorization (SSLMem)")
        legend(ax)
        return ax

    def _means(self, column: str) -> list[float]:
        return [interval.mean for interval in self.intervals[column].values()]

    def _bounds(self, column: str, prefix: str) -> dict[str, list[float]]:
        found = self.intervals[column].values()
        return {f"{prefix}_low": [i.low for i in found], f"{prefix}_high": [i.high for i in found]}


def layermem(
    f: Models,
    g: Models,
    images: Any,
    control: Any = None,
    mirror: Any = None,
    augment: Augment = "normal",
    layers: Iterable[str] | None = None,
    views: int = 10,
    *,
    distance: str = "l2",
    unit_length: bool = True,
    normalization: str = "ratio",
    pairs: str = "views",
    precision: str = "float32",
    seed: int = 0,
) -> LayerMem:
    """How much each layer of f memorizes images that f was trained on and g was not (eq. 1–4).

    `excess` is LayerMem minus that of the control. `mirrored` is half of LayerMem minus that of the mirror: an
    offset between f and g, which has nothing to do with the points, cancels. It is taken on log(SSL_g / SSL_f) =
    2 artanh(SSLMem'), where the cancellation is exact, and transformed back.

    Args:
        f, g: Encoders, or lists of them. f[k] and g[k] of two lists of one length are a pair: numbers are means over
            pairs, with intervals over them, as in the book. Otherwise the distances of all are averaged first, as eq.
            1 has it, and intervals are over points: they describe these encoders only, and the note says so.
        images: What f was trained on and g was not: see `alignment`.
        control: As many images, that neither was trained on.
        mirror: Images that g was trained on and f was not.
        augment, layers, views, distance, unit_length, pairs, precision, seed: See `alignment`.
        normalization: See `metrics.sslmem`; the mirror needs `ratio`.

    Raises:
        KeyError, ValueError: See `alignment` and `metrics.sslmem`; or f and g have different layers, or control
            and images different numbers of points.
    """
    fs, gs = as_list(f), as_list(g)
    as_many(control, images)
    twice = duplicates(images=images, control=control, mirror=mirror)
    if mirror is not None and normalization != "ratio":
        raise ValueError(f"normalization={normalization!r}: a mirror cancels on the logarithm of the 'ratio'")

    sweeps: list[Sweep] = []

    def measured(points: Any) -> _Distances | None:
        if points is None:
            return None
        found = sweep(
            *([*fs, *gs], points, augment, layers, views, seed, distance, unit_length),
            pairs=pairs,
            precision=precision,
        )
        same_layers([one.align for one in found])
        sweeps.extend(found)
        return _Distances([s.align for s in found[: len(fs)]], [s.align for s in found[len(fs) :]], normalization)

    seen, other, turned = measured(images), measured(control), measured(mirror)
    assert seen is not None
    paired = len(fs) if len(fs) == len(gs) else 1
    own = seen.pairs(paired)
    most = 1.0 if normalization == "ratio" else float("inf")  # of SSLMem
    intervals = {"layermem": _over(own, most)}
    if other is not None:
        intervals["excess"] = _over(own, 2 * most, other.pairs(paired))
    if turned is not None:
        intervals["mirrored"] = _mirrored(own, turned.pairs(paired))
    over = f"{paired} pairs of encoders" if paired > 1 else "the points: they describe these encoders only"
    return LayerMem(
        scores=seen.scores(),
        control=None if other is None else other.scores(),
        mirror=None if turned is None else turned.scores(),
        intervals=intervals,
        note=f"{len(fs)} f and {len(gs)} g, {len(as_images(images))} points; intervals over {over}. "
        f"{distance} distance, {'unit length' if unit_length else 'raw vectors'}, {_pairs(pairs, views)}, "
        f"augmentation {named(augment)}, normalization {normalization}, {precision}.",
        previous=previous(fs[0].layers, seen.f[0]) if isinstance(fs[0], Encoder) else None,
        skipped=skipped(sweeps),
        notes=[*twice, *notes(sweeps)],
    )


@dataclass
class _Distances:
    """Distances of every f and every g on one set of points."""

    f: list[dict[str, Tensor]]
    g: list[dict[str, Tensor]]
    normalization: str

    def scores(self) -> Scores:
        """{layer: SSLMem [N]} of all encoders: their distances are averaged first, as eq. 1 has it."""
        return self._of(average(self.f), average(self.g))

    def pairs(self, paired: int) -> list[_Pair]:
        """What each pair f[k], g[k] has; of encoders that are no pairs what all have together."""
        if paired == 1:
            both = average(self.f), average(self.g)
            return [_Pair(*both, self._of(*both))]
        return [_Pair(f, g, self._of(f, g)) for f, g in zip(self.f, self.g, strict=True)]

    def _of(self, f: dict[str, Tensor], g: dict[str, Tensor]) -> Scores:
        return {layer: metrics.sslmem(f[layer], g[layer], self.normalization) for layer in f}


class _Pair(NamedTuple):
    """Distances of f and g on one set of points, {layer: [N]}, and their SSLMem."""

    f: dict[str, Tensor]
    g: dict[str, Tensor]
    scores: Scores


def _over(seen: list[_Pair], most: float, control: list[_Pair] | None = None) -> dict[str, Interval]:
    """{layer: interval of mean SSLMem}, or of what it is above the control's; over pairs, or over a pair's points.

    None is wider than what can be, -`most` to `most`.
    """
    from memlib import stats

    found = {}
    for layer in seen[0].scores:
        a = [one.scores[layer].double().numpy() for one in seen]
        b = None if control is None else [one.scores[layer].double().numpy() for one in control]
        one = stats.two_level(a) if b is None else stats.difference(list(zip(a, b, strict=True)))
        found[layer] = replace(one, low=max(one.low, -most), high=min(one.high, most))
    return found


def _mirrored(seen: list[_Pair], mirror: list[_Pair]) -> dict[str, Interval]:
    """{layer: interval of the mirrored estimate}, as the book has it of its pairs."""
    import numpy as np

    from memlib import stats
    from memlib.pairs import S_C, S_I, Pair, mirrored_over

    pairs = []
    for c, i in zip(seen, mirror, strict=True):
        sets = np.repeat([S_C, S_I], [len(next(iter(one.f.values()))) for one in (c, i)])
        f, g = ({n: np.concatenate([d[n].numpy(), e[n].numpy()]) for n in d} for d, e in ((c.f, i.f), (c.g, i.g)))
        pairs.append(Pair(f, g, sets))
    if len(pairs) > 1:
        return {layer: mirrored_over(pairs, layer) for layer in seen[0].f}
    return {n: stats.mirrored_pairs([(pairs[0].of(n, S_C), pairs[0].of(n, S_I))]) for n in seen[0].f}


def _in_words(interval: Interval) -> str:
    from memlib.stats import number

    mean, low, high = (number(x, ".3f") for x in (interval.mean, interval.low, interval.high))
    return f"{mean} ({low} to {high})"


def _errorbar(ax: Axes, where: Any, table: pd.DataFrame, column: str, prefix: str, label: str, marker: str) -> None:
    mean, low, high = table[column], table[f"{prefix}_low"], table[f"{prefix}_high"]
    ax.errorbar(where, mean, yerr=[mean - low, high - mean], fmt=marker, capsize=3, label=label)


def _pairs(pairs: str, views: int) -> str:
    return f"all pairs of {views} views" if pairs == "views" else f"the image against {views} views"
