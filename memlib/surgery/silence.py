"""Units that put out nothing: for a while, or in a copy that stays so (pruning, Table 6)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from memlib.encoders import Encoder
from memlib.measure.axes import CHANNELS_FIRST, FEATURES_LAST, unit_axis
from memlib.measure.looks import Look, look
from memlib.measure.subjects import device_of, feeder, own
from memlib.measure.views import made_for
from memlib.seeded import seeded
from memlib.specs import nearest
from memlib.taps import resolve

BUFFER = "silent_units"  # of a silenced module, int64 [K]: part of its state dict
AXIS = "silent_axis"  # of a silenced module: which axis of its output has them, where that was looked up or told
SIDES = (32, 64, 224)  # of the images that a model is looked at with, where it does not say what it takes

_looked: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()

Units = Mapping[str, Sequence[int] | np.ndarray | Tensor]  # {layer: indices of its units}
Placed = dict[str, tuple[nn.Module, Tensor]]  # {layer: (the module that puts its units out, indices)}


@contextmanager
def silenced(model: nn.Module, units: Units, axes: Mapping[str, int] | None = None) -> Iterator[None]:
    """Units put out exactly 0 as long as the block lasts: `with silenced(encoder, {"6": [3, 17]})`.

    Of an `Encoder`, the names of its layer table stand for where UnitMem is measured: a convolution's channel is
    silent behind its BatchNorm and its non-linearity, and behind the block's sum where that comes first; an MLP's or
    attention's feature in all tokens. Other names, and those of any other module, are dotted paths; the output of
    that module is silenced, so name the activation function and not the convolution in front of its BatchNorm. A
    module that runs several times in a pass is silent each time: of torchvision's ResNets, whose blocks use one ReLU
    twice, name the first BatchNorm, behind which the ReLU leaves zeros, or the block.

    Units are channels, axis 1, of what convolutions and BatchNorms put out, features, the last axis, of linear
    layers; of others a look at a copy of the model that is given images tells, as it does for `unit_activations`.
    Weights, buffers and modes stay as they are, other units can be trained meanwhile, and who records the layer sees
    the zeros.

    Args:
        model: Any module.
        units: {layer: indices from 0 up}; none are allowed.
        axes: {layer: the axis of its output that has the units}, where looking does not tell.

    Raises:
        KeyError: There is no such layer.
        ValueError: A layer has no such unit, puts out no tensor, or was never run by the end; the model is compiled
            or scripted.

    Warns:
        UserWarning: The axis of a layer's units was guessed.
    """
    placed = _placed(model, units)
    where = _axes(model, placed, axes or {})
    fired, handles = set(), []

    def hook_of(name: str, indices: Tensor) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> Tensor:
            fired.add(name)
            return _zeroed(module, output, indices, f"layer {name!r}", where.get(name))

        return hook

    try:
        for name, (module, indices) in placed.items():
            # before other hooks, which then see what the next layer does
            handles.append(module.register_forward_hook(hook_of(name, indices), prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
    if missing := [name for name in placed if name not in fired]:
        raise ValueError(
            f"units of {', '.join(map(repr, missing))} were to be silent, which never ran; "
            + (f"{', '.join(map(repr, placed.keys() & fired))} did" if fired else "no layer that was named did")
        )


def silence(model: nn.Module, units: Units, axes: Mapping[str, int] | None = None) -> nn.Module:
    """A copy of a model whose units put out exactly 0, as `silenced` has it; the model stays as it is.

    The indices are a buffer of the module that puts the units out, and a hook applies them: they move with the copy,
    are copied and pickled with it, and stand in its state dict (`conv1.relu.silent_units`), which a model without
    them therefore refuses. Silencing a copy again adds to what is silent.

    Raises:
        As `silenced` does, and warns; what only a forward pass tells, the first one raises.
    """
    result = own(model)
    placed = _placed(result, units)
    where = _axes(result, placed, axes or {})
    for name, (module, indices) in placed.items():
        setattr(module, AXIS, where.get(name))
        before = getattr(module, BUFFER, indices.new_empty(0))
        there = device_of(result)
        module.register_buffer(BUFFER, torch.cat([before.to(there), indices.to(there)]).unique())
        if _stays not in module._forward_hooks.values():
            module.register_forward_hook(_stays, prepend=True)
    return result


def _stays(module: nn.Module, args: Any, output: Any) -> Tensor:
    """The hook of a silenced copy: a function of this module, so that it can be pickled."""
    called = f"a silenced {type(module).__name__}"
    return _zeroed(module, output, module.get_buffer(BUFFER), called, getattr(module, AXIS, None))


def _zeroed(module: nn.Module, output: Any, indices: Tensor, called: str, axis: int | None = None) -> Tensor:
    """A copy of an output with zeros in place of units; a product with a mask would leave NaN and -0."""
    if not isinstance(output, Tensor) or output.ndim < 2:
        given = f"a tensor {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"{called} puts out {given}: needed is a tensor [N, U, ...] or [N, T, U]")
    if axis is None or axis >= output.ndim:
        told = unit_axis(module, tuple(output.shape), output.ndim - 1)
        axis = (2 if output.ndim == 3 else 1) if told is None else told
    _within(indices, output.shape[axis], called)
    return output.index_fill(axis, indices.to(output.device), 0)


def _placed(model: nn.Module, units: Units) -> Placed:
    """Where units are put out, each checked as far as it can be without a forward pass."""
    table = {row.name: row for row in model.layers} if isinstance(model, Encoder) else {}
    found: Placed = {}
    for name, chosen in units.items():
        row = table.get(name)
        path = (row.unit_module or row.module) if row else name
        try:
            modules = resolve(model, [path])
        except KeyError as error:
            raise nearest(name, [*table, *(known for known, _ in model.named_modules() if known)], "layer") from error
        if path not in modules or path not in (modules[path][1] or {}):
            raise ValueError(f"layer {name!r}: allowed is the name of one layer, without a pattern, call or item")
        module, indices = modules[path][0], _indices(name, chosen)
        count = row.units if row else _count(module)
        if count is not None:
            _within(indices, count, f"layer {name!r}")
        found[name] = (module, indices)
    return found


def _axes(model: nn.Module, placed: Placed, told: Mapping[str, int]) -> dict[str, int]:
    """The axes of units where the kind of module does not tell; of memlib's own encoders it does."""
    for name in told:
        if name not in placed:
            raise nearest(name, placed, "layer")
    unclear = {
        n: m for n, (m, _) in placed.items() if n not in told and not isinstance(m, CHANNELS_FIRST + FEATURES_LAST)
    }
    if isinstance(model, Encoder):
        return dict(told)
    if any(module not in _looked for module in unclear.values()):
        _looked.update(_look(model, unclear))
    return {**told, **{name: _looked[module] for name, module in unclear.items() if module in _looked}}


