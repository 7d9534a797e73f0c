"""ResNets: Table 8 to the parameter, tables 15 to 17 to the row, and torchvision's outputs."""

import pytest
import torch
import torchvision
from torch.nn import functional

from memlib import build_encoder, record

TABLE_8 = {"1": 896, "2": 18496, "3": 36928, "4": 36928, "5": 73856, "6": 295168, "7": 590080, "8": 590080}
BATCH_NORMS = {
    "BN1": 64, "BN2-0": 128, "BN2-1": 128, "BN2-2": 128, "BN3": 256, "BN4-0": 512, "BN4-1": 512, "BN4-2": 512,
}  # fmt: skip
UNITS = {"1": 32, "2": 64, "3": 64, "4": 64, "5": 128, "6": 256, "7": 256, "8": 256}
CONVOLUTIONS = {  # of conv2 to conv5 in tables 15, 16 and 17
    "resnet18": (4, 4, 4, 4),
    "resnet34": (6, 8, 12, 6),
    "resnet50": (9, 12, 18, 9),
}


def test_resnet9_has_the_parameters_and_units_of_table_8():
    encoder = build_encoder("resnet9")
    table = {layer.name: layer for layer in encoder.layers}
    assert {n: table[n].parameters for n in TABLE_8} == TABLE_8
    assert {n: table[n].parameters for n in BATCH_NORMS} == BATCH_NORMS
    assert {n: table[n].units for n in UNITS} == UNITS
    assert sum(p.numel() for p in encoder.parameters()) == sum(TABLE_8.values()) + sum(BATCH_NORMS.values())


def test_resnet9_s_output_is_the_global_max_over_the_last_residual_sum():
    encoder = build_encoder("resnet9").eval()
    x = torch.randn(3, 3, 32, 32)
    with record(encoder, ["res6", "res2", "res2.second", "conv2_0"]) as outputs:
        out = encoder(x)
    assert torch.equal(out, outputs["res6"].amax((2, 3)))
    assert torch.equal(outputs["res2"], outputs["conv2_0"] + outputs["res2.second"])


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_rows_are_those_of_tables_15_to_17(name):
    rows = ["conv1", "max pool"]
    rows += [f"conv{i}-{k}" for i, n in enumerate(CONVOLUTIONS[name], 2) for k in range(1, n + 1)]
    rows += ["output"]  # the average pool
    layers = build_encoder(name).layers
    assert [layer.name for layer in layers] == rows
    assert [layer.previous for layer in layers] == [None, *rows[:-1]]
    assert all(layer.numbered for layer in layers)
    small = build_encoder(name, stem="3x3").layers
    assert [layer.name for layer in small] == [row for row in rows if row != "max pool"]
    assert [layer.previous for layer in small][:2] == [None, "conv1"]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_rows_of_convolutions_have_their_parameters_and_not_the_downsampling_ones(name):
    encoder = build_encoder(name)
    for layer in encoder.layers:
        if layer.kind == "conv":
            weight = encoder.get_submodule(layer.module).weight
            assert layer.parameters == weight.numel()
            assert layer.units == len(weight)
            assert "downsample" not in layer.module
    count = sum(p.ndim == 4 and "downsample" not in n for n, p in encoder.named_parameters())
    assert count == sum(layer.kind == "conv" for layer in encoder.layers)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_papers_stem_gives_torchvision_s_network(name):
    encoder = build_encoder(name).eval()
    theirs = torchvision.models.get_model(name, weights=None).eval()
    missing, unknown = theirs.load_state_dict(encoder.state_dict(), strict=False)
    assert (sorted(missing), unknown) == (["fc.bias", "fc.weight"], [])
    theirs.fc = torch.nn.Identity()
    x = torch.randn(2, 3, 40, 40)
    with torch.no_grad(), record(encoder, ["layer1", "global_pool"]) as outputs:
        encoder(x)
        torch.testing.assert_close(outputs["global_pool"], theirs(x))
        start = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        torch.testing.assert_close(outputs["layer1"], theirs.layer1(start))


def test_the_small_stem_keeps_all_of_the_image_and_has_fewer_parameters():
    small, large = build_encoder("resnet18", stem="3x3"), build_encoder("resnet18")
    count = [sum(p.numel() for p in e.parameters()) for e in (small, large)]
    assert count[1] - count[0] == 64 * 3 * (7 * 7 - 3 * 3)
    x = torch.randn(2, 3, 32, 32)
    for encoder, side in ((small, 32), (large, 8)):
        with record(encoder, ["layer1", "layer4"]) as outputs:
            encoder(x)
        assert outputs["layer1"].shape == (2, 64, side, side)
        assert outputs["layer4"].shape == (2, 512, side // 8, side // 8)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_units_of_a_block_s_last_convolution_are_taken_behind_the_residual_sum(name):
    encoder = build_encoder(name).eval()
    rows = [layer for layer in encoder.layers if layer.module.startswith("layer1.1.")]
    before, last = rows[-2:]
    block = encoder.layer1[1]
    norm = block.get_submodule(last.module.split(".")[-1].replace("conv", "bn"))
    with torch.no_grad(), record(encoder, ["layer1.0", "layer1.1", last.module, *(r.unit_module for r in rows)]) as o:
        encoder(torch.randn(2, 3, 32, 32))
        inner = encoder.get_submodule(last.module)(o[before.unit_module])
        expected = functional.relu(norm(inner) + o["layer1.0"])
    torch.testing.assert_close(o[last.module], inner)
    torch.testing.assert_close(o[last.unit_module], expected)
    assert torch.equal(o[last.unit_module], o["layer1.1"])


def test_an_untrained_resnet_uses_its_branches():
    encoder = build_encoder("resnet18").eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        plain = encoder(x)
        encoder.layer3[1].conv2.weight.zero_()
        assert not torch.allclose(encoder(x), plain)


def test_an_unknown_stem_or_depth_is_refused():
    with pytest.raises(KeyError, match="unknown stem '5x5'"):
        build_encoder("resnet18", stem="5x5")
    from memlib.encoders import ResNet

    with pytest.raises(KeyError, match="unknown depth of a ResNet 20"):
        ResNet(20)
