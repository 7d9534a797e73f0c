"""Encoders measured again: one pass gives what passes of their own give, on the points of the design."""

import numpy as np
import pytest
import torch

from memlib import data, measure, metrics, train
from memlib.book import plan
from memlib.book.cuts import ablation
from memlib.book.cuts import ablation_results as results
from memlib.book.measuring import points_of
from memlib.book.runs import Run
from memlib.pairs import S_C, S_I
from memlib.specs import EncoderSpec

VIEWS = 3


def planned(points=None):
    spec = {"dataset": "digits", "subset": 20, "epochs": 0, "batch": 5}
    f, g = (EncoderSpec(**spec, points=f"half:{i}/2", seed=i) for i in (0, 1))
    choices = (("points", points), ("views", VIEWS))
    return plan.Experiment("ablation-0", "ablation", (("f", f), ("g", g), ("untrained", f)), choices=choices)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("ablation")))
        arrays, header = ablation.run(planned())
        yield Run({name: value.numpy() for name, value in arrays.items()}, header, True, planned())


def images_and_encoder(role):
    spec, known = planned().encoder(role), data.load("digits", "train", size=32)
    return known.images[points_of(spec, len(known))[0]], train.initial(spec)


@pytest.mark.parametrize("way", ablation.WAYS)
def test_distances_are_those_of_a_pass_of_their_own(run, way):
    distance, unit_length = ablation.WAYS[way]
    for side, role in enumerate(("f", "g")):
        images, encoder = images_and_encoder(role)
        expected = measure.alignment(
            encoder, images, "normal", run.header["rows"], VIEWS, distance=distance, unit_length=unit_length
        )
        for row, found in zip(
            run.header["rows"], run.arrays["align"][side, list(ablation.WAYS).index(way)], strict=True
        ):
            np.testing.assert_allclose(found, expected[row], rtol=1e-5)


def test_unitmem_on_any_points_is_that_of_their_activations(run):
    images, encoder = images_and_encoder("g")
    chosen = np.arange(20) % 3 == 0
    found = results.activations(run, "g", "6")
    table = measure.unit_activations(encoder, images, "normal", ["6"], views=VIEWS)["6"]
    step = (table.amax(0) - table.amin(0)) / 255  # kept as bytes
    assert (abs(found - table.numpy()) <= 0.501 * step.numpy() + 1e-6).all()
    own = float(metrics.unitmem(table[torch.from_numpy(chosen)]).mean())
    assert results.unitmem(run, "g", "6", chosen) == pytest.approx(own, abs=1e-3)


def test_the_layers_are_those_of_the_papers_tables(run):
    assert run.header["layers"] == list("12345678")
    assert run.header["rows"] == ["1", "2", "3", "4", "Res2", "5", "6", "7", "8", "Res6", "output"]
    with pytest.raises(KeyError, match="role or layer of the ablation"):
        results.activations(run, "g", "Res2")


def test_fewer_points_are_as_many_of_each_set(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    rows = ablation.run(planned(points=4))[0]["rows"]
    codes = points_of(planned().encoder("f"), len(data.load("digits", "train")))[1][rows]
    assert [int((codes == code).sum()) for code in (S_C, S_I)] == [4, 4]
