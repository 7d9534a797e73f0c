"""What an encoder costs: parameters, multiply-adds, and GPU-hours, counted from a step that is really taken."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from memlib import store
from memlib.book import designs
from memlib.encoders import from_spec
from memlib.objectives import build_objective
from memlib.specs import EncoderSpec, half
from memlib.train import steps

if TYPE_CHECKING:
    import pandas as pd

RECIPE = 2  # changes when the meaning of counting does
GPU = "A100"  # the papers' machine had four
PEAK = 312e12  # its dense bfloat16 products, in floating-point operations a second (NVIDIA's data sheet)
CARDS = {"gpu": ("RTX 3060", 25e12)}  # 12 GB; products with float32 sums at twice its 12.7 TFLOP/s of float32
SIZES = {"cifar10": 50_000, "cifar100": 50_000, "svhn": 73_257, "stl10": 5_000, "imagenet": 1_281_167}
COUNTED = 2  # points of the step that is counted


@dataclass(frozen=True)
class Cost:
    """What one encoder costs, by `astuple` a row of numbers.

    Attributes:
        parameters: Of the encoder.
        multiply_adds: Of the encoder on one image; two floating-point operations each.
        step: Floating-point operations of a training step for each of its points: every view, forward and
            backward, heads and teacher included; augmentation is not.
        steps: Of the training.
        batch: Points of a step.
    """

    parameters: int
    multiply_adds: int
    step: float
    steps: int
    batch: int

    @property
    def operations(self) -> float:
        """Floating-point operations of the training."""
        return self.step * self.batch * self.steps


def cost(spec: EncoderSpec, points: int) -> Cost:
    """Count an encoder's training from one step on random images.

    Private training is counted as its step without privacy: the gradient of each point costs more.

    Args:
        points: That it is trained on.

    Raises:
        ValueError: There are fewer points than a batch.
    """
    from torch.utils.flop_counter import FlopCounterMode

    if points < spec.batch:
        raise ValueError(f"batch={spec.batch} with {points} training points: allowed is {points} at most")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        plain = replace(spec, epsilon=None)
        objective = build_objective(from_spec(plain), plain, classes=2).eval()  # convolutions as such are counted
        images = torch.randint(0, 256, (COUNTED, 3, spec.size, spec.size), dtype=torch.uint8)
        views = steps.views(objective, images, torch.arange(COUNTED), spec.seed, 0)
    with FlopCounterMode(display=False) as step:
        objective(*views).backward()
    one = _image(spec)
    with FlopCounterMode(display=False) as forward, torch.inference_mode():
        objective.encoder.eval()(one)
    return Cost(
        sum(p.numel() for p in objective.encoder.parameters()),
        forward.get_total_flops() // 2,
        step.get_total_flops() / COUNTED,
        spec.end * (points // spec.batch),
        spec.batch,
    )


def _image(spec: EncoderSpec) -> Tensor:
    return torch.zeros(1, 3, spec.size, spec.size)


def training_points(spec: EncoderSpec) -> int:
    """How many points an encoder is trained on, without the data set at hand.

    Raises:
        ValueError: Neither the spec nor this module knows how many there are.
    """
    pool = spec.subset or SIZES.get(spec.dataset)
    if spec.points in ("f", "g"):
        return spec.shared + spec.candidates
    if pool is None:
        raise ValueError(f"dataset={spec.dataset!r} with subset=None: allowed without one are {', '.join(SIZES)}")
    return pool // 2 if half(spec.points) else pool


def card(scale: str) -> tuple[str, float]:
    """The GPU that a scale's hours are of, and its peak; the papers' for every scale but `gpu`."""
    return CARDS.get(Path(scale).stem, (GPU, PEAK))


def hours(operations: float, share: float, peak: float = PEAK) -> float:
    """Hours on a machine that reaches a share of so many operations a second."""
    return operations / (share * peak) / 3600


def reached() -> tuple[float, float, float]:
    """The share of a machine's matrix products that training reaches, as the published benchmark has it.

    Returns:
        The median over its turns, the lowest and the highest.
    """
    path = store.results("benchmarks") / "training-share-of-the-machine-s-matrix-product.json"
    found = json.loads(path.read_text())
    return float(found["value"]), min(found["runs"]), max(found["runs"])


def listing(scale: str) -> pd.DataFrame:
    """A row a design of a scale, in its order: what its encoders are, and the cost of one and of all.

    It is counted once and then read, as measurements are: counting takes the widest encoders half a minute.
    """
    import pandas as pd

    specs = {
        name: [pair.f.encoder for pair in designs.pairs(scale, name)] for name in designs.scale(scale)["designs"]
    }
    key = store.digest({"recipe": RECIPE, "specs": [first.identity() for first, *_ in specs.values()]})
    path = store.measurement(Path(scale).stem, f"costs-{key}")

    def count() -> tuple[dict[str, Tensor], dict[str, Any]]:
        counted: dict[tuple[EncoderSpec, int], Cost] = {}
        for first, *_ in specs.values():
            same = _same(first), training_points(first)
            counted.setdefault(same, counted.get(same) or cost(*same))
        rows = [astuple(counted[_same(first), training_points(first)]) for first, *_ in specs.values()]
        return {"costs": torch.tensor(rows, dtype=torch.float64)}, {"kind": "costs", "designs": list(specs)}

    arrays, _ = store.find_or_make(path, count)
    rows = []
    for (name, (first, *others)), row in zip(specs.items(), arrays["costs"].tolist(), strict=True):
        parameters, multiply_adds, step, steps_, batch = row
        found = Cost(int(parameters), int(multiply_adds), step, int(steps_), int(batch))
        rows.append(
            {
                "design": name,
                "framework": first.framework + ("" if first.epsilon is None else f", ε = {first.epsilon:g}"),
                "encoder": first.arch,
                "images": f"{first.dataset}, {first.size} px",
                "encoders": 2 * (1 + len(others)),
                "parameters": found.parameters,
                "multiply-adds": found.multiply_adds,
                "epochs": first.end,
                "batch": found.batch,
                "operations": found.operations,
            }
        )
    return pd.DataFrame(rows)


def _same(spec: EncoderSpec) -> EncoderSpec:
    """A spec without what changes no cost, and without its points, whose number does."""
    return replace(spec, seed=0, split_seed=0, epsilon=None, points="all", shared=0, candidates=0, subset=None)


def again(scale: str, page: str) -> str:
    """What it takes to make anew what a page reads: as measured at its scale, at the papers' as estimated."""
    from memlib.book import plan
    from memlib.book.paths import place

    trained: dict[str, float] = {}
    rest = 0.0
    for path in (place(planned, scale) for planned in plan.measurements(scale, page).values()):
        header = json.loads(store.peek(path).get("header", "{}")) if path.exists() else {}
        one = {"": header.get("encoder")}, {"": header.get("training", {})}
        specs, trainings = (header["encoders"], header["training"]) if "encoders" in header else one
        trained |= {str(specs[role]): trainings[role].get("seconds", 0.0) for role in specs}
        rest += header.get("seconds", 0.0)
    known = designs.scale("paper")
    roles = [known["experiments"].get(name, {}).get("roles", {"": name}) for name in plan.reads("paper", page)]
    made = listing("paper")
    made = made[made["design"].isin({role.split(".")[0] for each in roles for role in each.values()})]
    gpu = hours(float((made["operations"] * made["encoders"]).sum()), reached()[0])
    took = f"{gpu:,.0f} hours" if gpu > 2 else f"{60 * gpu:,.0f} minutes"
    return (
        f"From nothing, scale {Path(scale).stem} took {(sum(trained.values()) + rest) / 60:,.0f} minutes of one "
        "processor thread, encoders that other pages share included; a GPU takes less. Training at the papers' "
        f"sizes (scale paper) is {took} of one {GPU} by its operations alone; small images take longer."
    )
