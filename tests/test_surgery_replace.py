"""Replaced layers are the other's in all they consist of, and nothing else changes: not the rest, not the inputs.

Many variants run as a tree give what replacing one by one gives.
"""

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from memlib import augmentation, build_encoder, load, probe
from memlib.surgery import features, replace, subsets

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
DIGITS = load("digits").resized(32).images[:10]


def encoder(name, seed, **options):
    """An encoder whose BatchNorms have statistics of their own, as a trained one's."""
    torch.manual_seed(seed)
    made = build_encoder(name, **options)
    for tensor in chain(made.parameters(), made.buffers()):
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.data.add_(torch.rand_like(tensor) / 2)
    return made.eval()


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(model, before):
    return all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


ENCODERS = {
    "resnet9": {},
    "resnet18": {"stem": "3x3"},
    "resnet50": {},
    "vit_tiny": {"patch": 16, "depth": 2},
}


@pytest.mark.parametrize("name", ENCODERS)
def test_all_layers_give_the_others_outputs_and_none_the_models(name):
    f, other = (encoder(name, seed, **ENCODERS[name]) for seed in (0, 1))
    before = snapshot(f), snapshot(other)
    everything = [path for step in f.steps() for path in step.parts]
    with torch.no_grad():
        mine, theirs = f(IMAGES), other(IMAGES)
        assert not torch.allclose(mine, theirs, atol=1e-3)
        assert torch.equal(replace(f, other, [])(IMAGES), mine)
        assert torch.equal(replace(f, other, everything)(IMAGES), theirs)
        assert torch.equal(replace(f, f, everything)(IMAGES), mine)
    assert same(f, before[0])
    assert same(other, before[1])


@settings(max_examples=10, deadline=None)
@given(st.sets(st.sampled_from("12345678")))
def test_what_is_named_is_the_others_and_the_rest_the_models(layers):
    f, other = encoder("resnet9", 0), encoder("resnet9", 1)
    made = replace(f, other, sorted(layers))
    taken = {path for layer in f.layers if layer.name in layers for path in layer.parts}
    for name, tensor in made.state_dict().items():
        source = other if name.rsplit(".", 1)[0] in taken else f
        assert torch.equal(tensor, source.state_dict()[name]), name
    back = replace(made, f, sorted(layers))  # put back, it is the model again
    assert same(back, f.state_dict())


def test_a_batchnorm_comes_with_its_statistics_and_their_count():
    f, other = encoder("resnet9", 0), encoder("resnet9", 1)
    other.conv4_0.bn.num_batches_tracked.fill_(7)
    made = replace(f, other, ["6"])
    assert torch.equal(made.conv4_0.bn.running_var, other.conv4_0.bn.running_var)
    assert made.conv4_0.bn.num_batches_tracked == 7
    assert f.conv4_0.bn.num_batches_tracked == 0


def test_mode_type_and_gradients_stay_the_models():
    f, other = encoder("resnet9", 0).train(), encoder("resnet9", 1).double()
    made = replace(f, other, ["6"])
    assert made.training
    assert not made.conv4_0.conv.weight.requires_grad or made.conv4_0.conv.weight.is_leaf
    assert made.conv4_0.conv.weight.dtype == torch.float32
    assert not replace(f.eval(), other, ["6"]).training


def test_any_module_with_named_layers():
    torch.manual_seed(0)
    f, other = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
    x = torch.rand(5, 3)
    assert torch.equal(replace(f, other, ["0", "2"])(x), other(x))
    assert torch.equal(replace(f, other, "2")(x), other[2](f[1](f[0](x))))


def test_layers_that_do_not_fit_name_both_sides_and_leave_both_as_they_were():
    small, large = encoder("resnet18", 0), encoder("resnet50", 1)
    before = snapshot(small), snapshot(large)
    with pytest.raises(ValueError, match=r"'conv2-1'.*\(64, 64, 3, 3\) in model .* and \(64, 64, 1, 1\) in other"):
        replace(small, large, ["conv1", "conv2-1"])  # the first of them fits
    with pytest.raises(ValueError, match=r"model \(ResNet\) has the layers 'conv1'.*other \(ResNet9\): unknown"):
        replace(small, encoder("resnet9", 2), ["conv1", "layer4.1.conv2"])
    with pytest.raises(KeyError, match="unknown layer"):
        replace(encoder("resnet9", 2), small, ["66"])
    with pytest.raises(ValueError, match=r"missing in .*Sequential"):
        replace(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2, bias=False)), ["0"])
    assert same(small, before[0])
    assert same(large, before[1])


# ---------------------------------------------------------------- variants


def layers_of(encoder, variant):
    return [path for step in encoder.steps() if step.name in variant for path in step.parts]


