"""Closed forms and invariances of equations 1–16."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor

from memlib import metrics
from memlib.measure.distances import DISTANCES, PAIRS, view_distance

quick = settings(deadline=None, max_examples=40)


def positive(largest):
    """0 and more; nothing so small that scaling it by a test's factor loses it."""
    return st.just(0.0) | st.floats(1e-200, largest)


distances = st.lists(st.tuples(positive(1e30), positive(1e30)), min_size=1, max_size=20).map(
    lambda pairs: torch.tensor(pairs, dtype=torch.float64).T
)
tables = (
    st.integers(2, 12)
    .flatmap(lambda n: st.lists(st.lists(positive(1e6), min_size=n, max_size=n), min_size=1, max_size=6))
    .map(lambda columns: torch.tensor(columns, dtype=torch.float64).T)
)


@pytest.mark.parametrize(
    ("g", "f", "value"), [(2, 1, 1 / 3), (1, 0, 1), (5, 5, 0), (1, 2, -1 / 3), (0, 0, 0), (1e38, 3e38, -0.5)]
)
def test_sslmem_ratio_has_the_values_of_its_closed_form(f, g, value):
    found = metrics.sslmem(tensor([float(f)]), tensor([float(g)]))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(value)


@quick
@given(distances, st.floats(1e-6, 1e6))
def test_sslmem_ignores_a_common_scale_and_turns_its_sign_when_f_and_g_are_exchanged(pair, scale):
    f, g = pair
    score = metrics.sslmem(f, g)
    assert ((score >= -1) & (score <= 1)).all()
    torch.testing.assert_close(metrics.sslmem(f * scale, g * scale), score)
    torch.testing.assert_close(metrics.sslmem(g, f), -score, rtol=0, atol=0)


@quick
@given(distances)
def test_sslmem_follows_the_order_of_the_points(pair):
    f, g = pair
    order = torch.randperm(len(f), generator=torch.Generator().manual_seed(len(f)))
    assert torch.equal(metrics.sslmem(f[order], g[order]), metrics.sslmem(f, g)[order])


def test_sslmem_range_divides_by_the_spread_without_subtracting_the_smallest():
    f, g = tensor([1.0, 1.0, 1.0]), tensor([2.0, 3.0, 5.0])
    torch.testing.assert_close(metrics.sslmem(f, g, "range"), tensor([1.0, 2.0, 4.0]) / 3)
    torch.testing.assert_close(metrics.sslmem(f, g, "none"), tensor([1.0, 2.0, 4.0]))
    assert metrics.sslmem(f, f, "range").tolist() == [0, 0, 0]


def test_sslmem_averages_the_distances_of_several_encoders_before_the_ratio():
    f, g = [tensor([1.0]), tensor([3.0])], [tensor([6.0]), tensor([2.0]), tensor([4.0])]
    assert metrics.sslmem(f, g).item() == pytest.approx((4 - 2) / (4 + 2))


@pytest.mark.parametrize(
    ("f", "g", "said"),
    [
        (tensor([1.0]), tensor([1.0, 2.0]), "1 points.* 2"),
        (tensor([]), tensor([]), "N from 1 up"),
        (tensor([[1.0]]), tensor([[1.0]]), "N from 1 up"),
        (tensor([-1.0]), tensor([1.0]), "negative"),
        (tensor([math.nan]), tensor([1.0]), "non-finite"),
        (tensor([1.0]), tensor([math.inf]), "non-finite"),
        ([], tensor([1.0]), "empty list"),
        ([tensor([1.0]), tensor([1.0, 2.0])], tensor([1.0]), r"\(1,\), \(2,\)"),
    ],
)
def test_sslmem_refuses_what_are_no_distances(f, g, said):
    with pytest.raises(ValueError, match=said):
        metrics.sslmem(f, g)


def test_sslmem_range_of_equal_differences_is_an_error():
    with pytest.raises(ValueError, match="spread"):
        metrics.sslmem(tensor([1.0, 2.0]), tensor([2.0, 3.0]), "range")


@pytest.mark.parametrize(
    ("call", "near"),
    [
        (lambda: metrics.sslmem(tensor([1.0]), tensor([1.0]), "ration"), "ratio"),
        (lambda: metrics.unitmem(torch.ones(2, 2), rest="medain"), "median"),
        (lambda: view_distance(torch.ones(1, 2, 3), "L2 "), "l2"),
        (lambda: view_distance(torch.ones(1, 2, 3), pairs="view"), "views"),
    ],
)
def test_an_unknown_choice_names_the_nearest(call, near):
    with pytest.raises(KeyError, match=f"did you mean '{near}'"):
        call()


