"""What a process knows of the others: its number, its share of a batch, and what is for one process alone."""

import dataclasses
import json

import pytest
import torch

from memlib import data
from memlib.encoders import from_spec
from memlib.objectives import build_objective
from memlib.specs import EncoderSpec
from memlib.train import processes, steps
from memlib.train.__main__ import main, spec_of

VIT = EncoderSpec(framework="mae", arch="vit_tiny", dataset="digits", size=16, batch=8)


def as_if(monkeypatch, rank, count):
    monkeypatch.setattr(processes, "rank", lambda: rank)
    monkeypatch.setattr(processes, "count", lambda: count)


@pytest.mark.parametrize(("batch", "count"), [(24, 2), (24, 3), (24, 8), (16, 2), (5, 5), (64, 4)])
def test_the_processes_views_together_are_the_views_of_one(monkeypatch, batch, count):
    monkeypatch.setattr(steps, "BLOCK", 8)
    spec = dataclasses.replace(VIT, framework="mae", batch=batch)
    objective = build_objective(from_spec(spec), spec)
    images, labels = data.load("digits", size=16).images[:batch], torch.arange(batch)
    whole = steps.views(objective, images, labels, 1, 7)
    parts = []
    for rank in range(count):
        as_if(monkeypatch, rank, count)
        mine = processes.share(spec, steps.BLOCK)
        views = steps.views(objective, images[mine.drawn], labels[mine.drawn], 1, 7, mine.first)
        parts.append([view[mine.kept] for view in views])
        assert len(parts[-1][0]) == batch // count
        if batch // count % 8 == 0:
            assert len(images[mine.drawn]) == batch // count, "draws views that it does not keep"
    for view, drawn in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(view, torch.cat(drawn))


def test_one_process_takes_batches_of_any_size():
    mine = processes.share(VIT, steps.BLOCK)
    assert torch.arange(700)[mine.drawn][mine.kept].tolist() == list(range(700))  # DP-SGD's, at batch=8


def test_differential_privacy_is_refused_in_several_processes(monkeypatch):
    as_if(monkeypatch, 0, 2)
    spec = dataclasses.replace(VIT, framework="mae", epsilon=8.0)
    with pytest.raises(ValueError, match=r"epsilon=8 on 2 processes: .*allowed is one"):
        processes.ready(spec, build_objective(from_spec(spec), spec), torch.device("cpu"))


@pytest.mark.parametrize("framework", ["simclr", "simsiam"])
def test_on_gpus_batchnorm_takes_the_statistics_of_all_processes(monkeypatch, framework):
    as_if(monkeypatch, 0, 2)
    spec = EncoderSpec(framework=framework, arch="resnet18", dataset="digits")
    objective = build_objective(from_spec(spec), spec)
    names = set(objective.state_dict())
    made = processes.ready(spec, objective, torch.device("cuda"))
    kinds = {type(part).__name__ for part in made.modules() if "BatchNorm" in type(part).__name__}
    assert kinds == {"SyncBatchNorm"}
    assert set(made.state_dict()) == names


SRUN = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


def test_torchrun_and_srun_say_which_process_this_is():
    assert processes.Launch.of(TORCHRUN) == processes.Launch(3, 4, 1, 2, "torchrun")
    assert processes.Launch.of(SRUN) == processes.Launch(5, 8, 1, 4, "srun")
    assert processes.Launch.of({**SRUN, **TORCHRUN}).by == "torchrun"
    alone = processes.Launch()
    assert processes.Launch.of({}) == alone
    assert processes.Launch.of({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) == alone, "sbatch without srun"
    with pytest.raises(ValueError, match=r"SLURM_STEP_TASKS_PER_NODE=5,3 of 8 processes: allowed is the same number"):
        processes.Launch.of({**SRUN, "SLURM_STEP_TASKS_PER_NODE": "5,3"})


def test_fewer_gpus_than_processes_are_refused_with_slurm_s_option(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"4 processes .* see 1 GPUs: allowed is 1 at most; .*--gpus-per-node"):
        processes._connected(processes.Launch.of(SRUN), "32-true")


def test_a_spec_is_read_from_a_file_and_from_fields(tmp_path):
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"arch": "vit_tiny", "framework": "mae", "lr": 1.0}))
    assert spec_of([str(file), "lr=0.5", "subset=null", "points=half:0/2"]) == EncoderSpec(
        arch="vit_tiny", framework="mae", lr=0.5, points="half:0/2"
    )


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("nothing.json", "neither a file nor FIELD=VALUE"),
        ("farmework=mae", "did you mean 'framework'"),
        ("framework=simclear", "did you mean 'simclr'"),
        ("batch=1", "batch=1: allowed is 2 or more"),
    ],
)
def test_a_spec_that_cannot_be_read_is_one_line(capsys, part, said):
    assert main([part]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