@pytest.mark.parametrize("name", [*ENCODERS, "resnet34"])
def test_the_steps_in_turn_are_the_forward_pass_and_hold_all_of_the_encoder_once(name):
    made = encoder(name, 0, **ENCODERS.get(name, {}))
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        state, states = x.clone(), []
        for step in made.steps():
            states.append((step.run, state))
            state = step.run(state)
        assert torch.equal(state, made(x))
        copies = [(run, [t.clone() for t in (s if isinstance(s, tuple) else (s,))]) for run, s in states]
        for (run, s), (_, kept) in zip(states, copies, strict=True):
            run(s)  # once more, from a state that was used before
            assert all(torch.equal(a, b) for a, b in zip(s if isinstance(s, tuple) else (s,), kept, strict=True))
    held = [id(p) for path in layers_of(made, [s.name for s in made.steps()]) for p in of(made, path)]
    assert sorted(held) == sorted(map(id, (*made.parameters(), *made.buffers())))


def of(made, path):
    module = made.get_submodule(path)
    return (*module.parameters(), *module.buffers())


def test_names_are_those_of_the_papers_tables():
    assert [step.name for step in build_encoder("resnet9").steps()] == [*"12345678", "output"]
    names = [step.name for step in build_encoder("resnet50").steps()]
    assert len(names) == 18
    assert {"C2_B1", "C2_B3", "C3_B4", "C4_B6", "C5_B2"} < set(names)
    assert [step.name for step in build_encoder("vit_tiny", depth=2).steps()] == [
        "embed",
        "block1",
        "block2",
        "output",
    ]


@pytest.mark.parametrize(
    ("name", "steps", "count"),
    [("resnet9", "12345678", 92), ("resnet50", ["C2_B3", "C3_B4", "C4_B6"], 7), ("vit_tiny", ["embed", "block2"], 3)],
)
def test_a_tree_gives_what_replacing_one_by_one_gives(name, steps, count):
    f, donor = (encoder(name, seed, **ENCODERS[name]).train(seed == 1) for seed in (0, 1))
    images = DIGITS if name == "resnet9" else DIGITS[:3]
    variants = subsets(list(steps), [1, 2, 3][: len(steps)], "donor")
    assert len(variants) == count
    found = features({"f": f, "donor": donor}, variants, images, batch=4)  # the last batch is smaller
    assert (f.training, donor.training) == (False, True)
    # the tree's passes are channels last: in another layout sums are taken in another order
    prepared = augmentation("none", 32)(images, torch.Generator()).contiguous(memory_format=torch.channels_last)
    for variant, output in zip(variants, found, strict=True):
        made = replace(f, donor, layers_of(f, variant))
        with torch.inference_mode():
            one = torch.cat([made(part) for part in prepared.split(4)])
        torch.testing.assert_close(output, one, atol=1e-4, rtol=1e-4)


def test_several_encoders_give_steps_and_the_same_variant_may_be_asked_for_twice():
    encoders = {name: encoder("resnet9", seed) for seed, name in enumerate("fgd")}
    whole = dict.fromkeys((step.name for step in encoders["d"].steps()), "d")
    mixed = {"2": "g", "7": "d"}
    found = features(encoders, [{}, mixed, whole, {}, {"3": "f"}], DIGITS)
    torch.testing.assert_close(found[0], probe.features(encoders["f"], DIGITS), atol=1e-4, rtol=1e-4)
    assert torch.equal(found[0], found[3])
    assert torch.equal(found[0], found[4])
    torch.testing.assert_close(found[2], probe.features(encoders["d"], DIGITS), atol=1e-4, rtol=1e-4)
    one = replace(replace(encoders["f"], encoders["g"], ["2"]), encoders["d"], ["7"])
    torch.testing.assert_close(found[1], probe.features(one, DIGITS), atol=1e-4, rtol=1e-4)


def test_what_does_not_fit_is_named():
    f, donor = encoder("resnet9", 0), encoder("resnet9", 1)
    with pytest.raises(KeyError, match="unknown step '9'"):
        features({"f": f, "donor": donor}, [{"9": "donor"}], DIGITS)
    with pytest.raises(KeyError, match=r"unknown encoder 'doner'.*did you mean 'donor'"):
        features({"f": f, "donor": donor}, [{"1": "doner"}], DIGITS)
    with pytest.raises(ValueError, match=r"'donor' .ResNet. and 'f' .ResNet9. do not fit"):
        features({"f": f, "donor": build_encoder("resnet18")}, [{}], DIGITS)
    with pytest.raises(ValueError, match="encoders is empty"):
        features({}, [{}], DIGITS)
