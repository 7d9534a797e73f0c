"""MAE: hidden patches are painted from those that are left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from memlib.augment import Augmentation
from memlib.encoders import Encoder
from memlib.objectives.base import Objective, exact
from memlib.specs import EncoderSpec

if TYPE_CHECKING:
    from memlib.encoders import ViT


class MAE(Objective):
    """The encoder sees a quarter of the patches; a decoder paints the others (He et al., 2022).

    The loss is the squared error of hidden patches, each normalised by its own mean and deviation. Masks are drawn
    for training alone: whoever calls the encoder by itself shows it whole images.
    """

    encoder: ViT

    def __init__(self, encoder: Encoder, spec: EncoderSpec, augment: Augmentation, classes: int = 0) -> None:
        super().__init__(encoder, spec, augment)
        self.patch = spec.size_of_patch
        self.patches, self.kept = spec.patches, spec.kept
        self.decoder = Decoder(encoder.dim, self.patches, 3 * self.patch**2)

    def views(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        noise = torch.rand(len(images), self.patches, generator=generator)  # on the CPU: every device draws the same
        return self.augment(images, generator), noise.argsort(1).to(images.device)

    def forward(self, *views: Tensor) -> Tensor:
        from lightly.models.utils import patchify

        images, order = views
        seen, hidden = order[:, : self.kept], order[:, self.kept :]
        painted = self.decoder(self.encoder.tokens(images, seen), order.argsort(1))  # [B, T, 3 P P]
        with exact(painted):
            wanted = patchify(images.float(), self.patch)
            wanted = (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True) + 1e-6).sqrt()
            error = (painted.float() - wanted).square().mean(-1)  # [B, T]
            return error.gather(1, hidden).mean()


class Decoder(nn.Module):
    """Tokens [B, 1 + K, D] of the patches that were kept, and the place of each, to pixels [B, T, 3 P P]."""

    places: Tensor

    def __init__(self, dim: int, patches: int, pixels: int, depth: int = 4) -> None:
        from lightly.models.utils import get_2d_sine_cosine_positional_embedding

        from memlib.encoders import Block

        super().__init__()
        width = max(96, dim * 2 // 3 // 32 * 32)  # the paper's 512 for 768, and as much less for smaller encoders
        self.embed = nn.Linear(dim, width)
        self.hidden = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.hidden, std=0.02)
        places = get_2d_sine_cosine_positional_embedding(width, round(patches**0.5), True)
        self.register_buffer("places", torch.as_tensor(places, dtype=torch.float32).unsqueeze(0), persistent=False)
        self.blocks = nn.Sequential(*[Block(width, width // 32) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.paint = nn.Linear(width, pixels)

    def forward(self, tokens: Tensor, place: Tensor) -> Tensor:
        x = self.embed(tokens)
        hidden = self.hidden.to(x.dtype).expand(len(x), place.shape[1] + 1 - x.shape[1], -1)
        patches = torch.cat([x[:, 1:], hidden], 1)
        patches = patches.gather(1, place.unsqueeze(-1).expand(-1, -1, x.shape[-1]))  # back in the image's order
        x = torch.cat([x[:, :1], patches], 1) + self.places
        return self.paint(self.norm(self.blocks(x)))[:, 1:]
