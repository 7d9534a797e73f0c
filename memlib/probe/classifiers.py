"""Linear classifiers and kNN on features that are already there: many problems as one, no encoder in sight."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from memlib.progress import progress
from memlib.specs import OPTIMIZERS, is_whole, nearest

# Table 9 as choices of `linear`, for data sets other than ImageNet (there: 45 epochs, 5 of warm-up)
TABLE_9: dict[str, dict[str, Any]] = {
    "mae": {"optimizer": "lars", "lr": 1.6, "epochs": 90, "warmup": 10, "batch": 4096},
    "simclr": {"optimizer": "lars", "lr": 4.8, "epochs": 90, "warmup": 10, "batch": 4096},
    "dino": {"optimizer": "lars", "lr": 1.6, "epochs": 90, "warmup": 10, "batch": 4096},
    "simsiam": {"optimizer": "sgd", "lr": 5e-2, "epochs": 30, "warmup": 3, "batch": 256},
}
LR = {"lars": 1.6, "sgd": 5e-2, "adamw": 1e-3}  # the first two of Table 9
MOMENTUM = 0.9
BATCH, STEPS = 4096, 12  # Table 9's batch, and how many of them are in its 50,000 points
TRUST = 1e-3  # of LARS: step over weights, as norms, at a learning rate of 1
INITIAL = 0.01  # standard deviation of the weights before the first step, as MAE's probe
CACHE = 4 << 20  # bytes of features in a step on a processor: more encoders at once would only wait for memory


@dataclass(frozen=True)
class Accuracy:
    """Share of the test points that are classified correctly, 0..1: over seeds, and of each seed.

    `std` is that of a sample (n - 1), and 0 for a single seed.
    """

    mean: float
    std: float
    each: tuple[float, ...]

    @classmethod
    def of(cls, each: Sequence[float]) -> Accuracy:
        """Mean and standard deviation of several accuracies."""
        return cls(statistics.fmean(each), statistics.stdev(each) if len(each) > 1 else 0.0, tuple(each))

    def __str__(self) -> str:
        return f"{100 * self.mean:.2f} ± {100 * self.std:.2f} %"


def linear(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    epochs: int = 90,
    warmup: int = 10,
    batch: int | None = None,
    lr: float | None = None,
    optimizer: str = "lars",
    weight_decay: float = 0.0,
    seeds: int | Sequence[int] = 3,
) -> Accuracy:
    """Test accuracy of a linear classifier on frozen features (Table 9), over seeds.

    A linear warm-up, then half a cosine to 0; momentum .9. A seed decides the first weights and the order of the
    points; torch's global generator is left alone. LARS adapts the weights and not the bias, as MAE's probe.

    Args:
        train_features, test_features: float [N, D] and [M, D]; solved on their device.
        train_labels, test_labels: integers [N] and [M], 0 or more.
        epochs, warmup: Passes over the training points, and the first of them with a rising learning rate.
        batch: Points in a step, N at most. None: 4,096, but a twelfth of fewer than 50,000 points, so that an
            epoch keeps the 12 steps that it has in the papers: with 90 steps in all LARS stays near its start.
        lr: None: 1.6 for LARS and .05 for SGD (Table 9), .001 for AdamW. It is not scaled with the batch.
        optimizer: `lars`, `sgd` or `adamw`.
        seeds: How many, from 0; or the seeds themselves.

    Raises:
        KeyError: The optimizer is unknown.
        ValueError: Features and labels do not fit together, features are not finite, points have no label or all
            the same, test points are of classes that no training point has, or a number is out of its range.
    """
    _one_set(train_features, test_features, "grid() takes several sets of features, [G, N, D]")
    return grid(
        train_features[None],
        train_labels,
        test_features[None],
        test_labels,
        epochs=epochs,
        warmup=warmup,
        batch=batch,
        lr=lr,
        optimizer=optimizer,
        weight_decay=weight_decay,
        seeds=seeds,
    )[0]


def grid(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    epochs: int = 90,
    warmup: int = 10,
    batch: int | None = None,
    lr: float | None = None,
    optimizer: str = "lars",
    weight_decay: float = 0.0,
    seeds: int | Sequence[int] = 3,
) -> list[Accuracy]:
    """Linear probes of G encoders on the same points, solved together: what `linear` finds for each of them.

    Args:
        train_features, test_features: float [G, N, D] and [G, M, D].
        train_labels, test_labels, epochs, warmup, batch, lr, optimizer, weight_decay, seeds: See `linear`.

    Returns:
        An `Accuracy` for each encoder.

    Raises:
        As `linear` does.
    """
    if train_features.ndim != 3 or test_features.ndim != 3 or len(train_features) != len(test_features):
        given = f"{tuple(train_features.shape)} and {tuple(test_features.shape)}"
        raise ValueError(f"features of shapes {given}: allowed are [G, N, D] and [G, M, D]")
    labels, expected, classes = _targets(train_features, train_labels, test_features, test_labels)
    seeds = [int(seed) for seed in (range(seeds) if isinstance(seeds, int | Integral) else seeds)]
    if optimizer not in OPTIMIZERS:
        raise nearest(optimizer, OPTIMIZERS, "optimizer")
    n = len(labels)
    batch = max(1, min(BATCH, n // STEPS)) if batch is None else batch
    lr = LR[optimizer] if lr is None else lr
    whole("epochs", epochs)
    whole("batch", batch)
    for name, value, fits, allowed in (
        ("warmup", warmup, 0 <= warmup <= epochs, f"0 to epochs={epochs}"),
        ("lr", lr, 0 < lr < float("inf"), "above 0"),
        ("weight_decay", weight_decay, 0 <= weight_decay < float("inf"), "0 or more"),
        ("seeds", seeds, len(seeds) > 0, "1 or more, or a list of one or more"),
    ):
        if not fits:
            raise ValueError(f"{name}={value!r}: allowed is {allowed}")
    solver = _Solver(classes, seeds, epochs, warmup, int(min(batch, n)), lr, optimizer, weight_decay)
    found: list[Accuracy] = []
    step = 4 * len(seeds) * solver.batch * train_features.shape[2]
    together = max(1, CACHE // step) if train_features.device.type == "cpu" else len(train_features)
    parts = list(zip(train_features.split(together), test_features.split(together), strict=True))
    for i, (known, asked) in enumerate(parts, 1):
        x, z = _standardised(known, asked)
        with progress(epochs, f"probing, part {i} of {len(parts)}", "epoch") as done:
            weight, bias = solver.solve(x, labels, done)
        for w, b, points in zip(weight, bias, z, strict=True):
            right = (w @ points.T + b).argmax(1) == expected  # [S, C, M] -> [S, M]
            found.append(Accuracy.of(right.double().mean(1).tolist()))
    return found


@dataclass
class _Solver:
    classes: int
    seeds: list[int]
    epochs: int
    warmup: int
    batch: int
    lr: float
    optimizer: str
    weight_decay: float

    def solve(
        self, x: Tensor, labels: Tensor, done: Callable[[int], None] = lambda epochs: None
    ) -> tuple[Tensor, Tensor]:
        """Weights [G, S, C, D] and biases [G, S, C, 1] for features [G, N, D]; the gradient is written out."""
        from lightly.utils.scheduler import cosine_warmup_schedule

        (g, n, d), s, c = x.shape, len(self.seeds), self.classes
        draws = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        first = torch.stack([INITIAL * torch.randn(c, d, generator=draw) for draw in draws])
        weight = first.to(x).repeat(g, 1, 1)  # [G * S, C, D]: with classes before points all products are fast
        bias = x.new_zeros(g * s, c, 1)
        weight.grad, bias.grad = torch.zeros_like(weight), torch.zeros_like(bias)
        optimizer = self._optimizer(weight, bias)
        targets = one_hot(labels, c).to(x)  # [N, C]
        steps = n // self.batch  # the points left over differ from epoch to epoch
        for step in range(self.epochs * steps):
            if step % steps == 0:
                order = torch.stack([torch.randperm(n, generator=draw) for draw in draws]).to(x.device)
            chosen = order[:, step % steps * self.batch :][:, : self.batch]  # [S, B]
            points = x.index_select(1, chosen.flatten()).view(g * s, self.batch, d)
            error = torch.baddbmm(bias, weight, points.mT).softmax(1)  # [G * S, C, B]
            error.view(g, s, c, self.batch).sub_(targets[chosen].mT)
            error /= self.batch
            torch.bmm(error, points, out=weight.grad)
            torch.sum(error, 2, keepdim=True, out=bias.grad)
            if self.optimizer == "lars":
                weight.grad.add_(weight, alpha=self.weight_decay)
                _adapt(weight.grad, weight)
            for group in optimizer.param_groups:
                group["lr"] = cosine_warmup_schedule(
                    step, self.epochs * steps, self.lr, 0.0, self.warmup * steps, 0.0
                )
            optimizer.step()
            done((step + 1) % steps == 0)
        return weight.view(g, s, c, d), bias.view(g, s, c, 1)

    def _optimizer(self, weight: Tensor, bias: Tensor) -> torch.optim.Optimizer:
        """SGD or AdamW, which work element by element; what LARS adds to SGD is in the gradients by then."""
        decay = 0.0 if self.optimizer == "lars" else self.weight_decay
        groups = [{"params": [weight], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}]
        if self.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=self.lr)
        return torch.optim.SGD(groups, lr=self.lr, momentum=MOMENTUM)


def _adapt(gradient: Tensor, weight: Tensor) -> None:
    """LARS for each problem by itself; lightly's takes one norm of a whole tensor, and none without weight decay."""
    norms = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
    gradient *= TRUST * torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True) / (norms + 1e-8)


