"""Several processes end in the encoder that one makes of the same spec; whatever ends one of them ends all."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from memlib import data, store, train
from memlib.encoders import from_spec
from memlib.objectives import build_objective
from memlib.specs import EncoderSpec

VIT = EncoderSpec(
    **{"dataset": "digits", "subset": 24, "arch": "vit_tiny", "size": 16, "patch": 8, "precision": "float32"},
    **{"batch": 8, "epochs": 1, "seed": 5, "warmup": 0.0, "prototypes": 32},
    **{"optimizer": "sgd", "lr": 0.05, "momentum": 0.9},  # AdamW would not notice a gradient of the wrong size
)
FRAMEWORKS = ("simclr", "supervised", "mae", "dino")
LONG = dataclasses.replace(VIT, framework="supervised", epochs=5, lr=0.01)
UNTIL = dataclasses.replace(VIT, framework="mae", epochs=3, until=0.5, check=1)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

# two processes forked from one that has imported everything, with torchrun's variables, for several trainings
WORKERS = """
import json, os, sys, time
import kornia.augmentation, lightly.loss, lightly.models.modules, lightning_fabric, timm, torch
from pathlib import Path
from memlib import store, train
from memlib.objectives import SimCLR
from memlib.specs import EncoderSpec
from memlib.train.__main__ import main
from memlib.train import processes
out, port, jobs = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
locked = out / "locked" / "a.safetensors"

def heard_of_a_lock(rank):
    said, broadcast = [], lightning_fabric.Fabric.broadcast
    lightning_fabric.Fabric.broadcast = lambda *a: said.append(broadcast(*a)) or said[-1]
    processes.PATIENCE = 0.2
    arrays, _ = processes.find_or_make(locked, lambda: ({"w": torch.ones(2)}, {}))
    lightning_fabric.Fabric.broadcast = broadcast
    return {"sum": float(arrays["w"].sum()), "said": said}

def run(rank):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    assert processes.start() == 2 and processes.rank() == rank
    if rank:
        store.write = None  # never called
    train._Probe.__call__ = lambda self, objective: 0.9 if rank == 0 else 1 / 0
    results = {"lock": heard_of_a_lock(rank)}
    forward, calls = SimCLR.forward, []

    def broken(self, *views):
        calls.append(rank)
        if len(calls) == 2 and rank == 1:
            if os.environ["BROKEN"] == "raises":
                raise MemoryError("no room here")
            return forward(self, *views) * float("nan")
        return forward(self, *views)

    for name, (home, values, broke) in jobs.items():
        os.environ |= {"MEMLIB_HOME": home, "BROKEN": broke}
        SimCLR.forward = broken if broke else forward
        calls.clear()
        (out / f"{rank}.json").write_text(json.dumps(results))
        if broke == "raises":
            return main([f"{k}={json.dumps(v)}" for k, v in values.items()])
        try:
            arrays, results[name] = train.artefact(EncoderSpec(**values), save_every=0.0 if broke else 1e9)
            results[name]["sum"] = sum(float(v.double().sum()) for _, v in sorted(arrays.items()))
        except (ValueError, ArithmeticError) as error:
            results[name] = {"error": f"{type(error).__name__}: {error}"}
    return 0

children = []
for rank in range(2):
    if not (child := os.fork()):
        code = 99
        try:
            code = run(rank)
        finally:
            sys.stderr.flush()
            os._exit(code)
    children.append(child)
with store.lock(locked):
    time.sleep(2)
print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def of(framework):
    return dataclasses.replace(VIT, framework=framework)


def path_in(home, spec):
    return Path(home) / "encoders" / f"{spec.key(data.load('digits', size=spec.size).fingerprint)}.safetensors"


