"""ViTs: residual sums that hold and can be edited, hidden patches, other sizes, and the deltas of Table 10."""

import pytest
import torch
from torch.nn import functional

import memlib
from memlib import build_encoder, metrics, record, unit_activations
from memlib.encoders import previous

TABLE_10 = (  # ATT, its delta, the sum behind it, FC, its delta, the sum behind it, the block's delta
    (0.006, None, 0.007, 0.020, None, 0.022, None),
    (0.028, 0.006, 0.028, 0.039, 0.011, 0.040, 0.018),
    (0.046, 0.006, 0.047, 0.060, 0.013, 0.061, 0.021),
    (0.067, 0.006, 0.067, 0.083, 0.017, 0.085, 0.024),
)


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return build_encoder("vit_tiny", depth=3).eval().requires_grad_(False)


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_rows_are_attention_mlp_and_both_sums_of_each_block():
    encoder = build_encoder("vit_tiny")
    names = [f"{part}{n}" for n in range(1, 13) for part in ("ATT", "ATTRes", "FC", "FCRes")]
    assert [layer.name for layer in encoder.layers] == [*names, "output"]
    kinds = {layer.name.rstrip("0123456789"): layer.kind for layer in encoder.layers}
    assert kinds == {
        "ATT": "attention", "ATTRes": "residual", "FC": "mlp", "FCRes": "residual", "output": "output",
    }  # fmt: skip
    with_units = [layer.name for layer in encoder.layers if layer.unit_module]
    assert with_units == [f"FC{n}" for n in range(1, 13)]
    sizes = {layer.name: layer.parameters for layer in encoder.layers if layer.parameters}
    assert sizes["ATT7"] == 4 * 192**2 + 4 * 192
    assert sizes["FC7"] == 8 * 192**2 + 5 * 192
    assert len(sizes) == 24


def test_residual_sums_hold_exactly(vit, images):
    taps = {layer.name: layer.module for layer in vit.layers}
    with record(vit, ["embed", *taps.values()]) as outputs:
        vit(images)
    out = {name: outputs[tap] for name, tap in taps.items()}
    before = outputs["embed"]
    assert before.shape == (2, 65, 192)
    for n in (1, 2, 3):
        assert torch.equal(out[f"ATTRes{n}"], before + out[f"ATT{n}"])
        assert torch.equal(out[f"FCRes{n}"], out[f"ATTRes{n}"] + out[f"FC{n}"])
        before = out[f"FCRes{n}"]
    assert torch.equal(out["output"], vit.norm(before)[:, 0])


def test_attention_and_mlp_are_those_of_the_textbook(vit, images):
    block = vit.blocks[0]
    with record(vit, ["embed", "blocks.0.attn", "blocks.0.mlp", "blocks.0.sum1"]) as outputs:
        vit(images)
    x = block.norm1(outputs["embed"])
    q, k, v = block.attn.qkv(x).reshape(2, 65, 3, 3, 64).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-1, -2) / 64**0.5).softmax(-1)
    attended = block.attn.proj((weights @ v).transpose(1, 2).reshape(2, 65, 192))
    torch.testing.assert_close(outputs["blocks.0.attn"], attended, rtol=1e-4, atol=1e-5)
    hidden = functional.gelu(block.mlp.fc1(block.norm2(outputs["blocks.0.sum1"])))
    torch.testing.assert_close(outputs["blocks.0.mlp"], block.mlp.fc2(hidden), rtol=1e-4, atol=1e-5)
    assert hidden.shape == (2, 65, 4 * 192)


@pytest.mark.parametrize("part", ["sum1", "sum2"])
def test_an_edited_sum_leaves_nothing_of_the_skip_connection(vit, images, part):
    path = f"blocks.1.{part}"
    with record(vit, [path]) as outputs:
        plain = vit(images)
    swapped = outputs[path].flip(0)
    handle = vit.get_submodule(path).register_forward_hook(lambda module, args, out: swapped)
    try:
        edited = vit(images)
    finally:
        handle.remove()
    torch.testing.assert_close(edited, plain.flip(0))


def test_keeping_all_patches_is_the_full_path(vit, images):
    full = vit.tokens(images)
    assert full.shape == (2, 65, 192)
    assert torch.equal(full[:, 0], vit(images))
    keep = torch.arange(64).expand(2, -1)
    assert torch.equal(vit.tokens(images, keep), full)
    order = torch.stack([torch.randperm(64), torch.randperm(64)])
    turned = vit.tokens(images, order)
    torch.testing.assert_close(turned[:, 0], full[:, 0], rtol=1e-4, atol=1e-4)
    expected = full[:, 1:].gather(1, order[..., None].expand(-1, -1, 192))
    torch.testing.assert_close(turned[:, 1:], expected, rtol=1e-4, atol=1e-4)


