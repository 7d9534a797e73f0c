"""Encoders: Table 8 to the parameter, and a layer table that taps what it says."""

import pytest
import torch

from memlib import build_encoder, record
from memlib.encoders import BUILDERS
from memlib.specs import ARCHITECTURES

TABLE_8 = {"1": 896, "2": 18496, "3": 36928, "4": 36928, "5": 73856, "6": 295168, "7": 590080, "8": 590080}
BATCH_NORMS = {
    "BN1": 64, "BN2-0": 128, "BN2-1": 128, "BN2-2": 128, "BN3": 256, "BN4-0": 512, "BN4-1": 512, "BN4-2": 512,
}  # fmt: skip
UNITS = {"1": 32, "2": 64, "3": 64, "4": 64, "5": 128, "6": 256, "7": 256, "8": 256}


def test_resnet9_has_the_parameters_and_units_of_table_8():
    encoder = build_encoder("resnet9")
    table = {layer.name: layer for layer in encoder.layers}
    assert {n: table[n].parameters for n in TABLE_8} == TABLE_8
    assert {n: table[n].parameters for n in BATCH_NORMS} == BATCH_NORMS
    assert {n: table[n].units for n in UNITS} == UNITS
    assert sum(p.numel() for p in encoder.parameters()) == sum(TABLE_8.values()) + sum(BATCH_NORMS.values())


def test_the_numbered_layers_are_the_rows_of_table_1():
    numbered = [layer.name for layer in build_encoder("resnet9").layers if layer.numbered]
    assert numbered == ["1", "2", "3", "4", "Res2", "5", "6", "7", "8", "Res6"]


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_every_row_of_a_layer_table_fires_once_with_its_units_in_forward_order(name):
    encoder = build_encoder(name)
    taps = [layer.module for layer in encoder.layers]
    units = [layer.unit_module for layer in encoder.layers if layer.unit_module]
    with record(encoder, taps + units) as outputs:
        encoder(torch.randn(2, 3, 32, 32))
    for layer in encoder.layers:
        out = outputs[layer.module]
        assert out.shape[2 if out.ndim == 3 else 1] == layer.units, layer.name
        if layer.unit_module and layer.kind == "conv":
            assert outputs[layer.unit_module].min() >= 0, f"{layer.name}: behind its non-linearity"
    fired = [n for n in outputs if n in taps]
    assert fired == taps


def test_the_output_is_the_global_max_over_the_last_residual_sum():
    encoder = build_encoder("resnet9").eval()
    x = torch.randn(3, 3, 32, 32)
    with record(encoder, ["res6", "res2", "res2.second", "conv2_0"]) as outputs:
        out = encoder(x)
    assert out.shape == (3, encoder.dim)
    assert torch.equal(out, outputs["res6"].amax((2, 3)))
    assert torch.equal(outputs["res2"], outputs["conv2_0"] + outputs["res2.second"])


@pytest.mark.parametrize("size", [16, 32, 48, 96])
def test_resnet9_takes_images_of_any_size_from_16(size):
    assert build_encoder("resnet9").eval()(torch.randn(1, 3, size, size)).shape == (1, 256)


def test_the_registry_is_what_specs_allow():
    assert tuple(BUILDERS) == ARCHITECTURES


def test_an_unknown_encoder_names_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'resnet9'"):
        build_encoder("resnet_9")
