"""Many prunings of one encoder in one pass: what comes before their first silent unit is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from memlib.augment import augmentation
from memlib.encoders import Encoder, Step
from memlib.measure import PRECISIONS, as_images
from memlib.measure.subjects import own
from memlib.specs import nearest
from memlib.surgery.silence import Placed, Units, _placed, _zeroed
from memlib.taps import record

Stage = Callable[[Any], Any]  # a step, or a part of it
Key = tuple[tuple[str, tuple[int, ...]], ...]  # layers of a stage and their silent units


def silenced_features(
    encoder: Encoder, variants: Sequence[Units], images: Any, batch: int = 128, precision: str = "float32"
) -> Tensor:
    """What an encoder makes of images with these or those units silent: `probe.features` within each `silenced`.

    What variants share from the image on, with the same units silent in it, is computed once for a batch, depth
    first, so that never more than a state for each stage is kept. Behind units of one layer, a convolution takes what
    changed since the variant before: along a curve of shares, each unit once.

    Args:
        encoder: On its device. A copy runs, in evaluation mode.
        variants: Each {layer of the encoder's table: indices}; {} for the encoder as it is.
        images: uint8, or float in 0..1, [N, 3, H, W]; or a data set. Brought to squares of their shorter side.
        batch: Images in a forward pass.
        precision: `float32`, or `bfloat16` autocast.

    Returns:
        float32 [V, N, dim], on the CPU.

    Raises:
        KeyError: There is no such layer or precision.
        ValueError: A layer has no such unit, or images are not as above.
    """
    if precision not in PRECISIONS:
        raise nearest(precision, PRECISIONS, "precision")
    pixels, encoder = as_images(images), own(encoder).eval()
    stages = [stage for step in encoder.steps() for stage in _stages(step)]
    device = next(encoder.parameters()).device
    placed = [_placed(encoder, variant) for variant in variants]
    prepare, unused = augmentation("none", min(pixels.shape[2:])), torch.Generator()
    layers = {name for one in variants for name in one}
    where = _stages_of(encoder, stages, layers, prepare(pixels[:1], unused).to(device))
    # what a variant silences in each stage, as a key; variants of equal keys up to a stage share all of it
    keys = [[_key(one, where, number) for number in range(len(stages))] for one in placed]
    found = torch.empty(len(variants), len(pixels), encoder.dim)
    with (
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"),
        _Changes(),
    ):
        for start in range(0, len(pixels), batch):
            x = prepare(pixels[start : start + batch].to(device), unused)
            x = x.contiguous(memory_format=torch.channels_last)
            for variant, output in _run(stages, placed, keys, range(len(variants)), x):
                found[variant, start : start + batch] = output.float().cpu()
    return found


class _Changes(TorchFunctionMode):
    """Convolutions take the channels that changed since their last input, and add that to their last output.

    They are linear, so that the sum is the same but for rounding. Where more than half of the channels changed, where
    the sum is not finite, or in lower precision than float32, they run as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[int, tuple[Tensor, Tensor]] = {}  # input and output of each convolution, by its weights

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        usual = func is torch.conv2d and len(args) == 7 and args[6] == 1 and not kwargs  # as nn.Conv2d, in one group
        if not usual or torch.is_autocast_enabled(args[0].device.type):
            return func(*args, **(kwargs or {}))
        x, weight, _, *geometry = args
        before, output = self.last.get(id(weight), (x, None))
        difference = x - before if output is not None and before.shape == x.shape else None
        changed = None if difference is None else _changed(difference)
        if output is None or difference is None or changed is None:
            output = func(*args)
        elif len(changed):
            like = (
                torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
            )
            part, weights = (t[:, changed].contiguous(memory_format=like) for t in (difference, weight))
            output = output + func(part, weights, None, *geometry)
            output = output if output.sum().isfinite() else func(*args)
        self.last[id(weight)] = x, output
        return output


def _changed(difference: Tensor) -> Tensor | None:
    """The channels in which an input differs from the one before; None if these are more than a half."""
    changed = (difference.abs().amax((0, 2, 3)) != 0).nonzero()[:, 0]
    return changed if len(changed) <= difference.shape[1] // 2 else None


def _stages(step: Step) -> list[Stage]:
    """A step, or its parts where they are a plain sequence: then a layer's convolution is shared, too."""
    parts: list[Stage] = list(step.run) if isinstance(step.run, nn.Sequential) else []
    # a part that works in place would change a state that others still need
    return [step.run] if not parts or any(getattr(part, "inplace", False) for part in parts) else parts


def _key(placed: Placed, where: Mapping[str, int], stage: int) -> Key:
    return tuple((n, tuple(units.tolist())) for n, (_, units) in placed.items() if len(units) and where[n] == stage)


def _run(
    stages: Sequence[Stage],
    placed: Sequence[Placed],
    keys: Sequence[Sequence[Key]],
    members: Sequence[int],
    state: Any,
) -> Iterator[tuple[int, Tensor]]:
    """The outputs of variants that have come to this state, with their numbers, depth first."""
    depth = len(keys[0]) - len(stages) if keys else 0
    if not stages:
        yield from ((variant, state) for variant in members)
        return
    groups: dict[Key, list[int]] = {}
    for variant in members:
        groups.setdefault(keys[variant][depth], []).append(variant)
    for key, group in groups.items():
        handles = [placed[group[0]][name][0].register_forward_hook(_hook(placed[group[0]], name)) for name, _ in key]
        try:
            after = stages[0](state)
        finally:
            for handle in handles:
                handle.remove()
        yield from _run(stages[1:], placed, keys, group, after)


def _hook(placed: Placed, name: str) -> Any:
    indices = placed[name][1]

    def hook(module: nn.Module, args: Any, output: Any) -> Tensor:
        return _zeroed(module, output, indices, f"layer {name!r}")

    return hook


def _stages_of(encoder: Encoder, stages: Sequence[Stage], layers: set[str], x: Tensor) -> dict[str, int]:
    """The stage in which the units of each layer are put out, found by running them on one image."""
    table = {row.name: row.unit_module or row.module for row in encoder.layers}
    for name in layers:
        if name not in table:
            raise nearest(name, table, "layer")
    found: dict[str, int] = {}
    if layers:
        with torch.inference_mode(), record(encoder, [table[name] for name in layers]) as outputs:
            for number, stage in enumerate(stages):
                x = stage(x)
                found |= {path: number for path in outputs if path not in found}
    return {name: found[table[name]] for name in layers}
