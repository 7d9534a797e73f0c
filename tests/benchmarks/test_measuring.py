"""Speed of measuring: a pass over the points against bare forwards of the same views, in one run.

Both take the views in batches of 160, in either precision. In float32 batches of 80 are the faster for both, and
a pass takes those by itself; the bare forward gains a little more from them.
"""

import itertools
import time

import pytest
import torch

from memlib import build_encoder, load, measure
from memlib.measure.views import BLOCK, Views

POINTS, VIEWS, ROUNDS = 2 * BLOCK, 10, 3
TARGETS = {  # shares of the bare forward's throughput
    ("numbered layers", "float32"): 0.90,
    ("numbered layers", "bfloat16"): 0.65,
    ("all modules", "float32"): 0.60,
    ("all modules", "bfloat16"): 0.35,
}


@pytest.fixture(scope="module")
def prepared():
    """Views made beforehand: uint8 images, and an augmentation that hands the views out in turn."""
    images = load("digits").resized(32).images[:POINTS]
    made = Views(images, "normal", VIEWS, 0, anchor=False)
    blocks = [made.block(start, torch.device("cpu")) for start in range(0, POINTS, BLOCK)]
    views = [block.unflatten(0, (BLOCK, VIEWS))[:, v].contiguous() for block in blocks for v in range(VIEWS)]

    def again():
        # a sweep looks at the first block once more, to see what the layers put out
        turns = itertools.chain(views[:VIEWS], views)
        return lambda images, generator: next(turns)

    return images, blocks, again


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("precision", measure.PRECISIONS)
def test_measuring_keeps_most_of_the_bare_forwards_throughput(prepared, precision, speed):
    if precision == "bfloat16" and not torch.cpu.get_capabilities().get("avx512_bf16", False):
        pytest.skip("this processor has no bfloat16 arithmetic")
    images, blocks, again = prepared
    torch.manual_seed(0)
    encoder = build_encoder("resnet9").eval()
    layers = {"numbered layers": [layer.name for layer in encoder.layers if layer.numbered], "all modules": None}
    batch = BLOCK * VIEWS // 4  # 16 points at a time, as a pass takes them

    def bare():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            for block in blocks:
                for x in block.split(batch):
                    encoder(x)

    def seconds(run):
        # of the processor, on one thread: what else runs on the machine hardly disturbs it
        began = time.thread_time()
        run()
        return time.thread_time() - began

    shares = {name: [] for name in layers}
    for turn in range(ROUNDS + 1):
        for name, asked in layers.items():
            # before and after, so that a machine that speeds up or slows down cancels
            first = seconds(bare)
            augment = again()
            measured = seconds(
                lambda a=augment, b=asked: measure.sweep(
                    encoder, images, a, b, VIEWS, precision=precision, batch=batch
                )
            )
            share = (first + seconds(bare)) / 2 / measured
            if turn:  # the first warms up
                shares[name].append(share)
    for name, runs in shares.items():
        speed(f"measuring, {name}, {precision}", "of the bare forward's throughput", TARGETS[name, precision], runs)
