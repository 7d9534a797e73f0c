"""Equations 1–16 as pure functions of tensors: SSLMem, LayerMem and its Δ, UnitMem, ClassMem, member rate.

Scores per point and per unit come first, averages last. 0/0 is 0, a point or unit that carries nothing: no
result is ever NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from memlib.measure.distances import over
from memlib.specs import nearest

NORMALIZATIONS = ("ratio", "range", "none")
RESTS = ("mean", "median")


def sslmem(
    align_f: Tensor | Sequence[Tensor], align_g: Tensor | Sequence[Tensor], normalization: str = "ratio"
) -> Tensor:
    """Memorization of each point by f against g: positive where f aligns its views better (eq. 1 and 2).

    Args:
        align_f: Mean distance between the views of each point under f, [N], 0 or more; of several encoders a
            list of such tensors, averaged before anything else, as the expectation in eq. 1 stands.
        align_g: The same under g, which was not trained on the points.
        normalization: `ratio`, eq. 2, in -1..1; `range`, the authors' code: eq. 1 over the spread (largest
            minus smallest) of eq. 1 on these points; `none`, eq. 1 itself.

    Returns:
        [N], in the dtype of the distances.

    Raises:
        KeyError: The normalization is unknown.
        ValueError: Shapes differ or are not [N], N is 0, a distance is negative or not finite, or all points
            have the same difference where `range` divides by its spread.
    """
    if normalization not in NORMALIZATIONS:
        raise nearest(normalization, NORMALIZATIONS, "normalization of SSLMem")
    f, g = _distances(align_f, "align_f"), _distances(align_g, "align_g")
    if f.shape != g.shape:
        raise ValueError(
            f"align_f has {len(f)} points and align_g has {len(g)}: both are taken on the same points, in one order"
        )
    dtype = torch.promote_types(f.dtype, g.dtype)
    f, g = f.double(), g.double()
    if normalization == "ratio":
        # over the larger of the two, so that neither their sum overflows nor small ones vanish
        larger = torch.maximum(f, g)
        f, g = over(f, larger), over(g, larger)
        return over(g - f, f + g).to(dtype)
    difference = g - f
    if normalization == "none":
        return difference.to(dtype)
    spread = difference.max() - difference.min()
    if spread == 0 and difference.any():
        raise ValueError(
            f"normalization='range' divides by the spread of the differences, and all {len(f)} points have the "
            "same: take 'ratio', or more points"
        )
    return over(difference, spread).to(dtype)


def layermem(
    align_f: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    align_g: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    normalization: str = "ratio",
) -> dict[str, float]:
    """LayerMem of every layer: the mean over the points of their SSLMem at that layer (eq. 3).

    Args:
        align_f, align_g: {layer: distances [N]} as `alignment` returns them; lists of such for several encoders.
        normalization: See `sslmem`.

    Raises:
        KeyError: A layer is in one and not in the other.
        ValueError: See `sslmem`; or there is no layer.
    """
    f, g = _by_layer(align_f), _by_layer(align_g)
    if not f or not g:
        raise ValueError("no layer to score: align_f and align_g are {layer: distances [N]}")
    for name in [*g, *f]:
        if name not in f or name not in g:
            there, other = (g, "align_f") if name in g else (f, "align_g")
            missing = nearest(name, f if there is g else g, f"layer in {other}")
            raise KeyError(f"{missing.args[0]}; f and g are compared at the same layers")
    return {name: float(sslmem(f[name], g[name], normalization).double().mean()) for name in f}


def delta(layermem: Mapping[str, float], previous: Mapping[str, str] | None = None) -> dict[str, float]:
    """ΔLayerMem: what a layer adds to its predecessor's LayerMem (eq. 4).

    Args:
        layermem: {layer: LayerMem} in forward order.
        previous: {layer: its predecessor}, for the layers that have one; None: the layer before in `layermem`.

    Returns:
        {layer: Δ}, without the first layer, or for the layers in `previous`.

    Raises:
        KeyError: `previous` names a layer that `layermem` does not have.
    """
    if previous is None:
        names = list(layermem)
        previous = dict(zip(names[1:], names, strict=False))
    for name in [*previous, *previous.values()]:
        if name not in layermem:
            raise nearest(name, layermem, "layer")
    return {name: float(layermem[name]) - float(layermem[before]) for name, before in previous.items()}


def unitmem(activations: Tensor, rest: str = "mean") -> Tensor:
    """UnitMem of each unit: its largest activation against those on the other points (eq. 6–8).

    Args:
        activations: [N, U], 0 or more: mean activation of every unit on every point (eq. 5), N from 2 up.
        rest: What stands for the other points: their `mean` (the formula) or their `median` (appendix C.1).

    Returns:
        [U] in 0..1, in the dtype of the activations; 0 for a unit that is never active.

    Raises:
        KeyError: The rest is unknown.
        ValueError: The activations are not [N, U] with N from 2 up, negative, or not finite.
    """
    if rest not in RESTS:
        raise nearest(rest, RESTS, "rest of the points")
    table = _table(activations)
    if rest == "mean":
        return selectivity(table.amax(0), _mean_of_others(table)).to(_dtype(activations))
    ordered = table.sort(0).values
    others = ordered[:-1]  # without the largest
    middle = (others[(len(others) - 1) // 2] + others[len(others) // 2]) / 2
    return selectivity(ordered[-1], middle).to(_dtype(activations))


def classmem(activations: Tensor, labels: Tensor) -> Tensor:
    """ClassMem of each unit, or ClassSelectivity on test images: its favourite class against the others (eq. 9–16).

    Args:
        activations: [N, U], 0 or more, of unaugmented images.
        labels: [N] integers; the classes are those that occur, 2 or more.

    Returns:
        [U] in 0..1, in the dtype of the activations; 0 for a unit that is never active.

    Raises:
        ValueError: Shapes or values are not as above.
    """
    table = _table(activations)
    if labels.shape != table.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"labels {labels.dtype} of shape {tuple(labels.shape)}: needed is one integer a point, [{len(table)}]"
        )
    classes, index = labels.to(table.device).unique(return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"all {len(table)} points have one label: needed are two classes or more")
    sums = torch.zeros(len(classes), table.shape[1], dtype=table.dtype, device=table.device)
    means = sums.index_add(0, index, table) / index.bincount()[:, None]  # [M, U]
    return selectivity(means.amax(0), _mean_of_others(means)).to(_dtype(activations))


def member_rate(activations: Tensor, member: Tensor) -> float:
    """Share of the active units whose strongest point is a member of the training set.

    By chance it is the share of members among the points. A unit with several strongest points counts by the
    share of members among them, so that the order of the points does not matter.

    Args:
        activations: [N, U], 0 or more.
        member: [N] bool.

    Raises:
        ValueError: Shapes or values are not as above, or no unit is active.
    """
    table = _table(activations)
    if member.shape != table.shape[:1] or member.dtype != torch.bool:
        raise ValueError(
            f"member {member.dtype} of shape {tuple(member.shape)}: needed is one bool a point, [{len(table)}]"
        )
    largest = table.amax(0)
    active = largest > 0
    if not active.any():
        raise ValueError(f"none of the {table.shape[1]} units is active on any of the {len(table)} points")
    strongest = (table == largest)[:, active].double()  # [N, U active]
    return float((strongest[member.to(table.device)].sum(0) / strongest.sum(0)).mean())


def selectivity(largest: Tensor, rest: Tensor) -> Tensor:
    """(largest - rest) / (largest + rest), 0 where both are 0 (eq. 8, 12 and 16); any shape, 0 <= rest <= largest."""
    share = over(rest, largest).clamp(0, 1)  # rounding may put a mean of equals above their maximum
    return torch.where(largest > 0, (1 - share) / (1 + share), 0)


def _mean_of_others(table: Tensor) -> Tensor:
    """Mean of each column without its largest entry, [U]."""
    return (table.sum(0) - table.amax(0)) / (len(table) - 1)


def _dtype(x: Tensor) -> torch.dtype:
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


def _distances(align: Tensor | Sequence[Tensor], what: str) -> Tensor:
    """One or several encoders' distances as one checked tensor [N]."""
    each = [align] if isinstance(align, Tensor) else list(align)
    if not each:
        raise ValueError(f"{what} is an empty list: needed is one tensor [N], or one for each encoder")
    for one in each:
        if one.ndim != 1 or not len(one) or one.shape != each[0].shape:
            shapes = ", ".join(str(tuple(a.shape)) for a in each)
            raise ValueError(f"{what} of shape {shapes}: needed is [N], one distance a point, N from 1 up")
        if not torch.isfinite(one).all() or (one < 0).any():
            raise ValueError(f"{what} has negative or non-finite entries: distances are finite and 0 or more")
    if len(each) == 1:
        return each[0].to(_dtype(each[0]))
    return torch.stack([one.double() for one in each]).mean(0).to(_dtype(each[0]))


def _by_layer(align: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]) -> dict[str, list[Tensor]]:
    """{layer: one tensor an encoder}."""
    each = [align] if isinstance(align, Mapping) else list(align)
    for one in each:
        if list(one) != list(each[0]):
            raise KeyError(f"the encoders have different layers: {', '.join(each[0])} and {', '.join(one)}")
    return {name: [one[name] for one in each] for name in each[0]} if each else {}


def _table(activations: Tensor) -> Tensor:
    """Checked activations [N, U] in float64, where sums of float32 are exact enough for constants to cancel."""
    if activations.ndim != 2 or len(activations) < 2 or not activations.shape[1]:
        raise ValueError(
            f"activations of shape {tuple(activations.shape)}: needed is [N, U], two points and one unit or more"
        )
    if not torch.isfinite(activations).all():
        raise ValueError("activations are not all finite")
    if (activations < 0).any():
        raise ValueError(
            "activations are signed, and the score is bounded for non-negative ones only: take .abs() or .relu() of "
            "each activation before it is averaged, as unit_activations does"
        )
    return activations.double()
