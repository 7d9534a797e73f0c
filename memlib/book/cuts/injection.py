"""A point inserted into a unit: tables 13, 14a and 14b (LayerMem paper, section 5.2 and appendix C.1).

A test image is learned by one unit of the last convolution of a ResNet18 or ResNet9, or by the whole layer, with
SimSiam's loss and everything else frozen. Behind the unit stand a ReLU, the sum with the block's shortcut, and the
pool: the unit's activation is a feature of the output. What stands before the layer is the same at every epoch, so
that all views, those of training too, go through it once.

Whether the encoder has learned anything to insert into is measured beside it: a linear probe against that of the same
encoder before training, and whether its features tell points apart at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from memlib import data, metrics, probe, splits, train
from memlib.book.experiments import Experiment
from memlib.encoders import Encoder, Layer
from memlib.encoders.resnet9 import ResNet9
from memlib.measure.distances import view_distance
from memlib.measure.views import BLOCK, Augment, Views
from memlib.objectives import Objective, build_objective
from memlib.specs import EncoderSpec
from memlib.surgery import tune_unit
from memlib.taps import record

TUNED = ("highest", "silent", "layer")  # two units alone, and the whole layer as in the paper
BATCH = 256  # views in a forward pass
INPUTS = {  # architecture -> what the last convolution's block puts through its shortcut, and into the convolution
    "resnet18": ("layer4.0", "layer4.1.act1"),
    "resnet9": ("conv4_0", "res6.first"),
}


def last(encoder: Encoder) -> Layer:
    """The row of the last convolution."""
    return [row for row in encoder.layers if row.kind == "conv"][-1]


class Tail(nn.Module):
    """An encoder from the input of its last convolution to its output: float [N, 2, C, H, W] to [N, D].

    A ResNet18 adds the shortcut in front of the ReLU, a ResNet9 behind it.

    Args:
        pixel: Whether H and W are 1, as they are in a ResNet18 for images of 32 pixels: then all but the kernel's
            centre meets the padding alone, puts out nothing and gets no gradient, and is left out.
    """

    layer = "last"  # the convolution and its BatchNorm

    def __init__(self, encoder: Encoder, pixel: bool) -> None:
        super().__init__()
        conv, norm = map(encoder.get_submodule, last(encoder).parts)
        if pixel:
            whole = conv.get_parameter("weight")
            conv = nn.Conv2d(whole.shape[1], whole.shape[0], 1, bias=False)
            conv.weight = nn.Parameter(whole[:, :, 1:2, 1:2].clone())
        self.last = nn.Sequential(conv, norm)
        self.behind = isinstance(encoder, ResNet9)
        self.pool = encoder.get_submodule(encoder.layers[-1].module)

    def forward(self, x: Tensor) -> Tensor:
        shortcut, inner = x.unbind(1)
        y = self.last(inner)
        return self.pool(shortcut + relu(y) if self.behind else relu(y + shortcut))


def run(experiment: Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """One encoder: UnitMem of all units of the layer at each of the epochs, for each way of tuning.

    Roles: f, and `untrained`, the same before training. `probe` names the one data set on which both are probed.
    Choices: `points` test images, all measured and in table 14a all inserted; `views` of each that measure;
    `epochs` at which they do; `batch` pairs of views a step (14a and 14b); `pool`, views of each point that training
    draws from (of a single point 64 times as many); `lr` and `weight_decay` of SGD with momentum .9.

    Returns:
        For each `<inserted>-<tuned>` the arrays, E epochs and U units: `unitmem` [E, U]; `strongest` [E, 3], the
        index of the strongest point in the highest, the silent and the random unit; `activation` [E, 3] of these by
        the inserted point; `align` [E, 2], the distance between views at the output of the inserted point, and the
        others' mean. All of them on views that nothing was selected by. The header says which units and points;
        `accuracy` {f, untrained} of the probe, 0..1; `cosine` {same, different} of f's features between two views of
        the same point and of different points.

    Raises:
        ValueError: The encoder is no ResNet18 or ResNet9 of SimSiam's, a choice is out of its range, or there is not
            one data set to probe on.
    """
    spec, choose = experiment.encoder("f"), experiment.choice
    epochs, points, views = tuple(choose("epochs")), choose("points"), choose("views")
    _check(spec, epochs, choose("pool"))
    if len(experiment.probe) != 1:
        raise ValueError(
            f"probe={list(experiment.probe)}: allowed is one data set, on which f and untrained are probed"
        )
    objective = _trained(spec).to("cuda" if torch.cuda.is_available() else "cpu")
    encoder, augment = objective.encoder, train.views_of(spec)
    test = data.load(spec.dataset, "test", size=spec.size)
    chosen = splits.choose(len(test), points, spec.split_seed)
    images, generator = test.images[chosen], torch.Generator().manual_seed(spec.seed)

    *select, score = (frozen(encoder, images, augment, views, seed) for seed in range(3))
    tail = Tail(encoder, pixel=score.shape[-2:] == (1, 1)).eval()
    before = [features(tail, x).mean(1) for x in (*select, score)]
    units, silent = choose_units(before, generator)
    point = int((before[0] + before[1])[:, units["highest"]].argmax())
    other = int(torch.randint(points - 1, (), generator=generator))
    other += other >= point

    def pool(which: int) -> Tensor:
        return frozen(encoder, images[which].expand(BLOCK, -1, -1, -1), augment, choose("pool"), 3).flatten(0, 1)[
            None
        ]

    own, others = pool(point), pool(other)
    everything = frozen(encoder, images, augment, choose("pool"), 3)
    drawn = {  # what a step is given
        "one": partial(pairs, own, 1),  # table 13: one point, one pair of its views
        "points": partial(pairs, everything, choose("batch")),  # table 14a: a batch of all points
        "copies": partial(pairs, own, choose("batch")),  # table 14b: the one point, a batch of pairs of its views
        "other": partial(pairs, others, 1),  # not in the paper: another point, drawn at random
        "none": partial(pairs, own, 1),  # not in the paper: no point, as the loss below has no gradient
    }
    sgd = partial(torch.optim.SGD, lr=choose("lr"), momentum=0.9, weight_decay=choose("weight_decay"))
    targets = torch.tensor([units[name] for name in ("highest", "silent", "random")])
    arrays: dict[str, Any] = {"points": chosen.int()}
    for inserted, draw in drawn.items():
        inside = other if inserted == "other" else point
        loss = nothing if inserted == "none" else partial(simsiam, objective)
        for tuned in TUNED:
            found: list[dict[str, Tensor]] = []

            def look(step: int, now: nn.Module, found: list = found, inside: int = inside) -> None:
                if step in epochs:
                    found.append(kept_of(features(now, score), targets, inside))

            unit = None if tuned == "layer" else units[tuned]
            tune_unit(tail, Tail.layer, unit, loss, draw, epochs[-1], sgd, spec.seed, look)
            for name in found[0]:
                arrays[f"{inserted}-{tuned}.{name}"] = torch.stack([one[name] for one in found])
    header = {
        "layer": last(encoder).name,
        "units": units,
        "silent": silent,
        "point": point,
        "other": other,
        "inserted": list(drawn),
        "tuned": list(TUNED),
        "epochs": list(epochs),
        "accuracy": {
            role: probe.probe(one, experiment.probe[0], spec.size, experiment.probe_points).mean
            for role, one in (("f", encoder), ("untrained", train.encoder(experiment.encoder("untrained"))))
        },
        "cosine": cosines(features(tail, score)),
    }
    return arrays, header


def _check(spec: EncoderSpec, epochs: tuple[int, ...], pool: int) -> None:
    if spec.arch not in INPUTS:
        raise ValueError(f"arch={spec.arch!r}: allowed are {', '.join(map(repr, INPUTS))}, whose last layer is tuned")
    if spec.framework != "simsiam":
        raise ValueError(
            f"framework={spec.framework!r}: allowed is 'simsiam', whose loss needs no other points in a batch"
        )
    if not epochs or epochs[0] != 0 or list(epochs) != sorted(set(epochs)):
        raise ValueError(f"epochs={list(epochs)}: allowed are ascending numbers from 0 on")
    if pool < 2:
        raise ValueError(f"pool={pool}: allowed is 2 or more, as a pair of different views is drawn from it")


def _trained(spec: EncoderSpec) -> Objective:
    """A trained objective with its heads, in evaluation mode and frozen."""
    weights = train.artefact(spec)[0]
    objective = build_objective(train.initial(spec), spec)
    objective.load_state_dict({name: value for name, value in weights.items() if name != "loss"})
    return objective.eval().requires_grad_(False)


def choose_units(before: Sequence[Tensor], generator: torch.Generator) -> tuple[dict[str, int], bool]:
    """The unit of the highest UnitMem, a silent one, and one at random of the others; whether the silent one is.

    A unit that a single view wakes up has a UnitMem of 1 on the views that hold it and of 0 on others: the highest
    is the one whose lower score of two sets of views is highest. A silent unit is active on no view of any point;
    where there are several one is drawn, and where there is none the unit of the lowest UnitMem is taken.

    Args:
        before: Unit activations [N, U] from three sets of views; the third scores and selects no highest unit.
    """
    scores = torch.stack([metrics.unitmem(one) for one in before[:2]]).amin(0)
    active = torch.cat(list(before)).amax(0) > 0
    silent = (~active).nonzero()[:, 0]
    highest = int(scores.argmax())
    low = int(silent[torch.randint(len(silent), (), generator=generator)] if len(silent) else scores.argmin())
    rest = [unit for unit in active.nonzero()[:, 0].tolist() if unit not in (highest, low)]
    drawn = rest[int(torch.randint(len(rest), (), generator=generator))]
    return {"highest": highest, "silent": low, "random": drawn}, bool(len(silent))


def frozen(encoder: Encoder, images: Tensor, augment: Augment, views: int, seed: int) -> Tensor:
    """What the tail is given for views of images: float32 [N, views, 2, C, H, W]."""
    drawn, found = Views(images, augment, views, seed, anchor=False), []
    inputs = INPUTS["resnet9" if isinstance(encoder, ResNet9) else "resnet18"]
    device = next(encoder.parameters()).device
    with torch.no_grad(), record(encoder, inputs) as outputs:
        for start in range(0, len(images), BLOCK):
            block = drawn.block(start, device)[: (len(images) - start) * views]
            for x in block.split(BATCH):
                outputs.clear()
                encoder(x)
                found.append(torch.stack([outputs[name] for name in inputs], 1))
    return torch.cat(found).unflatten(0, (-1, views)).contiguous()


def features(tail: nn.Module, inputs: Tensor) -> Tensor:
    """Output features of every view, which are the activations of the layer's units, [N, views, U]."""
    with torch.no_grad():
        return torch.cat([tail(x) for x in inputs.flatten(0, 1).split(BATCH)]).unflatten(0, inputs.shape[:2])