def test_layermem_is_the_mean_of_the_ratios_and_not_the_ratio_of_the_means():
    f, g = {"1": tensor([1.0, 1000.0])}, {"1": tensor([3.0, 1000.0])}
    assert metrics.layermem(f, g) == {"1": pytest.approx(0.25)}


def test_layermem_averages_several_encoders_first():
    f = [{"1": tensor([1.0])}, {"1": tensor([3.0])}]
    assert metrics.layermem(f, {"1": tensor([6.0])}) == {"1": pytest.approx(0.5)}


def test_layermem_wants_the_same_layers():
    one, other = {"conv1": tensor([1.0])}, {"conv2": tensor([1.0])}
    with pytest.raises(KeyError, match="same layers"):
        metrics.layermem(one, other)
    with pytest.raises(KeyError, match="conv2"):
        metrics.layermem(one, {**one, **other})
    with pytest.raises(KeyError, match="different layers"):
        metrics.layermem([one, other], one)
    with pytest.raises(ValueError, match="no layer"):
        metrics.layermem({}, {})


@quick
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12))
def test_deltas_along_a_chain_add_up_to_last_minus_first(scores):
    chain = {str(i): score for i, score in enumerate(scores)}
    found = metrics.delta(chain)
    assert list(found) == list(chain)[1:]
    assert sum(found.values()) == pytest.approx(scores[-1] - scores[0], abs=1e-9)


def test_delta_takes_stated_predecessors():
    scores = {"block0": 0.1, "att": 0.3, "fc": 0.2, "block1": 0.7}
    before = {"att": "block0", "block1": "block0"}
    assert metrics.delta(scores, before) == {"att": pytest.approx(0.2), "block1": pytest.approx(0.6)}
    with pytest.raises(KeyError, match="did you mean 'block0'"):
        metrics.delta(scores, {"att": "blok0"})


@pytest.mark.parametrize(
    ("activations", "mean", "median"),
    [
        ([1, 0, 0, 0], 1, 1),
        ([2, 2, 2, 2], 0, 0),
        ([3, 1, 1], 0.5, 0.5),
        ([0, 0, 0], 0, 0),
        ([4, 0, 0, 3], 0.6, 1),
        ([8, 2, 4], (8 - 3) / (8 + 3), (8 - 3) / (8 + 3)),
    ],
)
def test_unitmem_has_the_values_of_its_closed_form(activations, mean, median):
    column = torch.tensor(activations, dtype=torch.float32)[:, None]
    assert metrics.unitmem(column).item() == pytest.approx(mean)
    assert metrics.unitmem(column, rest="median").item() == pytest.approx(median)