def alone(home, spec):
    """Arrays and header of a spec that this process trains by itself, at one thread."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(home))
        torch.set_num_threads(1)
        try:
            return train.artefact(spec)
        finally:
            torch.set_num_threads(threads)


def gap(arrays, others, start):
    """The largest distance between two trainings, as a share of how far the second came from its start.

    A parameter that hardly moves, such as a key's bias, which changes no attention, counts by the mean movement.
    """
    moved = {k: (others[k] - start[k]).norm() for k in start}
    least = torch.stack(list(moved.values())).mean() / 100
    return max(float((arrays[k] - others[k]).norm() / (moved[k] + least)) for k in start)


def beginning(spec):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        objective = build_objective(from_spec(spec), spec, 10)
    return {k: v.detach() for k, v in objective.named_parameters()}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """torchrun's code and words, its processes, and the home that it leaves when one of two is killed."""
    home = tmp_path_factory.mktemp("killed")
    parts = [f"{k}={json.dumps(v)}" for k, v in LONG.values().items()]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    run = subprocess.Popen(
        [*torchrun, "-m", "memlib.train", *parts, "--save-every", "0"],
        env={**ENVIRONMENT, "MEMLIB_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    checkpoint = path_in(home, LONG).with_suffix("").with_suffix(store.CHECKPOINT)
    deadline = time.monotonic() + 200
    while not checkpoint.exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = psutil.Process(run.pid).children()
    [second] = [w for w in workers if w.environ().get("RANK") == "1"]
    second.send_signal(signal.SIGKILL)
    _, said = run.communicate(timeout=100)
    return run.returncode, said, workers, home


@pytest.fixture(scope="module")
def together(tmp_path_factory, killed):
    """Results of two processes by the name of the job, their exit codes, their words, and their home."""
    out = tmp_path_factory.mktemp("together")
    resumed = out / "resumed"
    shutil.copytree(killed[-1], resumed)
    specs = {
        **{framework: of(framework) for framework in FRAMEWORKS},
        "until": UNTIL,
        "resnet9": dataclasses.replace(VIT, framework="simclr", arch="resnet9", patch=None, size=32),
        "simsiam": of("simsiam"),
        "odd": dataclasses.replace(VIT, batch=7),
    }
    jobs = {name: (str(out), spec.values(), "") for name, spec in specs.items()}
    jobs["resumed"] = (str(resumed), LONG.values(), "")
    jobs["nan"] = (str(out / "nan"), of("simclr").values(), "is nan")
    jobs["raises"] = (str(out / "raises"), of("simclr").values(), "raises")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, str(out), port, json.dumps(jobs)],
        **{"env": ENVIRONMENT, "capture_output": True, "text": True, "timeout": 450},
    )
    assert done.stdout, done.stderr
    ranks = [json.loads((out / f"{rank}.json").read_text()) for rank in range(2)]
    return ranks, done.stdout.split(), done.stderr, out


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_processes_make_the_encoder_that_one_makes(together, framework, tmp_path):
    ranks, _, _, home = together
    spec = of(framework)
    arrays, header = store.read(path_in(home, spec))
    others, other = alone(tmp_path, spec)
    assert (header["processes"], other["processes"]) == (2, 1)
    assert ranks[0][framework]["sum"] == ranks[1][framework]["sum"], "the other process has another encoder"
    assert arrays.keys() == others.keys()
    torch.testing.assert_close(arrays["loss"], others["loss"], rtol=1e-5, atol=1e-5)
    start = beginning(spec)
    moved = {k: v for k, v in start.items() if not k.startswith("teacher")}
    # measured: 4e-5; with negatives of one process .6, a gradient of twice the size 1.2, a centre of one process .009
    assert gap(arrays, others, moved) < 1e-3
    assert gap(start, others, moved) > 0.5


def test_process_0_finds_the_probe_s_accuracy_for_all(together):
    for result in together[0]:
        assert result["until"]["probed"] == [[1, 0.9]]
        assert result["until"]["steps"] == 3


def test_while_another_run_makes_it_the_processes_wait_and_hear_of_it(together):
    for result in together[0]:
        said = result["lock"]["said"]
        assert said[0] == "wait"
        assert said[-2:] == ["make", "read"]
        assert result["lock"]["sum"] == 2


def test_batchnorm_on_the_cpu_is_refused_in_several_processes_with_the_reason(together):
    for result in together[0]:
        assert "arch='resnet9' has BatchNorm" in result["resnet9"]["error"]
        assert "framework='simsiam', in its heads, has BatchNorm" in result["simsiam"]["error"]
        assert "on GPUs alone; allowed here are one process, or a ViT with" in result["simsiam"]["error"]
    assert not path_in(together[-1], of("simsiam")).exists()


def test_a_batch_that_does_not_split_is_refused(together):
    for result in together[0]:
        assert "batch=7 on 2 processes: allowed are multiples of 2, such as 6, 8" in result["odd"]["error"]


def test_a_loss_that_is_nan_in_one_process_ends_all_at_the_same_step(together):
    for result in together[0]:
        assert result["nan"]["error"].startswith("Diverged: the loss is nan at step 1 of EncoderSpec(")
        assert "the last good checkpoint is" in result["nan"]["error"]


def test_an_error_in_one_process_is_named_and_ends_all(together):
    _, codes, said, _ = together
    assert codes == ["1", "1"]
    assert "no room here" in said
    assert "process 1 of 2: MemoryError" in said
    assert "process 0 of 2: " in said  # its line to the other is broken


def test_a_killed_process_ends_the_run_and_leaves_a_checkpoint(killed):
    code, said, workers, home = killed
    assert code != 0
    assert "Signal 9 (SIGKILL)" in said
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert not path_in(home, LONG).exists()


def test_a_killed_run_goes_on_with_as_many_processes_and_with_one(killed, together, tmp_path):
    *_, out = together
    whole, _ = alone(tmp_path, LONG)
    both, header = store.read(path_in(out / "resumed", LONG))
    single, other = alone(killed[-1], LONG)
    assert header["processes"] == 2
    assert other["processes"] == 1
    assert 0 < header["started_at_step"] == other["started_at_step"] < 15
    start = beginning(LONG)
    assert gap(both, whole, start) < 1e-2
    assert gap(single, whole, start) < 1e-2
    assert not list((out / "resumed" / "encoders").glob(f"*{store.CHECKPOINT}"))
