"""ResNet18, 34 and 50 of tables 15 to 17: timm's, without the classification layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from timm.models import resnet
from torch import nn

from memlib.encoders.base import Encoder, Layer, Step, parameters
from memlib.encoders.convolutions import Conv2d
from memlib.specs import STEMS, nearest

DEPTHS: dict[int, tuple[Any, tuple[int, ...]]] = {
    18: (resnet.BasicBlock, (2, 2, 2, 2)),
    34: (resnet.BasicBlock, (3, 4, 6, 3)),
    50: (resnet.Bottleneck, (3, 4, 6, 3)),
}


class ResNet(Encoder, resnet.ResNet):
    """Images [N, 3, H, W] to the average pool's [N, 512], ResNet50's [N, 2048].

    Args:
        depth: 18, 34 or 50.
        stem: `7x7`, the papers' convolution of stride 2 and max pool: a quarter of the image's side goes into the
            first block; `3x3`, SimCLR's for CIFAR10: stride 1 and no max pool, so that all of it does.

    Raises:
        KeyError: The depth or the stem is unknown.
    """

    def __init__(self, depth: int, stem: str = "7x7") -> None:
        if depth not in DEPTHS:
            raise nearest(depth, map(str, DEPTHS), "depth of a ResNet")
        if stem not in STEMS:
            raise nearest(stem, STEMS, "stem")
        block, blocks = DEPTHS[depth]
        # branches that start at zero would make the untrained encoder, which is a control here, a shallow one
        super().__init__(block, blocks, num_classes=0, zero_init_last=False)
        if stem == "3x3":
            first = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
            self.add_module("conv1", first)
            self.add_module("maxpool", nn.Identity())
        for module in self.modules():
            if type(module) is nn.Conv2d:
                module.__class__ = Conv2d  # timm takes no class of convolutions
        self.dim = self.num_features
        self.layers = tuple(self._table())

    def steps(self) -> tuple[Step, ...]:
        """The convolution in front with its pool (`conv1`), the blocks as Table 24 names them, and `output`."""
        stem = nn.Sequential(self.conv1, self.bn1, self.act1, self.maxpool)
        found = [Step("conv1", stem, ("conv1", "bn1"))]
        for stage in range(1, 5):
            for number, (child, block) in enumerate(self.get_submodule(f"layer{stage}").named_children(), 1):
                found.append(Step(f"C{stage + 1}_B{number}", block, (f"layer{stage}.{child}",)))
        return (*found, Step("output", self.forward_head, ()))

    def _table(self) -> Iterator[Layer]:
        before = "conv1"
        yield Layer("conv1", "conv1", "act1", "conv", 64, True, parameters(self.conv1), parts=("conv1", "bn1"))
        if isinstance(self.maxpool, nn.MaxPool2d):
            yield Layer("max pool", "maxpool", None, "pool", 64, True, 0, before)
            before = "max pool"
        for stage in range(1, 5):
            number = 0
            for path, module in self.get_submodule(f"layer{stage}").named_modules(prefix=f"layer{stage}"):
                part = path.split(".")[-1]
                if not isinstance(module, nn.Conv2d) or not part.startswith("conv"):  # one of downsample
                    continue
                number += 1
                name = f"conv{stage + 1}-{number}"
                act = path.replace("conv", "act")  # the block's last: behind its sum
                parts = (path, path.replace("conv", "bn"))
                yield Layer(name, path, act, "conv", module.out_channels, True, parameters(module), before, parts)
                before = name
        yield Layer("output", "global_pool", None, "output", self.dim, True, 0, before)