def _standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Both with mean 0 and standard deviation 1 over the training points; 0 where these are all the same."""
    train, test = train.float(), test.float()
    largest = train.abs().amax(1, keepdim=True)
    mean = train.mean(1, keepdim=True)
    train = train - mean
    spread = train.square().mean(1, keepdim=True).sqrt()
    scale = torch.where(spread > 1e-6 * largest, 1 / spread, 0.0)  # below: what float32 leaves of a constant
    return train * scale, (test - mean) * scale


def knn(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Test accuracy of weighted kNN: the k most similar points by cosine vote with exp(similarity / temperature).

    As Wu et al. (2018) and DINO; a quick check that learns nothing.

    Args:
        train_features, test_features: float [N, D] and [M, D].
        train_labels, test_labels: integers [N] and [M], 0 or more.
        k: 1 to N.

    Raises:
        ValueError: Features and labels do not fit together as in `linear`, or k or temperature is out of range.
    """
    _one_set(train_features, test_features, "take one set of features at a time")
    labels, expected, classes = _targets(train_features, train_labels, test_features, test_labels)
    whole("k", k)
    if k > len(labels):
        raise ValueError(f"k={k} with {len(labels)} training points: allowed is 1 to {len(labels)}")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature={temperature!r}: allowed is above 0")
    x, z = normalize(train_features.float(), dim=1), normalize(test_features.float(), dim=1)
    right = 0
    for points, wanted in zip(z.split(1024), expected.split(1024), strict=True):
        similarity, near = (points @ x.T).topk(k)  # [B, k]
        weights = ((similarity - similarity[:, :1]) / temperature).exp()  # against the nearest: never overflows
        votes = weights.new_zeros(len(points), classes).scatter_add_(1, labels[near], weights)
        right += int((votes.argmax(1) == wanted).sum())
    return right / len(expected)


