"""Vision Transformers from timm's parts, with both residual sums of a block as modules of their own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from timm.models import vision_transformer
from torch import Tensor, nn

from memlib.encoders.base import Encoder, Layer, Step, parameters


class ClassToken(nn.Module):
    """Tokens [N, T, D] to [N, 1 + T, D]: a learned one in front.

    A module of its own with no other parts, so that its parameter is used by the call that gives DP-SGD its
    gradient of each point.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, 1, width).normal_(std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.weight.to(x.dtype).expand(len(x), -1, -1), x], 1)


class Embed(nn.Module):
    """Images [N, 3, H, W] to tokens [N, 1 + T, D]: CLS, then the patches row by row with their places added.

    Places are fixed, sines and cosines of row and column (as MAE's). Images of another size than `size` have them
    resampled: a small crop covers the same range as a whole image (as DINO's).
    """

    positions: Tensor

    def __init__(self, width: int, size: int, patch: int) -> None:
        super().__init__()
        if patch < 1 or size < patch or size % patch:
            raise ValueError(f"patch={patch} does not divide size={size}: allowed are divisors of the images' side")
        self.patch, self.grid = patch, (size // patch, size // patch)
        self.proj = nn.Conv2d(3, width, patch, patch)
        self.cls_token = ClassToken(width)
        places = build_sincos2d_pos_embed(list(self.grid), width)  # [T, D]
        self.register_buffer("positions", places[None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"images of {height}x{width} pixels are not made of {self.patch}x{self.patch} patches: "
                f"allowed are multiples of {self.patch}"
            )
        grid = (height // self.patch, width // self.patch)
        places = self.positions
        if grid != self.grid:
            places = resample_abs_pos_embed(places, list(grid), list(self.grid), num_prefix_tokens=0)
        return self.cls_token(self.proj(x).flatten(2).transpose(1, 2) + places)


class Block(vision_transformer.Block):
    """timm's block, whose two sums pass through modules: what a hook changes there also takes the skip connection."""

    def __init__(self, width: int, heads: int) -> None:
        # nn.LayerNorm itself: opacus has a fast rule for it and not for timm's subclass
        norm: Any = partial(nn.LayerNorm, eps=1e-6)
        super().__init__(width, heads, qkv_bias=True, norm_layer=norm)
        # on processors torch's fused attention takes four times as long as plain products, most of it backwards
        self.attn.fused_attn = torch.cuda.is_available()  # type: ignore[assignment]
        self.sum1, self.sum2 = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Tokens [N, T, width] to as many."""
        x = self.sum1(x + self.attn(self.norm1(x)))
        return self.sum2(x + self.mlp(self.norm2(x)))


class First(nn.Module):
    """The first token: [N, 1 + T, D] to [N, D]."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class ViT(Encoder):
    """Images [N, 3, H, W] to the CLS token behind the last normalisation, [N, width].

    Args:
        width, heads, depth: Of the tokens, of an attention layer, and number of blocks.
        size: Pixels of the images' side; others are taken too, see `Embed`.
        patch: Pixels of a patch's side.

    Raises:
        ValueError: The patch does not divide the size.
    """

    def __init__(self, width: int, heads: int, size: int, patch: int, depth: int = 12) -> None:
        super().__init__()
        self.dim = width
        self.embed = Embed(width, size, patch)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pool = First()
        for name, parameter in self.named_parameters():  # MAE's start, of linear layers and the patch convolution
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim in (2, 4):
                nn.init.xavier_uniform_(parameter.data.flatten(1))
        self.layers = tuple(self._table())

    def forward(self, x: Tensor) -> Tensor:
        """The CLS token of all patches, [N, width]."""
        return self.pool(self.tokens(x))

    def tokens(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens behind the last normalisation, CLS first.

        Args:
            images: [N, 3, H, W].
            keep: int64 [N, K], indices of the patches that are looked at, CLS always being; None: all.

        Returns:
            [N, 1 + K, width].
        """
        x = self.embed(images)
        if keep is not None:
            chosen = torch.cat([torch.zeros_like(keep[:, :1]), keep + 1], 1)  # [N, 1 + K]
            x = x.gather(1, chosen[..., None].expand(-1, -1, x.shape[-1]))
        return self.norm(self.blocks(x))

    def steps(self) -> tuple[Step, ...]:
        """The tokens (`embed`), the blocks from `block1` on, and the last normalisation and CLS token (`output`)."""
        blocks = (Step(f"block{i + 1}", block, (f"blocks.{i}",)) for i, block in enumerate(self.blocks))
        last = Step("output", lambda x: self.pool(self.norm(x)), ("norm",))
        return (Step("embed", self.embed, ("embed",)), *blocks, last)

    def _table(self) -> Iterator[Layer]:
        before = None  # the sum that enters the block
        for number in range(1, len(self.blocks) + 1):
            path = f"blocks.{number - 1}"
            att, fc = (parameters(self.get_submodule(f"{path}.{part}")) for part in ("attn", "mlp"))
            names = [f"{name}{number}" for name in ("ATT", "ATTRes", "FC", "FCRes")]
            made = [(f"{path}.norm1", f"{path}.attn"), (f"{path}.norm2", f"{path}.mlp")]
            yield Layer(names[0], f"{path}.attn", None, "attention", self.dim, True, att, before, made[0])
            yield Layer(names[1], f"{path}.sum1", None, "residual", self.dim, True, 0)
            yield Layer(names[2], f"{path}.mlp", f"{path}.mlp", "mlp", self.dim, True, fc, names[1], made[1])
            yield Layer(names[3], f"{path}.sum2", None, "residual", self.dim, True, 0, before)
            before = names[3]
        yield Layer("output", "pool", None, "output", self.dim, False, 0, before)
