"""Differentially private training (DP-SGD) by opacus: what a single point can change is bounded, and noise covers it.

Each step draws every point with probability batch/n (Poisson sampling), clips the gradient of each drawn point to
norm `clip`, adds Gaussian noise, and divides by the batch that is expected. The guarantee is over adding or removing
one point, for the weights alone: the losses that are stored beside them are not covered, nor is anybody who knows
the seed that the noise was drawn from.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from memlib.objectives import Objective
from memlib.specs import EncoderSpec
from memlib.train.steps import generator

ACCOUNTANT = "prv"  # numerical composition (Gopi et al., 2021): an upper bound, tighter than Rényi accounting
PHYSICAL = 256  # points whose gradients are clipped together: a larger batch is summed up in parts


class Private:
    """Batches and gradients of a private training; `at` and `per_epoch` are those of `train.steps.Batches`.

    Args:
        spec: Of an encoder with `epsilon`.
        n: Number of its training points.

    Raises:
        ValueError: `delta` is not below 1/n, or the spec asks for what is not private.
    """

    def __init__(self, spec: EncoderSpec, n: int) -> None:
        if spec.epsilon is None:
            raise ValueError("epsilon=None: a private training needs a number above 0")
        if not spec.delta < 1 / n:
            raise ValueError(
                f"delta={spec.delta:g} with {n} training points: allowed is below 1/n = {1 / n:.3g}, as a mechanism "
                f"that gives one of n points away has delta = 1/n; take delta={0.1 / n:.1g}, or more points"
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

    def attach(self, objective: Objective, optimizer: torch.optim.Optimizer, precision: str = "32-true") -> None:
        """Let opacus see the points' gradients in an objective, which keeps its names.

        Parameters that no module of their own applies have no gradient of each point and stay as drawn: the
        embedding of hidden patches in MAE's decoder.
        """
        self.clipped = Clipped(objective, optimizer, self.noise, self.spec.clip, self.spec.batch, precision)

    def backward(self, views: list[Tensor], step: int) -> Tensor:
        """Put the private gradient of a step into `.grad`; returns the mean loss of its points, 0 for none."""
        return self.clipped.backward(views, generator(self.spec.seed, 3, step).initial_seed())


class Clipped:
    """An objective whose gradients are clipped point by point, summed, and covered with noise.

    One backward pass takes what enters and leaves every layer. The norm of a point's gradient follows from these
    without the gradient itself (ghost clipping, Li et al., 2022), and so does the sum of the clipped ones (book
    keeping, Bu et al., 2023): a step costs little more than an ordinary one. Both are taken in float32, whatever the
    precision of the layers, so that what is summed is what was clipped.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        noise: float,
        clip: float,
        batch: int,
        precision: str = "32-true",
    ) -> None:
        _opacus()
        from opacus.grad_sample.functorch import ft_compute_per_sample_gradient, prepare_layer
        from opacus.optimizers import DPOptimizerFastGradientClipping

        self.watched: list[nn.Module] = []
        for module in objective.modules():
            own = [p for p in module.parameters(recurse=False) if p.requires_grad]
            if own and any(True for _ in module.children()):  # used beside its parts, by no call of their own
                for p in own:
                    p.requires_grad_(False)
            elif own:
                if _sampler(module) is ft_compute_per_sample_gradient:
                    prepare_layer(module)  # now: it copies the layer, hooks and all
                module.register_forward_hook(self._watch)
                self.watched.append(module)
        self.objective, self.clip, self.mixed = objective, clip, precision == "bf16-mixed"
        self.optimizer = DPOptimizerFastGradientClipping(
            optimizer, noise_multiplier=noise, max_grad_norm=clip, expected_batch_size=batch
        )
        self.entered: dict[nn.Module, Tensor] | None = None  # what came into the layers of this forward pass
        self.left: dict[nn.Module, Tensor] = {}  # and the gradient of what they put out

    def backward(self, views: list[Tensor], seed: int) -> Tensor:
        """The private gradient of a batch, noise from a seed, in `.grad`; returns the mean loss, 0 without points."""
        parameters = self.optimizer.params
        self.optimizer.zero_grad()
        points = len(views[0]) if views else 0
        total = torch.zeros((), device=parameters[0].device)
        for p in parameters:
            p.grad = torch.zeros_like(p)
        for first in range(0, points, PHYSICAL):
            part = [view[first : first + PHYSICAL] for view in views]
            total += self.add(part) * len(part[0]) / points
        self.optimizer.generator = torch.Generator(total.device).manual_seed(seed)
        self.optimizer.pre_step()
        for p in parameters:  # fused optimizers read weights and gradients in the same memory order
            p.grad = torch.empty_like(p).copy_(p.grad)
        return total

    def add(self, views: list[Tensor]) -> Tensor:
        """Add the clipped gradients of some points to `.grad`; returns their mean loss.

        Raises:
            RuntimeError: A layer was used never or twice, so that its gradients are not those of points.
        """
        points = len(views[0])
        entered: dict[nn.Module, Tensor] = {}
        left: dict[nn.Module, Tensor] = {}
        self.entered, self.left = entered, left
        with torch.autocast(views[0].device.type, torch.bfloat16, enabled=self.mixed):
            loss = self.objective(*views)
        self.entered = None
        # as far as the first layer's parameters, so that gradients of the other ones are not computed on the way
        lowest = list(next(iter(entered)).parameters())
        torch.autograd.grad(loss * points, lowest, allow_unused=True)  # points: the loss is their mean
        if missing := [module for module in self.watched if module not in left]:
            names = [name for name, module in self.objective.named_modules() if module in missing]
            raise RuntimeError(f"no gradient of each point in {', '.join(names)}: the loss does not depend on it")
        samples = {m: _sampler(m)(m, [entered[m]], left[m]) for m in left if type(m) is not nn.Linear}
        squares = loss.new_zeros(points)
        for module, gradient in left.items():
            if module in samples:
                squares += sum(each.flatten(1).square().sum(1) for each in samples[module].values())
            else:  # |g^T [a, 1]|^2 of each point, its weight and bias together
                products = entered[module] @ entered[module].mT + (module.bias is not None)
                squares += (gradient @ gradient.mT * products).sum((1, 2))
        weights = (self.clip / (squares.clamp(min=0).sqrt() + 1e-6)).clamp(max=1)
        for module, gradient in left.items():
            if module in samples:
                for p, each in samples[module].items():
                    p.grad += torch.einsum("n,n...->...", weights, each)
            else:
                gradient = (gradient * weights[:, None, None]).flatten(0, 1)
                module.weight.grad += gradient.T @ entered[module].flatten(0, 1)
                if module.bias is not None:
                    module.bias.grad += gradient.sum(0)
        return loss.detach()

    def _watch(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if self.entered is None:
            return
        if module in self.entered:
            raise RuntimeError(f"{module} is used twice in a forward pass: allowed in private training is once")

        def rows(x: Tensor) -> Tensor:  # of a linear layer: [B, T, D]
            x = x.float().contiguous()  # opacus' rule for convolutions is wrong in channels_last
            return x.reshape(len(x), -1, x.shape[-1]) if type(module) is nn.Linear else x

        self.entered[module] = rows(inputs[0].detach())
        left = self.left
        output.register_hook(lambda gradient: left.update({module: rows(gradient)}))


def _sampler(module: nn.Module) -> Callable:
    """Opacus' rule for the gradients of each point in a layer; where it has none, vmap finds them."""
    from opacus.grad_sample.functorch import ft_compute_per_sample_gradient
    from opacus.grad_sample.grad_sample_module import GradSampleHooks

    kind = nn.LayerNorm if isinstance(module, nn.LayerNorm) else type(module)  # timm's is a subclass
    return GradSampleHooks.GRAD_SAMPLERS.get(kind, ft_compute_per_sample_gradient)


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
