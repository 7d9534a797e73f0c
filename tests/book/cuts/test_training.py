"""The experiment along a training: which encoders it asks for, in which order, and what it says of them."""

import numpy as np
import pytest

from memlib import store, train
from memlib.book import plan
from memlib.book.cuts import training
from memlib.book.cuts.remeasured import half_way
from memlib.book.estimates import Estimate
from memlib.book.runs import Run
from memlib.specs import EncoderSpec

CHOICES = {"snapshots": (1, 2), "tested": 30, "views": 2}


def planned(**choices):
    spec = {"dataset": "digits", "subset": 40, "batch": 10}
    sides = (("half:0/2", 1), ("half:1/2", 2))
    f, g = (EncoderSpec(**spec, epochs=4, points=points, seed=seed) for points, seed in sides)
    before = [EncoderSpec(**spec, epochs=0, points=points, seed=seed) for points, seed in sides]
    roles = (("f", f), ("g", g), ("f_untrained", before[0]), ("g_untrained", before[1]))
    return plan.Experiment("training-0", "training", roles, ("digits",), 200, tuple((CHOICES | choices).items()))


def test_a_run_looks_at_the_start_every_snapshot_and_the_end_and_trains_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    asked, encoder = [], train.encoder

    def asking(spec):
        asked.append((spec.seed, spec.end, spec.stop))
        return encoder(spec)

    monkeypatch.setattr(train, "encoder", asking)
    arrays, header = training.run(planned())
    assert header["epochs"] == [0, 1, 2, 4]
    assert asked == [(s, *m) for m in ((0, None), (1, 1), (2, 2), (4, None)) for s in (1, 2)]
    assert arrays["unitmem"].shape == (4, 2, 2, 8)
    assert arrays["members"].shape == (4, 2, 8)
    assert arrays["mirrored"].shape == (4, len(header["rows"]))
    assert arrays["accuracy-digits"].shape[:2] == (4, 2)
    assert header["rows"][-1] == "output"
    # each snapshot went on where the one before ended, and the state is gone with the end
    ended = [store.read(path)[1] for path in (tmp_path / "encoders").glob("*.safetensors")]
    steps = sorted((one["steps"], one["started_at_step"]) for one in ended if one["spec"]["seed"] == 1)
    assert steps == [(0, 0), (2, 0), (4, 2), (8, 4)]
    assert not list((tmp_path / "encoders").glob(f"*{store.CHECKPOINT}"))


@pytest.mark.parametrize("stops", [(0, 2), (2, 1), (1, 1), (4,), (1.5,), None])
def test_snapshots_rise_between_start_and_end(stops):
    with pytest.raises(ValueError, match=r"of 'training-0': allowed is a list of ascending epochs from 1 to 3$"):
        training.run(planned(snapshots=stops))


@pytest.mark.parametrize(
    ("curve", "share"),
    [
        ([0, 1, 2, 4], 0.5),  # half of 4 after 20 of 40 epochs
        ([0, 4, 4, 4], 0.125),  # half way between 0 and 10 epochs
        ([8, 8, 8, 0], 0.75),  # a curve may fall
        ([1, 5, 0, 1], 1.0),  # and one that ends where it began has not moved
    ],
)
def test_a_curve_is_half_way_where_a_straight_line_between_two_moments_is(curve, share):
    run = Run({}, {"epochs": [0, 10, 20, 40]}, False, planned())
    assert half_way([Estimate(lambda run, y=y: y) for y in curve])(run) == pytest.approx(share)


def test_planted_moments_come_back_at_their_place():
    from memlib.book.cuts import remeasured

    unitmem = np.arange(2 * 2 * 2 * 3, dtype=np.float32).reshape(2, 2, 2, 3)
    run = Run({"unitmem": unitmem, "members": unitmem[:, :, 0]}, {"epochs": [0, 5]}, False, planned())
    assert remeasured.unitmem_at(1, 2, "unseen")(run) == unitmem[1, :, 1, 2].mean()
    assert remeasured.members_at(0, 1)(run) == unitmem[0, :, 0, 1].mean()