@quick
@given(tables, st.floats(1e-3, 1e3), st.sampled_from(["mean", "median"]))
def test_unitmem_ignores_positive_scale_and_the_order_of_the_points(table, scale, rest):
    score = metrics.unitmem(table, rest)
    assert ((score >= 0) & (score <= 1)).all()
    torch.testing.assert_close(metrics.unitmem(table * scale, rest), score, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(metrics.unitmem(table.flip(0), rest), score, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("activations", "said"),
    [
        (torch.ones(1, 3), "two points"),
        (torch.ones(3), "two points"),
        (torch.ones(3, 0), "one unit"),
        (-torch.ones(3, 2), "signed"),
        (torch.full((3, 2), math.nan), "finite"),
    ],
)
def test_unit_scores_refuse_what_is_no_table_of_activations(activations, said):
    n = len(activations)
    for score in (
        metrics.unitmem,
        lambda a: metrics.classmem(a, torch.arange(n)),
        lambda a: metrics.member_rate(a, torch.ones(n, dtype=torch.bool)),
    ):
        with pytest.raises(ValueError, match=said):
            score(activations)


def test_classmem_of_class_means_3_1_1_is_a_half():
    activations = tensor([[2.0], [4.0], [1.0], [0.0], [2.0]])
    assert metrics.classmem(activations, tensor([7, 7, 2, 5, 5])).item() == pytest.approx(0.5)


@quick
@given(tables)
def test_classmem_with_one_image_a_class_equals_unitmem(table):
    labels = torch.arange(len(table)).flip(0)
    torch.testing.assert_close(metrics.classmem(table, labels), metrics.unitmem(table), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("labels", [tensor([0, 1]), tensor([0.0, 1.0, 1.0]), tensor([1, 1, 1])])
def test_classmem_refuses_labels_that_do_not_fit(labels):
    with pytest.raises(ValueError, match="label"):
        metrics.classmem(torch.ones(3, 2), labels)


def test_member_rate_counts_active_units_whose_strongest_point_is_a_member():
    activations = tensor([[5.0, 0.0, 1.0, 0.0], [1.0, 3.0, 2.0, 0.0], [0.0, 1.0, 9.0, 0.0]])
    assert metrics.member_rate(activations, tensor([True, False, False])) == pytest.approx(1 / 3)
    assert metrics.member_rate(activations, tensor([True, True, True])) == 1


def test_member_rate_of_equal_activations_is_the_share_of_members():
    member = tensor([True, False, False, False])
    assert (
        metrics.member_rate(torch.ones(4, 3), member) == metrics.member_rate(torch.ones(4, 3), member.flip(0)) == 0.25
    )


def test_member_rate_needs_bools_and_an_active_unit():
    with pytest.raises(ValueError, match="bool"):
        metrics.member_rate(torch.ones(2, 2), tensor([1, 0]))
    with pytest.raises(ValueError, match="active"):
        metrics.member_rate(torch.zeros(2, 2), tensor([True, False]))


def naive_distance(features, distance, unit_length, pairs):
    """Pair by pair from differences, in float64."""
    z = features.flatten(2).double()
    if unit_length:
        z = z / z.norm(dim=2, keepdim=True)
    views = z.shape[1]
    chosen = [(0, j) for j in range(1, views)]
    if pairs == "views":
        chosen = [(i, j) for i in range(views) for j in range(i + 1, views)]
    found = []
    for i, j in chosen:
        a, b = z[:, i], z[:, j]
        difference = a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)
        chord = difference.square().sum(1)
        found.append(
            {
                "l2": (a - b).norm(dim=1),
                "l1": (a - b).abs().sum(1),
                "cosine": chord / 2,
                "angular": 2 * (chord.sqrt() / 2).asin() / math.pi,
            }[distance]
        )
    return torch.stack(found).mean(0)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("unit_length", [True, False])
@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("apart", [1.0, 0.1, 0.03, 1e-3, 1e-4])
def test_view_distance_equals_differences_in_float64_also_of_views_that_hardly_differ(
    distance, unit_length, pairs, dtype, apart
):
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(5, 1, 8, 16, 16, generator=generator)
    features = (base * (1 + apart * torch.randn(5, 4, 8, 16, 16, generator=generator))).to(dtype)
    found = view_distance(features, distance, unit_length, pairs)
    expected = naive_distance(features, distance, unit_length, pairs).float()
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("scale", [1e-25, 1e-12, 1.0, 1e12, 1e25])
def test_view_distance_at_unit_length_ignores_scale(scale):
    features = torch.randn(3, 4, 10, generator=torch.Generator().manual_seed(1))
    for distance in DISTANCES:
        expected = view_distance(features, distance)
        torch.testing.assert_close(view_distance(features * scale, distance), expected, rtol=1e-4, atol=0)


def test_view_distance_at_unit_length_compares_views_of_very_different_lengths():
    features = torch.randn(3, 4, 10, generator=torch.Generator().manual_seed(1))
    lengths = tensor([1e-22, 1.0, 1e22, 1e10])[:, None]
    for distance in DISTANCES:
        expected = view_distance(features, distance)
        torch.testing.assert_close(view_distance(features * lengths, distance), expected, rtol=1e-4, atol=0)


def test_view_distance_of_equal_views_is_exactly_zero():
    features = torch.randn(3, 1, 100, generator=torch.Generator().manual_seed(2)).expand(3, 5, 100)
    for distance in DISTANCES:
        for unit_length in (True, False):
            assert view_distance(features, distance, unit_length).tolist() == [0, 0, 0]


def test_a_zero_vector_is_orthogonal_to_others_and_equal_to_itself():
    zero, e1 = [0.0, 0.0], [3.0, 0.0]
    features = tensor([[zero, e1], [zero, zero], [[0.0, 2.0], e1], [[-1.0, 0.0], e1]])
    value = {"l2": [1, 0, 2**0.5, 2], "l1": [1, 0, 2, 2], "cosine": [1, 0, 1, 2], "angular": [0.5, 0, 0.5, 1]}
    for distance, expected in value.items():
        torch.testing.assert_close(view_distance(features, distance), tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 4), (3, 2, 0), (0, 2, 3)])
def test_view_distance_needs_two_views_of_something(shape):
    with pytest.raises(ValueError, match="V from 2 up"):
        view_distance(torch.ones(shape))
