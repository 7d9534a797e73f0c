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

from memlib import encoders
from memlib.book import paper, plan
from memlib.book.__main__ import main as book_main
from memlib.book.designs import OF_TRAINING
from memlib.data import FINGERPRINTS
from memlib.objectives import build_objective
from memlib.train import steps

RESULTS = Path(__file__).parents[2] / "book" / "results" / "laptop"


def test_planning_imports_no_torch():
    code = "import sys; from memlib.book import plan; plan.measurements('laptop'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("scale", plan.SCALES)
def test_f_and_g_of_every_pair_differ_in_seed_and_points_alone(scale):
    for design in plan.designs(scale):
        for pair in plan.pairs(scale, design):
            f, g = pair.f.encoder, pair.g.encoder
            assert dataclasses.replace(f, seed=0, points="all") == dataclasses.replace(g, seed=0, points="all")
            untrained = pair.f_untrained.encoder
            kept = {name: getattr(untrained, name) for name in OF_TRAINING}
            assert untrained == dataclasses.replace(f, epochs=0, **kept)
            assert (untrained.stop, untrained.until, untrained.epsilon) == (None, None, None)


@pytest.mark.parametrize("scale", plan.SCALES)
def test_no_two_encoders_of_a_scale_share_a_seed(scale):
    seeds = {
        design: {m.encoder.seed for pair in plan.pairs(scale, design) for m in (pair.f, pair.g)}
        for design in plan.designs(scale)
    }
    for design, of_it in seeds.items():
        assert len(of_it) == 2 * len(plan.pairs(scale, design))
    assert not [(a, b) for a, b in combinations(seeds, 2) if seeds[a] & seeds[b]]


@pytest.mark.parametrize("scale", plan.SCALES)
def test_every_scale_has_the_designs_of_every_notebook(scale):
    wanted = {design for notebook in plan.NOTEBOOKS.values() for design in notebook}
    assert wanted <= {*plan.designs(scale), *plan.experiments(scale)}


@pytest.mark.parametrize("design", ["base", "resnet18"])
def test_what_was_published_keeps_its_keys(design):
    for pair in plan.pairs("laptop", design):
        for m in (pair.f, pair.g, pair.f_untrained, pair.g_untrained):
            images = [FINGERPRINTS[name, split] for name in m.datasets for split in ("train", "test")]
            assert (RESULTS / f"{m.name}-{m.key(*images)}.safetensors").exists(), m.name


def test_a_key_changes_with_what_is_measured_and_only_then():
    plain = plan.pairs("smoke", "papers")[0].f
    classes = plan.pairs("smoke", "papers", classes=True)[0].f
    probed = plan.pairs("smoke", "papers", probe=["digits"], probe_points=50)[0].f
    assert len({plain.digest, classes.digest, probed.digest}) == 3
    assert classes.encoder.digest == probed.encoder.digest == plain.encoder.digest
    assert dataclasses.replace(plain, probe_points=50).digest == plain.digest
    assert dataclasses.replace(probed, probe_points=60).digest != probed.digest


def test_the_arms_of_privacy_differ_in_epsilon_alone():
    for scale in plan.SCALES:
        free, *private = (plan.pairs(scale, design)[0].f.encoder for design in ("vit_mae", "dp20", "dp8"))
        assert free.epsilon is None
        assert [one.epsilon for one in private] == [20, 8]
        same = {name: getattr(free, name) for name in ("seed", "epsilon", "clip", "delta")}
        assert all(dataclasses.replace(one, **same) == free for one in private)


def test_a_design_of_the_papers_kind_has_its_own_names(tmp_path):
    own = tmp_path / "own.yaml"
    designs = "{mine: {kind: papers, shared: 20, candidates: 10, pairs: 1, seed: 0, external: 10, arch: resnet18}}"
    own.write_text(f"encoder: {{dataset: digits}}\nmeasure: {{views: 2}}\ndesigns: {designs}\n")
    [pair] = plan.pairs(str(own), "mine")
    assert (pair.f.name, pair.g_untrained.name) == ("mine-f0", "mine-g0-untrained")
    assert (pair.f.encoder.points, pair.f.encoder.arch) == ("f", "resnet18")
    assert len(plan.measurements(str(own))) == 4
    own.write_text(own.read_text().replace("papers", "paper"))
    with pytest.raises(KeyError, match="did you mean 'papers'"):
        plan.pairs(str(own), "mine")


