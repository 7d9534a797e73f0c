"""Weights from files into models: state dicts and safetensors, without running what a file may hold beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memlib import store

# where checkpoints have it
INSIDE = ("state_dict", "model_state_dict", "model", "module", "net", "encoder", "backbone")
HEAD = re.compile(  # parts that come after an encoder, by the first part of their names
    r"(\w*head\w*|fc|classifier|linear|proj|projector|projection\w*|predictor|prediction\w*|decoder\w*|mask_token|"
    r"prototypes|last_layer|loss|queue\w*)(\d*)(\.|$)"
)
NAMED = 6  # keys in an error


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a state dict, also where a checkpoint holds it beside other things.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds more than tensors and plain values, no state dict, or several.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights {path}")
    if path.suffix == ".safetensors":
        return store.load(path)[0]
    import pickle

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise ValueError(
            f"{path} was refused: it holds {named[1] if named else 'Python objects'} beside tensors, and to unpickle "
            "that runs whatever its maker put there. If you trust it, take the weights out of it once, in Python: "
            f"`c = torch.load({path.name!r}, weights_only=False)`, then "
            "`safetensors.torch.save_file(c['state_dict'], 'weights.safetensors')`, with the name that c has for them"
        ) from error
    except (RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as a state dict or safetensors: {str(error).split('. ')[0]}"
        ) from error
    return _tensors(found, path)


def _tensors(found: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what a file holds."""

    def own(value: Any) -> dict[str, Tensor]:
        value = value if isinstance(value, Mapping) else {}
        return {str(name): tensor for name, tensor in value.items() if isinstance(tensor, Tensor)}

    inside = {str(name): own(value) for name, value in found.items()} if isinstance(found, Mapping) else {}
    inside = {name: tensors for name, tensors in inside.items() if tensors}
    if len(own(found)) > len(inside):
        return own(found)
    chosen = [name for name in INSIDE if name in inside][:1] or [*inside]
    if not chosen:
        raise ValueError(f"{path} holds no tensors by name, but a {type(found).__name__}: needed is a state dict")
    if len(chosen) > 1:
        raise ValueError(
            f"{path} holds several state dicts: {', '.join(chosen)}. Save the one that is meant: "
            f"`torch.save(torch.load({path.name!r}, weights_only=True)[{chosen[-1]!r}], 'weights.pt')`"
        )
    return inside[chosen[0]]


def fit(model: nn.Module, state: Mapping[str, Tensor], source: str) -> list[str]:
    """Put weights into a model, all of its own; returns what was done, a sentence each.

    A prefix that all of the encoder's keys have (`module.`, `backbone.`) is taken off, and heads are left out.

    Raises:
        ValueError: A key is missing, is not the model's, or has another shape; names them.
    """
    own = model.state_dict()
    ends = Counter(
        name[: len(name) - len(end)]
        for name in state
        for i in range(name.count(".") + 1)
        if (end := ".".join(name.split(".")[i:])) in own
    )
    best = max(ends.values(), default=0)
    prefixes = sorted(prefix for prefix, count in ends.items() if count == best)
    if not prefixes:
        raise ValueError(f"{source} does not fit: none of its keys ({some(state)}) is the model's ({some(own)})")
    if len(prefixes) > 1:
        raise ValueError(
            f"{source} holds weights that fit under each of {', '.join(map(repr, prefixes))}: save the ones that are "
            "meant in a file of their own"
        )
    (prefix,) = prefixes
    given = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    unknown = [name for name in given if name not in own and not HEAD.match(name)]
    wrong = [
        f"{name} is {list(given[name].shape)} there and {list(own[name].shape)} in the model"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    problems = [f"missing: {some(missing)}"] * bool(missing) + [f"unexpected: {some(unknown)}"] * bool(unknown)
    problems += [f"other shapes: {'; '.join(wrong[:NAMED])}"] * bool(wrong)
    if problems:
        under = f" (under its prefix {prefix!r})" if prefix else ""
        raise ValueError(f"{source}{under} does not fit the model. " + ". ".join(problems))
    model.load_state_dict({name: value for name, value in given.items() if name in own}, strict=False)
    beside = [name for name in state if not name.startswith(prefix) or name.removeprefix(prefix) not in own]
    parts = Counter(name.removeprefix(prefix).split(".")[0] for name in beside)
    said = [f"The weights are those of {source}" + (f", without the prefix {prefix!r}." if prefix else ".")]
    if parts:
        listed = ", ".join(f"{part} ({count})" for part, count in parts.items())
        said.append(f"Left out, as no part of the encoder: {listed}.")
    return said


def some(names: Iterable[str]) -> str:
    """The first of many names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
