"""Speed of training: ResNet9 with SimCLR, views included, in one run against other ways to train the same.

These are lightly's own recipe, and the same step with ordinary convolutions and ReLU in front of the max pools.
"""

import time

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from memlib import build_encoder, load
from memlib.encoders.convolutions import Conv2d
from memlib.encoders.resnet9 import ConvBlock
from memlib.objectives import build_objective
from memlib.specs import EncoderSpec
from memlib.train import steps

TARGET = 3.0  # times lightly's own recipe
# Times the step with ordinary convolutions. In float32 there are fewer products to make, on any processor. In
# bfloat16 it is one kernel for another: 1.4 times as fast with AMX; without, on an AMD EPYC, 1.0 to 1.1
AMX = torch.cpu.get_capabilities().get("amx_bf16", False)
ORDINARY = {"float32": 1.5, "bfloat16": 1.5 if AMX else 1.3}
# Of deep ResNets most maps are 4 by 4 or less; in bfloat16 only kernels of 1 and maps of 1 by 1 and 2 by 2 differ.
# In float32 ordinary convolutions gain more from AVX-512 than these do: with AVX2 alone it is 2.9 and 1.8 times
WIDE = torch.cpu.get_capabilities().get("avx512_f", False)
DEEP = {
    ("resnet18", "float32"): 1.7 if WIDE else 2.5,
    ("resnet50", "float32"): 1.3 if WIDE else 1.7,
    ("resnet18", "bfloat16"): 1.4,
    ("resnet50", "bfloat16"): 1.4,
}
BATCHES = 50, 125
STEPS, ROUNDS = 8, 3  # against lightly's recipe, whose workers take a while to start
FILLED = 6  # batches: 2 workers with 2 each in their queue, and those under way


def stepper(objective, optimizer, precision):
    """One step of memlib's loop on a batch of views, in a precision."""

    def step(views):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = objective(*views)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def new_objective(ordinary=False, arch="resnet9"):
    torch.manual_seed(0)
    objective = build_objective(build_encoder(arch), EncoderSpec())
    for module in objective.modules() if ordinary else ():
        module.__class__ = {Conv2d: nn.Conv2d, ConvBlock: nn.Sequential}.get(type(module), type(module))
    return objective, torch.optim.AdamW(objective.parameters(), lr=1e-3, fused=True)


def memlib_pairs(images, batch, precision, ordinary=False, arch="resnet9", count=STEPS):
    """Some steps, views included, as memlib trains."""
    steps.keep_memory()
    objective, optimizer = new_objective(ordinary, arch)
    objective.to(memory_format=torch.channels_last)
    step, draws = stepper(objective, optimizer, precision), torch.Generator().manual_seed(0)
    labels = torch.zeros(batch)

    def run():
        for _ in range(count):
            drawn = images[torch.randint(len(images), (batch,), generator=draws)]
            step(objective.views(drawn, labels, draws))

    return run


def lightly_pairs(images, batch):
    """An ordinary encoder with lightly's recipe: PIL transforms in a DataLoader with 2 workers, float32."""
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    transform = SimCLRTransform(input_size=32, gaussian_blur=0.0)

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return batch * (FILLED + STEPS + 6)  # a few more, so that the workers are busy to the end

        def __getitem__(self, i):
            return transform(pictures[i % len(pictures)])

    objective, optimizer = new_objective(ordinary=True)
    step = stepper(objective, optimizer, "float32")
    loader = DataLoader(Pictures(), batch, num_workers=2, drop_last=True, persistent_workers=True)
    batches = iter(loader)
    for _ in range(FILLED):  # what the workers had prepared before the clock runs
        step((torch.cat(next(batches)),))

    def run():
        for _ in range(STEPS):
            step((torch.cat(next(batches)),))

    return run


def rate(run, batch):
    began = time.perf_counter()
    run()
    return STEPS * batch / (time.perf_counter() - began)


def matrix_rate(dtype):
    """Multiply-adds a second of a large matrix product: what the machine can do at most."""
    a = torch.randn(2048, 2048).to(dtype)
    a @ a
    began = time.perf_counter()
    for _ in range(4):
        a @ a
    return 4 * 2048**3 / (time.perf_counter() - began)


def multiply_adds():
    """Of a pair of views through ResNet9 and head, forward and backward, of ordinary convolutions, by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    objective, _ = new_objective(ordinary=True)
    with FlopCounterMode(display=False) as counter:
        objective(torch.randn(2 * 4, 3, 32, 32)).backward()
    return counter.get_total_flops() / 2 / 4


PRECISIONS = ["float32", *(["bfloat16"] if torch.cpu.get_capabilities().get("avx512_bf16", False) else [])]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("batch", BATCHES)
def test_a_step_is_faster_than_with_ordinary_convolutions(precision, batch, speed, times_as_fast):
    images = load("digits").resized(32).images[:512]
    ours, ordinary = (memlib_pairs(images, batch, precision, plain, count=3) for plain in (False, True))
    unit = "times as fast as with ordinary convolutions"
    speed(f"a step of SimCLR, {precision}, batch {batch}", unit, ORDINARY[precision], times_as_fast(ours, ordinary))


@pytest.mark.parametrize(("arch", "precision"), [of for of in DEEP if of[1] in PRECISIONS])
def test_a_step_of_a_deep_resnet_is_faster_than_with_ordinary_convolutions(arch, precision, speed, times_as_fast):
    images = load("digits").resized(32).images[:512]
    ours, ordinary = (memlib_pairs(images, 50, precision, plain, arch, count=1) for plain in (False, True))
    name, unit = f"a step of SimCLR on {arch}, {precision}, batch 50", "times as fast as with ordinary convolutions"
    speed(name, unit, DEEP[arch, precision], times_as_fast(ours, ordinary))


@pytest.mark.parametrize("batch", BATCHES)
def test_training_is_three_times_as_fast_as_lightlys_recipe(batch, speed):
    images = load("digits").resized(32).images[:512]
    best = PRECISIONS[-1]
    ours, ours32 = memlib_pairs(images, batch, best), memlib_pairs(images, batch, "float32")
    rate(ours, batch), rate(ours32, batch)
    found = {"memlib": [], "memlib float32": [], "lightly": [], "matrix product": []}
    for _ in range(ROUNDS):
        found["memlib"].append(rate(ours, batch))
        found["memlib float32"].append(rate(ours32, batch))
        found["matrix product"].append(matrix_rate(getattr(torch, best)))
        theirs = lightly_pairs(images, batch)
        found["lightly"].append(rate(theirs, batch))
        del theirs
    work = multiply_adds()
    ratio = [a / b for a, b in zip(found["memlib"], found["lightly"], strict=True)]
    ratio32 = [a / b for a, b in zip(found["memlib float32"], found["lightly"], strict=True)]
    share = [a * work / b for a, b in zip(found["memlib"], found["matrix product"], strict=True)]
    speed(f"training, float32 against float32, batch {batch}", "times lightly's recipe", None, ratio32)
    speed(f"training, share of the machine's matrix product, batch {batch}", "share", None, share)
    speed(f"training, {best}, batch {batch}", "times lightly's recipe", TARGET, ratio, pairs_a_second=found)
