"""What a layer is made of: the modules whose parameters and buffers belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from memlib.encoders import Encoder
from memlib.specs import nearest
from memlib.taps import resolve


def parts(model: nn.Module, layers: Iterable[str]) -> dict[str, dict[str, nn.Module]]:
    """The modules that layers are made of.

    Args:
        model: Any module. Of an `Encoder`, names of its layer table stand for all parts of the layer: of a
            convolution its BatchNorm is one, with running statistics (`Layer.parts`). Other names, and those of any
            other module, are dotted paths or glob patterns, for these modules alone: `layer4.1.conv2`, `layer4.1.*`.
        layers: Names; an empty list is allowed.

    Returns:
        {layer: {path of a part: module}}, in the order of `layers`; a pattern gives a layer for each module that it
        matches and that has parameters.

    Raises:
        KeyError: There is no such layer.
        ValueError: A layer has no parameters: there is nothing to replace or tune.
    """
    table = {layer.name: layer for layer in model.layers} if isinstance(model, Encoder) else {}
    found: dict[str, dict[str, nn.Module]] = {}
    for name in [layers] if isinstance(layers, str) else layers:
        if row := table.get(name):
            # a row without parts of its own, as a sum or a pool, has none to offer: the check below says so
            found[name] = {path: model.get_submodule(path) for path in row.parts}
            continue
        try:
            matched = resolve(model, [name])
        except KeyError as error:
            raise nearest(name, [*table, *(path for path, _ in model.named_modules() if path)], "layer") from error
        some = {path: {path: module} for path, (module, _) in matched.items()}
        found |= {path: own for path, own in some.items() if _parameters(own)} or some
    for name, modules in found.items():
        if not _parameters(modules):
            holding = [row for row in table if table[row].parts] or [
                path for path, module in model.named_modules() if path and any(True for _ in module.parameters(False))
            ]
            raise ValueError(f"layer {name!r} has no parameters: allowed are {', '.join(map(repr, holding))}")
    return found


def _parameters(modules: Mapping[str, nn.Module]) -> bool:
    return any(True for module in modules.values() for _ in module.parameters())
