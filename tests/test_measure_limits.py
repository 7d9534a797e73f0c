"""What a pass over the points refuses, and the memory that it takes."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from nets import images_of, noisy

import memlib
from memlib import measure, probe, surgery


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": torch.zeros(2, 16, 16, 3)}, r"\[N, 3, H, W\]"),
        ({"images": torch.zeros(0, 3, 16, 16)}, "N from 1 up"),
        ({"images": torch.zeros(2, 3, 16, 16, dtype=torch.int64)}, "uint8"),
        ({"images": [1, 2]}, "images is list"),
        ({"views": 1}, "allowed is 2 or more"),
        ({"views": 2.5}, "allowed is 2 or more"),
        ({"model": []}, "empty list"),
        ({"model": "resnet9"}, "str"),
        ({"layers": []}, "layers is empty"),
        ({"augment": lambda images, generator: images}, "the augmentation put out"),
        ({"augment": noisy, "pairs": "anchor"}, "anchor"),
    ],
)
def test_bad_input_is_a_value_error_that_says_what_is_allowed(net, change, said):
    call = {"model": net, "images": images_of(2), "augment": "none", "views": 2} | change
    with pytest.raises(ValueError, match=said):
        measure.alignment(**call)


@pytest.mark.parametrize(
    ("change", "near"),
    [
        ({"distance": "l3"}, "l2"),
        ({"pairs": "anchors"}, "anchor"),
        ({"precision": "float16"}, "bfloat16"),
        ({"augment": "normall"}, "normal"),
        ({"layers": ["rellu"]}, "relu"),
    ],
)
def test_an_unknown_name_is_a_key_error_with_the_nearest(net, change, near):
    call = {"model": net, "images": images_of(2), "augment": "none", "views": 2} | change
    with pytest.raises(KeyError, match=f"did you mean '{near}'"):
        measure.alignment(**call)


def test_rows_that_an_encoder_does_not_have_and_sets_that_do_not_fit_are_named(encoder):
    with pytest.raises(KeyError, match="did you mean 'Res2'"):
        measure.alignment(encoder, images_of(2), "none", ["res-2"], 2)
    with pytest.raises(ValueError, match="set 'in'"):
        measure.sweep(encoder, images_of(2), "none", ["1"], 2, units={"in": torch.ones(3, dtype=torch.bool)})
    with pytest.raises(ValueError, match="nothing to measure"):
        measure.sweep(encoder, images_of(2), "none", ["1"], 2, align=False)
    with pytest.raises(ValueError, match="units='tables'"):
        measure.sweep(encoder, images_of(2), "none", ["1"], 2, units="tables")
    pooled = measure.alignment(encoder, images_of(2), "none", ["MaxPool*"], 2)
    assert list(pooled) == ["MaxPool1", "MaxPool2-0", "MaxPool3", "MaxPool4-0"]


def test_numpy_s_integers_are_integers(net):
    images, three = images_of(4), np.int64(3)
    plain, other = (measure.alignment(net, images, noisy, views=n, seed=n) for n in (3, three))
    assert all(plain[name].equal(other[name]) for name in plain)
    assert memlib.unitmem(net, images, augment=noisy, views=three).top(three)[2].unit >= 0
    labels = torch.tensor([0, 1, 0, 1])
    found = [
        probe.linear(torch.eye(4), labels, torch.eye(4), labels, epochs=n, warmup=1, seeds=n) for n in (3, three)
    ]
    assert found[0] == found[1]
    tuned = [surgery.tune(net, ["out"], images, labels, epochs=n, batch=n, seed=n).losses for n in (3, three)]
    assert tuned[0] == tuned[1]


def test_values_that_are_not_finite_are_an_error_that_names_the_layer(net):
    net.out.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="layer 'out' puts out values that are not finite"):
        measure.alignment(net, images_of(3), noisy, views=2)
    with pytest.raises(ValueError, match="layer 'out' puts out values that are not finite"):
        measure.sweep(net, images_of(3), noisy, ["out"], 2, align=False, units={"a": torch.ones(3, dtype=torch.bool)})


MEMORY = """
import resource, sys, torch
from memlib import measure
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(64, 64, 8))
n = int(sys.argv[1])
images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8).expand(16000, 3, 8, 8)[:n]
draw = lambda images, generator: torch.rand(images.shape, generator=generator)
measure.sweep(model, images, draw, ["1", "2"], 2, units={"all": torch.ones(n, dtype=torch.bool)})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_peak_memory_is_flat_from_1000_to_16000_points():
    def peak(points):
        run = subprocess.run([sys.executable, "-c", MEMORY, str(points)], capture_output=True, text=True, check=True)
        return int(run.stdout) / 1024

    # a table of the 64 channels' activations would take 8 MB more, the activations themselves 500
    assert peak(16_000) - peak(1_000) < 6
