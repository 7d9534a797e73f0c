"""Encoders over the whole registry: counts in closed form, and layer tables that tap what they say."""

from functools import cache

import pytest
import torch
from torch import nn

from memlib import EncoderSpec, alignment, build_encoder, record, unit_activations
from memlib.encoders import BUILDERS, from_spec, previous
from memlib.encoders.convolutions import Conv2d
from memlib.specs import ARCHITECTURES

NAMES = sorted(BUILDERS)
X = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@cache
def encoder_of(name):
    """One of each, in evaluation mode; nobody writes into it."""
    torch.manual_seed(0)
    return build_encoder(name, **({"size": 32} if name.startswith("vit") else {})).eval()


@cache
def outputs_of(name):
    """The output for X, and what all rows of the table tap, recorded in another call."""
    encoder = encoder_of(name)
    with torch.no_grad():
        plain = encoder(X)
        taps = [tap for layer in encoder.layers for tap in (layer.module, layer.unit_module) if tap]
        with record(encoder, taps) as outputs:
            encoder(X)
    return plain, dict(outputs)


def vit_parameters(width, patch, depth=12):
    block = 12 * width**2 + 13 * width  # queries, keys, values, projection, MLP of 4 widths; two normalisations
    return 3 * patch**2 * width + width + width + depth * block + 2 * width


PARAMETERS = {
    "resnet9": 1_644_672,
    "resnet18": 11_689_512 - 513_000,  # torchvision's published counts without their classification layers
    "resnet34": 21_797_672 - 513_000,
    "resnet50": 25_557_032 - 2_049_000,
    "vit_tiny": vit_parameters(192, 4),
    "vit_base": vit_parameters(768, 16),
}
DIMS = {"resnet9": 256, "resnet18": 512, "resnet34": 512, "resnet50": 2048, "vit_tiny": 192, "vit_base": 768}


def test_the_registry_is_what_specs_allow():
    assert set(BUILDERS) == set(ARCHITECTURES)


