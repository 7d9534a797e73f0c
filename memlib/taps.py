"""Recording what the layers of any model put out, by name, with hooks that never stay behind."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule

from memlib.specs import nearest

ROOT = "output"  # what the model itself puts out
SUFFIX = re.compile(r"(@[1-9]\d*)?(\[.*\])?$")  # behind a module's name

NO_LAYERS = "which has no layers for hooks: pass the Python module before that"

_recorded: dict[nn.Module, int] = {}  # in which thread
_lock = threading.Lock()


class Outputs(dict[str, Any]):
    """What was recorded so far, {name: Tensor}; `clear()` between batches also counts calls anew."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = {}

    def clear(self) -> None:
        super().clear()
        self.calls.clear()


@contextmanager
def record(
    model: nn.Module,
    layers: Iterable[str] | None = None,
    reduce: Callable[[str, Tensor], Any] | None = None,
) -> Iterator[Outputs]:
    """Record what layers put out while the model runs in evaluation mode: `with record(model) as outputs`.

    `outputs` fills with {name: Tensor} in the order in which the layers finish. A name is that of the module
    (`layer1.0.bn1`; `output` for the model itself); `relu@1` is the second call of a module; `attn[0]` and
    `head[logits]` are items of a tuple or dict, nested ones `attn[0][1]`. Tensors are detached copies made
    inside the hook, as a later in-place operation may overwrite the original.

    Args:
        model: Any module. Its mode, that of every part, and its hooks are afterwards as they were, and where
            `train()` or `eval()` do more than set the mode (adapters that merge weights), its weights too.
        layers: Names or glob patterns (`*` and `?`, also across dots). A module's name stands for all that the
            module puts out, `relu@1` or `attn[0]` for that alone. None: every module that puts out a tensor.
        reduce: Called with the name and the original tensor inside the hook; what it returns is kept instead
            of a copy, unless it is None.

    Raises:
        KeyError: No module has that name or matches that pattern.
        ValueError: A layer that was named put out no tensor by the end (of a pattern: none of its modules
            did); the model is compiled, exported or scripted; or it is being recorded in another thread.
    """
    wanted = resolve(model, layers)
    outputs = Outputs()
    fired: set[str] = set()

    def hook_of(name: str, tapped: nn.Module, accepted: dict[str, str] | None) -> Callable:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if module is not tapped:  # of a copy, which has taken the hook along
                return
            call = outputs.calls.get(name, 0)
            outputs.calls[name] = call + 1
            for item, tensor in tensors(output, f"{name}@{call}" if call else name):
                if accepted is not None:
                    asked = [accepted[a] for a in accepted if a in (name, item) or item.startswith(f"{a}[")]
                    if not asked:
                        continue
                    fired.update(asked)
                kept = tensor.detach().clone() if reduce is None else reduce(item, tensor)
                if kept is not None:
                    outputs[item] = kept

        return hook

    handles = []
    try:
        with _evaluated(model):
            for name, (module, accepted) in wanted.items():
                handles.append(module.register_forward_hook(hook_of(name, module, accepted)))
            yield outputs
    finally:
        for handle in handles:
            handle.remove()
    silent = {a: None for _, accepted in wanted.values() for a in (accepted or {}).values() if a not in fired}
    if silent:
        raise ValueError(
            f"named and never put out a tensor: {', '.join(map(repr, silent))}; "
            + (f"recorded were {', '.join(map(repr, outputs))}" if outputs else "nothing was recorded")
            + ". The model may not have been run, may leave a module out, or may use its weights without calling it"
        )


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode and in this thread alone; afterwards in the mode and the state that it was in."""
    with _lock:
        alone(model)
        mine = [module for module in model.modules() if module not in _recorded]
        _recorded.update(dict.fromkeys(mine, threading.get_ident()))
    modes = {module: module.training for module in model.modules()}
    own = any(
        type(module).train is not nn.Module.train
        or type(module).eval is not nn.Module.eval
        or "train" in vars(module)
        for module in modes
    )
    # merging weights and taking them apart again leaves them a rounding away from what they were
    state = [(t, t.detach().clone()) for t in (*model.parameters(), *model.buffers())] if own else []
    try:
        if any(modes.values()):
            model.eval()
        yield
    finally:
        restore(modes)
        with torch.no_grad():
            for tensor, before in state:
                if tensor.shape == before.shape and not torch.equal(tensor, before):
                    tensor.copy_(before)
        with _lock:
            for module in mine:
                del _recorded[module]


def restore(modes: Mapping[nn.Module, bool]) -> None:
    """Bring modules, parents first, back to the modes that they were in, by what they do about it themselves."""
    for module, training in modes.items():  # the mode of a parent is also that of its parts
        if module.training != training:
            module.train(training)
    for module, training in modes.items():
        module.training = training


def alone(model: nn.Module) -> None:
    """Check that no other thread is recording the model or a part of it.

    Raises:
        ValueError: One is.
    """
    here = threading.get_ident()
    if any(_recorded.get(module, here) != here for module in model.modules()):
        raise ValueError("the model is being recorded in another thread: wait until it is done, or pass a copy of it")


def resolve(model: nn.Module, layers: Iterable[str] | None) -> dict[str, tuple[nn.Module, dict[str, str] | None]]:
    """The modules that names and patterns stand for.

    Returns:
        {module's name: (module, {output that is wanted: the name or pattern that asked for it}; None: any)}.

    Raises:
        KeyError: No module has that name or matches that pattern.
        ValueError: The model is no module, is compiled, exported or scripted; or `layers` is empty.
    """
    for name, module in checked(model).named_modules():
        called = f"the module {name!r}" if name else "the model"
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            raise ValueError(
                f"{called} is compiled, which hides its layers from hooks: "
                "pass the model as it was before torch.compile (compiled._orig_mod)"
            )
        if isinstance(module, ScriptModule):
            raise ValueError(f"{called} is a TorchScript module, {NO_LAYERS}")
    # a module that stands under several names fires for all of them at once: its first name is its name
    first = {name: module for name, module in model.named_modules() if name}
    first.setdefault(ROOT, model)  # a part called `output` is what the name means
    if layers is None:
        return {name: (module, None) for name, module in first.items()}
    every = {**first, **{name: m for name, m in model.named_modules(remove_duplicate=False) if name}}
    found: dict[str, tuple[nn.Module, dict[str, str]]] = {}
    for asked in [layers] if isinstance(layers, str) else layers:
        stem = module_of(asked, every)
        pattern = re.compile(re.escape(stem).replace(r"\*", ".*").replace(r"\?", "."))
        matches = [stem] if stem in every else [name for name in first if pattern.fullmatch(name)]
        if not matches:
            raise nearest(asked, every, "layer")
        for name in matches:
            accepted = found.setdefault(name, (every[name], {}))[1]
            accepted.setdefault(name + asked[len(stem) :], asked)
    if not found:
        raise ValueError("layers is empty: name one or more, or take None for every module that puts out a tensor")
    return dict(found)


def checked(model: Any) -> nn.Module:
    """The model, which can be put into evaluation mode.

    Raises:
        ValueError: It is no module, or one that torch.export made.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"the model is {type(model).__name__}: allowed is a torch.nn.Module")
    for name, module in model.named_modules():
        if any(kind.__module__.startswith("torch.export") for kind in type(module).__mro__):
            called = f"the module {name!r}" if name else "the model"
            raise ValueError(f"{called} was made by torch.export, {NO_LAYERS}")
    return model


def module_of(name: str, modules: Iterable[str]) -> str:
    """The module's name in that of an output; of a pattern what stands before its call and items."""
    known = [m for m in modules if name.startswith(m) and SUFFIX.fullmatch(name, len(m))]
    return max(known, key=len) if known else SUFFIX.sub("", name)


def tensors(output: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a module's output with their names: items of tuples, lists, dicts, dataclasses."""
    if dataclasses.is_dataclass(output) and not isinstance(output, Mapping):
        output = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    if isinstance(output, Tensor):
        yield name, output
    elif isinstance(output, Mapping):
        for key, item in output.items():
            yield from tensors(item, f"{name}[{key}]")
    elif isinstance(output, (tuple, list)):
        for index, item in enumerate(output):
            yield from tensors(item, f"{name}[{index}]")