def test_a_design_says_at_which_numbers_of_pairs_it_is_judged(tmp_path):
    assert len(plan.pairs("laptop", "base")) in plan.looks("laptop", "base")
    assert plan.looks("smoke", "base") == ()
    assert [plan.shares((6, 12), k) for k in (6, 12)] == [(0.5,), (0.5, 1.0)]
    assert plan.shares((6, 12), 8) == (0.5, 8 / 12)  # a number that was not planned is a look, too
    assert plan.shares((6, 12), 4) == (4 / 12,)
    assert plan.shares((6, 12), 18) == (6 / 18, 12 / 18, 1.0)
    assert plan.shares((), 4) == ()
    assert plan.looks("laptop", "ablation") == plan.looks("laptop", "base")  # an experiment has a plan of its own
    assert plan.looks("laptop", "pruning") == ()
    own = tmp_path / "own.yaml"
    own.write_text("designs: {mine: {kind: halves, looks: [6, 4]}}")
    with pytest.raises(ValueError, match=r"looks=\[6, 4\] of 'mine'"):
        plan.looks(str(own), "mine")


def test_there_are_pairs_enough_at_the_published_scale():
    assert len(plan.pairs("laptop", "base")) >= 6
    assert len({pair.f.encoder.pool for pair in plan.pairs("laptop", "base")}) == 3


@pytest.mark.parametrize("scale", plan.SCALES)
def test_every_notebook_is_planned_and_no_measurement_twice(scale):
    everything = plan.measurements(scale)
    assert len({m.name for m in everything.values()}) == len(everything)
    for notebook, designs in plan.NOTEBOOKS.items():
        planned = plan.measurements(scale, notebook)
        assert planned.items() <= everything.items()
        assert {m.name.split("-")[0] for m in planned.values()} == set(plan.reads(scale, notebook)) >= set(designs)


def test_the_page_of_frameworks_reads_the_papers_encoders_where_a_scale_has_them():
    larger = set(plan.WHERE_THERE["04_1_frameworks"])
    assert larger <= set(plan.reads("paper", "04_1_frameworks"))
    assert not larger & set(plan.reads("laptop", "04_1_frameworks"))
    printed = (paper.table("section_4_1")["accuracy (%)"] / 100).round(4).tolist()
    for pair in (plan.pairs("paper", design)[0] for design in larger):
        assert (pair.f.encoder.dataset, pair.f.encoder.size) == ("imagenet", 224)
        assert pair.f.encoder.until in printed  # section 4.1


