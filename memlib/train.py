"""One loop for all objectives: an `EncoderSpec` becomes a trained encoder, whatever interrupts it.

What a step draws depends on the seed and the step alone, so a checkpoint holds weights, optimizer state and the
step, and a run that was killed ends in the same bits as one that was not (on the CPU, at the checkpoint's number of
threads, which a continued run takes on).
"""

from __future__ import annotations

import datetime
import logging
import platform
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memlib import data, splits, store
from memlib.augment import Augmentation, augmentation
from memlib.encoders import Encoder, build_encoder
from memlib.objectives import Objective, build_objective
from memlib.specs import EncoderSpec, half

log = logging.getLogger("memlib")
SAVE_EVERY = 15.0  # seconds between checkpoints


class Diverged(ArithmeticError):
    """A loss that is not finite; the text has the step, the last good checkpoint and advice."""


def encoder(spec: EncoderSpec, root: str | Path | None = None, save_every: float = SAVE_EVERY) -> Encoder:
    """The encoder of a spec from the store, in evaluation mode on the CPU, trained first if it is missing.

    Args:
        root: Where the data set lies (default: MEMLIB_DATA).
        save_every: Seconds between checkpoints.

    Raises:
        Diverged: The loss stopped being finite.
        ValueError: The data set has fewer points than the spec needs, or fewer than a batch.
    """
    arrays, header = artefact(spec, root, save_every)
    built = initial(spec)
    built.load_state_dict({k.removeprefix("encoder."): v for k, v in arrays.items() if k.startswith("encoder.")})
    built.made = header
    return built.eval()


