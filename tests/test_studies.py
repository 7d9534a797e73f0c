"""Studies: what a scale trains, planned without torch, and every encoder of it able to take a step."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from memlib import studies, train
from memlib.encoders import build_encoder
from memlib.objectives import build_objective


def test_planning_imports_no_torch():
    code = "import sys; from memlib import studies; studies.measurements('laptop'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("scale", studies.SCALES)
def test_f_and_g_of_every_pair_differ_in_seed_and_points_alone(scale):
    for design in studies.DESIGNS:
        pairs = studies.pairs(scale, design)
        seeds = [m.encoder.seed for pair in pairs for m in (pair.f, pair.g)]
        assert len(set(seeds)) == len(seeds)
        for pair in pairs:
            f, g = pair.f.encoder, pair.g.encoder
            assert dataclasses.replace(f, seed=0, points="all") == dataclasses.replace(g, seed=0, points="all")
            assert pair.f_untrained.encoder == dataclasses.replace(f, epochs=0)


def test_there_are_pairs_enough_at_the_published_scale():
    assert len(studies.pairs("laptop", "halves")) >= 4
    assert len(studies.pairs("laptop", "papers")) >= 2
    assert studies.pairs("laptop", "halves")[0].f.encoder.subset >= 750


@pytest.mark.parametrize("scale", studies.SCALES)
def test_every_notebook_is_planned_and_no_measurement_twice(scale):
    everything = studies.measurements(scale)
    assert len({m.name for m in everything.values()}) == len(everything)
    for notebook in studies.NOTEBOOKS:
        assert studies.measurements(scale, notebook).items() <= everything.items()


def test_an_override_reaches_the_specs_and_none_leaves_them():
    [pair] = studies.pairs("smoke", "halves", pairs=1, epochs=2, views=None)
    assert pair.f.encoder.epochs == 2
    assert pair.f.views == studies.pairs("smoke", "halves")[0].f.views


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: studies.pairs("latop", "halves"), KeyError, "did you mean 'laptop'"),
        (lambda: studies.pairs("smoke", "halfs"), KeyError, "did you mean 'halves'"),
        (lambda: studies.pairs("smoke", "halves", epoch=3), KeyError, "did you mean 'epochs'"),
        (lambda: studies.pairs("smoke", "halves", pairs=0), ValueError, "pairs=0"),
        (lambda: studies.measurements("smoke", "03_sslmen"), KeyError, "did you mean '03_sslmem'"),
    ],
)
def test_an_unknown_name_or_size_is_an_error_that_says_what_is_allowed(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in caught.value.args[0]


def test_the_command_line_plans_and_refuses_what_is_not_planned(capsys):
    assert studies.main(["plan", "smoke"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(studies.measurements("smoke"))
    assert studies.main(["measure", "smoke", "0" * 16]) == 2
    assert "unknown measurement of scale smoke" in capsys.readouterr().err


def paper_specs():
    """The specs of scale `paper` that differ in more than points and seeds."""
    found = {}
    for m in studies.measurements("paper").values():
        spec = dataclasses.replace(m.encoder, points="all", subset=None, shared=0, candidates=0, seed=0)
        found[json.dumps(spec.values(), sort_keys=True)] = spec
    return [spec for spec in found.values() if spec.epochs]


@pytest.mark.parametrize("spec", paper_specs(), ids=lambda s: f"{s.framework}-{s.arch}-{s.dataset}")
def test_every_encoder_of_the_papers_scale_takes_two_steps_at_full_width(spec):
    torch.manual_seed(0)
    objective = build_objective(build_encoder(spec.arch), train.views_of(spec), spec)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    images = torch.randint(0, 256, (8, 3, spec.size, spec.size), dtype=torch.uint8)
    before = {name: p.detach().clone() for name, p in objective.named_parameters()}
    for step in range(2):
        draws = torch.Generator().manual_seed(step)
        loss = objective(*objective.views(images, torch.zeros(8, dtype=torch.int64), draws))
        assert torch.isfinite(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, p in objective.named_parameters():
        if not name.endswith("conv.bias"):  # in front of a BatchNorm: no gradient but rounding
            assert not torch.equal(p, before[name]), name