def _look(model: nn.Module, unclear: Mapping[str, nn.Module]) -> dict[nn.Module, int]:
    """What a look at a copy tells of modules' axes of units; says which it does not tell."""
    copy = own(model)
    feed, device = feeder(copy), device_of(copy)
    seen: Look | None = None
    for side in dict.fromkeys((made_for(model) or SIDES[0], *SIDES)):
        x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
        try:
            with torch.no_grad(), seeded(None, device):
                seen = look(copy, None, lambda net, x: net(feed(x)), x)
            break
        except Exception:  # what a model does about images that it was not made for is its own
            continue
    found: dict[nn.Module, int] = {}
    for name, module in unclear.items():
        outputs = [] if seen is None else [o for o, m in seen.modules.items() if m is copy.get_submodule(name)]
        axes = {seen.layouts[o].original(seen.layouts[o].unit) for o in outputs} if seen else set()
        if len(axes) == 1:
            (found[module],) = axes
        if len(axes) != 1 or (seen and seen.guessed.keys() & outputs):
            axis = found.get(module, "the last of three, else 1")
            warnings.warn(
                f"Which axis of layer {name!r} has the units was guessed ({axis}): axes={{layer: axis}} tells it.",
                stacklevel=5,
            )
    return found


def _indices(name: str, chosen: Any) -> Tensor:
    try:
        indices = torch.as_tensor(chosen)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"units of layer {name!r} are {chosen!r}: needed are their indices, integers [K]") from error
    if not indices.numel():
        return torch.empty(0, dtype=torch.int64)
    if indices.ndim != 1 or indices.is_floating_point() or indices.dtype == torch.bool:
        raise ValueError(
            f"units of layer {name!r} are {indices.dtype} of shape {tuple(indices.shape)}: needed are their indices, "
            "integers [K] (of a mask: mask.nonzero()[:, 0])"
        )
    return indices.detach().cpu().long().unique()


def _within(indices: Tensor, count: int, called: str) -> None:
    if len(indices) and (int(indices[0]) < 0 or int(indices[-1]) >= count):
        wrong = int(indices[0]) if int(indices[0]) < 0 else int(indices[-1])
        raise ValueError(f"unit {wrong} of {called}, which has {count} units: allowed are 0 to {count - 1}")


def _count(module: nn.Module) -> int | None:
    """How many units a module puts out, where it says so."""
    if isinstance(module, nn.LayerNorm):
        return int(module.normalized_shape[-1])
    for attribute in ("out_channels", "out_features", "num_features"):
        if isinstance(count := getattr(module, attribute, None), int):
            return count
    return None