def _targets(train: Tensor, labels: Tensor, test: Tensor, expected: Tensor) -> tuple[Tensor, Tensor, int]:
    """Labels as 0..C-1 of the classes that training points have, on the features' device, and C; all checked."""
    for name, x, y in (("train", train, labels), ("test", test, expected)):
        if y is None or (isinstance(y, Tensor) and len(y) and int(y.min()) < 0):
            raise ValueError(f"{name}_labels has points without a label: a probe needs the class of every point")
        if not isinstance(y, Tensor) or y.is_floating_point() or y.ndim != 1:
            given = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(f"{name}_labels is {given}: allowed are integers [N]")
        if x.shape[-2] != len(y) or not len(y):
            raise ValueError(
                f"{name}_features has {x.shape[-2]} points and {name}_labels {len(y)}: "
                "both are of the same points, in one order, and of one point or more"
            )
        if not x.is_floating_point() or not torch.isfinite(x).all():
            raise ValueError(f"{name}_features is {x.dtype} or has values that are not finite: allowed are floats")
    if train.shape[-1] != test.shape[-1]:
        raise ValueError(
            f"train_features has {train.shape[-1]} values a point and test_features {test.shape[-1]}: "
            "both come from the same encoder"
        )
    classes, places = labels.to(train.device).unique(return_inverse=True)
    expected = expected.to(train.device)
    if len(classes) < 2:
        raise ValueError(f"all training points are of class {int(classes[0])}: a probe needs two classes or more")
    missing = expected.unique()[~torch.isin(expected.unique(), classes)].tolist()
    if missing:
        raise ValueError(
            f"no training point is of class {', '.join(map(str, missing))}, and test points are: "
            "take more training points, or leave these test points out"
        )
    return places, torch.searchsorted(classes, expected), len(classes)


def _one_set(train: Tensor, test: Tensor, remedy: str) -> None:
    for name, x in (("train", train), ("test", test)):
        if x.ndim != 2:
            raise ValueError(f"{name}_features of shape {tuple(x.shape)}: allowed is [N, D]; {remedy}")


def whole(name: str, value: Any) -> None:
    """Check a count.

    Raises:
        ValueError: It is no integer from 1 up.
    """
    if not is_whole(value, 1):
        raise ValueError(f"{name}={value!r}: allowed is an integer from 1 up")
