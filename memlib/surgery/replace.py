"""Layers of one encoder in place of another's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from memlib.measure.subjects import own
from memlib.surgery.parts import parts


def replace(model: nn.Module, other: nn.Module, layers: Iterable[str]) -> nn.Module:
    """A copy of a model in which chosen layers are another's: tables 21 to 24, and 30, 32 and 33.

    Of an `Encoder`'s layer table, a convolution is replaced with its bias and its BatchNorm, weights, biases and
    running statistics alike: what the papers hand over of the latter is not stated. A ViT's attention or MLP takes
    the LayerNorm before it along. Of other modules just those are replaced that are named: name the BatchNorm too.

    Args:
        model: Any module; it and `other` stay as they are. The copy is in its mode, on its device and of its type.
        other: A module that has the same layers.
        layers: Names as `parts` takes them; of an empty list the copy is the model.

    Raises:
        KeyError: The model has no such layer.
        ValueError: A layer has no parameters, or not the same ones in both models.
    """
    layers = [layers] if isinstance(layers, str) else list(layers)
    result = own(model)
    mine = parts(result, layers)
    try:
        theirs = parts(other, layers)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"model ({_kind(model)}) has the layers {', '.join(map(repr, mine))}, but other ({_kind(other)}): "
            f"{error.args[0]}"
        ) from error
    for layer in mine | theirs:
        ours, given = ({n: tuple(t.shape) for n, t in _state(side.get(layer, {})).items()} for side in (mine, theirs))
        if ours != given:
            name = next(n for n in ours | given if ours.get(n) != given.get(n))
            raise ValueError(
                f"layer {layer!r} does not fit: {name!r} is {ours.get(name, 'missing')} in model ({_kind(model)}) "
                f"and {given.get(name, 'missing')} in other ({_kind(other)}); needed is the same layer in both"
            )
    with torch.no_grad():
        for layer, modules in mine.items():
            given_tensors = _state(theirs[layer])
            for name, tensor in _state(modules).items():
                tensor.copy_(given_tensors[name])
    return result


def _state(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Parameters and buffers of modules, also those that are not stored, by their paths."""
    return {
        f"{path}.{name}": tensor
        for path, module in modules.items()
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }


def _kind(model: nn.Module) -> str:
    return type(model).__name__