def artefact(
    spec: EncoderSpec, root: str | Path | None = None, save_every: float = SAVE_EVERY
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Stored weights of encoder and heads, the loss of every step (`loss`), and the header."""
    train_set = data.load(spec.dataset, "train", root, size=spec.size)
    key = spec.key(train_set.fingerprint)
    path = store.home() / "encoders" / f"{key}.safetensors"
    made = store.find_or_make(path, lambda: train(spec, train_set, path, save_every))
    _checkpoint(path).unlink(missing_ok=True)
    return made


def initial(spec: EncoderSpec) -> Encoder:
    """The encoder of a spec before its first step: weights drawn from its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return build_encoder(spec.arch)


def views_of(spec: EncoderSpec) -> Augmentation:
    """The augmentation set that an encoder is trained, and so measured, with."""
    return augmentation(spec.augment, spec.size, flip=spec.flip)


def training_points(spec: EncoderSpec, n: int) -> Tensor:
    """Indices int64 of the points that an encoder is trained on, of a data set of n in canonical order.

    Raises:
        ValueError: The splits need more points than there are.
    """
    pool = torch.arange(n) if spec.subset is None else splits.choose(n, spec.subset, spec.split_seed)
    if part := half(spec.points):
        k, of = part
        return pool[splits.halves(len(pool), k, of, spec.split_seed)[0]]
    if spec.points == "all":
        return pool
    sets = splits.split_points(len(pool), spec.shared, spec.candidates, spec.split_seed)
    if spec.points in ("f", "g"):
        return pool[torch.cat([sets.shared, sets.candidates if spec.points == "f" else sets.independent])]
    left_out = getattr(sets, spec.points.removeprefix("without:"))
    keep = torch.ones(len(pool), dtype=torch.bool)
    keep[left_out] = False
    return pool[keep]


def train(
    spec: EncoderSpec, train_set: data.Dataset, path: Path, save_every: float = SAVE_EVERY
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train an encoder from its last checkpoint, or from the start; returns what the store keeps of it."""
    from lightning_fabric import Fabric

    points = training_points(spec, len(train_set))
    if len(points) < spec.batch:
        raise ValueError(
            f"batch={spec.batch} with {len(points)} training points: allowed is {len(points)} at most; "
            "take a smaller batch or more points"
        )
    per_epoch = len(points) // spec.batch  # the points left over differ from epoch to epoch
    total = spec.epochs * per_epoch
    checkpoint = _checkpoint(path)

    fabric = Fabric(accelerator="auto", devices=1, precision=_precision(spec.precision))  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        objective = build_objective(build_encoder(spec.arch), views_of(spec), spec)
    objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model, optimizer = fabric.setup(objective, _optimizer(objective, spec))
    images = train_set.images[points].to(fabric.device)
    labels = train_set.labels[points] if train_set.labelled else torch.full((len(points),), -1)
    labels = labels.to(fabric.device)

    losses = torch.full((total,), torch.nan, device=fabric.device)
    start, before = _resume(checkpoint, objective, optimizer, losses)
    began = saved = time.monotonic()
    checked = start
    progress = _Progress(spec, start, total)
    for step in range(start, total):
        epoch, batch = divmod(step, per_epoch)
        if batch == 0 or step == start:
            order = torch.randperm(len(points), generator=_generator(spec.seed, 0, epoch)).to(fabric.device)
        chosen = order[batch * spec.batch : (batch + 1) * spec.batch]
        draws = _generator(spec.seed, 1, step)
        for group in optimizer.param_groups:
            group["lr"] = spec.lr * _schedule(step, total, spec.warmup)
        with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
            torch.manual_seed(draws.initial_seed())  # for an objective that draws by itself
            loss = model(*objective.views(images[chosen], labels[chosen], draws))
        fabric.backward(loss)
        losses[step] = loss.detach()
        if batch == per_epoch - 1 or fabric.device.type == "cpu":
            _check(losses[checked : step + 1], checked, spec, checkpoint)
            checked = step + 1
        optimizer.step()
        optimizer.zero_grad()
        if time.monotonic() - saved > save_every and checked == step + 1:
            _save(checkpoint, objective, optimizer, losses, step + 1, before + time.monotonic() - began)
            saved = time.monotonic()
        progress.at(step + 1, loss)
    progress.close()
    header = {
        "kind": "encoder",
        "spec": spec.values(),
        "fingerprint": train_set.fingerprint,
        "points": len(points),
        "steps": total,
        "started_at_step": start,
        "parameters": sum(p.numel() for p in objective.encoder.parameters()),
        "seconds": round(before + time.monotonic() - began, 1),
        **circumstances(fabric.device, _precision(spec.precision)),
    }
    weights = {k: v.detach().cpu().contiguous() for k, v in objective.state_dict().items()}
    return {**weights, "loss": losses.cpu()}, header


def _checkpoint(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".safetensors") + store.CHECKPOINT)


def circumstances(device: torch.device, precision: str) -> dict[str, Any]:
    """Date, device, threads and versions: what a page says about how a result came about."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "precision": precision,
        "torch": str(torch.__version__),
    }


def _precision(name: str) -> str:
    """Fabric's name of the precision; `auto` is bfloat16 autocast where the processor has it."""
    if name == "auto":
        if torch.cuda.is_available():
            has = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            has = not torch.backends.mps.is_available() and torch.cpu.get_capabilities().get("avx512_bf16", False)
        name = "bfloat16" if has else "float32"
    return {"bfloat16": "bf16-mixed", "float32": "32-true"}[name]


def _optimizer(objective: Objective, spec: EncoderSpec) -> torch.optim.Optimizer:
    """AdamW or LARS; biases and norms are neither decayed nor, by LARS, adapted."""
    from lightly.models.utils import get_weight_decay_parameters
    from lightly.utils.lars import LARS

    decayed, others = get_weight_decay_parameters([objective])
    groups = [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if spec.optimizer == "lars":
        return LARS(groups, lr=spec.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=spec.lr, fused=not torch.backends.mps.is_available())


def _schedule(step: int, total: int, warmup: float) -> float:
    """Share of the learning rate at a step: a linear warm-up, then half a cosine to 0."""
    from lightly.utils.scheduler import cosine_schedule

    warm = round(warmup * total)
    if step < warm:
        return (step + 1) / warm
    return cosine_schedule(step - warm, max(total - warm, 1), 1.0, 0.0)


def _generator(*seeds: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1))


def _save(path: Path, objective: Objective, optimizer, losses: Tensor, step: int, seconds: float) -> None:
    arrays = {f"model.{k}": v for k, v in objective.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        arrays |= {f"optimizer.{index}.{k}": v for k, v in state.items() if v is not None}
    arrays["loss"] = losses[:step]
    store.write(path, arrays, {"step": step, "seconds": seconds, "threads": torch.get_num_threads()})


def _resume(path: Path, objective: Objective, optimizer, losses: Tensor) -> tuple[int, float]:
    """Take up a checkpoint: the step to go on from and the seconds spent before; (0, 0) where there is none."""
    try:
        arrays, header = store.read(path)
    except FileNotFoundError:
        return 0, 0.0
    except store.Damaged as damage:
        warnings.warn(f"{damage}; training starts again", stacklevel=2)
        return 0, 0.0
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
    torch.set_num_threads(header["threads"])
    return header["step"], header["seconds"]


def _check(recent: Tensor, first: int, spec: EncoderSpec, checkpoint: Path) -> None:
    finite = torch.isfinite(recent)
    if finite.all():
        return
    step = first + int((~finite).nonzero()[0])
    kept = f"the last good checkpoint is {checkpoint}" if checkpoint.exists() else "no checkpoint was written before"
    raise Diverged(
        f"the loss is {float(recent[step - first])} at step {step} of {spec}; {kept}. Take a smaller lr than "
        f"{spec.lr:g}, a longer warmup than {spec.warmup:g}, or precision='float32'"
    )


class _Progress:
    """A bar on a terminal; elsewhere a line in the log now and then, and nothing on a page."""

    def __init__(self, spec: EncoderSpec, start: int, total: int) -> None:
        from tqdm import tqdm

        self.name = f"{spec.framework} {spec.arch} {spec.dataset} {spec.points} seed {spec.seed}"
        self.total = total
        self.bar = tqdm(total=total, initial=start, desc=self.name, unit="step", disable=None, leave=False)
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