def cosines(found: Tensor) -> dict[str, float]:
    """Mean cosine of features [N, views, U] between views of the `same` point, and of `different` points.

    1 for both is an encoder that has collapsed: it puts out the same for every image.
    """
    n, views = found.shape[:2]
    sums = normalize(found.double(), dim=-1).sum(1)
    same, every = (sums**2).sum(), (sums.sum(0) ** 2).sum()
    return {
        "same": float((same - n * views) / (n * views * (views - 1))),
        "different": float((every - same) / (n * (n - 1) * views**2)),
    }


def pairs(pool: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor]:
    """Two different views each of points of a pool [N, V, ...], first views first: [2 * count, ...].

    Different points, as far as there are enough.
    """
    n, views = pool.shape[:2]
    points = torch.randperm(n, generator=generator).repeat(-(-count // n))[:count]
    first = torch.randint(views, (count,), generator=generator)
    second = (first + 1 + torch.randint(views - 1, (count,), generator=generator)) % views
    return (pool[points.repeat(2), torch.cat([first, second])],)


def simsiam(objective: Any, outputs: Tensor) -> Tensor:
    """SimSiam's loss of features [2 * count, D], first views first, with its heads as they are."""
    projected = objective.head(outputs)
    first, second = objective.predictor(projected).chunk(2)
    to_first, to_second = projected.detach().chunk(2)
    return (objective.loss(first, to_second) + objective.loss(second, to_first)) / 2


def nothing(outputs: Tensor) -> Tensor:
    """A loss without a gradient: what the optimizer does by itself."""
    return 0 * outputs.sum()


def kept_of(found: Tensor, targets: Tensor, inside: int) -> dict[str, Tensor]:
    """What is kept of features [N, views, U]; see `run`."""
    activations, distances = found.mean(1), view_distance(found)
    rest = (distances.sum() - distances[inside]) / (len(distances) - 1)
    return {
        "unitmem": metrics.unitmem(activations),
        "strongest": activations[:, targets].argmax(0).int(),
        "activation": activations[inside, targets],
        "align": torch.stack([distances[inside], rest]),
    }
