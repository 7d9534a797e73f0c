"""Studies: what a scale trains, planned without torch, and every encoder of it able to take a step."""

import dataclasses
import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import torch
import yaml

from memlib import encoders, studies
from memlib.data import FINGERPRINTS
from memlib.objectives import build_objective
from memlib.paper import PROBE
from memlib.studies.__main__ import main as studies_main
from memlib.studies.designs import OF_TRAINING
from memlib.train import steps

RESULTS = Path(__file__).parents[1] / "book" / "results" / "laptop"


def test_planning_imports_no_torch():
    code = "import sys; from memlib import studies; studies.measurements('laptop'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("scale", studies.SCALES)
def test_f_and_g_of_every_pair_differ_in_seed_and_points_alone(scale):
    for design in studies.designs(scale):
        for pair in studies.pairs(scale, design):
            f, g = pair.f.encoder, pair.g.encoder
            assert dataclasses.replace(f, seed=0, points="all") == dataclasses.replace(g, seed=0, points="all")
            untrained = pair.f_untrained.encoder
            kept = {name: getattr(untrained, name) for name in OF_TRAINING}
            assert untrained == dataclasses.replace(f, epochs=0, **kept)
            assert (untrained.stop, untrained.until, untrained.epsilon) == (None, None, None)


@pytest.mark.parametrize("scale", studies.SCALES)
def test_no_two_encoders_of_a_scale_share_a_seed(scale):
    seeds = {
        design: {m.encoder.seed for pair in studies.pairs(scale, design) for m in (pair.f, pair.g)}
        for design in studies.designs(scale)
    }
    for design, of_it in seeds.items():
        assert len(of_it) == 2 * len(studies.pairs(scale, design))
    assert not [(a, b) for a, b in combinations(seeds, 2) if seeds[a] & seeds[b]]


@pytest.mark.parametrize("scale", studies.SCALES)
def test_every_scale_has_the_designs_of_every_notebook(scale):
    wanted = {design for notebook in studies.NOTEBOOKS.values() for design in notebook}
    assert wanted <= {*studies.designs(scale), *studies.experiments(scale)}


@pytest.mark.parametrize("design", ["halves", "papers"])
def test_what_was_published_keeps_its_keys(design):
    images = [FINGERPRINTS["cifar10", split] for split in ("train", "test")]
    for pair in studies.pairs("laptop", design):
        for m in (pair.f, pair.g, pair.f_untrained, pair.g_untrained):
            assert (RESULTS / f"{m.name}-{m.key(*images)}.safetensors").exists(), m.name


def test_a_key_changes_with_what_is_measured_and_only_then():
    plain = studies.pairs("smoke", "halves")[0].f
    classes = studies.pairs("smoke", "halves", classes=True)[0].f
    probed = studies.pairs("smoke", "halves", probe=["digits"], probe_points=50)[0].f
    assert len({plain.digest, classes.digest, probed.digest}) == 3
    assert classes.encoder.digest == probed.encoder.digest == plain.encoder.digest
    assert dataclasses.replace(plain, probe_points=50).digest == plain.digest
    assert dataclasses.replace(probed, probe_points=60).digest != probed.digest


def test_the_arms_of_privacy_differ_in_epsilon_alone():
    for scale in studies.SCALES:
        free, *private = (studies.pairs(scale, design)[0].f.encoder for design in ("vit_mae", "dp20", "dp8"))
        assert free.epsilon is None
        assert [one.epsilon for one in private] == [20, 8]
        same = {name: getattr(free, name) for name in ("seed", "epsilon", "clip", "delta")}
        assert all(dataclasses.replace(one, **same) == free for one in private)


def test_a_design_of_the_papers_kind_has_its_own_names(tmp_path):
    own = tmp_path / "own.yaml"
    designs = "{mine: {kind: papers, shared: 20, candidates: 10, pairs: 1, seed: 0, external: 10, arch: resnet18}}"
    own.write_text(f"encoder: {{dataset: digits}}\nmeasure: {{views: 2}}\ndesigns: {designs}\n")
    [pair] = studies.pairs(str(own), "mine")
    assert (pair.f.name, pair.g_untrained.name) == ("mine-f0", "mine-g0-untrained")
    assert (pair.f.encoder.points, pair.f.encoder.arch) == ("f", "resnet18")
    assert len(studies.measurements(str(own))) == 4
    own.write_text(own.read_text().replace("papers", "paper"))
    with pytest.raises(KeyError, match="did you mean 'papers'"):
        studies.pairs(str(own), "mine")


def test_there_are_pairs_enough_at_the_published_scale():
    assert len(studies.pairs("laptop", "halves")) >= 4
    assert len(studies.pairs("laptop", "papers")) >= 2
    assert studies.pairs("laptop", "halves")[0].f.encoder.subset >= 750


