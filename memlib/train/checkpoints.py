"""The state of a training on disk, from which a run that was killed goes on."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from memlib import store
from memlib.objectives import Objective
from memlib.train import processes


def save(path: Path, objective: Objective, optimizer, losses: Tensor, step: int, header: dict) -> None:
    """Write weights, optimizer state, the losses so far, and the step to go on from, atomically."""
    arrays = {f"model.{k}": v for k, v in objective.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        arrays |= {f"optimizer.{index}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
    arrays["loss"] = losses[:step]
    store.write(path, arrays, {"step": step, "threads": torch.get_num_threads(), **header})


def resume(path: Path, objective: Objective, optimizer, losses: Tensor, last: int) -> dict:
    """Take up a state of step `last` at most: its header, with the step to go on from; {"step": 0} without one."""
    try:
        arrays, header = store.read(path)
    except FileNotFoundError:
        return {"step": 0}
    except store.Damaged as damage:
        warnings.warn(f"{damage}; training starts again", stacklevel=2)
        return {"step": 0}
    if header["step"] > last:  # of a training that has gone further
        return {"step": 0}
    objective.load_state_dict({k.removeprefix("model."): v for k, v in arrays.items() if k.startswith("model.")})
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in arrays.items():
        if name.startswith("optimizer."):
            index, field = name.split(".")[1:]
            like = parameters[int(index)]
            if value.shape == like.shape:  # fused steps read state and weights in the same memory order
                value = torch.empty_like(like, dtype=value.dtype).copy_(value)
            state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    losses[: header["step"]] = arrays["loss"].to(losses)
    if header.get("processes", 1) == processes.count():  # the same bits, where they can be had
        torch.set_num_threads(header["threads"])
    return header
