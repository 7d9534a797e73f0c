"""Passes over the points against the same thing done plainly, whatever the batch, the model and the choices."""

import pytest
import timm
import torch
import torchvision
from nets import Net, images_of, noisy
from torch import nn
from torch.nn.functional import relu

from memlib import measure, metrics
from memlib.augment import Augmentation, augmentation
from memlib.measure.distances import DISTANCES, view_distance
from memlib.measure.passes import Peaks
from memlib.measure.views import Views
from memlib.specs import AUGMENTATIONS


def assert_same(found, expected, exact=True):
    assert list(found) == list(expected)
    for name in found:
        torch.testing.assert_close(found[name], expected[name], **({"rtol": 0, "atol": 0} if exact else {}))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("unit_length", [True, False])
def test_alignment_equals_a_plain_forward_and_all_pairs_of_views(net, distance, unit_length):
    images = images_of(5)
    found = measure.alignment(net, images, noisy, views=3, distance=distance, unit_length=unit_length)
    x = Views(images, noisy, 3, 0, False).block(0, torch.device("cpu"))[: 5 * 3]
    net.eval()
    with torch.no_grad():
        conv = net.conv(x)
        bn = net.bn(conv)
        act = relu(bn)
        tokens = net.norm(act.flatten(2).transpose(1, 2))
        out = net.out(tokens.mean(1))
    plain = {"conv": conv, "bn": bn, "relu": act, "norm": tokens, "out": out, "output": out}
    assert list(found) == list(plain)
    for name, output in plain.items():
        z = output.flatten(1).double().unflatten(0, (5, 3))
        if unit_length or distance in ("cosine", "angular"):
            z = z / z.norm(dim=2, keepdim=True)
        pairs = [(z[:, i], z[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        cos = [(a * b).sum(1).clamp(-1, 1) for a, b in pairs]
        expected = {
            "l2": [(a - b).norm(dim=1) for a, b in pairs],
            "l1": [(a - b).abs().sum(1) for a, b in pairs],
            "cosine": [1 - c for c in cos],
            "angular": [c.arccos() / torch.pi for c in cos],
        }[distance]
        torch.testing.assert_close(found[name], torch.stack(expected).mean(0).float(), rtol=1e-3, atol=1e-6)


def test_further_distances_of_a_pass_are_those_of_passes_of_their_own(net):
    images, more = images_of(5), {"raw": ("l2", False), "cosine": ("cosine", True), "l1": ("l1", True)}
    (found,) = measure.sweep(net, images, noisy, views=3, more=more)
    assert_same(found.align, measure.alignment(net, images, noisy, views=3))
    for name, (distance, unit_length) in more.items():
        own = measure.alignment(net, images, noisy, views=3, distance=distance, unit_length=unit_length)
        assert_same(found.more[name], own)
    with pytest.raises(KeyError, match="unknown distance 'l3'"):
        measure.sweep(net, images, noisy, views=3, more={"wrong": ("l3", True)})


def test_unit_activations_are_absolute_values_averaged_over_space_tokens_and_views(net):
    images = images_of(4)
    found = measure.unit_activations(net, images, noisy, views=3)
    x = Views(images, noisy, 3, 0, False).block(0, torch.device("cpu"))[: 4 * 3]
    net.eval()
    with torch.no_grad():
        conv = net.conv(x)
        act = relu(net.bn(conv))
        tokens = net.norm(act.flatten(2).transpose(1, 2))
        out = net.out(tokens.mean(1))

    def views(per_image):
        return per_image.unflatten(0, (4, 3)).mean(1)

    torch.testing.assert_close(found["conv"], views(conv.abs().mean((2, 3))))
    torch.testing.assert_close(found["relu"], views(act.mean((2, 3))))
    torch.testing.assert_close(found["norm"], views(tokens.abs().mean(1)))
    torch.testing.assert_close(found["output"], views(out.abs()))
    positive = measure.unit_activations(net, images, noisy, views=3, signed="relu")
    torch.testing.assert_close(positive["conv"], views(conv.relu().mean((2, 3))))
    with pytest.raises(ValueError, match="layer 'conv' puts out negative values"):
        measure.unit_activations(net, images, noisy, views=3, signed="error")


def test_rows_of_an_encoders_table_are_tapped_where_the_table_says(encoder):
    images = images_of(3)
    [found] = measure.sweep(encoder, images, noisy, ["1", "Res2", "output"], 2, units="table")
    x = Views(images, noisy, 2, 0, False).block(0, torch.device("cpu"))[:6]
    encoder.eval()
    with torch.no_grad():
        conv = encoder.conv1.conv(x)
        act = relu(encoder.conv1.bn(conv))
        residual = encoder.res2(encoder.conv2_0(encoder.conv1(x)))
        out = encoder(x)
    for name, output in {"1": conv, "Res2": residual, "output": out}.items():
        expected = view_distance(output.unflatten(0, (3, 2)))
        torch.testing.assert_close(found.align[name], expected, rtol=1e-4, atol=0)
    for name, unit in {"1": act.mean((2, 3)), "Res2": residual.abs().mean((2, 3)), "output": out}.items():
        torch.testing.assert_close(found.table[name], unit.unflatten(0, (3, 2)).mean(1))


def test_views_and_results_depend_on_neither_batch_nor_points_that_follow(encoder):
    images = images_of(measure.BLOCK + 6)
    layers = ["1", "8", "output"]
    [whole] = measure.sweep(encoder, images, "normal", layers, 3, batch=160)
    [small] = measure.sweep(encoder, images, "normal", layers, 3, batch=7)
    assert_same(small.align, whole.align, exact=False)
    for n in (3, measure.BLOCK + 1):
        first = measure.alignment(encoder, images[:n], "normal", layers, 3)
        assert_same(first, {name: value[:n] for name, value in whole.align.items()}, exact=False)
    one, other = (Views(images[:n], augmentation("normal", 16), 2, 0, False) for n in (70, 66))
    assert torch.equal(one.block(64, torch.device("cpu"))[:4], other.block(64, torch.device("cpu"))[:4])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_few_points_get_the_views_of_a_whole_block_and_only_these_are_drawn(name, monkeypatch):
    images, augment = images_of(measure.BLOCK), Augmentation.__call__
    whole = augmentation(name, 16)(images, torch.Generator().manual_seed(3))
    for n in (1, 4, 17):
        few = augmentation(name, 16)(images[:n], torch.Generator().manual_seed(3), of=measure.BLOCK)
        # a blur is a convolution, of which there are several kernels
        atol = 1e-6 if name == "independent" else 0
        torch.testing.assert_close(few, whole[:n], rtol=0, atol=atol)
    augmented = []
    monkeypatch.setattr(Augmentation, "__call__", lambda *a, **k: augmented.append(len(a[1])) or augment(*a, **k))
    assert Views(images[:4], name, 3, 0, False).block(0, torch.device("cpu")).shape == (12, 3, 16, 16)
    assert augmented == [4, 4, 4]


def test_the_first_views_stay_when_more_are_drawn_and_another_seed_draws_others():
    images, cpu = images_of(4), torch.device("cpu")
    few, more, other = (
        Views(images, "normal", views, seed, False).block(0, cpu).unflatten(0, (-1, views))
        for views, seed in ((2, 0), (4, 0), (2, 1))
    )
    assert torch.equal(few, more[:, :2])
    assert not torch.equal(few[:, 0], other[:, 0])
    assert not torch.equal(few[:, 0], few[:, 1])


def test_two_passes_are_equal_bit_for_bit(encoder):
    images = images_of(9)
    for precision in measure.PRECISIONS:
        passes = [
            measure.sweep(encoder, images, "strong", None, 3, units="table", precision=precision)[0] for _ in range(2)
        ]
        assert_same(passes[0].align, passes[1].align)
        assert_same(passes[0].table, passes[1].table)


def test_bfloat16_is_close_to_float32(encoder):
    images = images_of(6)
    full = measure.alignment(encoder, images, noisy, views=3)
    half = measure.alignment(encoder, images, noisy, views=3, precision="bfloat16")
    for name in full:
        torch.testing.assert_close(half[name], full[name], rtol=0.05, atol=0.01)
    assert any(not torch.equal(half[name], full[name]) for name in full)


def test_anchor_compares_the_image_itself_with_its_views(encoder):
    images = images_of(4)
    found = measure.alignment(encoder, images, "weak", ["output"], 3, pairs="anchor")["output"]
    views = Views(images, "weak", 3, 0, False).block(0, torch.device("cpu")).unflatten(0, (-1, 3))[:4]
    plain = augmentation("none", 16)(images, torch.Generator())
    encoder.eval()
    with torch.no_grad():
        features = encoder(torch.cat([plain[:, None], views], 1).flatten(0, 1)).unflatten(0, (4, 4))
    expected = view_distance(features, pairs="anchor")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    [both] = measure.sweep(encoder, images, "weak", ["output"], 3, pairs="anchor", units="table")
    without = measure.unit_activations(encoder, images, "weak", ["output"], 3)
    assert_same(both.table, without, exact=False)


def test_several_encoders_are_averaged_and_their_units_stand_side_by_side():
    torch.manual_seed(1)
    nets, images = [Net(), Net()], images_of(5)
    one, other = (measure.alignment(net, images, noisy, views=3) for net in nets)
    both = measure.alignment(nets, images, noisy, views=3)
    assert_same(both, {name: (one[name] + other[name]) / 2 for name in one}, exact=False)
    units = measure.unit_activations(nets, images, noisy, views=3)
    assert torch.equal(units["conv"][:, 5:], measure.unit_activations(nets[1], images, noisy, views=3)["conv"])


def test_one_model_twice_in_a_list_is_measured_as_each_alone(net):
    images = images_of(5)
    alone = measure.sweep(net, images, noisy, None, 3, units="table")[0]
    for found in measure.sweep([net, net], images, noisy, None, 3, units="table"):
        assert_same(found.align, alone.align)
        assert_same(found.table, alone.table)


def test_streamed_peaks_give_the_unitmem_of_the_table_on_any_set_of_points(net):
    n = 2 * measure.BLOCK + 9
    images, member = images_of(n), torch.rand(n, generator=torch.Generator().manual_seed(5)) < 0.4
    sets = {"in": member, "out": ~member, "first": torch.arange(n) < 10}
    [found] = measure.sweep(net, images, noisy, ["relu", "out"], 2, align=False, units=sets)
    table = measure.unit_activations(net, images, noisy, ["relu", "out"], 2)
    assert not found.align
    for name, mask in sets.items():
        for layer, peaks in found.peaks[name].items():
            inside = table[layer][mask]
            torch.testing.assert_close(peaks.unitmem(), metrics.unitmem(inside))
            assert torch.equal(peaks.largest, inside.amax(0))
            assert torch.equal(peaks.point, mask.nonzero()[:, 0][inside.argmax(0)])
            assert peaks.count == int(mask.sum())


def test_peaks_name_the_first_of_equal_points_and_need_two():
    peaks = Peaks.of(2)
    peaks.update(torch.tensor([[0.0, 2.0]]), torch.tensor([4]))
    with pytest.raises(ValueError, match="there were 1 points"):
        peaks.unitmem()
    peaks.update(torch.tensor([[0.0, 2.0], [0.0, 2.0]]), torch.tensor([5, 6]))
    assert peaks.point.tolist() == [4, 4]
    assert peaks.unitmem().tolist() == [0, 0]


MODELS = {
    "torchvision resnet18": lambda: torchvision.models.resnet18(weights=None),
    "torchvision vit_b_16": lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=10),
    "torchvision convnext_tiny": lambda: torchvision.models.convnext_tiny(weights=None),
    "timm resnet18": lambda: timm.create_model("resnet18", num_classes=0),
    "timm vit_tiny": lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=0),
    "timm convnext_atto": lambda: timm.create_model("convnext_atto", num_classes=0),
}


@pytest.mark.parametrize("name", MODELS)
def test_encoders_that_memlib_did_not_build_are_measured_at_every_layer(name):
    torch.manual_seed(0)
    model, images = MODELS[name](), images_of(3, 32)
    [found] = measure.sweep(model, images, noisy, None, 2, units="table")
    assert len(found.align) > 20
    assert list(found.align) == list(found.table)
    for layer, values in found.align.items():
        assert values.shape == (3,)
        assert torch.isfinite(values).all(), layer
    for layer, table in found.table.items():
        module = model if layer == "output" else model.get_submodule(layer.split("@")[0].split("[")[0])
        units = getattr(module, "out_channels", getattr(module, "out_features", None))
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            assert table.shape == (3, units), layer
        assert torch.isfinite(table).all()
        assert (table >= 0).all()


def test_units_of_channels_last_blocks_are_their_channels():
    model = torchvision.models.convnext_tiny(weights=None)
    units = measure.unit_activations(model, images_of(2, 32), noisy, ["features.1.0*"], 1)
    wide = {name: table.shape[1] for name, table in units.items()}
    # convolution, permuted, LayerNorm, Linear, GELU, Linear, permuted back, the block's parts and its sum
    assert [wide[f"features.1.0.block.{i}"] for i in range(6)] == [96, 96, 96, 384, 384, 96]
    assert wide["features.1.0"] == wide["features.1.0.block"] == 96


class Odd(nn.Module):
    """Puts out what cannot be measured, beside what can."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 4)
        self.table = nn.Identity()
        self.picks = Picks()
        self.size = Size()

    def forward(self, x):
        x = self.linear(x.flatten(1)[:, :12])
        self.picks(x)
        self.size(x)
        return x + self.table(torch.ones(1, 4))


class Picks(nn.Module):
    def forward(self, x):
        return x.argmax(1)


class Size(nn.Module):
    def forward(self, x):
        return x.sum(1)


def test_outputs_that_are_no_floats_of_an_image_each_are_left_out_and_an_error_by_name():
    model, images = Odd(), images_of(4)
    found = measure.alignment(model, images, noisy, views=2)
    assert list(found) == ["linear", "size", "output"]
    for name, said in (("picks", "no floats"), ("table", r"\(1, 4\) for two images")):
        with pytest.raises(ValueError, match=f"'{name}' puts out .*{said}"):
            measure.alignment(model, images, noisy, [name], views=2)


def test_a_measured_model_is_left_as_it_was(net):
    net.train()
    net.bn.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    measure.alignment(net, images_of(3), noisy, views=2)
    assert [module.training for module in (net, net.conv, net.bn)] == [True, True, False]
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.requires_grad for p in net.parameters())
    net(torch.rand(2, 3, 16, 16)).sum().backward()


def test_images_may_be_floats_or_a_data_set_and_results_can_be_worked_with(net):
    images = images_of(3)

    class Dataset:
        pass

    held = Dataset()
    held.images = images
    expected = measure.alignment(net, images, "none", views=2)
    assert_same(measure.alignment(net, images.float() / 255, "none", views=2), expected, exact=False)
    assert_same(measure.alignment(net, held, "none", views=2), expected)
    expected["conv"] += 1  # no inference tensor