@pytest.mark.parametrize("scale", studies.SCALES)
def test_every_notebook_is_planned_and_no_measurement_twice(scale):
    everything = studies.measurements(scale)
    assert len({m.name for m in everything.values()}) == len(everything)
    for notebook, designs in studies.NOTEBOOKS.items():
        planned = studies.measurements(scale, notebook)
        assert planned.items() <= everything.items()
        assert {m.name.split("-")[0] for m in planned.values()} == set(studies.reads(scale, notebook)) >= set(designs)


def test_the_page_of_frameworks_reads_the_papers_encoders_where_a_scale_has_them():
    larger = set(studies.WHERE_THERE["04_1_frameworks"])
    assert larger <= set(studies.reads("paper", "04_1_frameworks"))
    assert not larger & set(studies.reads("laptop", "04_1_frameworks"))
    for pair in (studies.pairs("paper", design)[0] for design in larger):
        assert (pair.f.encoder.dataset, pair.f.encoder.size) == ("imagenet", 224)
        assert pair.f.encoder.until in [p for each in PROBE.values() for p in each.values()]  # section 4.1


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
        (lambda: studies.pairs("smoke", "halves", points="all"), KeyError, "unknown override 'points'"),
        (lambda: studies.pairs("smoke", "halves", pairs=0), ValueError, "pairs=0"),
        (lambda: studies.measurements("smoke", "03_sslmen"), KeyError, "did you mean '03_sslmem'"),
    ],
)
def test_an_unknown_name_or_size_is_an_error_that_says_what_is_allowed(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in caught.value.args[0]


def test_the_command_line_plans_and_refuses_what_is_not_planned(capsys):
    assert studies_main(["plan", "smoke"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(studies.measurements("smoke"))
    assert studies_main(["measure", "smoke", "0" * 16]) == 2
    assert "unknown measurement of scale smoke" in capsys.readouterr().err


def test_the_plan_says_what_is_special_about_an_encoder(capsys):
    studies_main(["plan", "smoke"])
    lines = {line.split()[2]: line for line in capsys.readouterr().out.splitlines()}
    assert "mae vit_tiny digits, 2 epochs, seed 1600, epsilon 8, probed on digits" in lines["dp8-0"]
    assert "until the probe reaches 0.2, ClassMem" in lines["sl-0"]
    assert "epsilon" not in lines["dp8-0-untrained"]


def paper_specs():
    """The specs of scale `paper` that differ in more than points, seeds, what ends training, or privacy."""
    found = {}
    for wanted in (spec for m in studies.measurements("paper").values() for spec in m.encoders):
        spec = dataclasses.replace(wanted, points="all", subset=None, shared=0, candidates=0, seed=0)
        spec = dataclasses.replace(spec, until=None, check=10, epsilon=None, delta=1e-5, clip=1.0)
        found[json.dumps(spec.values(), sort_keys=True)] = spec
    return [spec for spec in found.values() if spec.epochs]


def two_steps(spec, points):
    """Two steps of training with real views; every loss finite, every trainable parameter moved."""
    torch.manual_seed(0)
    objective = build_objective(encoders.from_spec(spec), spec, classes=10)
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    optimizer = steps.build_optimizer(objective, spec)
    images = torch.randint(0, 256, (points, 3, spec.size, spec.size), dtype=torch.uint8)
    before = {name: p.detach().clone() for name, p in trained.items()}
    for step in range(2):
        loss = objective(*objective.views(images, torch.arange(points) % 10, torch.Generator().manual_seed(step)))
        assert torch.isfinite(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.update((step + 1) / 2)
    return [name for name, p in trained.items() if torch.equal(p, before[name])]


SMALL, LARGE = ([spec for spec in paper_specs() if (spec.size > 32) == large] for large in (False, True))


def named(spec):
    return f"{spec.framework}-{spec.arch}-{spec.dataset}"


@pytest.mark.parametrize("spec", SMALL, ids=named)
def test_every_encoder_of_the_papers_scale_takes_two_steps_at_full_width(spec):
    still = two_steps(spec, 4)
    assert [name for name in still if not name.endswith("conv.bias")] == []  # before a BatchNorm: no gradient


@pytest.mark.skipif("MEMLIB_LARGE" not in os.environ, reason="minutes and several GB: MEMLIB_LARGE=1 pytest -k large")
@pytest.mark.parametrize("spec", LARGE, ids=named)
def test_every_large_encoder_of_the_papers_scale_takes_two_steps_at_full_width(spec):
    assert two_steps(spec, 2) == []


@pytest.mark.parametrize("name", studies.SCALES)
def test_what_is_merged_into_a_design_states_nothing_twice(name):
    """YAML libraries, and releases of PyYAML (6.0.4), differ in which of several merged mappings comes first."""
    text = (Path(studies.__file__).parents[2] / "notebooks" / "scales" / f"{name}.yaml").read_text()
    pending = [yaml.compose(text)]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            pending += [value for _, value in node.value]
            for key, merged in node.value:
                if key.value == "<<" and isinstance(merged, yaml.SequenceNode):
                    stated = [one.value for mapping in merged.value for one, _ in mapping.value]
                    assert len(stated) == len(set(stated)), f"line {merged.start_mark.line + 1}: {stated}"
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value
