"""Where the units are and which rows are whose, whatever the sizes; what cannot be told is said."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from nets import Net, images_of, noisy
from torch import nn

from memlib import layermem, measure, unit_activations, unitmem
from memlib.measure.passes import Views
from memlib.taps import record

IMAGES = images_of(4, 8)


def views_of(images=IMAGES, views=2):
    """What a pass feeds to a model, [N * views, 3, s, s]."""
    return Views(images, noisy, views, 0, False).block(0, torch.device("cpu"))[: len(images) * views].contiguous()


def units_of(model, layers=None, images=IMAGES, **options):
    return unit_activations(model, images, noisy, layers, 2, **options)


def expected(output, axis, views=2):
    """Units on an axis of an output whose axis 0 has the images, averaged over everything else."""
    others = [d for d in range(1, output.ndim) if d != axis]
    return output.abs().mean(others).unflatten(0, (-1, views)).mean(1)


class Sizes(nn.Module):
    """Channels, height and width are one number: no shape tells them apart."""

    def __init__(self, fixed):
        super().__init__()
        self.conv, self.act, self.sum = nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Identity()
        self.last, self.norm, self.first = nn.Linear(8, 8), nn.LayerNorm(8), nn.Identity()
        self.fixed = fixed

    def forward(self, x):
        if self.fixed and x.shape[-1] != 8:
            raise ValueError("takes 8 pixels")
        x = self.act(self.conv(x))  # [N, C, H, W]
        x = self.norm(self.last(self.sum(x.permute(0, 2, 3, 1))))  # [N, H, W, C]
        return self.first(x.permute(0, 3, 1, 2)).mean((2, 3))


def test_units_of_maps_as_high_and_wide_as_they_are_deep_are_found_with_larger_images():
    torch.manual_seed(0)
    model = Sizes(fixed=False).eval()
    found = units_of(model)
    with torch.no_grad(), record(model) as outputs:
        model(views_of())
    for name, axis in {"conv": 1, "act": 1, "sum": 3, "last": 3, "norm": 3, "first": 1}.items():
        torch.testing.assert_close(found[name], expected(outputs[name], axis))
    assert not found.notes


def test_where_a_model_takes_no_larger_images_the_units_are_guessed_by_name_and_can_be_told():
    torch.manual_seed(0)
    model = Sizes(fixed=True).eval()
    found = units_of(model)
    assert "act (axis 1), sum (axis 1)" in found.notes[0]
    assert "'norm'" not in found.notes[0]
    told = units_of(model, units={"sum": -1, "a?t": 1, "fi*": 1})
    assert not told.notes
    with torch.no_grad(), record(model) as outputs:
        model(views_of())
    for name, axis in {"act": 1, "sum": 3, "norm": 3, "first": 1}.items():
        torch.testing.assert_close(told[name], expected(outputs[name], axis))
    peaks = unitmem(model, IMAGES, augment=noisy, views=2, layers=["sum"], units={"sum": 3})
    assert not peaks.notes
    with pytest.raises(KeyError, match="did you mean 'sum'"):
        units_of(model, units={"sums": 3})
    with pytest.raises(ValueError, match=r"allowed are \[1, 2, 3\]"):
        units_of(model, units={"sum": 0})


class Turned(nn.Module):
    """A convolution, and the same turned around: of one size, and of one shape."""

    def __init__(self):
        super().__init__()
        self.conv, self.turned = nn.Conv2d(3, 8, 3, padding=1), nn.Identity()

    def forward(self, x):
        if x.shape[-1] != 8:
            raise ValueError("takes 8 pixels")
        return self.turned(self.conv(x).permute(0, 2, 3, 1)).mean((1, 2))


def test_an_output_that_would_look_the_same_turned_around_is_said_to_be_guessed():
    found = units_of(Turned().eval())
    assert "guessed of turned (axis 1)" in found.notes[0]
    assert not units_of(Turned().eval(), units={"turned": 3}).notes


class Narrow(nn.Module):
    """Has a single unit, or a single place."""

    def __init__(self):
        super().__init__()
        self.conv, self.one, self.pooled = nn.Conv2d(3, 8, 3, padding=1), nn.Identity(), nn.Identity()

    def forward(self, x):
        x = self.conv(x)
        self.one(x.mean(1, keepdim=True))  # [N, 1, H, W]
        return self.pooled(x.permute(0, 2, 3, 1).mean((1, 2), keepdim=True))  # [N, 1, 1, C]


def test_one_unit_is_one_and_one_place_has_all_units():
    found = units_of(Narrow())
    widths = {name: values.shape[1] for name, values in found.items()}
    assert widths == {"conv": 8, "one": 1, "pooled": 8, "output": 8}
    assert not found.notes


class Tower(nn.Module):
    """Tokens in front, tokens last, the batch second, and pooled tokens, as in towers of other libraries."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 2, stride=2)
        self.tokens, self.seq, self.back = nn.Identity(), nn.Identity(), nn.Identity()
        self.attention, self.mlp = nn.MultiheadAttention(6, 2), nn.Linear(6, 9)
        self.pool = nn.AdaptiveAvgPool1d(1)

    def forward(self, x):
        x = self.tokens(self.patches(x).flatten(2))  # [N, D, T]: tokens last
        x = self.seq(x.permute(2, 0, 1))  # [T, N, D]
        x = self.mlp(x + self.attention(x, x, x)[0])
        return self.pool(self.back(x.permute(1, 2, 0))).flatten(1)  # [N, D, 1]


