"""A model as it is measured: a copy of its own, fed with what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from memlib.taps import alone, checked, resolve

M = TypeVar("M", bound=nn.Module)


def own(model: M, hooked: bool = True) -> M:
    """A copy of a model that shares nothing with it.

    What it does while it is measured, in place, when its mode changes or when it keeps tensors for later, is then
    done to nobody's model, and other threads may use the original.

    Args:
        hooked: Whether its layers are wanted, too, which those that are compiled or scripted hide.

    Raises:
        ValueError: The model is compiled, exported or scripted, cannot be copied, or is being recorded in another
            thread.
    """
    resolve(model, None) if hooked else checked(model)
    alone(model)
    # what a forward pass has left there, as an attention map to look at, torch does not copy by itself
    made = [t for module in model.modules() for t in _held(vars(module)) if not t.is_leaf]
    try:
        return deepcopy(model, {id(t): t.detach().clone() for t in made})
    except Exception as error:
        raise ValueError(
            f"the model cannot be copied ({error}), and a copy is what is measured, so that it stays as it is: "
            "take from it what copy.deepcopy cannot copy, or give its class a __deepcopy__"
        ) from error


def _held(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple | set):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _held(item)


def device_of(model: nn.Module) -> torch.device:
    """Where a model is; one without parameters and buffers is on the processor."""
    return next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def feeder(model: nn.Module, last: bool = False) -> Callable[[Tensor], Tensor]:
    """What makes of images those that a model takes: of its device and dtype, as its own convolutions lie in memory.

    What comes out is the model's own, to be overwritten.

    Args:
        last: Whether channels come last in memory anyway.
    """
    tensors = [*model.parameters(), *model.buffers()]
    device, dtype = device_of(model), next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
    as_last = torch.channels_last
    last = last or any(t.ndim == 4 and t.is_contiguous(memory_format=as_last) > t.is_contiguous() for t in tensors)
    layout = as_last if last else torch.contiguous_format
    return lambda x: x.to(device, dtype, copy=True, memory_format=layout)
