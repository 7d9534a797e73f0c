"""What a step needs beside the objective: its batch, its random draws, its optimizer and learning rate."""

from __future__ import annotations

import ctypes
import datetime
import logging
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memlib.objectives import Objective
from memlib.progress import bar
from memlib.specs import EncoderSpec
from memlib.train import processes

log = logging.getLogger("memlib")
BLOCK = 512  # points whose views are drawn together: what each of several processes can draw by itself


def generator(*seeds: int) -> torch.Generator:
    """A CPU generator of its own for each combination of seeds."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1))


class Batches:
    """The points of each step, int64 [batch]: every epoch a new order, its last points left over."""

    def __init__(self, n: int, batch: int, seed: int) -> None:
        self.n, self.batch, self.seed = n, batch, seed
        self.per_epoch = n // batch
        self.epoch, self.order = -1, torch.empty(0)

    def at(self, step: int) -> Tensor:
        epoch, number = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, torch.randperm(self.n, generator=generator(self.seed, 0, epoch))
        return self.order[number * self.batch : (number + 1) * self.batch]


def views(objective: Objective, images: Tensor, labels: Tensor, seed: int, step: int, first: int = 0) -> list[Tensor]:
    """An objective's views of a batch [B, 3, H, W], or of the part of it that begins at block `first`.

    They are drawn in blocks of points, each by a generator of (seed, step, block), so that several processes draw
    what a single one does.
    """
    blocks = []
    for number, start in enumerate(range(0, len(images), BLOCK), first):
        draws = generator(seed, 1, step, *([number] if number else []))
        part = slice(start, start + BLOCK)
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(draws.initial_seed())  # for an objective that draws by itself
            blocks.append(objective.views(images[part], labels[part], draws))
    return list(blocks[0]) if len(blocks) == 1 else [torch.cat(same) for same in zip(*blocks, strict=True)]


def keep_memory() -> None:
    """Let glibc keep what a step frees for the next one; other allocators are left as they are.

    By its defaults it hands large blocks back at once, and the system clears every page of them anew in each step.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD


def build_optimizer(objective: Objective, spec: EncoderSpec) -> torch.optim.Optimizer:
    """AdamW, SGD or LARS; biases and norms are neither decayed nor, by LARS, adapted."""
    from lightly.models.utils import get_weight_decay_parameters
    from lightly.utils.lars import LARS

    decayed, others = get_weight_decay_parameters([objective])
    decayed, others = ([p for p in group if p.requires_grad] for group in (decayed, others))
    groups = [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if spec.optimizer == "lars":
        return LARS(groups, lr=spec.lr, momentum=0.9)
    if spec.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=spec.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=spec.lr, fused=not torch.backends.mps.is_available())


def schedule(step: int, total: int, warmup: float) -> float:
    """Share of the learning rate at a step: a linear warm-up, then half a cosine to 0."""
    from lightly.utils.scheduler import cosine_warmup_schedule

    return cosine_warmup_schedule(step, total, 1.0, 0.0, round(warmup * total), 0.0)


def arithmetic(name: str) -> str:
    """`float32` or `bfloat16`; `auto` is bfloat16 where the processor has it, as it is 10 times as slow emulated."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = not torch.backends.mps.is_available() and torch.cpu.get_capabilities().get("avx512_bf16", False)
    return "bfloat16" if has else "float32"


def precision_of(name: str) -> str:
    """Fabric's name of the precision."""
    return {"bfloat16": "bf16-mixed", "float32": "32-true"}[arithmetic(name)]


def device() -> torch.device:
    """The GPU where there is one, otherwise the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def circumstances(device: torch.device, precision: str) -> dict[str, Any]:
    """Date, device, threads and versions: what a page says about how a result came about."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    if device.type == "cpu":
        name += f", {torch.backends.cpu.get_cpu_capability()}"  # the instructions taken, which round differently
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "precision": precision,
        "torch": str(torch.__version__),
    }


class Progress:
    """A bar on a terminal; elsewhere a line in the log now and then, and nothing on a page."""

    def __init__(self, spec: EncoderSpec, start: int, total: int) -> None:
        self.name = f"{spec.framework} {spec.arch} {spec.dataset} {spec.points} seed {spec.seed}"
        self.total = total
        self.bar = bar(total, self.name, "step", initial=start, disable=processes.rank() > 0)
        self.said = time.monotonic() - 25  # the first line after 5 s, then every 30
        if start:
            log.info("%s: continues at step %d of %d", self.name, start, total)

    def at(self, step: int, loss: Tensor) -> None:
        self.bar.update()
        if time.monotonic() - self.said > 30:
            self.said = time.monotonic()
            log.info("%s: step %d of %d, loss %.3f", self.name, step, self.total, float(loss.detach()))

    def close(self) -> None:
        self.bar.close()
