"""Silent units put out exactly 0, for a while or in a copy, and nothing else is touched."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from memlib import probe
from memlib.encoders import BUILDERS, build_encoder
from memlib.measure import unit_activations
from memlib.surgery import pruned, silence, silenced, silenced_features
from memlib.taps import record

IMAGES = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def third(encoder):
    """Every third unit of every layer that has units."""
    return {row.name: range(0, row.units, 3) for row in encoder.layers if row.unit_module}


def hooks(model):
    return [hook for module in model.modules() for hook in module._forward_hooks.values()]


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", BUILDERS)
def test_silent_units_put_out_zero_in_every_encoder_and_a_copy_puts_out_the_same(name):
    torch.manual_seed(0)
    options = {"size": 32, "patch": 16, "depth": 2} if name.startswith("vit") else {}
    encoder = build_encoder(name, **options).eval()
    units, x = third(encoder), IMAGES.float() / 255
    taps = {row.name: row.unit_module for row in encoder.layers if row.name in units}
    with torch.no_grad():
        before = encoder(x)
        with record(encoder, taps.values()) as outputs, silenced(encoder, units):
            within = encoder(x)
        copy = silence(encoder, units)
        assert torch.equal(copy(x), within)
        assert torch.equal(encoder(x), before)
    assert not torch.equal(within, before)
    for layer, path in taps.items():
        axis = 1 if outputs[path].ndim == 4 else 2
        chosen = outputs[path].movedim(axis, 0)
        assert not chosen[::3].any(), layer
        assert chosen[1::3].any(), layer
    assert not hooks(encoder)


def test_a_unit_behind_a_residual_sum_is_silent_with_its_shortcut():
    torch.manual_seed(0)
    encoder = build_encoder("resnet18").eval()
    with torch.no_grad(), silenced(encoder, {"conv5-4": [7]}):
        assert not encoder(IMAGES.float() / 255)[:, 7].any()  # the pool's channel is the unit's alone


def test_a_silenced_copy_is_kept_by_deepcopy_pickle_and_its_state(encoder):
    x = IMAGES.float() / 255
    copy = silence(encoder, {"6": [3, 200], "8": [1]}).eval()
    with torch.no_grad():
        expected = copy(x)
        for other in (deepcopy(copy), pickle.loads(pickle.dumps(copy))):
            assert torch.equal(other(x), expected)
        fresh = silence(build_encoder("resnet9"), {"6": [0, 1], "8": [0]}).eval()
        fresh.load_state_dict(copy.state_dict())
        assert torch.equal(fresh(x), expected)
    with pytest.raises(RuntimeError, match="silent_units"):  # a model without silent units would not be the same
        build_encoder("resnet9").load_state_dict(copy.state_dict())


def test_silencing_a_copy_again_adds_to_what_is_silent(encoder):
    both = silence(silence(encoder, {"5": [0]}), {"5": [9], "2": [1]}).eval()
    x = IMAGES.float() / 255
    with torch.no_grad(), silenced(encoder.eval(), {"5": [0, 9], "2": [1]}):
        assert torch.equal(both(x), encoder(x))
    assert len(hooks(both)) == 2


def test_a_silent_unit_has_no_activation(encoder):
    with silenced(encoder, {"8": [5]}):
        found = unit_activations(encoder, IMAGES, layers=["8"], views=1)["8"]
    assert not found[:, 5].any()
    assert found.any()


def test_values_that_are_not_finite_are_silent_too_and_an_in_place_relu_is_safe(net):
    net.eval()
    with torch.no_grad():
        net.conv.weight[2] = float("inf")
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad(), record(net, ["relu"]) as outputs, silenced(net, {"conv": [2], "relu": [2]}):
        assert net(x).isfinite().all()
    assert outputs["relu"][:, 2].abs().max() == 0
    with torch.no_grad():
        assert not net(x).isfinite().all()


def test_tokens_are_silent_along_their_last_axis_and_in_linear_layers(net):
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad(), record(net.eval(), ["norm"]) as outputs, silenced(net, {"norm": [4], "out": [0, 6]}):
        y = net(x)
    assert not outputs["norm"][..., 4].any()
    assert outputs["norm"][..., :4].any()
    assert not y[:, [0, 6]].any()
    assert y[:, 1:6].all()


def test_other_units_can_be_trained_while_some_are_silent(net):
    net.train()
    with silenced(net, {"relu": [0, 1]}):
        net(torch.rand(4, 3, 16, 16)).sum().backward()
    gradient = net.conv.weight.grad.flatten(1).abs().sum(1)
    assert not gradient[:2].any()
    assert gradient[2:].all()


def test_no_hook_mode_or_buffer_is_left_behind(net):
    net.train()
    net.bn.eval()
    modes, before = [m.training for m in net.modules()], state(net)
    with torch.no_grad(), silenced(net, {"relu": [1], "out": []}):
        net.bn.eval()
        net(torch.rand(2, 3, 16, 16))
    assert not hooks(net)
    assert [m.training for m in net.modules()] == modes
    assert {n: v.tolist() for n, v in net.state_dict().items()} == {n: v.tolist() for n, v in before.items()}


def test_no_hook_is_left_behind_after_a_wrong_name(net, encoder):
    with pytest.raises(KeyError, match="did you mean 'relu'"), silenced(net, {"conv": [0], "rely": [0]}):
        pass
    with pytest.raises(KeyError, match="unknown layer '9'"):
        silence(encoder, {"9": [0]})
    assert not hooks(net)
    assert not hooks(encoder)


def test_no_hook_is_left_behind_when_the_model_raises(net):
    with pytest.raises(RuntimeError), silenced(net, {"relu": [0]}):
        net(torch.rand(2, 4, 16, 16))
    assert not hooks(net)


def test_a_unit_out_of_range_names_both_sides(net, encoder):
    x = torch.rand(2, 3, 16, 16)
    with pytest.raises(ValueError, match="unit 256 of layer '6', which has 256 units: allowed are 0 to 255"):
        silence(encoder, {"6": [0, 256]})
    with pytest.raises(ValueError, match="unit -1 of layer 'conv', which has 5"), silenced(net, {"conv": [-1]}):
        pass
    with pytest.raises(ValueError, match="unit 5 of layer 'relu', which has 5"), silenced(net, {"relu": [5]}):
        net(x)
    with pytest.raises(ValueError, match="unit 5 of a silenced ReLU, which has 5"):
        silence(net, {"relu": [5]})(x)
    assert not hooks(net)


@pytest.mark.parametrize("units", [[True, False], [0.5], [[1], [2]], 3])
def test_units_that_are_no_indices_are_refused(net, units):
    with pytest.raises(ValueError, match="needed are their indices"):
        silence(net, {"conv": units})


@pytest.mark.parametrize("name", ["conv*", "relu@1", "out[0]"])
def test_a_pattern_call_or_item_is_refused(net, name):
    with pytest.raises(ValueError, match="the name of one layer"):
        silence(net, {name: [0]})


def test_a_layer_without_a_tensor_or_that_never_ran_is_named():
    attention = nn.MultiheadAttention(4, 1)
    x = torch.rand(3, 2, 4)
    model = nn.ModuleDict({"attn": attention, "unused": nn.Linear(4, 4)})
    with pytest.raises(ValueError, match="layer 'attn' puts out tuple"), silenced(model, {"attn": [0]}):
        attention(x, x, x)
    with (
        pytest.raises(ValueError, match="'unused' were to be silent, which never ran"),
        silenced(model, {"unused": [0]}),
    ):
        attention(x, x, x)
    assert not hooks(model)


@pytest.mark.parametrize("name", ["resnet9", "resnet18", "vit_tiny"])
def test_many_prunings_in_one_pass_are_those_of_each_by_itself(name):
    torch.manual_seed(0)
    encoder = build_encoder(name, **({"patch": 16, "depth": 3} if name == "vit_tiny" else {})).train()
    rows = [row for row in encoder.layers if row.unit_module]
    variants = [{}, third(encoder), {rows[0].name: [1]}, {rows[0].name: [1], rows[-1].name: [0, 3]}, {}]
    variants += [{row.name: range(row.units // 2)} for row in rows[::3]]
    before = state(encoder)
    found = silenced_features(encoder, variants, IMAGES, batch=3)
    assert encoder.training
    assert all(torch.equal(value, before[n]) for n, value in encoder.state_dict().items())
    assert not hooks(encoder)
    for variant, features in zip(variants, found, strict=True):
        with silenced(encoder, variant):
            torch.testing.assert_close(features, probe.features(encoder, IMAGES), atol=1e-4, rtol=1e-4)


def test_many_prunings_run_shared_steps_once(encoder):
    ran = []
    handles = [
        m.register_forward_hook(lambda *_, n=n: ran.append(n))
        for n, m in encoder.named_modules()
        if n.endswith("conv")
    ]
    silenced_features(encoder, [{"8": [i]} for i in range(5)] + [{}], IMAGES)
    for handle in handles:
        handle.remove()
    counted = {name: ran.count(name) - 1 for name in set(ran)}  # once to find out where layers are
    assert counted.pop("res6.second.conv") == 6  # of a residual block
    assert set(counted.values()) == {1}


@pytest.mark.parametrize("name", ["resnet9", "resnet18"])
def test_along_a_curve_each_unit_is_taken_once_and_features_are_those_of_each_by_itself(name, monkeypatch):
    torch.manual_seed(0)
    encoder = build_encoder(name)
    row = [row for row in encoder.layers if row.unit_module][1]
    others = {"resnet9": ("3", "4"), "resnet18": ("conv2-2", "conv2-3")}[name]  # behind it, in a residual block
    curve = [{row.name: range(k * row.units // 8)} for k in (0, 1, 2, 3, 8, 7, 6)]
    counted = []
    for changes in (pruned._changed, lambda *_: None):  # as it is; and without taking what changed alone
        monkeypatch.setattr(pruned, "_changed", changes)
        with FlopCounterMode(display=False) as counter:
            silenced_features(encoder, curve, IMAGES)
        counted.append(counter.get_total_flops())
    monkeypatch.undo()
    behind = next(m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.in_channels == row.units)
    sizes = []
    with behind.register_forward_hook(lambda module, args, output: sizes.append(output.numel())):
        probe.features(encoder, IMAGES)
    whole = 2 * sum(sizes) * behind.weight[0].numel()
    assert counted[1] - counted[0] >= whole * (7 - (1 + 3 / 8 + 1 + 2 / 8))  # from 3 to 8 eighths is more than half
    curve += [{n: range(k)} for n in others for k in (0, 9, 12)]
    for variant, features in zip(curve, silenced_features(encoder, curve, IMAGES), strict=True):
        with silenced(encoder, variant):
            torch.testing.assert_close(features, probe.features(encoder, IMAGES), atol=1e-5, rtol=1e-5)


def test_a_unit_that_is_not_finite_leaves_nothing_behind_when_it_is_silent():
    torch.manual_seed(0)
    encoder = build_encoder("resnet9")
    encoder.conv1.bn.weight.data[2] = torch.inf
    whole, without = silenced_features(encoder, [{}, {"1": [2]}], IMAGES)
    assert not whole.isfinite().all()
    with silenced(encoder, {"1": [2]}):
        torch.testing.assert_close(without, probe.features(encoder, IMAGES))


def test_an_unknown_layer_or_precision_of_many_prunings_is_named(encoder):
    with pytest.raises(KeyError, match="unknown layer '9'"):
        silenced_features(encoder, [{"9": [0]}], IMAGES)
    with pytest.raises(KeyError, match="did you mean 'bfloat16'"):
        silenced_features(encoder, [{}], IMAGES, precision="bfloat")
