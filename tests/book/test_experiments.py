"""Experiments, planned: which encoders of which designs each run takes, and what a scale may choose."""

import json

import pytest

from memlib.book import jobs, plan

SCALE = """
encoder: {dataset: digits, batch: 10}
measure: {views: 2}
designs:
  halves: {subset: 60, pairs: 2, seed: 0, external: 10}
  donors: {kind: halves, subset: 60, pairs: 2, seed: 10, external: 10, arch: resnet18}
experiments:
  cut:
    kind: EXPERIMENT
    roles: {f: halves.f, g: halves.g, donor: donors, before: halves.f.untrained}
    runs: 2
    CHOICES
"""
KIND = "replacement"


@pytest.fixture
def scale(tmp_path):
    """A scale of its own, with any choices of the kind."""
    path = tmp_path / "own.yaml"

    def written(**changes):
        numbers = [f"{name}: {'[1]' if name == 'sizes' else 1}" for name in plan.KINDS[KIND].choices]
        text = SCALE.replace("EXPERIMENT", KIND).replace("CHOICES", "\n    ".join(numbers))
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return str(path)

    return written


def test_run_i_takes_f_and_g_of_pair_i_and_the_i_th_encoder_of_a_design(scale):
    runs = plan.experiments(scale())["cut"]
    pairs, donors = (plan.pairs(scale(), design) for design in ("halves", "donors"))
    assert [run.name for run in runs] == ["cut-0", "cut-1"]
    for run, pair in zip(runs, pairs, strict=True):
        assert run.encoder("f") == pair.f.encoder
        assert run.encoder("g") == pair.g.encoder
        assert run.encoder("before") == pair.f_untrained.encoder
    assert [run.encoder("donor") for run in runs] == [donors[0].f.encoder, donors[0].g.encoder]


def test_the_key_of_a_run_changes_with_its_encoders_its_choices_and_the_images(scale):
    run, other = plan.experiments(scale())["cut"]
    assert run.digest != other.digest
    assert plan.experiments(scale(), probe_points=7)["cut"][0].digest != run.digest
    assert run.key("a", "b") != run.key("a", "c")
    json.dumps(run.values())


def test_runs_come_after_what_their_designs_measure_and_are_jobs_of_their_own(scale):
    planned = [m.name for m in plan.measurements(scale()).values()]
    assert planned.index("cut-0") > planned.index("halves-1")
    cut_up = jobs.plan(scale())
    cut = [key for key, names in cut_up.designs.items() if names == ("cut",)]
    assert [cut_up.measured[key][0].name for key in cut] == ["cut-0", "cut-1"]
    assert {spec.digest for key in cut for spec in cut_up.measured[key][0].encoders if spec.end} <= set(
        cut_up.encoders
    )


def test_jobs_of_an_experiment_may_ask_for_resources_of_their_own(scale):
    own = scale(**{"runs: 2": "runs: 2\n    resources: {measure: {mem_mb: 9000}}"})
    assert jobs.resources(own, "measure", "cut")["mem_mb"] == 9000
    assert jobs.resources(own, "measure", "halves")["mem_mb"] == jobs.DEFAULTS["mem_mb"]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({f"kind: {KIND}": "kind: replacemnt"}, KeyError, "did you mean 'replacement'"),
        ({"halves.f,": "halfs.f,"}, KeyError, "did you mean 'halves'"),
        ({"halves.g": "halves.h"}, KeyError, "unknown encoder of design 'halves' in 'halves.h'"),
        ({"runs: 2": "runs: 3"}, ValueError, "has 2 such encoders; take fewer runs"),
        ({"runs: 2": "runs: 0"}, ValueError, "runs=0 of experiment 'cut': allowed is a whole number"),
        ({"runs: 2": "runs: 2\n    prob: [digits]"}, KeyError, "did you mean 'probe'"),
        ({"    runs: 2\n": ""}, ValueError, "does not state runs"),
    ],
)
def test_an_experiment_that_cannot_be_run_fails_when_it_is_planned(scale, changes, error, text):
    with pytest.raises(error) as caught:
        plan.experiments(scale(**changes))
    assert text in caught.value.args[0]


def test_an_unknown_override_role_or_choice_is_named(scale):
    with pytest.raises(KeyError, match="did you mean 'probe_points'"):
        plan.experiments(scale(), probe_point=3)
    run = plan.experiments(scale())["cut"][0]
    with pytest.raises(KeyError, match=r"unknown role of experiment 'cut-0' 'h'"):
        run.encoder("h")
    with pytest.raises(KeyError, match="unknown choice of experiment 'cut-0'"):
        run.choice("colour")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tested": 0}, "tested=0 of experiment 'cut': allowed is a whole number of 1 or more, or null: all"),
        ({"views": -1}, "views=-1 of experiment 'cut': allowed is a whole number of 1 or more$"),
        ({"probe_points": True}, "probe_points=True"),
        ({"sizes": [1, 0]}, r"sizes=\[1, 0\] of experiment 'cut': allowed is whole numbers of 1 or more"),
    ],
)
def test_numbers_of_things_are_checked_and_named(scale, wrong, said):
    with pytest.raises(ValueError, match=said):
        plan.experiments(scale(), **wrong)
