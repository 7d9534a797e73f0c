"""Fine-tuning chosen layers together with a linear head, all else frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from memlib.augment import augmentation
from memlib.encoders import Encoder
from memlib.measure import PRECISIONS, as_images
from memlib.measure.subjects import device_of, own
from memlib.probe import checked, features
from memlib.specs import is_whole, nearest
from memlib.surgery.parts import parts
from memlib.train.steps import schedule

WARMUP = 0.1  # share of the steps
WEIGHT_DECAY = 1e-2  # of the weights, not of biases and norms: as the encoders are trained
INITIAL = 0.01  # standard deviation of the head's weights before the first step, as of the linear probe
AT_ONCE = 256  # images in a pass of the frozen part
State = Any  # a tensor, or a tuple of them, with a row for each image


@dataclass(frozen=True)
class Tuned:
    """An encoder of which some layers were tuned, and the head that was tuned with them.

    Attributes:
        encoder: The copy, in evaluation mode.
        head: From its output [N, D] to a score for each class [N, C], the BatchNorm in front of it taken in.
        classes: Labels that the scores stand for, int64 [C].
        parameters: How many of the encoder's were trained.
        losses: Of each step.
    """

    encoder: nn.Module
    head: nn.Linear
    classes: Tensor
    parameters: int
    losses: tuple[float, ...]

    def predict(self, images: Any) -> Tensor:
        """The label of each image, int64 [N], on the CPU; images as for `tune`."""
        with torch.no_grad():
            scores = nn.functional.linear(
                features(self.encoder, images), self.head.weight.cpu(), self.head.bias.cpu()
            )
        return self.classes[scores.argmax(1)]

    def accuracy(self, images: Any, labels: Tensor) -> float:
        """Share of images that are classified correctly, 0..1.

        Raises:
            ValueError: Labels do not fit the images, or there are classes that the head was not trained on.
        """
        expected = _labels(labels, len(as_images(images)))
        new = sorted(set(expected.tolist()) - set(self.classes.tolist()))
        if new:
            raise ValueError(
                f"images are of class {', '.join(map(str, new))}, which no training image was of: "
                "take more training images, or leave these out"
            )
        return float((self.predict(images) == expected).double().mean())


def tune(
    encoder: nn.Module,
    layers: Iterable[str],
    images: Any,
    labels: Tensor,
    *,
    epochs: int = 20,
    batch: int = 64,
    lr: float = 1e-3,
    seed: int = 0,
    precision: str = "float32",
) -> Tuned:
    """Fine-tune chosen layers of an encoder with a linear head on labelled images (LayerMem paper, Table 5).

    A copy is tuned; the encoder stays as it is. Everything that is not in `layers` is frozen: its parameters have no
    gradient, its BatchNorm is in evaluation mode and keeps its statistics, and all of it is the same bits afterwards.
    The BatchNorm of a tuned layer is tuned, too: it is in training mode, normalises by the batch, and its running
    statistics follow. In front of the head is a BatchNorm without parameters, as in MAE's probe.

    Images are flipped at random and otherwise left as they are, so that an encoder's steps in front of the first
    tuned layer run twice an image and not in every epoch. AdamW with a linear warm-up and half a cosine to 0.

    Args:
        encoder: Any module that puts out [N, D], on its device.
        layers: Names as `parts` takes them; () tunes the head alone.
        images: uint8, or float in 0..1, [N, 3, H, W]; or a data set. Brought to squares of their shorter side.
        labels: Integers [N], 0 or more, of two classes or more.
        epochs: Passes over the images.
        batch: Images in a step, 2 or more, N at most; in each epoch those left over are others.
        lr: Learning rate of layers and head.
        seed: Of the head's first weights, the order of the images and their flips.
        precision: Of training: `float32`, or `bfloat16` autocast.

    Raises:
        KeyError: There is no such layer, or no such precision.
        ValueError: A layer has no parameters, images and labels do not fit together, there is one class, or a number
            is out of its range.
        ArithmeticError: The loss is not finite.
    """
    pixels = as_images(images)
    known, places = _labels(labels, len(pixels)).unique(return_inverse=True)
    if len(known) < 2:
        raise ValueError(f"all images are of class {int(known[0])}: tuning needs two classes or more")
    if len(pixels) < 2:
        raise ValueError("one image: tuning needs two or more")
    for name, value, least in (("epochs", epochs, 1), ("batch", batch, 2), ("seed", seed, 0)):
        if not is_whole(value, least):
            raise ValueError(f"{name}={value!r}: allowed is a whole number of {least} or more")
    if isinstance(lr, bool) or not isinstance(lr, Real) or not 0 < lr < float("inf"):
        raise ValueError(f"lr={lr!r}: allowed is a number above 0")
    if precision not in PRECISIONS:
        raise nearest(precision, PRECISIONS, "precision")

    made = own(encoder)
    wanted = {p: p.requires_grad for p in made.parameters()}
    made.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # half the time on a processor
    chosen = {path: module for modules in parts(made, layers).values() for path, module in modules.items()}
    frozen, tuned = _cut(made, list(chosen))
    prepare, draws = augmentation("none", min(pixels.shape[2:])), torch.Generator().manual_seed(int(seed))
    device = device_of(made)
    cast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
    with torch.no_grad(), cast:
        sides = [_ahead(frozen, prepare, side, device) for side in (pixels, pixels.flip(3))]
        norm = _Norm(torch.cat(list(_outputs(tuned, sides[0], len(pixels), device)))).to(device)
    for module in chosen.values():
        module.train().requires_grad_(True)
    trained = [p for p in made.parameters() if p.requires_grad]
    weight = (INITIAL * torch.randn(len(known), norm.num_features, generator=draws)).to(device).requires_grad_()
    bias = torch.zeros(len(known), device=device, requires_grad=True)
    places = places.to(device)

    n, batch = len(pixels), min(batch, len(pixels))
    steps = n // batch
    optimizer, losses = _optimizer([*trained, weight, bias], lr), []
    for step in range(epochs * steps):
        if step % steps == 0:
            order, flipped = torch.randperm(n, generator=draws), torch.rand(n, generator=draws) < 0.5
        rows = order[step % steps * batch :][:batch]
        with cast:
            output = checked(tuned(_pick(sides, rows, flipped[rows], device)), batch)
        loss = cross_entropy(norm(output.float()) @ weight.T + bias, places[rows.to(device)])
        losses.append(float(loss.detach()))
        if not torch.isfinite(loss):
            raise ArithmeticError(f"the loss is {losses[-1]} at step {step}: take a smaller lr than {lr:g}")
        for group in optimizer.param_groups:
            group["lr"] = lr * schedule(step, epochs * steps, WARMUP)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for p, needed in wanted.items():
        p.requires_grad_(needed)
        p.grad = None
    head = nn.Linear(norm.num_features, len(known), device=device)
    with torch.no_grad():
        head.weight.copy_(weight * (norm.running_var + norm.eps).rsqrt())
        head.bias.copy_(bias - head.weight @ norm.running_mean)
    made.eval().to(memory_format=torch.contiguous_format)
    return Tuned(made, head, known, sum(p.numel() for p in trained), tuple(losses))


def _labels(labels: Any, n: int) -> Tensor:
    """Checked labels on the CPU, int64 [n]."""
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype == torch.bool or labels.ndim != 1:
        given = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(f"labels is {given}: allowed are integers [N]")
    if len(labels) != n:
        raise ValueError(f"{n} images and {len(labels)} labels: both are of the same points, in one order")
    if int(labels.min()) < 0:
        raise ValueError(f"labels go down to {int(labels.min())}: every image needs its class, 0 or more")
    return labels.cpu().long()


def _cut(model: nn.Module, paths: Sequence[str]) -> tuple[Callable[[Tensor], State], Callable[[State], Any]]:
    """The model as two functions: what comes before the first of these modules, and the rest.

    A module that does not say what its steps are is one step.
    """
    chain: list[tuple[Callable[[Any], Any], tuple[str, ...]]] = [(model, ("",))]
    if isinstance(model, Encoder) and type(model).steps is not Encoder.steps:
        chain = [(step.run, step.parts) for step in model.steps()]
    first = next((i for i, (_, own) in enumerate(chain) if _overlap(own, paths)), len(chain))

    def run(part: Sequence[tuple[Callable[[Any], Any], tuple[str, ...]]], state: State) -> State:
        for forward, _ in part:
            state = forward(state)
        return state

    return lambda x: run(chain[:first], x), lambda state: run(chain[first:], state)


def _overlap(own: Iterable[str], paths: Iterable[str]) -> bool:
    """Whether a module of one list is, holds or is part of one of the other."""
    return any(not a or not b or a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.") for a in own for b in paths)


def _ahead(frozen: Callable[[Tensor], State], prepare: Any, pixels: Tensor, device: torch.device) -> State:
    """What the frozen part makes of all images, on the CPU."""
    found, unused = [], torch.Generator()
    for part in pixels.split(AT_ONCE):
        state = frozen(prepare(part.to(device), unused).contiguous(memory_format=torch.channels_last))
        found.append(_each(lambda t: t.cpu(), state))
    return _each(lambda *same: torch.cat(same), *found)


def _outputs(tuned: Callable[[State], Any], states: State, n: int, device: torch.device) -> Iterator[Tensor]:
    """What the rest makes of all states, float32 on the CPU."""
    for start in range(0, n, AT_ONCE):
        state = _each(lambda t, s=start: t[s : s + AT_ONCE].to(device), states)  # type: ignore[misc]
        yield checked(tuned(state), min(AT_ONCE, n - start)).float().cpu()


def _each(do: Callable[..., Tensor], *states: State) -> State:
    """The same done with a state, or with each tensor of one that is a tuple."""
    if isinstance(states[0], tuple):
        return tuple(do(*same) for same in zip(*states, strict=True))
    return do(*states)


def _pick(sides: Sequence[State], rows: Tensor, flipped: Tensor, device: torch.device) -> State:
    """The states of these images, each as it is or flipped."""

    def choose(plain: Tensor, other: Tensor) -> Tensor:
        mask = flipped.view(-1, *[1] * (plain.ndim - 1))
        return torch.where(mask, other[rows], plain[rows]).to(device)

    return _each(choose, *sides)


class _Norm(nn.BatchNorm1d):
    """What brings outputs [N, D] to the standard scale, batch by batch, without parameters: as MAE's probe."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, output: Tensor) -> None:
        super().__init__(output.shape[1], affine=False)
        self.running_mean, self.running_var = output.mean(0), output.var(0)


def _optimizer(trained: Sequence[Tensor], lr: float) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)
