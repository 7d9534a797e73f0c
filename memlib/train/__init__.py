"""One loop for all objectives: an `EncoderSpec` becomes a trained encoder, whatever interrupts it.

What a step draws depends on the seed and the step alone, so a checkpoint holds weights, optimizer state and the
step, and a run that was killed ends in the same bits as one that was not (on the CPU, at the checkpoint's number of
threads, which a continued run takes on).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memlib import data, splits, store
from memlib.augment import Augmentation, augmentation
from memlib.encoders import Encoder, from_spec
from memlib.objectives import BUILDERS, Objective, build_objective
from memlib.specs import EncoderSpec, half
from memlib.train import checkpoints, processes, steps
from memlib.train.private import Private
from memlib.train.steps import arithmetic, circumstances, device, processor

__all__ = [
    "SAVE_EVERY",
    "Diverged",
    "arithmetic",
    "artefact",
    "circumstances",
    "device",
    "encoder",
    "initial",
    "processor",
    "restored",
    "train",
    "training_points",
    "views_of",
]

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
    built = restored(spec, arrays)
    built.made = header
    return built


def restored(spec: EncoderSpec, arrays: Mapping[str, Tensor]) -> Encoder:
    """The encoder of a spec, in evaluation mode, from what the store keeps of its training."""
    built = initial(spec)
    part = f"{BUILDERS[spec.framework].measured}."
    built.load_state_dict({k.removeprefix(part): v for k, v in arrays.items() if k.startswith(part)})
    return built.eval()


def artefact(
    spec: EncoderSpec, root: str | Path | None = None, save_every: float = SAVE_EVERY
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Stored weights of encoder and heads, the loss of every step (`loss`), and the header."""
    train_set = data.load(spec.dataset, "train", root, size=spec.size)
    folder = store.home() / "encoders"
    # one state for all that end along the same training: each goes on where the one before ended
    state = folder / f"{replace(spec, stop=None).key(train_set.fingerprint)}{store.CHECKPOINT}"
    path = folder / f"{spec.key(train_set.fingerprint)}.safetensors"
    made = processes.find_or_make(path, lambda: train(spec, train_set, state, save_every, root))
    if spec.stop is None and processes.rank() == 0:
        with suppress(OSError):  # a store may only be read
            state.unlink(missing_ok=True)
    return made


