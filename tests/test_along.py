"""Encoders along a training, and trainings that end when a linear probe is good enough."""

import dataclasses

import pytest
import torch

from memlib import data, store, train
from memlib.specs import EncoderSpec

TINY = EncoderSpec(dataset="digits", subset=48, points="all", epochs=4, batch=16, seed=3, size=16)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def weights(spec):
    arrays, header = train.artefact(spec, save_every=1e9)
    return {name: value for name, value in arrays.items() if name != "loss"}, arrays["loss"], header


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_encoders_along_a_training_are_what_the_training_passes(home, monkeypatch, tmp_path_factory):
    whole, loss, _ = weights(TINY)
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("along")))
    passed = [(spec, *weights(spec)) for spec in (*(dataclasses.replace(TINY, stop=stop) for stop in (0, 2)), TINY)]
    assert [spec.stop for spec, *_ in passed] == [0, 2, None]
    assert [header["epochs"] for *_, header in passed] == [0, 2, 4]
    # each goes on where the one before ended, and the end is that of a training in one go
    assert [header["started_at_step"] for *_, header in passed] == [0, 0, 6]
    assert same(passed[-1][1], whole)
    assert torch.equal(passed[-1][2], loss)
    assert torch.equal(passed[1][2], loss[:6])
    assert not list((home / "encoders").glob(f"*{store.CHECKPOINT}"))


def test_an_encoder_along_a_training_is_the_same_asked_for_alone(tmp_path_factory, monkeypatch):
    third = dataclasses.replace(TINY, stop=3)
    alone, _, _ = weights(third)
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("order")))
    weights(dataclasses.replace(TINY, stop=1))
    after, _, header = weights(third)
    assert header["started_at_step"] == 3
    assert same(alone, after)
    earlier, _, header = weights(dataclasses.replace(TINY, stop=2))  # the state has gone further: from the start
    assert header["started_at_step"] == 0
    assert not same(earlier, alone)


SUPERVISED = dataclasses.replace(TINY, framework="supervised", augment="none", epochs=30, subset=200, batch=50)


def test_training_ends_at_the_first_look_at_which_the_probe_is_good_enough():
    spec = dataclasses.replace(SUPERVISED, until=0.6, check=2)
    arrays, header = train.artefact(spec)
    looked = [accuracy for _, accuracy in header["probed"]]
    assert header["reached"]
    assert looked[-1] >= 0.6 > max([0.0, *looked[:-1]])
    assert [epoch for epoch, _ in header["probed"]] == list(range(2, 2 * len(looked) + 1, 2))
    assert header["epochs"] == 2 * len(looked) < 30
    assert len(arrays["loss"]) == header["steps"] == header["epochs"] * 4


def test_a_probe_that_never_gets_there_leaves_the_whole_training_and_says_so():
    spec = dataclasses.replace(SUPERVISED, until=1.0, check=2, epochs=4)
    _, header = train.artefact(spec)
    assert not header["reached"]
    assert header["epochs"] == 4
    assert len(header["probed"]) == 2


def test_looking_at_the_probe_changes_nothing_of_the_training():
    looked, loss, _ = weights(dataclasses.replace(SUPERVISED, until=1.0, check=1, epochs=3))
    plain, plain_loss, _ = weights(dataclasses.replace(SUPERVISED, epochs=3))
    assert torch.equal(loss, plain_loss)
    assert same(looked, plain)


def test_a_probe_without_labels_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    images = torch.randint(0, 256, (60, 3, 16, 16), dtype=torch.uint8)
    unlabelled = data.Dataset(images, None, (), "unlabelled")
    monkeypatch.setattr(data, "load", lambda *_, **__: unlabelled)
    with pytest.raises(ValueError, match=r"until=0.5 .* has no labels"):
        train.train(dataclasses.replace(TINY, until=0.5, check=1), unlabelled, tmp_path / "state")
