"""LayerMem in one call, with its controls, intervals, table and plot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from memlib import metrics
from memlib.encoders import Encoder, previous
from memlib.measure import Augment, Models, as_images, as_list, average, sweep
from memlib.passes import same_layers
from memlib.report.common import as_many, axes, legend, named

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
    """

    scores: Scores = field(repr=False)
    control: Scores | None = field(repr=False)
    mirror: Scores | None = field(repr=False)
    intervals: dict[str, dict[str, Interval]] = field(repr=False)
    note: str
    previous: dict[str, str] | None = field(default=None, repr=False)

    def table(self) -> pd.DataFrame:
        """A row a layer: `layer, layermem, delta, ci_low, ci_high`, and what the control and the mirror add.

        `delta` is against the row above, and missing in the first: give `layers` as the numbered layers for the
        deltas of the papers' Table 1, all rows for those of Table 18. A ViT's are those of Table 10: attention
        against the sum that enters the block, MLP against the sum in it, and the sum that leaves against the one
        that enters.
        """
        import pandas as pd

        mean = {layer: float(scores.double().mean()) for layer, scores in self.scores.items()}
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
        f, g: Encoders, or lists of them: their distances are averaged first, as eq. 1 has it. f[k] and g[k] of two
            lists of one length are a pair, and intervals are over pairs (a jackknife, t with pairs - 1 degrees of
            freedom). Otherwise intervals are over points, and describe these encoders only; the note says so.
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
    if mirror is not None and normalization != "ratio":
        raise ValueError(f"normalization={normalization!r}: a mirror cancels on the logarithm of the 'ratio'")

    def measured(points: Any) -> _Distances | None:
        if points is None:
            return None
        found = sweep(
            *([*fs, *gs], points, augment, layers, views, seed, distance, unit_length),
            pairs=pairs,
            precision=precision,
        )
        same_layers([one.align for one in found])
        return _Distances([s.align for s in found[: len(fs)]], [s.align for s in found[len(fs) :]], normalization)

    seen, other, turned = measured(images), measured(control), measured(mirror)
    assert seen is not None
    paired = len(fs) if len(fs) == len(gs) else 1
    intervals: dict[str, dict[str, Interval]] = {"layermem": _each(seen, paired, _mean)}
    if other is not None:
        intervals["excess"] = _each(seen, paired, _excess, other)
    if turned is not None:
        intervals["mirrored"] = _each(seen, paired, _mirrored, turned)
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
    )


@dataclass
class _Distances:
    """Distances of every f and every g on one set of points."""

    f: list[dict[str, Tensor]]
    g: list[dict[str, Tensor]]
    normalization: str

    def scores(self, without: int | None = None) -> Scores:
        """{layer: SSLMem [N]}, of all encoders or without one pair of them."""
        f, g = (average([d for i, d in enumerate(each) if i != without]) for each in (self.f, self.g))
        return {layer: metrics.sslmem(f[layer], g[layer], self.normalization) for layer in f}


def _mean(scores: Tensor) -> float:
    return float(scores.double().mean())


def _excess(scores: Tensor, control: Tensor) -> float:
    return _mean(scores) - _mean(control)


def _mirrored(scores: Tensor, mirror: Tensor) -> float:
    """The mirrored estimate on the scale of artanh(SSLMem')."""
    from memlib.stats import log_ratio

    return float(log_ratio(scores.numpy()).mean() - log_ratio(mirror.numpy()).mean()) / 2


def _each(
    seen: _Distances, paired: int, statistic: Callable[..., float], other: _Distances | None = None
) -> dict[str, Interval]:
    """{layer: interval of a statistic}, of the scores on one or two sets of points."""
    from dataclasses import replace

    import numpy as np

    from memlib import stats

    sets = [seen] if other is None else [seen, other]
    full = [one.scores() for one in sets]
    # what is left without each pair in turn: eq. 1 averages over the encoders, so that a pair alone has no part in it
    left = [[one.scores(k) for one in sets] for k in range(paired)] if paired > 1 else []
    found = {}
    for layer in full[0]:
        values = [scores[layer] for scores in full]
        if left:
            whole = statistic(*values)
            without = np.array([statistic(*(scores[layer] for scores in each)) for each in left])
            estimates = whole + (paired - 1) * (without.mean() - without)
            interval = stats.over_pairs(estimates, sum(len(v) for v in values))
            if statistic is _mirrored:
                mean, low, high = np.tanh([interval.mean, interval.low, interval.high]).tolist()
                interval = replace(interval, mean=mean, low=low, high=high, scale="log ratio")
        elif statistic is _mirrored:
            interval = stats.mirrored_pairs([(values[0].numpy(), values[1].numpy())])
        elif len(values) == 2:
            interval = stats.difference([(values[0].numpy(), values[1].numpy())])
        else:
            interval = stats.two_level([values[0].numpy()])
        found[layer] = interval
    return found


def _errorbar(ax: Axes, where: Any, table: pd.DataFrame, column: str, prefix: str, label: str, marker: str) -> None:
    mean, low, high = table[column], table[f"{prefix}_low"], table[f"{prefix}_high"]
    ax.errorbar(where, mean, yerr=[mean - low, high - mean], fmt=marker, capsize=3, label=label)


def _pairs(pairs: str, views: int) -> str:
    return f"all pairs of {views} views" if pairs == "views" else f"the image against {views} views"
