"""Pairs: SSLMem' and the mirrored estimate from tables of distances, and what permuted membership makes of them."""

import fabricate
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import memlib
from memlib import metrics
from memlib.book.estimates import mirrored
from memlib.pairs import S_C, S_E, S_I, S_S, NotPermuted, Pair, mirrored_over, pair_of

N = 24
SETS = np.repeat([S_C, S_I, S_E], N // 3)


def pair(seed=0, draws=2, sets=SETS):
    rng = np.random.default_rng(seed)
    f, g = ({"a": rng.uniform(0.1, 1, (draws, sets.size))} for _ in range(2))
    return Pair(f, g, sets)


def test_sslmem_is_equation_2_of_the_mean_distances_of_all_draws():
    one = pair()
    f, g = (torch.from_numpy(side["a"].mean(0)) for side in (one.align_f, one.align_g))
    np.testing.assert_array_equal(one.sslmem("a"), metrics.sslmem(f, g).numpy())
    np.testing.assert_allclose(one.sslmem("a"), ((g - f) / (g + f)).numpy())
    first = pair(draws=1)
    flat = Pair({"a": first.align_f["a"][0]}, {"a": first.align_g["a"][0]}, SETS)
    np.testing.assert_array_equal(flat.sslmem("a"), first.sslmem("a"))


def test_the_mirrored_estimate_is_half_the_difference_of_mean_half_log_ratios():
    one = pair()
    logs = np.log(one.align_g["a"].mean(0) / one.align_f["a"].mean(0)) / 2
    expected = (logs[SETS == S_C].mean() - logs[SETS == S_I].mean()) / 2
    assert one.mirrored("a") == pytest.approx(expected)


@given(st.floats(0.2, 5.0))
def test_an_offset_between_f_and_g_on_every_point_cancels_in_the_mirrored_estimate_alone(offset):
    one = pair()
    other = Pair({"a": one.align_f["a"] * offset}, one.align_g, SETS)
    assert other.mirrored("a") == pytest.approx(one.mirrored("a"), abs=1e-12)
    assert abs(other.mean("a", S_C) - one.mean("a", S_C)) == pytest.approx(0, abs=1e-12) or offset != 1


def test_f_and_g_exchanged_give_the_same_estimate():
    one = pair()
    turned = np.select([SETS == S_C, SETS == S_I], [S_I, S_C], SETS)
    assert Pair(one.align_g, one.align_f, turned).mirrored("a") == pytest.approx(one.mirrored("a"))


def test_permuted_membership_keeps_sizes_and_external_points_and_is_centred_on_zero():
    one = pair()
    drawn = one.permuted(4000, seed=1)
    assert (drawn.codes[:, SETS == S_E] == S_E).all()
    assert ((drawn.codes == S_C).sum(1) == N // 3).all()
    found = drawn.mirrored("a")
    assert found.shape == (4000,)
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(4000)
    identity = Pair(one.align_f, one.align_g, drawn.codes[7].astype(int))
    assert identity.mirrored("a") == pytest.approx(found[7], abs=1e-6)
    assert identity.mean("a", S_C) == pytest.approx(drawn.mean("a", S_C)[7], abs=1e-6)


def test_the_same_seed_draws_the_same_membership_whatever_the_distances():
    np.testing.assert_array_equal(pair(0).permuted(5, 3).codes, pair(1).permuted(5, 3).codes)


def test_what_is_no_function_of_membership_says_so_by_name():
    with pytest.raises(NotPermuted, match="sslmem"):
        pair().permuted(3).sslmem("a")


def test_some_points_can_count_alone():
    one, among = pair(), np.arange(N) % 2 == 0
    logs = np.log(one.align_g["a"].mean(0) / one.align_f["a"].mean(0)) / 2
    expected = (logs[(SETS == S_C) & among].mean() - logs[(SETS == S_I) & among].mean()) / 2
    assert one.mirrored("a", among) == pytest.approx(expected)
    with pytest.raises(ValueError, match="none in S_C"):
        one.mirrored("a", SETS == S_E)


@pytest.mark.parametrize(
    ("f", "g", "sets", "said"),
    [
        ({"a": np.ones((2, 3))}, {"b": np.ones((2, 3))}, np.zeros(3, int), "same layers"),
        ({"a": np.ones((2, 4))}, {"a": np.ones((2, 4))}, np.zeros(3, int), "of 3 points"),
        ({"a": -np.ones((2, 3))}, {"a": np.ones((2, 3))}, np.zeros(3, int), "finite numbers >= 0"),
        ({"a": np.ones((2, 3))}, {"a": np.ones((2, 3))}, np.full(3, 7), "0 S_S, 1 S_C, 2 S_I, 3 S_E"),
    ],
)
def test_wrong_tables_are_named(f, g, sets, said):
    with pytest.raises(ValueError, match=said):
        Pair(f, g, sets)


def test_a_set_that_a_pair_lacks_is_named():
    with pytest.raises(ValueError, match="S_S shared"):
        pair().of("a", S_S)


def test_encoders_measured_on_other_points_are_no_pair():
    study = fabricate.study(pairs=2, points=40, external=20)
    with pytest.raises(ValueError, match="different points"):
        pair_of(study[0].f, study[1].g)


def test_what_a_user_is_told_of_pairs_is_what_a_page_shows_of_them():
    study = fabricate.study(fabricate.DEEPER, pairs=3, points=60, external=30)
    for row in ("1", "8"):
        assert mirrored_over([piece.pair for piece in study], row) == study.over(mirrored(row))


class Net(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


def noisy(images, generator):
    x = images.float() / 255
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def test_layermem_of_several_pairs_is_the_estimate_of_their_tables():
    images = torch.randint(0, 256, (36, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen, mirror, control = images.split(12)
    fs, gs = [Net(s) for s in (0, 1)], [Net(s) for s in (2, 3)]
    asked = {"augment": noisy, "layers": ["conv"], "views": 3}
    row = memlib.layermem(fs, gs, seen, control, mirror, **asked).table().iloc[0]
    pairs = []
    for both in zip(fs, gs, strict=True):
        found = [[memlib.alignment(m, part, **asked)["conv"] for part in (seen, mirror)] for m in both]
        f, g = ({"conv": torch.cat(side).numpy()} for side in found)
        pairs.append(Pair(f, g, np.repeat([S_C, S_I], 12)))
    found = mirrored_over(pairs, "conv")
    told = row["mirrored"], row["mirrored_low"], row["mirrored_high"]
    assert told == pytest.approx((found.mean, found.low, found.high))
    assert row["layermem"] == pytest.approx(np.mean([pair.mean("conv", S_C) for pair in pairs]), abs=1e-6)
