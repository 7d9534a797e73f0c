"""The ResNet9 of the LayerMem paper's Table 8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from memlib.encoders.base import Encoder, Layer, Step, parameters
from memlib.encoders.convolutions import Conv2d


def _heard(module: nn.Module) -> bool:
    """Whether a hook listens to a module."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks) or nn.modules.module._has_any_global_hook()


class ConvBlock(nn.Sequential):
    """A 3 by 3 convolution with bias, BatchNorm, ReLU, and a max pool of 2 where the table names one."""

    def __init__(self, inputs: int, outputs: int, pool: bool = False) -> None:
        super().__init__()
        self.conv = Conv2d(inputs, outputs, 3, padding=1)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        if pool:
            self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Images or channels to channels; a ReLU that nobody listens to runs behind the max pool, on a quarter."""
        pool = self._modules.get("pool")
        if pool is None or type(self.relu) is not nn.ReLU or _heard(self.relu) or _heard(pool):
            return super().forward(x)
        return self.relu(pool(self.bn(self.conv(x))))  # the same function and gradient


class Residual(nn.Module):
    """Two blocks of equal width and the sum with their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvBlock(width, width)
        self.second = ConvBlock(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class ResNet9(Encoder):
    """The ResNet9 of the LayerMem paper's Table 8: images [N, 3, H, W], H and W from 16 up, to [N, 256].

    The output is the global max pool's 256-vector, which SSLMem and the linear probe use. The tables' rows
    `head` and `FC` are layers of unstated size behind it and are not part of the encoder.
    """

    dim = 256

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, 32, pool=True)  # 32x32 -> 16x16
        self.conv2_0 = ConvBlock(32, 64, pool=True)  # -> 8x8
        self.res2 = Residual(64)
        self.conv3 = ConvBlock(64, 128, pool=True)  # -> 4x4
        self.conv4_0 = ConvBlock(128, 256, pool=True)  # -> 2x2
        self.res6 = Residual(256)
        self.pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())  # -> [N, 256]
        rows = list(self._table())
        names = [None, *(row.name for row in rows)]
        self.layers = tuple(replace(row, previous=name) for row, name in zip(rows, names, strict=False))

    def forward(self, x: Tensor) -> Tensor:
        """Images to [N, 256]."""
        x = self.res2(self.conv2_0(self.conv1(x)))
        x = self.res6(self.conv4_0(self.conv3(x)))
        return self.pool(x)

    def steps(self) -> tuple[Step, ...]:
        """The numbered layers, each with its BatchNorm, ReLU and max pool, and `output`, the pooling at the end."""
        first, second = self.res2, self.res6
        runs: tuple[Callable[[Any], Any], ...] = (
            self.conv1,
            self.conv2_0,
            lambda x: (first.first(x), x),
            lambda state: state[1] + first.second(state[0]),
            self.conv3,
            self.conv4_0,
            lambda x: (second.first(x), x),
            lambda state: state[1] + second.second(state[0]),
        )
        layers = [layer for layer in self.layers if layer.kind == "conv"]
        numbered = (Step(layer.name, run, layer.parts) for layer, run in zip(layers, runs, strict=True))
        return (*numbered, Step("output", self.pool, ()))

    def _table(self) -> Iterator[Layer]:
        blocks = (  # number, the paper's suffix, path
            ("1", "1", "conv1"),
            ("2", "2-0", "conv2_0"),
            ("3", "2-1", "res2.first"),
            ("4", "2-2", "res2.second"),
            ("5", "3", "conv3"),
            ("6", "4-0", "conv4_0"),
            ("7", "4-1", "res6.first"),
            ("8", "4-2", "res6.second"),
        )
        for number, suffix, path in blocks:
            block = self.get_submodule(path)
            size = {name: parameters(part) for name, part in block.named_children()}
            units = int(block.get_parameter("conv.bias").numel())
            parts = (f"{path}.conv", f"{path}.bn")
            yield Layer(number, f"{path}.conv", f"{path}.relu", "conv", units, True, size["conv"], parts=parts)
            yield Layer(f"BN{suffix}", f"{path}.bn", None, "bn", units, False, size["bn"])
            if "pool" in size:
                yield Layer(f"MaxPool{suffix}", f"{path}.pool", None, "pool", units, False, 0)
            if path.endswith(".second"):
                name = path.split(".")[0]
                yield Layer(name.capitalize(), name, None, "residual", units, True, 0)
        yield Layer("output", "pool", None, "output", self.dim, False, 0)
