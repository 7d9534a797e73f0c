"""One training by several processes, on one machine or many: each takes its share of every batch.

    torchrun --nproc_per_node 2 -m memlib.train framework=mae arch=vit_tiny batch=256

The processes end in the encoder that one process makes of the same spec, up to floating point. torchrun or srun
starts them; after `start` what `memlib.train` does is done by all of them together, so all have to ask for the same
encoders in the same order. Process 0 alone writes to the store.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import torch
from torch import Tensor, distributed, nn

from memlib import store
from memlib.specs import EncoderSpec

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from memlib.objectives import Objective

PATIENCE = 30.0  # seconds between two looks at a lock that another run holds
TIMEOUT = datetime.timedelta(hours=2)  # of one exchange: a linear probe of process 0, which the others wait for


@dataclass(frozen=True)
class Launch:
    """What torchrun or srun says of this process: its number of all, and of those on its machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    by: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Launch:
        """Read it from environment variables; one process by itself where there are none.

        Raises:
            ValueError: The machines have different numbers of processes.
        """
        if "TORCHELASTIC_RUN_ID" in environment:
            names, by = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), "torchrun"
        elif int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # of srun; those of a job count for sbatch, too
            names, by = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"), "srun"
        else:
            return cls()
        per_machine = environment[names[3]].partition("(")[0]  # Slurm's "4(x2)": 4 on each of 2 machines
        rank, count, local_rank = (int(environment[name]) for name in names[:3])
        if not per_machine.isdigit() or count % int(per_machine):
            raise ValueError(
                f"{names[3]}={environment[names[3]]} of {count} processes: allowed is the same number on each machine"
            )
        return cls(rank, count, local_rank, int(per_machine), by)


def launch() -> Launch:
    """What torchrun or srun says of this process."""
    return Launch.of(os.environ)


def start() -> int:
    """Connect the processes that torchrun or srun has started, if it has; returns how many there are.

    Raises:
        ValueError: There are fewer GPUs than processes on a machine.
    """
    if launch().count > 1 and count() == 1:
        _connected(launch(), "32-true")
    return count()


def count() -> int:
    """How many processes are connected; 1 before `start`."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process among the connected ones, from 0."""
    return distributed.get_rank() if count() > 1 else 0


def fabric(precision: str) -> Fabric:
    """Lightning Fabric on this process's device, which averages gradients over all connected processes."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    if count() > 1:
        return _connected(launch(), precision)
    # this environment: nobody else is waited for, whatever the variables of a cluster's job say
    return Fabric(accelerator="auto", devices=1, precision=precision, plugins=[LightningEnvironment()])  # type: ignore[arg-type]


def _connected(launched: Launch, precision: str) -> Fabric:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
    from lightning_fabric.strategies import DDPStrategy

    each = launched.local_count
    gpus = torch.cuda.device_count()
    if gpus and gpus < each:
        raise ValueError(
            f"{each} processes on a machine whose processes see {gpus} GPUs: allowed is {gpus} at most; of Slurm, "
            "ask for them by --gpus-per-node, not by --gpus-per-task, which shows each process one of them"
        )
    made = Fabric(
        accelerator="cuda" if gpus else "cpu",
        devices=each,
        num_nodes=launched.count // each,
        strategy=DDPStrategy(timeout=TIMEOUT),
        precision=precision,  # type: ignore[arg-type]
        plugins=[TorchElasticEnvironment() if launched.by == "torchrun" else SLURMEnvironment()],
    )
    made.launch()
    return made


# ---------------------------------------------------------------- shares of a batch


@dataclass(frozen=True)
class Share:
    """The rows of a batch that are one process's: it draws the views of whole blocks and keeps its own."""

    drawn: slice  # rows of the batch
    first: int  # number of the first block among the batch's
    kept: slice  # rows of those that are drawn


def share(spec: EncoderSpec, block: int) -> Share:
    """This process's share of each batch, whose views are drawn in blocks of `block` points.

    Where shares are no whole blocks, a process also draws what it does not keep: of a batch of one block, all of it.

    Raises:
        ValueError: The batch does not split evenly.
    """
    parts, batch = count(), spec.batch
    if parts == 1:
        return Share(slice(None), 0, slice(None))  # all there is: DP-SGD's batches have no fixed size
    if batch % parts:
        lower = batch - batch % parts
        fits = ", ".join(str(size) for size in (lower, lower + parts) if size >= 2)
        raise ValueError(f"batch={batch} on {parts} processes: allowed are multiples of {parts}, such as {fits}")
    start, stop = rank() * batch // parts, (rank() + 1) * batch // parts
    first = start // block
    drawn = slice(first * block, min(-(-stop // block) * block, batch))
    return Share(drawn, first, slice(start - drawn.start, stop - drawn.start))


def ready(spec: EncoderSpec, objective: Objective, device: torch.device) -> Objective:
    """An objective as several processes can train it: its BatchNorms take the statistics of all of them.

    Raises:
        ValueError: This spec is for one process alone.
    """
    if count() == 1:
        return objective
    if spec.epsilon is not None:
        raise ValueError(
            f"epsilon={spec.epsilon:g} on {count()} processes: the noise of DP-SGD is accounted for in one process; "
            "allowed is one, or epsilon=None"
        )
    norms = [name for name, part in objective.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if norms and device.type != "cuda":
        whole = any(name.startswith("encoder.") for name in norms)
        what = f"arch={spec.arch!r}" if whole else f"framework={spec.framework!r}, in its heads,"
        raise ValueError(
            f"{count()} processes on the {device.type.upper()}: {what} has BatchNorm ({norms[0]}, ...), "
            "which takes the statistics of all processes on GPUs alone; allowed here are one process, or a ViT with "
            "framework simclr, dino, mae or supervised"
        )
    return nn.SyncBatchNorm.convert_sync_batchnorm(objective)


# ---------------------------------------------------------------- process 0 writes


def find_or_make(
    path: Path, make: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """As `store.find_or_make`, which connected processes call together: all make, process 0 writes, all read.

    Raises:
        FileNotFoundError: A process does not see what process 0 has written.
    """
    if count() == 1:
        return store.find_or_make(path, make)
    connected = fabric("32-true")

    def make_together() -> tuple[dict[str, Tensor], dict[str, Any]]:
        connected.broadcast("make")
        return make()

    if rank() == 0:
        if (made := store.find(path)) is not None:  # without a lock, which a store that may only be read has not
            connected.broadcast("read")
            return made
        held = store.lock_of(path)
        while True:  # the others hear of it while another run is making it, as nobody answers for hours otherwise
            try:
                held.acquire(timeout=PATIENCE)
                break
            except filelock.Timeout:
                connected.broadcast("wait")
        try:
            made = store.find_or_make(path, make_together)
        finally:
            held.release()
        connected.broadcast("read")
        return made
    while (said := connected.broadcast("")) != "read":
        if said == "make":
            make()
    try:
        return store.read(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno, f"process {rank()} does not see what process 0 wrote: share MEMLIB_HOME", str(path)
        ) from None


def agree(made: Fabric, step: int, state: Path) -> None:
    """Check that this process goes on from the same step as process 0.

    Raises:
        ValueError: It does not: they do not see the same checkpoint.
    """
    if (first := made.broadcast(step)) != step:
        raise ValueError(
            f"process {rank()} would go on from step {step} and process 0 from step {first}: {state} has to be the "
            "same for all; MEMLIB_HOME has to be shared"
        )