def test_units_are_found_whether_tokens_stand_first_last_or_before_the_batch():
    torch.manual_seed(0)
    model = Tower().eval()
    found, align = units_of(model), measure.alignment(model, IMAGES, noisy, views=2)
    with torch.no_grad(), record(model) as outputs:
        model(views_of())
    for name in ("seq", "attention[0]", "mlp"):
        torch.testing.assert_close(found[name], expected(outputs[name].transpose(0, 1), 2))
    for name in ("tokens", "back", "pool"):
        torch.testing.assert_close(found[name], expected(outputs[name], 1))
    assert found["pool"].shape == (4, 9)
    for name in ("tokens", "seq"):  # the same numbers, laid out otherwise
        torch.testing.assert_close(align[name], align["patches"])


class Windows(nn.Module):
    """Windows on the axis of the batch: those of an image together, apart, and mixed beyond telling."""

    def __init__(self):
        super().__init__()
        self.outer, self.inner, self.mixed, self.heads = (nn.Identity() for _ in range(4))
        self.linear = nn.Linear(3, 5)

    def forward(self, x):
        n = len(x)
        windows = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 4, 5, 1)  # [N, 2, 2, 4, 4, 3]
        y = self.linear(self.outer(windows.reshape(n * 4, 16, 3)))
        self.inner(windows.permute(1, 2, 0, 3, 4, 5).reshape(4 * n, 16, 3))
        self.mixed(windows.permute(1, 0, 2, 3, 4, 5).reshape(4 * n, 16, 3))
        return y.unflatten(0, (n, 4)).mean((1, 2))


def test_windows_go_to_their_image_or_are_left_out_with_the_reason():
    torch.manual_seed(0)
    model = Windows().eval()
    found, align = units_of(model), measure.alignment(model, IMAGES, noisy, views=2)
    x = views_of()
    for name in ("outer", "inner"):
        torch.testing.assert_close(found[name], expected(x, 1))
        torch.testing.assert_close(align[name], align["outer"])
    assert found["linear"].shape == (4, 5)
    assert list(found.skipped) == ["mixed", "heads"]
    assert "which are whose" in found.skipped["mixed"]
    assert "does not run" in found.skipped["heads"]
    with pytest.raises(ValueError, match=r"layer 'mixed' puts out .*which are whose"):
        units_of(model, ["mixed"])
    result = layermem(model, model, IMAGES, augment=noisy, views=2)
    assert result.skipped == found.skipped
    assert "Left out: 2 layers, for example 'mixed' puts out" in result.summary()
    summary = unitmem(model, IMAGES, augment=noisy, views=2).summary()
    assert "Left out: 2 layers" in summary
    assert "UnitMem of " in summary


@dataclass
class Bundle:
    features: torch.Tensor
    count: int


