"""Convolutions that train on small maps by fewer or larger products, on a CPU: the same function and gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Conv2d(nn.Conv2d):
    """A convolution whose kernel is 1, or 3 with padding 1, and which trains on small maps by matrix products.

    A kernel of 1, and what puts out a map of 1 by 1, is one matrix product. In float32 a kernel of 3 and stride 1 on
    a map of 8 by 8 or smaller takes minimal filtering (Lavin and Gray, 2016), forward and backward: 9 products
    instead of 36 for each pair of channels at 2 by 2, 36 instead of 144 at 4 by 4. In lower precision, where its sums
    would lose digits, a map of 2 by 2 is one matrix product, as each output sees all four inputs. All else, other
    kernels, GPUs and evaluation take the ordinary way.

    Weights are read in the memory order in which training keeps them, channels last.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Channels [N, C, H, W] to [N, outputs, H', W']."""
        return self._way(x)(x)

    def _way(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        size, stride, ordinary = x.shape[-1], self.stride, super().forward
        if not (self.training and x.device.type == "cpu" and x.ndim == 4 and x.shape[2] == size <= 8):
            return ordinary
        if self.groups > 1 or self.dilation != (1, 1) or self.padding_mode != "zeros":
            return ordinary
        three, low = (self.kernel_size, self.padding) == ((3, 3), (1, 1)), torch.is_autocast_enabled("cpu")
        if not low and not x.dtype == self.weight.dtype == torch.float32:
            return ordinary
        if (self.kernel_size, self.padding) == ((1, 1), (0, 0)):
            return self._pointwise
        if three and (size == 1 or (size == 2 and stride == (2, 2))):
            return self._whole
        if three and stride == (1, 1) and size in ((2,) if low else (2, 4, 8)):
            return self._multiplied if low else self._filtered
        return ordinary

    def _pointwise(self, x: Tensor) -> Tensor:
        down, right = self.stride
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return linear(x[:, :, ::down, ::right].permute(0, 2, 3, 1), weight, self.bias).permute(0, 3, 1, 2)

    def _whole(self, x: Tensor) -> Tensor:
        """All that the one output sees: the weights behind the padding."""
        size = x.shape[-1]
        weight = self.weight.permute(0, 2, 3, 1)[:, 1 : 1 + size, 1 : 1 + size].flatten(1)
        return linear(x.permute(0, 2, 3, 1).flatten(1), weight, self.bias)[:, :, None, None]

    def _multiplied(self, x: Tensor) -> Tensor:
        inputs, outputs = x.shape[1], len(self.weight)
        # of the weights at 0, 1, 2 those of the pairs (out, in) of a row: 1, 2, 0, 1
        pairs = torch.eye(3)[[1, 2, 0, 1]]
        matrix = _both_axes(pairs, self.weight.permute(2, 3, 0, 1)).view(2, 2, 2, 2, outputs, inputs)
        matrix = matrix.permute(0, 2, 4, 1, 3, 5).reshape(4 * outputs, 4 * inputs)
        y = linear(x.permute(0, 2, 3, 1).reshape(len(x), -1), matrix).view(len(x), 2, 2, outputs)
        return (y if self.bias is None else y + self.bias.to(y.dtype)).permute(0, 3, 1, 2)

    def _filtered(self, x: Tensor) -> Tensor:
        n, inputs, size, _ = x.shape
        to_x, to_weight, to_y = _filtering(size)
        points = len(to_x)
        x = _both_axes(to_x, x.permute(2, 3, 0, 1)).view(points**2, n, inputs)
        weight = _both_axes(to_weight, self.weight.permute(2, 3, 0, 1)).view(points**2, -1, inputs)
        products = torch.bmm(x, weight.transpose(1, 2)).view(points, points, n, -1)
        y = _both_axes(to_y, products).view(size, size, n, -1)
        y = y if self.bias is None else y + self.bias
        return y.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


def _both_axes(matrix: Tensor, x: Tensor) -> Tensor:
    """A matrix [P, H] applied to the first and the second axis of [H, H, A, B], which makes it [P, P, A B]."""
    rows = matrix @ x.reshape(len(x), -1)
    return matrix @ rows.view(len(rows), x.shape[1], -1)


@cache
def _filtering(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Minimal filtering of a padded row of `size` by 3 weights: y = C ((A x) * (B w)); A, B, C, with P products.

    A row of 8 is two of 4 that overlap.
    """
    if size == 2:
        a, b, c = [[1, 1], [0, 1], [1, 0]], [[0, 1, 0], [0, -1, 1], [1, -1, 0]], [[1, 1, 0], [1, 0, 1]]
        return torch.tensor(a).float(), torch.tensor(b).float(), torch.tensor(c).float()
    a = [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    b = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    c = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    tiles = size // 4
    x = torch.zeros(6 * tiles, size + 2)  # with the padding
    for tile in range(tiles):
        x[6 * tile : 6 * tile + 6, 4 * tile : 4 * tile + 6] = torch.tensor(a)
    y = torch.block_diag(*[torch.tensor(c).float()] * tiles)
    return x[:, 1:-1].contiguous(), (torch.tensor(b) / 24).repeat(tiles, 1), y
