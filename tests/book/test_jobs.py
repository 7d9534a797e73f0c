"""The plan of an engine: which jobs there are and what they ask for."""

from pathlib import Path

import pytest
import yaml

from memlib.book import jobs, plan


@pytest.fixture
def scale(tmp_path):
    """Write a scale of two designs with these resources, of all and of the second, and return its name."""

    def write(resources: dict, own: dict) -> str:
        design = {"kind": "halves", "subset": 20, "pairs": 2}
        sizes = {
            "encoder": {"dataset": "digits", "batch": 10, "epochs": 1},
            "measure": {"views": 2, "external": 10},
            "designs": {"first": design | {"seed": 0}, "second": design | {"seed": 10, "resources": own}},
            "resources": resources,
        }
        (tmp_path / "two.yaml").write_text(yaml.safe_dump(sizes))
        return str(tmp_path / "two.yaml")

    return write


@pytest.mark.parametrize("name", plan.SCALES)
def test_every_measurement_of_a_scale_is_in_one_job_and_trained_encoders_have_their_own(name):
    cut, measured = jobs.plan(name), plan.measurements(name)
    assert sorted(m.digest for job in cut.measured.values() for m in job) == sorted(measured)
    together = "jobs" in plan.scale(name)
    own = {spec.digest for m in measured.values() for spec in m.encoders if spec.end}
    assert cut.encoders.keys() == (set() if together else own)
    assert all(spec.end for spec in cut.encoders.values())
    assert cut.designs.keys() == cut.measured.keys() | cut.encoders.keys()
    for notebook in plan.NOTEBOOKS:
        made = [set(cut.designs[job]) for job in cut.of(notebook)]
        read = set(plan.reads(name, notebook))
        assert all(read & some for some in made)
        assert read <= set().union(*made)
        assert together or read == set().union(*made)
    assert cut.of("speed") == []


def test_first_pairs_of_all_designs_come_before_second_ones(scale):
    plan = jobs.plan(scale({}, {}))
    assert [plan.designs[job] for job in plan.measured] == [("first",), ("second",)] * 2


@pytest.mark.parametrize(("few", "made"), [(1, [("first", "second")]), (2, [("first",), ("second",)]), (3, None)])
def test_a_scale_of_tiny_encoders_has_as_many_jobs_as_it_says_and_a_design_stays_in_one(scale, few, made):
    name = scale({"measure": {"mem_mb": 5}}, {"measure": {"mem_mb": 9}})
    Path(name).write_text(Path(name).read_text() + f"jobs: {few}\n")
    plan = jobs.plan(name)
    made = made or [("first",), ("second",)]
    assert [plan.designs[job] for job in plan.measured] == made
    assert [len(measured) for measured in plan.measured.values()] == [8 * len(some) for some in made]
    assert plan.encoders == {}
    assert [jobs.resources(name, "measure", *some)["mem_mb"] for some in made][-1] == 9


@pytest.mark.parametrize("few", ["designs", 0, True])
def test_a_number_of_jobs_that_is_none_is_an_error_that_says_what_is_allowed(scale, few):
    name = scale({}, {})
    Path(name).write_text(Path(name).read_text() + f"jobs: {few}\n")
    with pytest.raises(ValueError, match="allowed is a whole number of 1 or more"):
        jobs.plan(name)


def test_what_a_design_asks_for_goes_before_its_scale_and_that_before_the_defaults(scale):
    name = scale({"train": {"gpus": 1, "runtime": 600}, "page": {"mem_mb": 9}}, {"train": {"runtime": 60}})
    assert jobs.resources(name, "train", "second") == jobs.DEFAULTS | {"gpus": 1, "runtime": 60}
    assert jobs.resources(name, "train", "first") == jobs.DEFAULTS | {"gpus": 1, "runtime": 600}
    assert jobs.resources(name, "measure", "second") == jobs.DEFAULTS
    assert jobs.resources(name, "page") == jobs.DEFAULTS | {"mem_mb": 9}


def test_resources_change_no_measurement(scale):
    assert (
        jobs.plan(scale({}, {})).measured == jobs.plan(scale({"train": {"gpus": 1}}, {"train": {"gpus": 2}})).measured
    )


@pytest.mark.parametrize(
    ("stated", "error", "text"),
    [
        ({"trian": {}}, KeyError, "did you mean 'train'"),
        ({"train": {"gpu": 1}}, KeyError, "did you mean 'gpus'"),
        ({"train": {"gpus": -1}}, ValueError, "gpus=-1 of train: allowed is a whole number of 0 or more"),
        ({"train": {"mem_mb": "4G"}}, ValueError, "mem_mb='4G' of train: allowed is a whole number of 1 or more"),
        ({"train": {"threads": True}}, ValueError, "threads=True"),
    ],
)
def test_what_no_job_can_ask_for_is_an_error_that_says_what_is_allowed(scale, stated, error, text):
    for name in (scale(stated, {}), scale({}, stated)):
        with pytest.raises(error) as caught:
            jobs.resources(name, "train", "second")
        assert text in caught.value.args[0]


def test_unknown_kinds_of_jobs_and_designs_are_errors_with_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'measure'"):
        jobs.resources("smoke", "measur")
    with pytest.raises(KeyError, match="did you mean 'papers'"):
        jobs.resources("smoke", "train", "paprs")


def test_where_things_lie_is_known_for_every_encoder_and_measurement(scale, capsys):
    name = scale({}, {})
    found, plan = jobs.look(name), jobs.plan(name)
    assert found.keys() >= {m.digest for job in plan.measured.values() for m in job}
    assert found.keys() >= plan.encoders.keys()
    assert all(place and place.endswith(".safetensors") for place in found.values())
    assert jobs.main(["look", "two"]) == 2
    assert "unknown scale 'two'" in capsys.readouterr().err


def test_images_that_are_not_here_and_not_known_leave_a_place_open(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_DATA", str(tmp_path))
    assert None in jobs.look("paper").values()