class Bundled(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.scores = Net(), Scores()

    def forward(self, x):
        y = self.net(x)
        self.scores(y)
        return Bundle(y, len(y))


class Scores(nn.Module):
    def forward(self, y):
        return {"logits[0]": y, "[1]": {"a]b": y[:, :2]}, "words": "none"}


def test_fields_of_dataclasses_and_keys_with_brackets_are_layers_that_can_be_named():
    model = Bundled()
    found = units_of(model)
    keys = ["scores[logits[0]]", "scores[[1]][a]b]", "output[features]"]
    assert list(found)[-3:] == keys
    for name in keys:
        assert torch.equal(units_of(model, [name])[name], found[name])
    assert list(units_of(model, ["scores"])) == keys[:2]


class Sometimes(nn.Module):
    """Has a layer that runs on bright batches alone."""

    def __init__(self, bright):
        super().__init__()
        self.flat, self.rare, self.bright = nn.Flatten(), nn.Linear(192, 4), bright

    def forward(self, x):
        x = self.flat(x)
        return self.rare(x) if x.mean() < self.bright else x[:, :4]


@pytest.mark.parametrize("layers", [None, ["rare"]])
def test_a_layer_that_does_not_run_on_every_batch_is_an_error_by_name(layers):
    images = torch.cat([torch.zeros(64, 3, 8, 8), torch.ones(4, 3, 8, 8)])
    model = Sometimes(0.9)

    def plain(x, generator):
        return x.float()

    calls = [
        lambda: measure.alignment(model, images, plain, layers, 2),
        lambda: unit_activations(model, images, plain, layers, 1),
        lambda: layermem(model, model, images, augment=plain, layers=layers, views=2),
        lambda: unitmem(model, images, augment=plain, layers=layers, views=1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="layer 'rare' did not run on the points from 64 to 67"):
            call()


class Viewing(nn.Module):
    """Needs the layout that torch gives by default."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 5)

    def forward(self, x):
        x = self.conv(x)
        return self.out(x.view(len(x), -1))


def test_memory_layout_is_the_models_own():
    seen = []

    class Layout(nn.Module):
        def forward(self, x):
            seen.append(x.is_contiguous(memory_format=torch.channels_last))
            return x

    plain = measure.alignment(Viewing(), IMAGES, noisy, views=2)
    assert list(plain) == ["conv", "out", "output"]
    for layout in (torch.contiguous_format, torch.channels_last):
        measure.alignment(
            nn.Sequential(Layout(), nn.Conv2d(3, 4, 3)).to(memory_format=layout), IMAGES, noisy, views=2
        )
        assert all(seen) if layout == torch.channels_last else not any(seen)
        seen.clear()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_other_precision_are_fed_with_it_and_give_float32(dtype):
    torch.manual_seed(0)
    model = Net()
    plain = measure.sweep(model, IMAGES, noisy, None, 2, units="table")[0]
    other = measure.sweep(model.to(dtype), IMAGES, noisy, None, 2, units="table")[0]
    assert not other.notes
    for kind in ("align", "table"):
        for name, values in getattr(other, kind).items():
            assert values.dtype == torch.float32
            torch.testing.assert_close(values, getattr(plain, kind)[name], rtol=0.05, atol=0.02)


class Random(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.first, self.out, self.draw = nn.Flatten(), nn.Linear(192, 6), draw

    def forward(self, x):
        return self.out(self.draw(self.first(x)))


DRAWS = {
    "dropout without its flag": lambda x: nn.functional.dropout(x, 0.3),
    "noise": lambda x: x + torch.rand_like(x),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_random_evaluation_is_said_and_is_no_memorization_of_f_against_itself(draw):
    torch.manual_seed(0)
    model = Random(DRAWS[draw])
    with pytest.warns(UserWarning, match="Random: It takes random numbers in evaluation"):
        found = layermem(model, model, IMAGES, augment=noisy, views=3)
    assert found.table()["layermem"].abs().max() == 0
    assert "from layer 'out' on" in found.notes[0]
    assert found.notes[0] in found.summary()
    with pytest.warns(UserWarning, match="Random"):
        again = measure.alignment(model, IMAGES, noisy, views=3)
    with pytest.warns(UserWarning, match="Random"):
        assert torch.equal(measure.alignment(model, IMAGES, noisy, views=3)["out"], again["out"])


def test_outputs_that_depend_on_the_others_in_their_batch_are_said():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten())
    with pytest.warns(UserWarning, match=r"depends on the other images in its batch \(from layer '1' on\)"):
        found = layermem(model, model, IMAGES, augment=noisy, views=2)
    assert found.table()["layermem"].abs().max() == 0
    with pytest.warns(UserWarning, match="depends on the other images"):
        assert "depends on" in unitmem(model, IMAGES, augment=noisy, views=2).notes[0]


def test_what_is_found_out_about_a_layer_does_not_depend_on_the_others_that_are_asked_for():
    torch.manual_seed(0)
    for model in (Sizes(fixed=False), Sizes(fixed=True), Tower(), Windows(), Bundled()):
        whole = measure.sweep(model, IMAGES, noisy, None, 2, units="table")[0]
        for name in whole.align:
            alone = measure.sweep(model, IMAGES, noisy, [name], 2, units="table")[0]
            assert torch.equal(alone.align[name], whole.align[name])
            assert torch.equal(alone.table[name], whole.table[name])


def test_integers_of_numpy_are_integers():
    net = Net()
    found = unitmem(net, IMAGES, augment=noisy, views=np.int64(2))
    assert found.table().equals(unitmem(net, IMAGES, augment=noisy, views=2).table())
    assert found.top(np.int32(2)) == found.top(2)