def test_an_override_reaches_the_specs_and_none_leaves_them():
    [pair] = plan.pairs("smoke", "base", pairs=1, epochs=2, views=None)
    assert pair.f.encoder.epochs == 2
    assert pair.f.views == plan.pairs("smoke", "base")[0].f.views


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: plan.pairs("latop", "base"), KeyError, "did you mean 'laptop'"),
        (lambda: plan.pairs("smoke", "base_"), KeyError, "did you mean 'base'"),
        (lambda: plan.pairs("smoke", "base", epoch=3), KeyError, "did you mean 'epochs'"),
        (lambda: plan.pairs("smoke", "base", points="all"), KeyError, "unknown override 'points'"),
        (lambda: plan.pairs("smoke", "base", pairs=0), ValueError, "pairs=0"),
        (lambda: plan.pairs("smoke", "ssl", units=False), ValueError, "ClassMem is one of units"),
        (lambda: plan.measurements("smoke", "03_sslmen"), KeyError, "did you mean '03_sslmem'"),
    ],
)
def test_an_unknown_name_or_size_is_an_error_that_says_what_is_allowed(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in caught.value.args[0]


def test_the_command_line_plans_and_refuses_what_is_not_planned(capsys):
    assert book_main(["plan", "smoke"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(plan.measurements("smoke"))
    assert book_main(["measure", "smoke", "0" * 16]) == 2
    assert "unknown measurement of scale smoke" in capsys.readouterr().err


def test_the_plan_says_what_is_special_about_an_encoder(capsys):
    book_main(["plan", "smoke"])
    lines = {line.split()[2]: line for line in capsys.readouterr().out.splitlines()}
    assert "mae vit_tiny digits, 2 epochs, seed 1600, epsilon 8, probed on digits" in lines["dp8-0"]
    assert "until the probe reaches 0.2, ClassMem" in lines["sl-0"]
    assert "epsilon" not in lines["dp8-0-untrained"]


def specs_of(scale, **same):
    """The specs of a scale that differ in more than points, seeds, what ends training, privacy, or what is `same`."""
    found = {}
    for wanted in (spec for m in plan.measurements(scale).values() for spec in m.encoders):
        spec = dataclasses.replace(wanted, points="all", subset=None, shared=0, candidates=0, seed=0)
        spec = dataclasses.replace(spec, until=None, check=10, epsilon=None, delta=1e-5, clip=1.0)
        if spec.epochs:
            spec = dataclasses.replace(spec, **same)
            found[json.dumps(spec.values(), sort_keys=True)] = spec
    return [*found.values()]


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


SMALL, LARGE = ([spec for spec in specs_of("paper") if (spec.size > 32) == large] for large in (False, True))
SMALL += specs_of("gpu", epochs=1, batch=2, warmup=0, dataset="cifar10")  # which two steps do not depend on


def named(spec):
    return f"{spec.framework}-{spec.arch}-{spec.dataset}"


@pytest.mark.parametrize("spec", SMALL, ids=named)
def test_every_encoder_of_the_papers_and_of_a_gpu_s_scale_takes_two_steps_at_full_width(spec):
    still = two_steps(spec, 4)
    assert [name for name in still if not name.endswith("conv.bias")] == []  # before a BatchNorm: no gradient


@pytest.mark.skipif("MEMLIB_LARGE" not in os.environ, reason="minutes and several GB: MEMLIB_LARGE=1 pytest -k large")
@pytest.mark.parametrize("spec", LARGE, ids=named)
def test_every_large_encoder_of_the_papers_scale_takes_two_steps_at_full_width(spec):
    assert two_steps(spec, 2) == []


def test_a_night_on_one_gpu_has_the_papers_points_and_what_two_cores_cannot_train():
    base, papers = (plan.pairs("gpu", design)[0].f.encoder for design in ("base", "papers"))
    assert (base.subset, base.epochs) == (50_000, 600)
    assert (papers.shared + papers.candidates, papers.epochs) == (45_000, 600)
    trained = [pair.f.encoder for design in plan.designs("gpu") for pair in plan.pairs("gpu", design)]
    assert {spec.arch for spec in trained} >= {"resnet34", "resnet50", "vit_tiny"}
    assert {spec.size_of_patch for spec in trained if spec.arch == "vit_tiny"} == {4}
    assert {spec.dataset for spec in trained} >= {"cifar10", "cifar100"}
    assert {spec.epsilon for spec in trained} == {None, 8, 20}


@pytest.mark.parametrize("name", plan.SCALES)
def test_what_is_merged_into_a_design_states_nothing_twice(name):
    """YAML libraries, and releases of PyYAML (6.0.4), differ in which of several merged mappings comes first."""
    text = (Path(plan.__file__).parents[2] / "notebooks" / "scales" / f"{name}.yaml").read_text()
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


@pytest.mark.parametrize("scale", ["smoke", "laptop", "gpu", "paper"])
def test_a_page_on_an_experiment_waits_for_the_measurements_that_say_whether_its_encoders_memorize(scale):
    cut = plan.scale(scale)["experiments"]
    for notebook in plan.NOTEBOOKS:
        names = plan.reads(scale, notebook)
        assert {cut[name]["roles"]["f"].split(".")[0] for name in names if name in cut} <= {*names}