def initial(spec: EncoderSpec) -> Encoder:
    """The encoder of a spec before its first step: weights drawn from its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return from_spec(spec)


def views_of(spec: EncoderSpec) -> Augmentation:
    """The augmentation set that an encoder is trained, and so measured, with."""
    return augmentation(spec.augment, spec.size, flip=spec.flip)


def training_points(spec: EncoderSpec, n: int) -> Tensor:
    """Indices int64 of the points that an encoder is trained on, of a data set of n in canonical order.

    Raises:
        ValueError: The splits need more points than there are.
    """
    pool = torch.arange(n) if spec.subset is None else splits.choose(n, spec.subset, spec.split_seed, spec.pool)
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
    spec: EncoderSpec,
    train_set: data.Dataset,
    state: Path,
    save_every: float = SAVE_EVERY,
    root: str | Path | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train an encoder from its last state at `state`, or from the start; returns what the store keeps of it."""
    points = training_points(spec, len(train_set))
    if len(points) < spec.batch:
        fits = f"is {len(points)} at most; take a smaller batch or more points"
        fits = fits if len(points) > 1 else "are 2 points and more; take more of them"
        raise ValueError(f"batch={spec.batch} with {len(points)} training points: allowed {fits}")
    private = Private(spec, len(points)) if spec.epsilon is not None else None
    batches = private or steps.Batches(len(points), spec.batch, spec.seed)
    mine = processes.share(spec, steps.BLOCK)
    total, end = spec.epochs * batches.per_epoch, spec.end * batches.per_epoch

    steps.keep_memory()
    precision = steps.precision_of(spec.precision)
    fabric = processes.fabric(precision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        objective = build_objective(from_spec(spec), spec, len(train_set.classes) if train_set.labelled else 0)
    objective = processes.ready(spec, objective, fabric.device)
    objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model, optimizer = fabric.setup(objective, steps.build_optimizer(objective, spec))
    if private:
        private.attach(objective, optimizer, precision)
    images = train_set.images[points].to(fabric.device)
    labels = train_set.labels[points] if train_set.labelled else torch.full((len(points),), -1)
    labels = labels.to(fabric.device)
    probe = _Probe(spec, train_set, points, root) if spec.until is not None else None

    losses = torch.full((end,), torch.nan, device=fabric.device)
    before = checkpoints.resume(state, objective, optimizer, losses, end)
    processes.agree(fabric, before["step"], state)
    start, spent, probed = before["step"], before.get("seconds", 0.0), list(before.get("probed", []))
    began = saved = time.monotonic()
    checked, done = start, start

    def keep() -> None:
        if processes.rank():
            return
        header = {"seconds": spent + time.monotonic() - began, "probed": probed, "processes": processes.count()}
        checkpoints.save(state, objective, optimizer, losses, done, header)

    progress = steps.Progress(spec, start, end)
    for step in range(start, end):
        if probed and probe and probed[-1][1] >= probe.wanted:
            break
        chosen = batches.at(step)[mine.drawn].to(fabric.device)
        for group in optimizer.param_groups:
            group["lr"] = spec.lr * steps.schedule(step, total, spec.warmup)
        views = steps.views(objective, images[chosen], labels[chosen], spec.seed, step, mine.first)
        if private:
            loss = private.backward(views, step)
        else:
            loss = model(*(view[mine.kept] for view in views))
            fabric.backward(loss)
        losses[step] = loss.detach()
        done = step + 1
        epoch, rest = divmod(done, batches.per_epoch)
        if not rest or fabric.device.type == "cpu":
            losses[checked:done] = fabric.all_reduce(losses[checked:done], reduce_op="mean")  # type: ignore[assignment]
            _check(losses[checked:done], checked, spec, state)
            checked = done
        optimizer.step()
        optimizer.zero_grad()
        objective.update(done / total)
        if probe and not rest and epoch % spec.check == 0:
            probed.append((epoch, fabric.broadcast(probe(objective) if processes.rank() == 0 else 0.0)))
        if time.monotonic() - saved > save_every and checked == done:
            keep()
            saved = time.monotonic()
        progress.at(done, loss)
    progress.close()
    if spec.stop is not None and done > start:
        keep()
    header = {
        "kind": "encoder",
        "spec": spec.values(),
        "fingerprint": train_set.fingerprint,
        "points": len(points),
        "steps": done,
        "epochs": done / batches.per_epoch,
        "started_at_step": start,
        "processes": processes.count(),
        "parameters": sum(p.numel() for p in objective.encoder.parameters()),
        "seconds": round(spent + time.monotonic() - began, 1),
        **({"probed": probed, "reached": bool(probed) and probed[-1][1] >= probe.wanted} if probe else {}),
        **({"private": private.header(done)} if private else {}),
        **circumstances(fabric.device, precision),
    }
    weights = {k: v.detach().cpu().contiguous() for k, v in objective.state_dict().items()}
    return {**weights, "loss": losses[:done].cpu()}, header


class _Probe:
    """The accuracy of a linear probe on the encoder as it is, for `EncoderSpec.until`.

    It is fitted on the training points and tested on as many of the test split as `TESTED`, with one seed; test
    points of a class that has no training point are left out.
    """

    TESTED = 2000

    def __init__(self, spec: EncoderSpec, train_set: data.Dataset, points: Tensor, root: str | Path | None) -> None:
        test_set = data.load(spec.dataset, "test", root, size=spec.size)
        for one, split in ((train_set, "train"), (test_set, "test")):
            if not one.labelled:
                raise ValueError(
                    f"until={spec.until} with dataset={spec.dataset!r}, whose {split} split has no labels: a linear "
                    "probe needs them; take until=None, or a data set with labels"
                )
        chosen = splits.choose(len(test_set), min(self.TESTED, len(test_set)), spec.split_seed)
        # few training points may miss a class, of which the probe can then know nothing
        chosen = chosen[torch.isin(test_set.labels[chosen], train_set.labels[points])]
        self.wanted = float(spec.until or 0)
        self.fitted = train_set.images[points], train_set.labels[points]
        self.tested = test_set.images[chosen], test_set.labels[chosen]

    def __call__(self, objective: Objective) -> float:
        from memlib import probe

        encoder = getattr(objective, objective.measured)
        (fit, known), (test, hidden) = self.fitted, self.tested
        return probe.linear(probe.features(encoder, fit), known, probe.features(encoder, test), hidden, seeds=1).mean


def _check(recent: Tensor, first: int, spec: EncoderSpec, state: Path) -> None:
    finite = torch.isfinite(recent)
    if finite.all():
        return
    step = first + int((~finite).nonzero()[0])
    kept = f"the last good checkpoint is {state}" if state.exists() else "no checkpoint was written before"
    raise Diverged(
        f"the loss is {float(recent[step - first])} at step {step} of {spec}; {kept}. Take a smaller lr than "
        f"{spec.lr:g}, a longer warmup than {spec.warmup:g}, or precision='float32'"
    )
