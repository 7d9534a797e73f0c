"""Fine-tuning a single unit, all else exactly as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from memlib.measure.subjects import own
from memlib.specs import is_whole
from memlib.surgery.parts import parts
from memlib.taps import restore

Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]
WITH_UNITS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)  # the first axis of their weight is their units


def sgd(rows: list[Tensor]) -> torch.optim.Optimizer:
    """SimSiam's own optimizer for CIFAR10, with the papers' learning rate (table 9)."""
    return torch.optim.SGD(rows, lr=0.025, momentum=0.9, weight_decay=5e-4)


def tune_unit(
    model: nn.Module,
    layer: str,
    unit: int | None,
    loss: Callable[..., Tensor],
    views: Callable[[torch.Generator], Sequence[Tensor]],
    steps: int,
    optimizer: Optimizer = sgd,
    seed: int = 0,
    watch: Callable[[int, nn.Module], None] | None = None,
) -> nn.Module:
    """A copy of a model in which one unit of one layer was trained, and nothing else.

    A unit is an output channel of a convolution, with its bias and its BatchNorm's scale and shift, or a feature of
    a linear layer; of a layer of several (a ViT's MLP) it is one of the last. The optimizer is given the unit's own
    rows of these parameters and no others, and they are put into the frozen tensors as the model runs: gradients,
    momentum and weight decay have nothing else to act on. The model runs in evaluation mode, so that BatchNorm keeps
    its statistics, those of the unit too.

    Args:
        model: Any module; untouched.
        layer: A name of an `Encoder`'s layer table, or the dotted path of any module.
        unit: Its index; None: all units of the layer, as the papers train them.
        loss: Of the model's outputs for the views, in their order, to a scalar.
        views: Draws what the model is given in a step, one or more batches, from a generator.
        steps: Of the optimizer.
        optimizer: Makes a torch optimizer for the rows.
        seed: Of the generator, and of what the loss may draw.
        watch: Called with the number of steps taken and the copy as it is, before the first step and after each.

    Returns:
        The copy, in the model's mode.

    Raises:
        KeyError: There is no such layer.
        ValueError: The layer has no units of its own, the unit is out of range, `steps` is below 0, or the loss is no
            scalar or does not depend on the layer.
        ArithmeticError: The loss is not finite.
    """
    names, units = rows_of(model, layer)
    if unit is not None and (not is_whole(unit, 0) or unit >= units):
        raise ValueError(f"unit={unit!r} of layer {layer!r}: allowed are 0 to {units - 1}, or None for all of them")
    if not is_whole(steps, 0):
        raise ValueError(f"steps={steps!r}: allowed is a whole number of 0 or more")
    made = own(model)
    mine = slice(None) if unit is None else slice(unit, unit + 1)
    before = {p: p.requires_grad for p in made.parameters()}
    modes = {module: module.training for module in made.modules()}
    made.eval().requires_grad_(False)
    whole = {name: made.get_parameter(name) for name in names}
    rows = {name: p[mine].clone().requires_grad_() for name, p in whole.items()}
    tuner = optimizer(list(rows.values()))
    generator = torch.Generator().manual_seed(int(seed))
    if watch:
        watch(0, made)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        for step in range(steps):
            now = {name: _put(p, rows[name], mine) for name, p in whole.items()}
            found = loss(*(functional_call(made, now, (view,)) for view in views(generator)))
            _check(found, layer, step)
            tuner.zero_grad()
            found.backward()
            tuner.step()
            with torch.no_grad():
                for name, p in whole.items():
                    p[mine] = rows[name]
            if watch:
                watch(step + 1, made)
    for p, wanted in before.items():
        p.requires_grad_(wanted)
    restore(modes)
    return made


def rows_of(model: nn.Module, layer: str) -> tuple[list[str], int]:
    """Names of the parameters with a row for each unit of a layer, and how many units it has.

    Raises:
        KeyError: There is no such layer.
        ValueError: The name stands for several layers, or the layer has no units of its own.
    """
    found = parts(model, [layer])
    if len(found) != 1:
        raise ValueError(f"{layer!r} stands for {len(found)} layers, {', '.join(map(repr, found))}: name one of them")
    ((name, modules),) = found.items()
    leaves = [
        (f"{path}.{inner}".strip("."), module)
        for path, part in modules.items()
        for inner, module in part.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    last = max((i for i, (_, module) in enumerate(leaves) if isinstance(module, WITH_UNITS)), default=None)
    if last is None:
        kinds = ", ".join(type(module).__name__ for _, module in leaves)
        raise ValueError(
            f"layer {name!r} ({kinds}) has no units of its own: allowed are convolutions, linear layers, and layers "
            "that end in one"
        )
    units = len(leaves[last][1].get_parameter("weight"))
    own = [leaves[last]] + [
        (path, module)
        for path, module in leaves[last + 1 :]
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.num_features == units
    ]
    return [f"{path}.{one}" for path, module in own for one, _ in module.named_parameters(recurse=False)], units


def _put(whole: Tensor, row: Tensor, own: slice) -> Tensor:
    """The tensor with these rows in it, through which gradients reach the rows alone."""
    if own == slice(None):
        return row
    return torch.cat([whole[: own.start], row, whole[own.stop :]])


def _check(found: Tensor, layer: str, step: int) -> None:
    if not isinstance(found, Tensor) or found.numel() != 1:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"the loss is {shape}: needed is a scalar tensor")
    if not found.requires_grad:
        raise ValueError(f"the loss does not depend on layer {layer!r}: the model may leave it out")
    if not torch.isfinite(found):
        raise ArithmeticError(f"the loss is {float(found.detach())} at step {step}: take a smaller learning rate")
