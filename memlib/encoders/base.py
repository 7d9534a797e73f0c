"""What all encoders have: representations, and the table of their layers in the papers' names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Layer:
    """A row of an encoder's layer table.

    Attributes:
        name: As in the papers' tables: `1` … `8`, `Res2`, `BN1`, `conv2-1`, `max pool`, `ATT1`, `FCRes1`, `output`.
        module: Dotted path of the module whose output is "the output after this layer" (LayerMem).
        unit_module: Dotted path of the module that puts out the layer's units (UnitMem), behind its non-linearity
            where it has one; None: it has no units.
        kind: `conv`, `bn`, `pool`, `residual`, `attention`, `mlp` or `output`.
        units: Channels or features that it puts out.
        numbered: Whether the papers' tables by layer (Tables 1, 10, 15 to 17) list it; all rows together are
            those by module (Table 18).
        parameters: How many it has.
        previous: Name of the row that its delta is taken against (eq. 4); None: it has no delta.
        parts: Dotted paths of the modules whose parameters and buffers make the layer, for surgery: a convolution and
            its BatchNorm; a ViT's attention or MLP and the LayerNorm before it. A row with none cannot be replaced.
    """

    name: str
    module: str
    unit_module: str | None
    kind: str
    units: int
    numbered: bool
    parameters: int
    previous: str | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """A stretch of an encoder's forward pass, state to state.

    Attributes:
        name: As in the papers' tables: a layer of a ResNet9, a block of the others (`C2_B1` as in Table 24).
        run: The state that enters it to the one that leaves it: a tensor, or a tuple with the skip connection that
            later steps need. It changes nothing in place, so that a state can be used again.
        parts: Dotted paths of its modules; those of all steps hold all of the encoder's parameters and buffers once.
    """

    name: str
    run: Callable[[Any], Any]
    parts: tuple[str, ...]


class Encoder(nn.Module):
    """Images float [N, 3, H, W] to representations [N, dim], with the table of its layers in forward order."""

    layers: tuple[Layer, ...]
    dim: int
    made: dict[str, Any]  # the store's header: spec, steps, seconds, device; of encoders from the store

    def steps(self) -> tuple[Step, ...]:
        """The forward pass as a chain: the first step takes images, the last one puts out representations.

        Steps of two encoders of one architecture can be exchanged for each other.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its steps are")


def previous(layers: Iterable[Layer], measured: Iterable[str]) -> dict[str, str]:
    """What each measured layer's delta is taken against, for `metrics.delta` (eq. 4).

    A predecessor that was not measured is passed over for its own: with a ResNet9's numbered layers alone 2 is
    compared with 1 (Table 1), with all rows with the max pool between them (Table 18).

    Args:
        layers: An encoder's layer table.
        measured: Names of the rows that were measured.

    Returns:
        {layer: its predecessor}, without layers that have none among the measured ones.
    """
    before = {layer.name: layer.previous for layer in layers}
    there = set(measured)
    found: dict[str, str] = {}
    for name in before:
        if name not in there:
            continue
        other = before[name]
        while other is not None and other not in there:
            other = before[other]
        if other is not None:
            found[name] = other
    return found


def parameters(module: nn.Module) -> int:
    """How many parameters a module has."""
    return sum(p.numel() for p in module.parameters())
