"""How far apart the views of each point lie: the inner expectation of eq. 1, for many points at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from memlib.specs import nearest

DISTANCES = ("l2", "l1", "cosine", "angular")
PAIRS = ("views", "anchor")
# Squared distances come out of dot products, as |a|² + |b|² - 2ab, at a fraction of the cost of differences.
# Where they are below this share of |a|² and |b|², too few digits survive, and differences are taken.
NEAR = 0.005
TINY = 1e-15  # the squares of shorter vectors have lost digits, or are zero; those beyond its inverse may overflow
CACHED = 2**20  # floats that stay in a processor's cache
PAIRS_AT_ONCE = 64  # of those taken again: bounds the memory for it


def view_distance(features: Tensor, distance: str = "l2", unit_length: bool = True, pairs: str = "views") -> Tensor:
    """Mean distance between the views of each point (eq. 1).

    Two zero vectors are at distance 0, and a zero vector is orthogonal to every other.

    Args:
        features: [N, V, ...]: what V views of N points became; flattened behind the views.
        distance: `l2`, `l1`, `cosine` (1 - cos, 0..2) or `angular` (angle / π, 0..1).
        unit_length: Scale each view's vector to l2 length 1 first; cosine and angular do not depend on it.
        pairs: `views`: over all pairs of views, V from 2 up; `anchor`: between the first and each other one.

    Returns:
        [N] float32 (float64 for float64 features): not finite where the features are not.

    Raises:
        KeyError: The distance or the pairs are unknown.
        ValueError: There are fewer than two views, or no features.
    """
    if distance not in DISTANCES:
        raise nearest(distance, DISTANCES, "distance")
    if pairs not in PAIRS:
        raise nearest(pairs, PAIRS, "pairs")
    if features.ndim < 3 or features.shape[1] < 2 or 0 in features.shape:
        raise ValueError(f"features of shape {tuple(features.shape)}: needed is [N, V, ...] with V from 2 up")
    z = features.flatten(2)  # [N, V, D]
    if distance == "l1":
        z = _unit(z) if unit_length else z.to(_at_least_float32(z))
        apart = torch.cdist(z, z, p=1)  # [N, V, V]
    else:
        square, zero = _squares(z, unit_length or distance != "l2")
        if distance == "l2":
            apart = square.sqrt_()
        else:
            apart = square / 2  # |a - b|² = 2 (1 - cos) for unit vectors
            if zero is not None:  # [N, V]
                apart.masked_fill_(zero[:, :, None] ^ zero[:, None, :], 1)
            if distance == "angular":
                apart = 2 / math.pi * (apart / 2).clamp_(max=1).sqrt_().asin_()
    if pairs == "anchor":
        return apart[:, 0, 1:].mean(1)
    views = z.shape[1]
    return apart.sum((1, 2)) / (views * (views - 1))  # each pair twice, and 0 of each view from itself


def _squares(z: Tensor, unit_length: bool) -> tuple[Tensor, Tensor | None]:
    """Squared l2 distances between the views of each point [N, V, V]; and which views are zero, if any may be."""
    square = _gram(z)  # [N, V, V]
    length = square.diagonal(dim1=1, dim2=2).sqrt()  # [N, V]
    row, column = length[:, :, None], length[:, None, :]
    if unit_length:
        share = square = torch.rsub(square.div_(row).div_(column), 2, alpha=2)
    else:
        square = square.mul_(-2).add_(row * row).add_(column * column)
        share = square / torch.maximum(row, column).square_()
    share.diagonal(dim1=1, dim2=2).fill_(4)  # a view and itself are no pair
    shortest, longest = (float(x) for x in length.aminmax())
    lost, zero = not (shortest > TINY and longest < 1 / TINY), None
    if lost or not float(share.amin()) > NEAR:  # also where something is not a number
        again = ~(share > NEAR)
        if lost:
            zero = (z == 0).all(2)
            again |= (torch.minimum(row, column) < TINY) | (torch.maximum(row, column) > 1 / TINY)
        for some in again.triu(1).nonzero().split(PAIRS_AT_ONCE):
            point, i, j = some.unbind(1)
            a, b = (_unit(z[point, v]) if unit_length else z[point, v].to(square.dtype) for v in (i, j))  # [pairs, D]
            square[point, i, j] = square[point, j, i] = (a - b).square_().sum(1)
    square.diagonal(dim1=1, dim2=2).fill_(0)
    return square, zero


def _gram(z: Tensor) -> Tensor:
    """Dot products between the views of each point [N, V, V], summed in float32 or better.

    What is larger than a processor's cache is taken a few points at a time, which stay there from their conversion
    to the last product, and a view at a time against itself and the later ones: half the products are the others'.
    """
    dtype, (_, views, size) = _at_least_float32(z), z.shape
    if z.device.type != "cpu" or z.numel() <= CACHED:
        z = z.to(dtype)
        return torch.bmm(z, z.transpose(1, 2))
    gram = z.new_zeros(len(z), views, views, dtype=dtype)
    at_once = max(1, CACHED // (views * size))
    for some, products in zip(z.split(at_once), gram.split(at_once), strict=True):
        some = some.to(dtype)
        columns = some.transpose(1, 2)  # [points, D, V]
        for i in range(views):
            products[:, i : i + 1, i:] = torch.bmm(some[:, i : i + 1], columns[:, :, i:])
    return gram.add_(gram.triu(1).transpose(1, 2))


def _unit(z: Tensor) -> Tensor:
    """Vectors along the last axis at l2 length 1, zero vectors at 0, in float32 or better."""
    z = z.to(_at_least_float32(z))
    z = over(z, z.abs().amax(-1, keepdim=True))  # so that squares neither overflow nor vanish
    return over(z, torch.linalg.vector_norm(z, dim=-1, keepdim=True))


def _at_least_float32(z: Tensor) -> torch.dtype:
    return torch.promote_types(z.dtype, torch.float32)


def over(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0."""
    return torch.where(b == 0, 0, a / torch.where(b == 0, 1, b))
