"""The experiment of fine-tuning chosen layers: which sets, in which encoders, and by which choices."""

import pytest
import torch

from memlib.book import plan
from memlib.book.cuts import finetuning
from memlib.encoders import build_encoder, previous
from memlib.specs import EncoderSpec

LAYERS = tuple("12345678")
SIZE = (960, 18624, 37056, 37056, 74112, 295680, 590592, 590592)


def test_choices_are_made_by_level_by_delta_by_place_and_by_the_least():
    level = dict(zip(LAYERS, (0.0, 0.01, 0.02, 0.03, 0.04, 0.09, 0.1, 0.11), strict=True)) | {"Res2": -0.2, "Res6": 1}
    encoder = build_encoder("resnet9")
    found = finetuning.orders(level, LAYERS, previous(encoder.layers, level))
    assert found["layermem"] == found["last"] == list(reversed(LAYERS))
    assert found["delta"][:2] == ["5", "6"]  # 5 follows Res2; the sum itself is nothing to tune
    assert "1" not in found["delta"]  # follows nothing
    assert found["least"] == list(LAYERS)


@pytest.mark.parametrize(
    ("order", "room", "taken"),
    [
        ("876", 2, "8"),  # nothing else fits beside it
        ("678", 2, "6"),  # 7 and 8 do not fit behind 6
        ("64781", 2, "146"),  # further on some do
        ("12345678", 3, "123456"),
        ("678", 5, "678"),
        ("8", 1.9, ""),
    ],
)
def test_a_budget_of_parameters_is_filled_in_the_order_of_a_choice(order, room, taken):
    size = (1, 2, 4, 4, 8, 100, 200, 200)
    found = finetuning.within(round(room * 100), list(order), LAYERS, size)
    assert found == tuple(taken)
    assert sum(size[LAYERS.index(layer)] for layer in found) <= room * 100


def test_every_set_of_the_paper_and_of_a_choice_is_tuned_once():
    sets = finetuning.wanted(LAYERS, SIZE, [("8",), ("7", "8"), ("2",), ("2", "5"), ("2", "5")])
    assert len(sets) == len(set(sets))
    assert {*finetuning.COMPARED, ("2", "5"), LAYERS, LAYERS[:6], *((n,) for n in LAYERS)} <= set(sets)
    assert sets[0] == ()
    assert [len(one) for one in sets] == sorted(len(one) for one in sets)


def test_a_run_tunes_the_trained_and_the_untrained_encoder_with_the_same_seeds(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    spec = {"dataset": "digits", "subset": 20, "epochs": 0, "batch": 5}
    f, g, other = (
        EncoderSpec(**spec, points=points, seed=seed)
        for points, seed in (("half:0/2", 1), ("half:1/2", 2), ("half:0/2", 3))
    )
    choices = {"tested": 30, "epochs": 1, "batch": 5, "lr": 0.01, "precision": "float32", "seeds": 2, "views": 2}
    roles = (("f", f), ("g", g), ("untrained", other))
    planned = plan.Experiment("finetuning-0", "finetuning", roles, ("digits",), 40, tuple(choices.items()))
    calls = []

    class Tuned:
        def accuracy(self, images, labels):
            assert len(images) == len(labels) == 30
            return len(calls) / 1000

    def tune(encoder, layers, images, labels, *, seed, **values):
        assert len(images) == len(labels) == 40
        assert values == {key: choices[key] for key in ("epochs", "batch", "lr", "precision")}
        calls.append((float(encoder.conv1.conv.bias.detach().sum()), layers, seed))
        return Tuned()

    monkeypatch.setattr(finetuning, "tune", tune)
    arrays, header = finetuning.run(planned)
    half = len(calls) // 2
    assert [call[1:] for call in calls[:half]] == [call[1:] for call in calls[half:]]
    assert len({call[0] for call in calls}) == 2
    sets = [tuple(one) for one in header["sets"]]
    assert arrays["accuracy"].shape == (2, len(sets), 2)
    assert arrays["accuracy"][1, -1, 1] == pytest.approx(len(calls) / 1000)
    assert [call[1] for call in calls[:half:2]] == sets
    assert arrays["parameters"][sets.index(("8",))] == 590080 + 512
    assert header["layers"] == list(LAYERS)
    assert arrays["layermem"].shape == (2, 8)
    # at the same points f and g are each other's mirror: level and order follow from the distances alone
    assert torch.isfinite(arrays["mirrored"]).all()
    assert header["chosen"]["last"] == [["8"], ["7", "8"], ["6", "7", "8"]]
    for choice, some in header["budgeted"].items():
        for taken, last in zip(some, header["chosen"]["last"], strict=True):
            one, most = (int(arrays["parameters"][sets.index(tuple(layers))]) for layers in (taken, last))
            assert one == most if choice == "last" else one <= most
