"""Speed of training: ResNet9 with SimCLR, views included, against lightly's own recipe, in one run."""

import time

import torch
from torch.utils.data import DataLoader

from memlib import build_encoder, load
from memlib.objectives import build_objective
from memlib.specs import EncoderSpec

TARGET = 2.0  # times lightly's own recipe
BATCH, STEPS, ROUNDS = 128, 8, 5
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


def new_objective():
    torch.manual_seed(0)
    objective = build_objective(build_encoder("resnet9"), EncoderSpec())
    return objective, torch.optim.AdamW(objective.parameters(), lr=1e-3, fused=True)


def memlib_pairs(images, precision):
    """Pairs of views a second, views included, as memlib trains."""
    objective, optimizer = new_objective()
    objective.to(memory_format=torch.channels_last)
    step, draws = stepper(objective, optimizer, precision), torch.Generator().manual_seed(0)
    labels = torch.zeros(BATCH)

    def run():
        for _ in range(STEPS):
            batch = images[torch.randint(len(images), (BATCH,), generator=draws)]
            step(objective.views(batch, labels, draws))

    return run


def lightly_pairs(images):
    """The same encoder and batch by lightly's recipe: PIL transforms in a DataLoader with 2 workers, float32."""
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    transform = SimCLRTransform(input_size=32, gaussian_blur=0.0)

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return BATCH * (FILLED + STEPS + 6)  # a few more, so that the workers are busy to the end

        def __getitem__(self, i):
            return transform(pictures[i % len(pictures)])

    objective, optimizer = new_objective()
    step = stepper(objective, optimizer, "float32")
    loader = DataLoader(Pictures(), BATCH, num_workers=2, drop_last=True, persistent_workers=True)
    batches = iter(loader)
    for _ in range(FILLED):  # what the workers had prepared before the clock runs
        step((torch.cat(next(batches)),))

    def run():
        for _ in range(STEPS):
            step((torch.cat(next(batches)),))

    return run


def rate(run):
    began = time.perf_counter()
    run()
    return STEPS * BATCH / (time.perf_counter() - began)


def matrix_rate(dtype):
    """Multiply-adds a second of a large matrix product: what the machine can do at most."""
    a = torch.randn(2048, 2048).to(dtype)
    a @ a
    began = time.perf_counter()
    for _ in range(4):
        a @ a
    return 4 * 2048**3 / (time.perf_counter() - began)


def multiply_adds():
    """Of a pair of views through ResNet9 and head, forward and backward, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    objective, _ = new_objective()
    with FlopCounterMode(display=False) as counter:
        objective(torch.randn(2 * 4, 3, 32, 32)).backward()
    return counter.get_total_flops() / 2 / 4


def test_training_is_twice_as_fast_as_lightlys_recipe(speed):
    images = load("digits").resized(32).images[:512]
    has_bfloat16 = torch.cpu.get_capabilities().get("avx512_bf16", False)
    best = "bfloat16" if has_bfloat16 else "float32"
    ours, ours32 = memlib_pairs(images, best), memlib_pairs(images, "float32")
    rate(ours), rate(ours32)
    found = {"memlib": [], "memlib float32": [], "lightly": [], "matrix product": []}
    for _ in range(ROUNDS):
        found["memlib"].append(rate(ours))
        found["memlib float32"].append(rate(ours32))
        found["matrix product"].append(matrix_rate(torch.bfloat16 if has_bfloat16 else torch.float32))
        theirs = lightly_pairs(images)
        found["lightly"].append(rate(theirs))
        del theirs
    work = multiply_adds()
    ratio = [a / b for a, b in zip(found["memlib"], found["lightly"], strict=True)]
    ratio32 = [a / b for a, b in zip(found["memlib float32"], found["lightly"], strict=True)]
    share = [a * work / b for a, b in zip(found["memlib"], found["matrix product"], strict=True)]
    speed("training, float32 against float32", "times lightly's recipe", None, ratio32)
    speed("training, share of the machine's matrix product", "share", None, share)
    speed(f"training, {best}", "times lightly's recipe", TARGET, ratio, pairs_a_second=found)