def test_an_unknown_encoder_names_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'resnet9'"):
        build_encoder("resnet_9")


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_the_closed_form_and_all_are_trained(name):
    encoder = encoder_of(name)
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == PARAMETERS[name]
    table = sum(layer.parameters for layer in encoder.layers)
    assert 0 < table <= PARAMETERS[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_used_by_a_call_of_its_module(name):
    encoder = encoder_of(name)
    owners = {n for n, module in encoder.named_modules() if next(module.parameters(recurse=False), None) is not None}
    with torch.no_grad(), record(encoder, None, lambda name, tensor: None) as outputs:
        encoder(X)
    assert owners <= set(outputs.calls)


@pytest.mark.parametrize("name", NAMES)
def test_the_output_row_is_the_output(name):
    plain, outputs = outputs_of(name)
    assert plain.shape == (3, DIMS[name]) == (3, encoder_of(name).dim)
    last = encoder_of(name).layers[-1]
    assert (last.name, last.kind) == ("output", "output")
    torch.testing.assert_close(outputs[last.module], plain, rtol=0, atol=0)
    assert torch.pdist(plain).min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_row_of_a_layer_table_fires_once_with_its_units_in_forward_order(name):
    encoder = encoder_of(name)
    _, outputs = outputs_of(name)
    for layer in encoder.layers:
        out = outputs[layer.module]
        assert out.shape[2 if out.ndim == 3 else 1] == layer.units, layer.name
        if layer.kind == "conv":
            assert outputs[layer.unit_module].shape[1] == layer.units
            assert outputs[layer.unit_module].min() >= 0, f"{layer.name}: behind its non-linearity"
            assert out.min() < 0, f"{layer.name}: no later operation in place overwrote it"
    taps = [layer.module for layer in encoder.layers]
    assert [name for name in outputs if name in taps] == taps
    assert len({layer.name for layer in encoder.layers}) == len(encoder.layers)


@pytest.mark.parametrize("name", NAMES)
def test_predecessors_are_rows_above(name):
    above = []
    for layer in encoder_of(name).layers:
        assert layer.previous is None or layer.previous in above
        above.append(layer.name)


@pytest.mark.parametrize("name", NAMES)
def test_both_passes_measure_every_row(name):
    encoder, images = encoder_of(name), (X[:2].clamp(-2, 2) * 60 + 128).byte()
    distances = alignment(encoder, images, views=2)
    activations = unit_activations(encoder, images, views=2)
    assert list(distances) == list(activations) == [layer.name for layer in encoder.layers]
    for layer in encoder.layers:
        assert distances[layer.name].shape == (2,)
        assert distances[layer.name].min() > 0, layer.name
        assert activations[layer.name].shape == (2, layer.units)
        assert activations[layer.name].min() >= 0


@pytest.mark.parametrize("name", NAMES)
def test_images_of_other_sizes_give_representations_too(name):
    sizes = (16, 48) if name == "vit_base" else (16, 24, 48)  # made of whole patches
    for size in sizes:
        assert encoder_of(name)(torch.randn(2, 3, size, size)).shape == (2, DIMS[name])


def relative(found, expected):
    """Largest error as a share of the largest value, of outputs and of all gradients."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


def passed(conv, x, weights, bfloat16=False):
    """A convolution's output and the gradients of its input, weights and bias."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        y = conv(x)
    return y.detach(), *torch.autograd.grad(y, (x, *conv.parameters()), weights.to(y.dtype))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize(("kernel", "padding", "stride"), [(3, 1, 1), (3, 1, 2), (1, 0, 1), (1, 0, 2), (3, 0, 1)])
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_convolution_trains_as_the_ordinary_one_on_maps_of_every_size(
    size, kernel, padding, stride, bfloat16, bias
):
    if size + 2 * padding < kernel:
        return
    torch.manual_seed(0)
    conv, ordinary = (kind(48, 40, kernel, stride, padding, bias=bias) for kind in (Conv2d, nn.Conv2d))
    ordinary.load_state_dict(conv.state_dict())
    x = torch.randn(6, 48, size, size)
    weights = torch.randn_like(ordinary(x))
    exact = passed(ordinary.double(), x.double(), weights.double())
    found = passed(conv, x, weights, bfloat16)
    assert found[0].dtype == (torch.bfloat16 if bfloat16 else torch.float32)
    assert relative(found, exact) < (2e-2 if bfloat16 else 2e-5)
    with torch.no_grad():  # and evaluates by the same bits
        assert torch.equal(conv.eval()(x), ordinary.float()(x))


@pytest.mark.parametrize("change", [{"groups": 8}, {"dilation": 2}, {"padding_mode": "circular"}])
def test_a_convolution_with_groups_dilation_or_other_padding_trains_the_ordinary_way(change):
    conv = Conv2d(16, 16, 3, padding=1, **change)
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(conv(x), nn.Conv2d.forward(conv, x))


def test_a_hook_hears_relu_in_front_of_max_pool_and_changes_neither_output_nor_gradient():
    encoder = build_encoder("resnet9")
    free = torch.autograd.grad(encoder(X).square().sum(), tuple(encoder.parameters()))
    heard = {}
    for part in ("bn", "relu", "pool"):
        hook = encoder.get_submodule(f"conv1.{part}")
        hook.register_forward_hook(lambda _, args, y, part=part: heard.update({part: (args[0], y)}))
    listened = torch.autograd.grad(encoder(X).square().sum(), tuple(encoder.parameters()))
    assert torch.equal(heard["relu"][0], heard["bn"][1])
    assert torch.equal(heard["pool"][0], heard["bn"][1].relu())
    assert all(torch.equal(a, b) for a, b in zip(free, listened, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_moves_every_parameter(name):
    torch.manual_seed(1)
    encoder = build_encoder(name, **({"size": 32, "depth": 2} if name.startswith("vit") else {}))
    before = [p.detach().clone() for p in encoder.parameters()]
    out = encoder(torch.randn(4, 3, 32, 32))
    nn.functional.mse_loss(out, torch.randn_like(out)).backward()
    torch.optim.SGD(encoder.parameters(), 10.0).step()
    still = [n for (n, p), old in zip(encoder.named_parameters(), before, strict=True) if torch.equal(p, old)]
    assert not still


def test_a_spec_decides_stem_patch_and_size():
    assert from_spec(EncoderSpec(arch="resnet9")).dim == 256
    assert from_spec(EncoderSpec(arch="resnet18")).conv1.kernel_size == (7, 7)
    assert from_spec(EncoderSpec(arch="resnet18", stem="3x3")).conv1.kernel_size == (3, 3)
    assert from_spec(EncoderSpec(arch="vit_tiny")).tokens(X).shape == (3, 65, 192)
    assert from_spec(EncoderSpec(arch="vit_tiny", patch=8)).tokens(X).shape == (3, 17, 192)
    large = from_spec(EncoderSpec(arch="vit_tiny", size=64, patch=8))
    assert large.embed.grid == (8, 8)


def test_a_predecessor_that_was_not_measured_is_passed_over_for_its_own():
    layers = encoder_of("resnet9").layers
    numbered = [layer.name for layer in layers if layer.numbered]
    assert numbered == ["1", "2", "3", "4", "Res2", "5", "6", "7", "8", "Res6"]
    assert previous(layers, numbered) == dict(zip(numbered[1:], numbered, strict=False))  # Table 1
    every = [layer.name for layer in layers]
    assert previous(layers, every) == dict(zip(every[1:], every, strict=False))  # Table 18
    assert previous(layers, ["4"]) == {}
