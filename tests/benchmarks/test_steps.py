"""Speed of a step of each objective, views included, against the passes that it cannot do without, in one run.

Those are the encoder's forward and backward on as many views of the same sizes, the teacher's forward, and the
forward and backward of MAE's decoder, on views that were made beforehand. What a step has beside them is
augmentation, heads, loss, the optimizer and the teacher's moving average.
"""

import time

import pytest
import torch

from memlib import load
from memlib.encoders import from_spec
from memlib.objectives import build_objective
from memlib.specs import EncoderSpec
from memlib.train import steps

TARGET = 0.75
ROUNDS = 5
BATCHES = {"resnet9": 128, "vit_tiny": 32}
SPECS = [
    EncoderSpec(framework="simclr"),
    EncoderSpec(framework="simsiam"),
    EncoderSpec(framework="byol"),
    EncoderSpec(framework="dino"),
    EncoderSpec(framework="supervised", augment="weak"),
    EncoderSpec(framework="mae", arch="vit_tiny", augment="crop"),
    EncoderSpec(framework="simclr", arch="vit_tiny"),
    EncoderSpec(framework="simsiam", arch="vit_tiny"),
    EncoderSpec(framework="byol", arch="vit_tiny"),
    EncoderSpec(framework="dino", arch="vit_tiny"),
    EncoderSpec(framework="supervised", arch="vit_tiny", augment="weak"),
]


pytestmark = pytest.mark.usefixtures("one_thread")


def autocast():
    has_bfloat16 = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16)


def needed(objective, views):
    """The passes that an objective cannot do without."""
    name = type(objective).__name__
    with autocast():
        if name == "MAE":
            images, order = views
            out = [objective.decoder(objective.encoder.tokens(images, order[:, : objective.kept]), order.argsort(1))]
        elif name == "DINO":
            out = [objective.encoder(torch.cat(views[:2])), objective.encoder(torch.cat(views[2:]))]
        elif name == "Supervised":
            out = [objective.encoder(views[0])]
        elif name == "SimCLR":
            out = [objective.encoder(torch.cat(views))]
        else:
            out = [objective.encoder(view) for view in views]
        with torch.no_grad():
            if name == "DINO":
                objective.teacher(torch.cat(views[:2]))
            if name == "BYOL":
                out += [objective.teacher(view) for view in views]
    torch.autograd.backward([one.float().sum() for one in out if one.requires_grad])
    objective.zero_grad()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.framework}-{spec.arch}")
def test_a_step_spends_three_quarters_on_passes_it_cannot_do_without(spec, speed):
    torch.manual_seed(0)
    batch = BATCHES[spec.arch]
    images, labels = load("digits").resized(32).images[:batch], torch.arange(batch) % 10
    objective = build_objective(from_spec(spec), spec, classes=10)
    objective.to(memory_format=torch.channels_last)
    optimizer = steps.build_optimizer(objective, spec)
    prepared = steps.views(objective, images, labels, 0, 0)

    def step(number):
        views = steps.views(objective, images, labels, 0, number)
        with autocast():
            loss = objective(*views)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        objective.update(0.5)

    def seconds(run, *arguments):
        began = time.process_time()
        run(*arguments)
        return time.process_time() - began

    needed(objective, prepared)
    step(0)
    ratios = [seconds(needed, objective, prepared) / seconds(step, number) for number in range(1, ROUNDS + 1)]
    unit = "of the throughput of the passes that it cannot do without"
    speed(f"a step of {spec.framework}, {spec.arch}", unit, TARGET, ratios)
