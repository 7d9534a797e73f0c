"""Training and measuring with the instructions of older and newer processors: what must hold on all of them."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch

from memlib import store, train
from memlib.specs import EncoderSpec

SETS = {  # instruction set: torch's name for it, oneDNN's, what it takes, whether it has bfloat16
    "SSE4.1": ("default", "SSE41", "sse4_1", False),
    "AVX2": ("avx2", "AVX2", "avx2", False),
    "AVX-512": ("avx512", "AVX512_CORE", "avx512_vl", False),
    "AVX-512 with bfloat16": ("avx512", "AVX512_CORE_BF16", "avx512_bf16", True),
    "AMX": ("avx512", "AVX512_CORE_AMX", "amx_bf16", True),
}
HERE = [name for name, (_, _, needs, _) in SETS.items() if torch.cpu.get_capabilities().get(needs)]
# float32 with the oldest instructions is what all else is compared with
CASES = [(name, precision) for name in HERE for precision in ("float32", "bfloat16")[: 1 + SETS[name][3]]][1:]
SPEC = EncoderSpec(dataset="digits", subset=16, epochs=40, batch=16, seed=3, size=16, augment="crop")

RUN = """
import dataclasses, json, sys, torch
torch.set_num_threads(1)
from memlib import data, measure, store, train
from memlib.specs import EncoderSpec
spec = EncoderSpec(**json.loads(sys.argv[1]))
found = {"loss": train.artefact(spec)[0]["loss"]}
untrained, images = train.initial(spec), data.load("digits", size=spec.size).images[:24]
[swept] = measure.sweep(untrained, images, "normal", None, 4, units="table", precision=spec.precision)
found |= {f"distances {n}": d for n, d in swept.align.items()} | {f"units {n}": u for n, u in swept.table.items()}
store.write(sys.argv[2], found, {})
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A function that gives losses of a training and a measurement with some instructions, in a precision."""
    made = {}

    def run(name, precision):
        if (name, precision) not in made:
            home, (aten, onednn, *_) = tmp_path_factory.mktemp("home"), SETS[name]
            settings = {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "MEMLIB_HOME": str(home)}
            values = json.dumps(dataclasses.replace(SPEC, precision=precision).values())
            subprocess.run(
                [sys.executable, "-c", RUN, values, str(home / "found")], env=os.environ | settings, check=True
            )
            made[name, precision] = store.read(home / "found")[0]
        return made[name, precision]

    return run


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_training_gets_better_and_a_measurement_is_the_same_up_to_rounding(found, name, precision):
    one, other = found(HERE[0], "float32"), found(name, precision)
    for loss in (one["loss"], other["loss"]):
        assert loss[-6:].mean() < loss[:6].mean() - 0.25  # it falls by .75
    rounding = {"float32": 1e-3, "bfloat16": 0.05}[precision]  # measured in float32: 1e-5
    assert float(other["loss"][0]) == pytest.approx(float(one["loss"][0]), rel=rounding)
    for what in one.keys() - {"loss"}:
        gap = (one[what] - other[what]).abs().max()
        assert gap < rounding * one[what].abs().max(), what


def test_a_result_names_the_processor_and_its_instructions():
    device = train.circumstances(torch.device("cpu"), "float32")["device"]
    assert device == f"cpu ({train.processor()}, {torch.backends.cpu.get_cpu_capability()})"
    assert len(train.processor()) > 3
