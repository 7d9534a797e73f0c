"""The experiment that measures units again: which points each variant takes, and what it makes of them."""

import pytest
import torch

from memlib import metrics
from memlib.book import plan
from memlib.book.cuts import units
from memlib.book.cuts.remeasured import excess, members, unitmem
from memlib.book.runs import Run
from memlib.specs import EncoderSpec

CLASSES = tuple("0123456789")
CHOICES = {"sets": ("none",), "counts": (5,), "concepts": ("0 1 2 3 4", "7 8 9"), "views": 2}


def planned(**choices):
    spec = {"dataset": "digits", "subset": 80, "epochs": 0, "batch": 5}
    f, g = (EncoderSpec(**spec, points=points, seed=seed) for points, seed in (("half:0/2", 1), ("half:1/2", 2)))
    roles = (("f", f), ("g", g), ("f_untrained", f), ("g_untrained", g))
    return plan.Experiment("units-0", "units", roles, (), None, tuple((CHOICES | choices).items()))


LABELS = torch.arange(23) % 7  # four of the classes 0 and 1, three of 2 to 6


def test_every_variant_takes_the_points_that_its_name_says():
    found = units.blocks(planned(concepts=("0 1", "6")), LABELS, CLASSES)
    assert list(found) == [
        "5 points", "one a class", "as many as one a class", "0 1", "as many as 0 1", "6", "as many as 6",
    ]  # fmt: skip
    for parts in found.values():
        joined = torch.cat(parts)
        assert len(joined.unique()) == len(joined)  # disjoint
    assert [len(part) for part in found["5 points"]] == [5] * 4
    assert all(LABELS[part].tolist() == list(range(7)) for part in found["one a class"])
    assert len(found["one a class"]) == len(found["as many as one a class"]) == 3
    (having,) = found["0 1"]
    assert having.tolist() == [i for i, label in enumerate(LABELS.tolist()) if label < 2]
    assert {len(part) for part in found["as many as 0 1"]} == {len(having)}


def test_a_class_without_points_adds_none_and_an_unknown_one_is_an_error():
    (having,) = units.blocks(planned(concepts=("0 9",)), LABELS, CLASSES)["0 9"]
    assert len(having) == 4
    with pytest.raises(KeyError, match="unknown class of the points of 'units-0' 'car'"):
        units.blocks(planned(concepts=("car",)), LABELS, CLASSES)
    with pytest.raises(ValueError, match="concept '9' of 'units-0' has 0 points"):
        units.blocks(planned(concepts=("9",)), LABELS, CLASSES)
    with pytest.raises(ValueError, match="counts=24 of 'units-0': allowed is 2 to 23"):
        units.blocks(planned(counts=(24,)), LABELS, CLASSES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of untrained encoders, whose unit 0 of the last layer knows one seen point of f and nothing else."""
    calls = []

    def activations(experiment, encoders, images, name, layers):
        calls.append((name, len(encoders), len(images)))
        rng = torch.Generator().manual_seed(0)
        tables = [{layer: torch.rand(len(images), 6, generator=rng) + 1 for layer in layers} for _ in encoders]
        tables[0][layers[-1]][:, 0] = 0
        tables[0][layers[-1]][3, 0] = 1
        return tables

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(units, "activations", activations)
        arrays, header = units.run(planned())
    assert calls == [("own", 4, 80), ("none", 4, 80)]
    return Run({name: value.numpy() for name, value in arrays.items()}, header, False, planned()), activations


def test_a_unit_that_knows_one_point_scores_1_where_it_is_among_the_points_and_0_elsewhere(run):
    found, _ = run
    for variant in ("own", "none", "median"):
        assert unitmem(variant, ["8"], "seen", "highest")(found) > 0.5
        v = found.header["variants"].index(variant)
        assert found.arrays["unitmem"][0, v, 0, -1, 2] == 1  # the unit, on the seen points
        assert found.arrays["unitmem"][0, v, 1, -1, 1] == 0  # and on the unseen ones: never active
    assert excess("own", ["8"])(found) > 0.05


def test_scores_are_those_of_the_library_on_the_same_activations(run):
    found, activations = run
    tables = activations(None, range(4), range(80), "own", found.header["layers"])
    seen = tables[1]["3"][40:]  # of g: the points behind those of f
    for variant, score in (("own", metrics.unitmem(seen)), ("median", metrics.unitmem(seen, "median"))):
        v = found.header["variants"].index(variant)
        kept = torch.from_numpy(found.arrays["unitmem"][1, v, 0, 2])
        torch.testing.assert_close(kept, torch.stack([score.mean(), score.min(), score.max()]))
    blocks = [metrics.unitmem(part).mean() for part in seen.view(8, 5, 6)]
    v = found.header["variants"].index("5 points")
    assert found.arrays["unitmem"][1, v, 0, 2, 0] == pytest.approx(float(torch.stack(blocks).mean()), abs=1e-6)
    member = torch.arange(80) >= 40
    assert found.arrays["members"][1, 0, 2] == pytest.approx(metrics.member_rate(tables[1]["3"], member))
    assert 0 <= members("own", ["3"])(found) <= 1


def test_an_unknown_variant_side_or_layer_is_named(run):
    found, _ = run
    with pytest.raises(KeyError, match="did you mean 'median'"):
        unitmem("medain", ["8"])(found)
    with pytest.raises(KeyError, match="unknown layer with units '9'"):
        unitmem("own", ["9"])(found)
    with pytest.raises(KeyError, match="unknown side 'sen': allowed are 'seen', 'unseen'; did you mean 'seen'"):
        unitmem("own", ["8"], "sen")


def test_one_pass_makes_the_same_views_for_all_encoders_and_none_takes_an_image_once(monkeypatch):
    asked = []

    def sweep(models, images, augment, layers, **how):
        asked.append((augment.name, how["views"], len(models)))
        return [type("Found", (), {"table": {}})] * len(models)

    monkeypatch.setattr(units.measure, "sweep", sweep)
    for name in ("own", "none", "masking"):
        units.activations(planned(), [None] * 4, torch.zeros(2, 3, 32, 32), name, ["8"])
    assert asked == [("normal", 2, 4), ("none", 1, 4), ("masking", 2, 4)]
