"""Results as users hold them: what the columns mean, where the intervals come from, what is refused."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from memlib import alignment, metrics, unit_activations
from memlib.report import Unit, layermem, unitmem

mpl.use("Agg")


def images_of(n, seed=0):
    return torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def noisy(images, generator):
    x = images.float() / 255
    return x + 0.3 * torch.randn(x.shape, generator=generator)


class Net(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.out = nn.Linear(4, 6)

    def forward(self, x):
        return self.out(self.relu(self.conv(x)).mean((2, 3)))


class Planted(nn.Module):
    """Finds the known image that a view is nearest to, and pulls the view towards it."""

    def __init__(self, known, pull):
        super().__init__()
        self.known, self.pull = known.float().flatten(1) / 255, pull
        self.plain, self.looked_up = nn.Flatten(), nn.Identity()

    def forward(self, x):
        x = self.plain(x)
        distance, nearest = torch.cdist(x, self.known).min(1)
        seen = (distance < 5.5)[:, None]  # views are at about 4.2 from their image, and at 7 from others
        return self.looked_up(torch.where(seen, x + self.pull * (self.known[nearest] - x), x))


IMAGES, CONTROL, MIRROR = images_of(12), images_of(12, 1), images_of(12, 2)
NETS = [Net(seed) for seed in range(6)]
ASKED = {"augment": noisy, "layers": ["conv", "relu", "out"], "views": 3}


@pytest.fixture(scope="module")
def planted():
    """f knows the images, g the mirror; neither the control."""
    return layermem(Planted(IMAGES, 0.5), Planted(MIRROR, 0.5), IMAGES, CONTROL, MIRROR, noisy, None, 4)


def test_columns_are_those_of_the_contract(planted):
    plain = ["layer", "layermem", "delta", "ci_low", "ci_high"]
    assert list(layermem(*NETS[:2], IMAGES, **ASKED).table().columns) == plain
    with_control = [*plain, "control", "excess", "excess_low", "excess_high"]
    assert list(layermem(*NETS[:2], IMAGES, CONTROL, **ASKED).table().columns) == with_control
    assert list(planted.table().columns) == [*with_control, "mirrored", "mirrored_low", "mirrored_high"]


def test_layermem_is_what_the_equations_make_of_alignment():
    found = layermem(NETS[:2], NETS[2:5], IMAGES, **ASKED)
    f, g = alignment(NETS[:2], IMAGES, **ASKED), alignment(NETS[2:5], IMAGES, **ASKED)
    expected = metrics.layermem(f, g)
    table = found.table().set_index("layer")
    for layer, value in expected.items():
        assert table.loc[layer, "layermem"] == pytest.approx(value)
        torch.testing.assert_close(found.scores[layer], metrics.sslmem(f[layer], g[layer]))
    for layer, value in metrics.delta(expected).items():
        assert table.loc[layer, "delta"] == pytest.approx(value)
    assert table["delta"].isna().tolist() == [True, False, False]
    assert not table.drop(columns="delta").isna().any(axis=None)


def test_a_planted_lookup_is_found_where_it_stands_and_nowhere_else(planted):
    table = planted.table().set_index("layer")
    for column in ("layermem", "excess", "mirrored"):
        low = "ci_low" if column == "layermem" else f"{column}_low"
        assert table.loc["looked_up", low] > 0.1
        assert table.loc["plain", column] == 0
    assert table.loc["looked_up", "control"] == pytest.approx(0, abs=0.02)
    assert table.loc["looked_up", "mirrored"] == pytest.approx(table.loc["looked_up", "layermem"], abs=0.05)


def test_the_mirror_cancels_an_offset_between_f_and_g_exactly_on_the_logarithm():
    f, g = NETS[0], NETS[1]
    with pytest.warns(UserWarning, match="12 of the mirror's images are also among images"):
        found = layermem(f, g, IMAGES, CONTROL, IMAGES, **ASKED).table()
    assert (found["layermem"].abs() > 1e-3).any()
    assert found["mirrored"].abs().max() < 1e-12
    there, back = layermem(f, g, IMAGES, mirror=MIRROR, **ASKED), layermem(f, g, MIRROR, mirror=IMAGES, **ASKED)
    np.testing.assert_allclose(there.table()["mirrored"], -back.table()["mirrored"], atol=1e-12)


def test_the_mirrored_estimate_is_half_the_difference_on_two_artanh_transformed_back():
    found = layermem(NETS[0], NETS[1], IMAGES, mirror=MIRROR, **ASKED)
    for row in found.table().itertuples():
        c, i = (2 * scores[row.layer].double().atanh() for scores in (found.scores, found.mirror))
        assert row.mirrored == pytest.approx(float(torch.tanh((c.mean() - i.mean()) / 2 / 2)))
        assert row.mirrored_low <= row.mirrored <= row.mirrored_high


def test_intervals_of_one_pair_are_over_points_and_say_so():
    found = layermem(NETS[0], NETS[1], IMAGES, CONTROL, MIRROR, **ASKED)
    assert "over the points" in found.note
    assert found.table().attrs["note"] == found.note
    for intervals in found.intervals.values():
        assert all(interval.pairs == 1 for interval in intervals.values())
        assert all(interval.low <= interval.mean <= interval.high for interval in intervals.values())


def test_intervals_of_several_pairs_are_over_pairs():
    found = layermem(NETS[:3], NETS[3:], IMAGES, CONTROL, MIRROR, **ASKED)
    assert "3 pairs" in found.note
    single = [layermem(f, g, IMAGES, CONTROL, MIRROR, **ASKED) for f, g in zip(NETS[:3], NETS[3:], strict=True)]
    for column, intervals in found.intervals.items():
        for layer, interval in intervals.items():
            each = [one.intervals[column][layer].mean for one in single]
            assert interval.pairs == 3
            assert interval.low < interval.mean < interval.high
            # ratios are nearly linear here, and then the jackknife's error is that of the mean over pairs
            assert interval.mean == pytest.approx(np.mean(each), abs=0.1)
            expected = 4.303 * np.std(each, ddof=1) / 3**0.5
            assert (interval.high - interval.low) / 2 == pytest.approx(expected, rel=0.8, abs=0.02)
    table = found.table()
    np.testing.assert_allclose(table["layermem"], [i.mean for i in found.intervals["layermem"].values()])


def test_an_interval_over_two_pairs_that_disagree_is_no_wider_than_what_can_be(planted):
    knows, other = Planted(IMAGES, 0.9), Planted(MIRROR, 0.9)
    table = layermem([knows, other], [other, knows], IMAGES, CONTROL, augment=noisy, views=4).table()
    assert table["ci_low"].min() == -1
    assert table["ci_high"].max() == 1
    assert table["excess_low"].min() >= -2


def test_encoders_that_are_the_same_on_both_sides_score_zero():
    table = layermem(NETS[:2], NETS[:2], IMAGES, CONTROL, **ASKED).table()
    assert (table[["layermem", "ci_low", "ci_high", "control", "excess"]] == 0).all(axis=None)


def test_scores_do_not_depend_on_whether_a_control_is_measured_beside():
    with_control = layermem(NETS[0], NETS[1], IMAGES, CONTROL, **ASKED)
    without = layermem(NETS[0], NETS[1], IMAGES, **ASKED)
    assert all(torch.equal(with_control.scores[layer], without.scores[layer]) for layer in without.scores)


def test_layermem_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="control has 5 images and images 12"):
        layermem(NETS[0], NETS[1], IMAGES, CONTROL[:5], **ASKED)
    with pytest.raises(KeyError, match="different layers"):
        layermem(NETS[0], nn.Flatten(), IMAGES, augment=noisy, views=2)
    with pytest.raises(ValueError, match="mirror"):
        layermem(NETS[0], NETS[1], IMAGES, mirror=MIRROR, normalization="range", **ASKED)
    with pytest.raises(KeyError, match="did you mean 'ratio'"):
        layermem(NETS[0], NETS[1], IMAGES, normalization="ratios", **ASKED)


def test_a_plot_shows_every_layer_with_words_on_its_axes(planted):
    ax = planted.plot()
    assert [label.get_text() for label in ax.get_xticklabels()] == list(planted.scores)
    assert ax.get_xlabel() == "layer"
    assert "memorization" in ax.get_ylabel()
    assert len(ax.get_legend().get_texts()) == 3
    found = unitmem(NETS[0], IMAGES, CONTROL, **ASKED)
    ax = found.plot()
    assert [label.get_text() for label in ax.get_xticklabels()] == ASKED["layers"]
    assert ax.get_ylabel() == "UnitMem"
    assert len(ax.get_legend().get_texts()) == 2
    mpl.pyplot.close("all")


def test_unitmem_streams_to_what_the_equations_make_of_the_table():
    found = unitmem(NETS[0], IMAGES, CONTROL, **ASKED).table()
    assert list(found.columns) == ["layer", "unit", "unitmem", "point", "control"]
    seen, unseen = (unit_activations(NETS[0], images, **ASKED) for images in (IMAGES, CONTROL))
    for layer, rows in found.groupby("layer", sort=False):
        np.testing.assert_allclose(rows["unitmem"], metrics.unitmem(seen[layer]), rtol=1e-5)
        np.testing.assert_allclose(rows["control"], metrics.unitmem(unseen[layer]), rtol=1e-5)
        assert rows["point"].tolist() == seen[layer].argmax(0).tolist()
        assert rows["unit"].tolist() == list(range(seen[layer].shape[1]))
    assert found["layer"].unique().tolist() == ASKED["layers"]


def test_units_of_several_encoders_are_counted_through():
    found = unitmem(NETS[:2], IMAGES, **ASKED).table()
    rows = found[found["layer"] == "conv"]
    assert rows["unit"].tolist() == list(range(8))
    assert rows["encoder"].tolist() == [0] * 4 + [1] * 4
    np.testing.assert_allclose(rows["unitmem"], metrics.unitmem(unit_activations(NETS[:2], IMAGES, **ASKED)["conv"]))


def test_top_units_come_highest_first_with_their_point():
    found = unitmem(NETS[0], IMAGES, **ASKED)
    top = found.top(3)
    scores = found.table()["unitmem"].sort_values(ascending=False)
    assert [unit.score for unit in top] == scores.head(3).tolist()
    layer, unit, score, point = top[0]
    assert top[0] == Unit(layer, unit, score, point)
    activations = unit_activations(NETS[0], IMAGES, **ASKED)[layer][:, unit]
    assert int(activations.argmax()) == point
    assert len(found.top(1000)) == len(found.table())
    with pytest.raises(ValueError, match="1 or more"):
        found.top(0)


def test_layers_are_summed_up_with_intervals_and_the_member_rate():
    alone = unitmem(NETS[0], IMAGES, CONTROL, **ASKED).by_layer()
    assert list(alone.columns) == ["layer", "units", "unitmem", "ci_low", "ci_high", "control", "member_rate"]
    assert (alone["ci_low"] < alone["unitmem"]).all()
    assert (alone["unitmem"] < alone["ci_high"]).all()
    seen, unseen = (unit_activations(NETS[0], images, **ASKED) for images in (IMAGES, CONTROL))
    member = torch.arange(24) < 12
    for row in alone.itertuples():
        expected = metrics.member_rate(torch.cat([seen[row.layer], unseen[row.layer]]), member)
        assert row.member_rate == pytest.approx(expected)
    several = unitmem(NETS[:4], IMAGES, **ASKED)
    assert "4 encoders" in several.note
    each = [unitmem(net, IMAGES, **ASKED).by_layer()["unitmem"][0] for net in NETS[:4]]
    low, high = several.by_layer().loc[0, ["ci_low", "ci_high"]]
    assert high - low == pytest.approx(2 * 3.182 * np.std(each, ddof=1) / 2, rel=1e-3)


def test_few_points_give_no_blocks_and_the_whole_range():
    found = unitmem(NETS[0], IMAGES[:4], **ASKED).by_layer()
    assert found["ci_low"].tolist() == [0] * 3
    assert found["ci_high"].tolist() == [1] * 3


def test_a_layer_that_is_never_active_scores_zero_and_has_no_member_rate():
    dead = Net(0)
    dead.conv.weight.data.zero_()
    dead.conv.bias.data.fill_(-1)
    found = unitmem(dead, IMAGES, CONTROL, **ASKED)
    rows = found.by_layer().set_index("layer")
    assert rows.loc["relu", "unitmem"] == 0
    assert rows.loc["relu", "member_rate"] is pd.NA
    assert not found.table().isna().any(axis=None)


def test_unitmem_refuses_the_median_one_point_and_another_number_of_controls():
    with pytest.raises(ValueError, match="N x U table"):
        unitmem(NETS[0], IMAGES, rest="median", **ASKED)
    with pytest.raises(KeyError, match="did you mean 'mean'"):
        unitmem(NETS[0], IMAGES, rest="means", **ASKED)
    with pytest.raises(ValueError, match="two or more"):
        unitmem(NETS[0], IMAGES[:1], **ASKED)
    with pytest.raises(ValueError, match="control has 11"):
        unitmem(NETS[0], IMAGES, CONTROL[:11], **ASKED)


def test_images_that_are_also_in_the_control_are_counted_and_said():
    control = torch.cat([IMAGES[:3], CONTROL[3:]])
    for report in (
        lambda: layermem(*NETS[:2], IMAGES, control, **ASKED),
        lambda: unitmem(NETS[0], IMAGES, control, **ASKED),
    ):
        with pytest.warns(UserWarning, match="3 of the control's images are also among images"):
            found = report()
        assert found.notes[0].startswith("3 of the control's images")
        assert found.notes[0] in found.summary()
    floats, mirror = control.float() / 255, IMAGES[[4, 4]]
    with pytest.warns(UserWarning, match="are also among") as said:
        found = layermem(*NETS[:2], IMAGES, floats, mirror, **ASKED)
    assert [str(one.message) for one in said] == found.notes
    assert [note.partition(" are also")[0] for note in found.notes] == [
        "3 of the control's images",
        "2 of the mirror's images",
    ]
