"""Differentially private training (DP-SGD) by opacus: what a single point can change is bounded, and noise covers it.

Each step draws every point with probability batch/n (Poisson sampling), clips the gradient of each drawn point to
norm `clip`, adds Gaussian noise, and divides by the batch that is expected. The guarantee is over adding or removing
one point, for the weights alone: the losses that are stored beside them are not covered, nor is anybody who knows
the seed that the noise was drawn from.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from memlib.objectives import Objective
from memlib.specs import EncoderSpec

ACCOUNTANT = "prv"  # numerical composition (Gopi et al., 2021): an upper bound, tighter than Rényi accounting
PHYSICAL = 256  # points whose gradients are clipped together: a larger batch is summed up in parts


class Private:
    """Batches and gradients of a private training; `at` and `per_epoch` are those of `train.steps.Batches`.

    Args:
        spec: Of an encoder with `epsilon`.
        n: Number of its training points.

    Raises:
        ValueError: `delta` is not below 1/n, or the spec asks for what is not private or not exact.
    """

    def __init__(self, spec: EncoderSpec, n: int) -> None:
        if spec.epsilon is None:
            raise ValueError("epsilon=None: a private training needs a number above 0")
        if not spec.delta < 1 / n:
            raise ValueError(
                f"delta={spec.delta:g} with {n} training points: allowed is below 1/n = {1 / n:.3g}, as a mechanism "
                f"that gives one of n points away has delta = 1/n; take delta={0.1 / n:.1g}, or more points"
            )
        if spec.precision == "bfloat16":
            raise ValueError(
                f"precision='bfloat16' with epsilon={spec.epsilon:g}: rounded gradients can be longer than clip; "
                "allowed are 'float32', and 'auto', which is float32 in private training"
            )
        if spec.until is not None:
            raise ValueError(
                f"until={spec.until} with epsilon={spec.epsilon:g}: a probe looks at the training points without "
                "noise; take until=None, or stop= for a number of epochs"
            )
        self.spec, self.n = spec, n
        self.per_epoch = n // spec.batch
        self.rate = spec.batch / n  # 1 (batch = n): every point in every step, and nothing gained by sampling
        steps = max(spec.epochs * self.per_epoch, 1)
        self.noise = noise_multiplier(spec.epsilon, spec.delta, self.rate, steps)

    def at(self, step: int) -> Tensor:
        """Points of a step, int64 [about batch]: each by its own draw, sometimes none."""
        from memlib.train.steps import generator

        return (torch.rand(self.n, generator=generator(self.spec.seed, 2, step)) < self.rate).nonzero()[:, 0]

    def header(self, steps: int) -> dict[str, Any]:
        """What the store says of the privacy of the weights after so many steps."""
        return {
            "epsilon": epsilon(self.noise, self.spec.delta, self.rate, steps),
            "target": self.spec.epsilon,
            "delta": self.spec.delta,
            "noise_multiplier": self.noise,
            "clip": self.spec.clip,
            "sample_rate": self.rate,
            "accountant": ACCOUNTANT,
        }

    def attach(self, objective: Objective, optimizer: torch.optim.Optimizer) -> Private:
        """Let opacus see the points' gradients in an objective, which keeps its names.

        Parameters that no module of their own applies have no gradient of each point and stay as drawn: the
        embedding of hidden patches in MAE's decoder.
        """
        self.clipped = Clipped(objective, optimizer, self.noise, self.spec.clip, self.spec.batch)
        return self

    def backward(self, views: list[Tensor], step: int) -> Tensor:
        """Put the private gradient of a step into `.grad`; returns the mean loss of its points, 0 for none."""
        from memlib.train.steps import generator

        return self.clipped.backward(views, generator(self.spec.seed, 3, step).initial_seed())


class Clipped:
    """An objective whose gradients are clipped point by point (ghost clipping), summed, and covered with noise.

    A first backward pass takes the norm of each point's gradient, a second one the weighted sum: no point's
    gradient is ever held by itself. What the second pass starts from is the output of the objective's last part.
    """

    def __init__(
        self, objective: Objective, optimizer: torch.optim.Optimizer, noise: float, clip: float, batch: int
    ) -> None:
        _opacus()
        from opacus.grad_sample import GradSampleHooksFastGradientClipping
        from opacus.optimizers import DPOptimizerFastGradientClipping

        for module in objective.modules():
            if any(True for _ in module.children()):
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(False)
        self.objective = objective
        self.hooks = GradSampleHooksFastGradientClipping(objective, max_grad_norm=clip)
        self.optimizer = DPOptimizerFastGradientClipping(
            optimizer, noise_multiplier=noise, max_grad_norm=clip, expected_batch_size=batch
        )
        self.output: Tensor | None = None
        for part in objective.children():
            part.register_forward_hook(self._remember)

    def _remember(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.retain_grad()
            self.output = output  # the last one stays

    def backward(self, views: list[Tensor], seed: int) -> Tensor:
        """The private gradient of a batch, noise from a seed, in `.grad`; returns the mean loss, 0 without points."""
        parameters = self.optimizer.params
        self.optimizer.zero_grad()
        points = len(views[0]) if views else 0
        total = torch.zeros((), device=parameters[0].device)
        for first in range(0, points, PHYSICAL):
            part = [view[first : first + PHYSICAL] for view in views]
            total += self._clip(part) * len(part[0]) / points
            if first + PHYSICAL < points:
                self.optimizer.accumulate()
        if not points:
            for p in parameters:
                p.grad = torch.zeros_like(p)
        self.optimizer.generator = torch.Generator(total.device).manual_seed(seed)
        self.optimizer.pre_step()
        for p in parameters:  # fused optimizers read weights and gradients in the same memory order
            p.grad = torch.empty_like(p).copy_(p.grad)
        return total

    def _clip(self, views: list[Tensor]) -> Tensor:
        """Put the sum of the clipped gradients of some points into `.grad`."""
        with warnings.catch_warnings():
            # of the layers that look at images, which have no gradient
            warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
            self.hooks.enable_hooks()
            loss = self.objective(*views)
            loss.backward(retain_graph=True)
            for p in self.optimizer.params:
                p.grad = None
            self.hooks.disable_hooks()
            output, self.output = self.output, None
            assert output is not None
            assert output.grad is not None
            weights = self.hooks.get_clipping_coef() * len(output)  # the loss is a mean over points
            output.backward(output.grad * weights.view(-1, *[1] * (output.dim() - 1)))
        return loss.detach()


@cache
def noise_multiplier(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The smallest noise, in units of `clip`, with which so many steps take `epsilon`, or up to 0.01 less."""
    _opacus()
    from opacus.accountants.utils import get_noise_multiplier

    with _silent():
        return get_noise_multiplier(
            target_epsilon=epsilon, target_delta=delta, sample_rate=rate, steps=steps, accountant=ACCOUNTANT
        )


@cache
def epsilon(noise: float, delta: float, rate: float, steps: int) -> float:
    """The epsilon of so many steps; 0 of none."""
    if not steps:
        return 0.0
    _opacus()
    from opacus.accountants import create_accountant

    accountant = create_accountant(ACCOUNTANT)
    accountant.history = [(noise, rate, steps)]
    with _silent():
        return float(accountant.get_epsilon(delta=delta))


@contextmanager
def _silent() -> Iterator[None]:
    """A context without two warnings of the accountant that say nothing is wrong."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "divide by zero", RuntimeWarning)  # log(0) = -inf at a sample rate of 1
        warnings.filterwarnings("ignore", "Optimal order is the", UserWarning)  # of how wide its grid has to be
        yield


def _opacus() -> None:
    """Import opacus without the handler that it gives to the root logger."""
    handlers = logging.root.handlers[:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import opacus  # noqa: F401
    logging.root.handlers[:] = handlers
