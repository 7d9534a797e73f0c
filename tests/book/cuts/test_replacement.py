"""The replacement experiment: its numbers are those of the parts that it is made from."""

import dataclasses

import pytest
import torch
from torch.nn.functional import cosine_similarity

from memlib import build_encoder, data, measure, probe, train
from memlib.book.cuts import probes, replacement
from memlib.book.experiments import Experiment
from memlib.specs import EncoderSpec
from memlib.surgery import replace

SPEC = EncoderSpec(dataset="digits", subset=24, points="half:0/2", epochs=0, batch=12)
ROLES = {
    "f": SPEC,
    "g": dataclasses.replace(SPEC, points="half:1/2", seed=1),
    "donor": dataclasses.replace(SPEC, seed=2),
    "untrained": dataclasses.replace(SPEC, seed=3),
}
CHOICES = {"sizes": (1,), "drawn": None, "controls": 2, "tested": 40, "views": 2}


def planned(**choices):
    stated = tuple((CHOICES | choices).items())
    return Experiment("replacement-0", "replacement", tuple(ROLES.items()), ("digits",), 100, stated)


@pytest.fixture(scope="module")
def made():
    return replacement.run(planned())


@pytest.fixture(scope="module")
def encoders():
    return {role: train.encoder(spec) for role, spec in ROLES.items()}


def test_every_variant_has_an_accuracy_a_data_set_and_seed(made):
    arrays, header = made
    assert header["variants"][0] == ["f", []]
    assert [role for role, _ in header["variants"]] == ["f"] + ["donor"] * 9 + ["g"] * 9 + ["untrained"] * 9
    assert arrays["accuracy"].shape == (28, 1, probes.SEEDS)
    assert header["steps"] == header["normed"] == [*"12345678"]
    assert header["layers"] == [*"1234", "Res2", *"5678", "Res6", "output"]
    assert arrays["parameters"].tolist()[:2] == [896 + 64, 18496 + 128]
    assert all(torch.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize("variant", [("f", []), ("donor", ["6"]), ("g", [*"12345678"])])
def test_accuracies_are_those_of_probes_of_replaced_encoders(made, encoders, variant):
    arrays, header = made
    one = replace(encoders["f"], encoders[variant[0]], variant[1])
    expected = probe.probe(one, "digits", 32, 100, 40, seeds=probes.SEEDS)
    found = arrays["accuracy"][header["variants"].index(list(variant)), 0]
    torch.testing.assert_close(found, torch.tensor(expected.each), atol=1 / 40 + 1e-6, rtol=0)  # rounding: a point


def test_memorization_is_the_mirrored_estimate_before_and_after(made, encoders):
    arrays, header = made
    images = data.load("digits", size=32).images
    f_points, g_points = (train.training_points(ROLES[role], len(images)) for role in ("f", "g"))
    points, sets = torch.cat([f_points, g_points]), torch.cat([torch.ones(12), torch.full((12,), 2)]).long()
    for step, row in ((None, 0), ("6", 6)):
        pair = [replace(encoders[role], encoders["donor"], [step] if step else []) for role in ("f", "g")]
        f, g = measure.sweep(pair, images[points], train.views_of(SPEC), header["layers"], views=2)
        for column, layer in enumerate(header["layers"]):
            logs = (g.align[layer].double() / f.align[layer].double()).log() / 2  # of SSLMem' the artanh
            expected = float(logs[sets == 1].mean() - logs[sets == 2].mean()) / 2
            assert float(arrays["mirrored"][row, column]) == pytest.approx(expected, abs=1e-5, rel=1e-4)
            ratio = torch.tanh(logs)
            level = torch.stack([ratio[sets == 1].mean(), ratio[sets == 2].mean()])
            torch.testing.assert_close(arrays["layermem"][row, :, column], level.float(), atol=1e-5, rtol=1e-4)


def test_layers_in_front_of_a_replaced_one_stay_and_a_shared_first_layer_tells_nothing(made):
    arrays, header = made
    mirrored, layers = arrays["mirrored"], header["layers"]
    assert mirrored[1, 0] == 0  # the same layer on the same views
    assert arrays["layermem"][1, :, 0].tolist() == [0, 0]
    for i, step in enumerate(header["steps"]):
        at = layers.index(header["rows"][step])
        torch.testing.assert_close(mirrored[1 + i, :at], mirrored[0, :at], atol=1e-6, rtol=0)
        assert (mirrored[1 + i, at:] != mirrored[0, at:]).all()


@pytest.mark.parametrize("drawn", [None, 3])
def test_several_layers_are_also_taken_from_g_in_drawn_and_in_chosen_sets(drawn, monkeypatch):
    monkeypatch.setattr(replacement, "accuracies", lambda experiment, f, variants, *_: torch.zeros(len(variants), 3))
    arrays, header = replacement.run(planned(sizes=(2,), drawn=drawn))
    by = {role: [tuple(s) for r, s in header["variants"] if r == role and len(s) == 2] for role in ("donor", "g")}
    some = {role: [tuple(s) for s in sets.get("2", [])] for role, sets in header["drawn"].items()}
    assert len(by["donor"]) == 28 if drawn is None else 3 <= len(by["donor"]) <= 3 + 5
    assert len(some["g"]) == 2
    assert set(some["g"]) <= set(by["g"]) <= set(by["donor"])
    assert set(some["g"]) <= set(some["donor"] or by["donor"])
    assert ("7", "8") in by["g"]  # the last
    level = dict(zip(header["layers"], arrays["mirrored"][0].tolist(), strict=True))
    most = sorted(header["steps"], key=lambda step: -level[header["rows"][step]])[:2]
    assert tuple(sorted(most)) in by["g"]
    assert len(set(by["donor"])) == len(by["donor"])
    assert len(set(by["g"])) == len(by["g"])


def test_similarity_is_the_cosine_and_chance_that_of_permuted_units(made):
    torch.manual_seed(0)
    a, b = torch.nn.BatchNorm2d(50), torch.nn.BatchNorm2d(50)
    for norm in (a, b):
        norm.weight.data += torch.rand(50)
        norm.bias.data -= torch.rand(50)
    both = [torch.cat([norm.weight, norm.bias]).detach() for norm in (a, b)]
    found = replacement._similarity([a], [b])
    assert found[0] == pytest.approx(float(cosine_similarity(*both, dim=0)), abs=1e-6)
    assert found[2] == pytest.approx(float(cosine_similarity(a.bias.detach(), b.bias.detach(), dim=0)), abs=1e-6)
    orders = [torch.randperm(50) for _ in range(400)]
    weight, bias = a.weight.detach(), a.bias.detach()
    drawn = [float(cosine_similarity(torch.cat([weight[o], bias[o]]), both[1], dim=0)) for o in orders]
    assert found[3] == pytest.approx(sum(drawn) / len(drawn), abs=0.005)
    assert made[0]["similarity"][2, 0, 2] == 0  # biases of untrained encoders


def test_blocks_end_at_their_last_layer():
    encoder = build_encoder("resnet50")
    ends = {step.name: replacement._end(encoder, step) for step in encoder.steps() if step.parts}
    assert (ends["conv1"], ends["C2_B1"], ends["C5_B3"]) == ("conv1", "conv2-3", "conv5-9")
    encoder = build_encoder("vit_tiny", depth=2)
    blocks = [step for step in encoder.steps() if step.name.startswith("block")]
    assert [replacement._end(encoder, step) for step in blocks] == ["FCRes1", "FCRes2"]
