"""Speed of linear probes: those of many variants solved together, and one after the other, in one run."""

import torch

from memlib import probe

VARIANTS, POINTS, TESTED, DIM, CLASSES = 24, 500, 500, 256, 10  # the published replacements'
TARGET = 2.0


def test_probes_of_a_grid_are_faster_together_than_one_by_one(speed, times_as_fast):
    generator = torch.Generator().manual_seed(0)
    known, asked = (torch.randn(VARIANTS, n, DIM, generator=generator) for n in (POINTS, TESTED))
    labels, expected = (torch.randint(CLASSES, (n,), generator=generator) for n in (POINTS, TESTED))
    short = {"epochs": 20, "warmup": 2}

    def together():
        return [one.each for one in probe.grid(known, labels, asked, expected, **short)]

    def alone():
        return [probe.linear(x, labels, y, expected, **short).each for x, y in zip(known, asked, strict=True)]

    torch.testing.assert_close(torch.tensor(together()), torch.tensor(alone()), atol=2 / TESTED, rtol=0)
    speed("linear probes of a grid", "times as fast as one by one", TARGET, times_as_fast(together, alone))