def test_hidden_patches_are_not_seen_and_kept_ones_are(vit, images):
    keep = torch.tensor([[0, 9], [63, 5]])
    seen = vit.tokens(images, keep)
    assert seen.shape == (2, 3, 192)
    hidden = images.clone()
    hidden[:, :, 12:20, 12:20] += 1  # patches 27, 28, 35 and 36
    assert torch.equal(vit.tokens(hidden, keep), seen)
    shown = images.clone()
    shown[0, :, 4:8, 4:8] += 1  # patch 9: second of the second row
    moved = (vit.tokens(shown, keep) - seen).abs().amax((1, 2))
    assert moved[0] > 1e-3
    assert moved[1] == 0


def test_places_tell_patches_apart_and_a_crop_covers_the_same_range(vit):
    flat = torch.zeros(1, 3, 32, 32)
    places = vit.embed(flat)[0, 1:] - vit.embed.proj.bias
    torch.testing.assert_close(places, vit.embed.positions[0])
    assert torch.pdist(places).min() > 0.1
    crop = vit.embed(flat[..., :16, :16])[0, 1:] - vit.embed.proj.bias  # 4 by 4 patches
    assert crop.shape == (16, 192)
    assert torch.pdist(crop).min() > 0.1
    corners = torch.cdist(crop[[0, 3, 12, 15]], places)  # nearest to the corners of the whole, not to a quarter's
    rows, columns = corners.argmin(1) // 8, corners.argmin(1) % 8
    assert (rows > 3).tolist() == [False, False, True, True]
    assert (columns > 3).tolist() == [False, True, False, True]


def test_places_are_no_parameters_and_no_part_of_what_is_stored(vit):
    assert [n for n in vit.state_dict() if "embed" in n] == [
        "embed.proj.weight", "embed.proj.bias", "embed.cls_token.weight",
    ]  # fmt: skip


def test_wrong_sizes_say_what_fits(vit):
    with pytest.raises(ValueError, match="patch=5 does not divide size=32"):
        build_encoder("vit_tiny", patch=5)
    with pytest.raises(ValueError, match="30x30 pixels are not made of 4x4 patches: allowed are multiples of 4"):
        vit(torch.zeros(1, 3, 30, 30))


def test_units_of_the_mlp_are_its_neurons_averaged_over_all_tokens(vit):
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    found = unit_activations(vit, images, "none", layers=["FC2"], views=1)["FC2"]
    with record(vit, ["blocks.1.mlp"]) as outputs:
        vit(memlib.augmentation("none", 32)(images, torch.Generator()))
    assert outputs["blocks.1.mlp"].shape == (5, 65, 192)
    torch.testing.assert_close(found, outputs["blocks.1.mlp"].abs().mean(1), rtol=1e-4, atol=1e-5)
    table = memlib.unitmem(vit, images, augment="none", layers=["FC2"], views=1).table()
    assert len(table) == 192
    torch.testing.assert_close(torch.tensor(table["unitmem"]), metrics.unitmem(found).double(), rtol=1e-4, atol=1e-5)


def test_predecessors_give_the_deltas_of_table_10():
    encoder = build_encoder("vit_tiny", depth=len(TABLE_10))
    values = {}
    for n, (att, _, att_sum, fc, _, fc_sum, _) in enumerate(TABLE_10, 1):
        values |= {f"ATT{n}": att, f"ATTRes{n}": att_sum, f"FC{n}": fc, f"FCRes{n}": fc_sum}
    deltas = metrics.delta(values, previous(encoder.layers, values))
    for n, row in enumerate(TABLE_10, 1):
        for name, expected in ((f"ATT{n}", row[1]), (f"FC{n}", row[4]), (f"FCRes{n}", row[6])):
            if expected is not None:
                assert deltas[name] == pytest.approx(expected, abs=0.0011), name  # both are rounded
        assert f"ATTRes{n}" not in deltas
    assert "ATT1" not in deltas
    assert "FCRes1" not in deltas


def test_layermem_s_table_takes_deltas_against_the_sums():
    torch.manual_seed(0)
    f, g = (build_encoder("vit_tiny", depth=2) for _ in range(2))
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    table = memlib.layermem(f, g, images, views=2).table().set_index("layer")
    value, delta = table["layermem"], table["delta"]
    against = {"ATT2": "FCRes1", "FC1": "ATTRes1", "FC2": "ATTRes2", "FCRes2": "FCRes1", "output": "FCRes2"}
    assert set(delta.dropna().index) == set(against)
    for layer, before in against.items():
        assert delta[layer] == pytest.approx(value[layer] - value[before])
    few = memlib.layermem(f, g, images, views=2, layers=["ATT?"]).table()
    assert few["delta"].isna().all()
