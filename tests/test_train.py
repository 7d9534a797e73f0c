"""Training: whatever interrupts it, a spec has one encoder."""

import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import time

import pytest
import torch

from memlib import data, store, train
from memlib.specs import EncoderSpec

TINY = EncoderSpec(dataset="digits", subset=64, points="all", epochs=6, batch=16, seed=3)

TRAIN = """
import json, sys, torch
torch.set_num_threads(int(sys.argv[3]))
from memlib import store, train
from memlib.specs import EncoderSpec
spec = EncoderSpec(**json.loads(sys.argv[1]))
slow = store.write
def write(path, arrays, header):
    slow(path, arrays, header)
    print("saved", header.get("step"), flush=True)
store.write = write
arrays, header = train.artefact(spec, save_every=float(sys.argv[2]))
print("started at", header["started_at_step"], flush=True)
"""


def start(spec, home, save_every=0.0, threads=1):
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, json.dumps(spec.values()), str(save_every), str(threads)],
        env={**os.environ, "MEMLIB_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def weights(spec, home):
    key = spec.key(data.load(spec.dataset).fingerprint)
    arrays, header = store.read(home / "encoders" / f"{key}.safetensors")
    return arrays, header


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The weights of TINY, trained in one go at one thread."""
    home = tmp_path_factory.mktemp("whole")
    run = start(TINY, home, save_every=1e9)
    _, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    return weights(TINY, home)[0]


@pytest.mark.parametrize("moment", ["after a checkpoint", "while a checkpoint is written"])
def test_a_run_killed_at_any_moment_and_started_again_ends_in_the_same_bits(tmp_path, uninterrupted, moment):
    run = start(TINY, tmp_path)
    steps = [run.stdout.readline() for _ in range(7)]
    assert steps[-1].startswith("saved"), (steps, run.stderr.read())
    if moment == "while a checkpoint is written":
        folder = tmp_path / "encoders"
        deadline = time.monotonic() + 60
        while not list(folder.glob(".*.tmp")) and time.monotonic() < deadline:
            pass  # the draft beside the checkpoint's place: it is being written now
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -9
    run.stdout.close()
    run.stderr.close()

    again = start(TINY, tmp_path)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert int(out.rsplit("started at", 1)[1]) >= 6, "the second run began anew"
    arrays, header = weights(TINY, tmp_path)
    assert arrays.keys() == uninterrupted.keys()
    for name, expected in uninterrupted.items():
        assert torch.equal(arrays[name], expected), name
    assert header["steps"] == TINY.epochs * (64 // TINY.batch)
    assert not list((tmp_path / "encoders").glob(f"*{store.CHECKPOINT}")), "a finished run leaves no checkpoint"


def test_a_spec_gives_the_same_encoder_twice_and_another_seed_another(tmp_path, monkeypatch, uninterrupted):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        arrays, _ = train.artefact(TINY)
        other, _ = train.artefact(dataclasses.replace(TINY, seed=4))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(arrays[name], value) for name, value in uninterrupted.items())
    assert not torch.equal(arrays["encoder.conv1.conv.weight"], other["encoder.conv1.conv.weight"])


def test_the_loss_falls_and_is_kept_with_the_encoder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    # the same 16 points in every step: it falls by .75, ten times the noise of a mean of six losses
    loss = train.artefact(dataclasses.replace(TINY, subset=16, size=16, augment="crop", epochs=40))[0]["loss"]
    assert loss.shape == (40,)
    assert loss[-6:].mean() < loss[:6].mean() - 0.25


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_a_step_gets_the_memory_that_the_last_one_freed():
    code = """
import resource, torch
from memlib.train import steps
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
steps.keep_memory()
for _ in range(5):
    before = faults()
    torch.ones(2**24), torch.ones(2**24)
print(faults() - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 1000, "32,768 pages of 4 KB were cleared anew"


def test_training_leaves_the_random_state_of_its_caller(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    train.artefact(dataclasses.replace(TINY, epochs=1))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("optimizer", ["adamw", "lars"])
def test_a_step_moves_every_trainable_parameter(tmp_path, monkeypatch, optimizer):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    spec = dataclasses.replace(TINY, epochs=1, optimizer=optimizer, lr=0.1, warmup=0.0)
    before = train.initial(spec).state_dict()
    after = train.encoder(spec)
    for name, value in after.named_parameters():
        # a bias before a BatchNorm has no gradient but rounding
        if not name.endswith("conv.bias"):
            assert not torch.equal(value, before[name]), name


def test_a_loss_that_is_not_finite_stops_with_step_checkpoint_and_advice(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    from memlib.objectives import SimCLR

    calls = 0
    honest = SimCLR.forward

    def broken(self, *views):
        nonlocal calls
        calls += 1
        return honest(self, *views) * (float("nan") if calls == 6 else 1.0)

    monkeypatch.setattr(SimCLR, "forward", broken)
    with pytest.raises(train.Diverged, match=r"nan at step 5 .*checkpoint is .*ckpt.safetensors.*smaller lr"):
        train.artefact(TINY, save_every=0.0)
    [checkpoint] = (tmp_path / "encoders").glob(f"*{store.CHECKPOINT}")
    arrays, header = store.read(checkpoint)
    assert header["step"] == 5
    assert all(torch.isfinite(v).all() for v in arrays.values())


def test_a_damaged_checkpoint_is_named_and_training_starts_again(tmp_path, monkeypatch, uninterrupted):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    key = TINY.key(data.load("digits").fingerprint)
    checkpoint = tmp_path / "encoders" / f"{key}{store.CHECKPOINT}"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"no checkpoint at all")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.warns(UserWarning, match=checkpoint.name):
            arrays, header = train.artefact(TINY)
    finally:
        torch.set_num_threads(threads)
    assert header["started_at_step"] == 0
    assert torch.equal(arrays["encoder.conv1.conv.weight"], uninterrupted["encoder.conv1.conv.weight"])


def test_a_batch_larger_than_the_set_fails_before_training():
    with pytest.raises(ValueError, match=r"batch=65 with 64 training points: allowed is 64 at most"):
        train.artefact(dataclasses.replace(TINY, batch=65))


def test_f_and_g_share_exactly_the_shared_points_and_halves_share_none():
    spec = dataclasses.replace(TINY, subset=None, shared=50, candidates=20)
    f, g = (set(train.training_points(dataclasses.replace(spec, points=p), 1000).tolist()) for p in "fg")
    assert len(f) == len(g) == 70
    assert len(f & g) == 50
    a, b = (
        set(train.training_points(dataclasses.replace(TINY, points=f"half:{k}/4"), 1000).tolist()) for k in (2, 3)
    )
    pool = set(train.training_points(TINY, 1000).tolist())
    assert not a & b
    assert a | b == pool
    rest = set(train.training_points(dataclasses.replace(spec, points="without:candidates"), 1000).tolist())
    assert rest == set(range(1000)) - (f - g)


@pytest.mark.parametrize(("has", "found"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_processor_has_it_and_a_named_precision_is_itself(has, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has})
    assert train.arithmetic("auto") == found
    assert [train.arithmetic(name) for name in ("float32", "bfloat16")] == ["float32", "bfloat16"]
