"""Tables: a design measured end to end on real images, and what a page takes from it."""

import dataclasses

import numpy as np
import pytest
import torch

from memlib import data, measure, studies, tables, train

SIZES = {"epochs": 1, "views": 2, "subset": 40, "external": 10}


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """A tiny real study: four encoders of complementary halves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("tables")))
        patch.setenv("MEMLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield tables.study("smoke", "halves", **SIZES, batch=10)


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """The papers' design, tiny."""
    sizes = {"epochs": 1, "views": 2, "shared": 20, "candidates": 10, "external": 10, "pairs": 1, "batch": 10}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("tables")))
        yield tables.study("smoke", "papers", **sizes)


def test_f_saw_s_c_and_g_saw_s_i(halves, papers):
    for study in (halves, papers):
        for f, g in zip(study.tables[::2], study.tables[1::2], strict=True):
            assert np.array_equal(f.points, g.points)
            assert np.array_equal(f.seen, np.isin(f.sets, (0, 1)))
            assert np.array_equal(g.seen, np.isin(f.sets, (0, 2)))


def test_seen_points_are_those_that_the_encoder_was_trained_on(halves):
    for table in halves.tables:
        spec = train.EncoderSpec.of(table.header["encoder"])
        trained = train.training_points(spec, len(data.load("digits")))
        assert sorted(table.points[table.seen]) == sorted(trained.tolist())


def test_every_point_of_the_halves_is_in_for_half_of_the_encoders(halves):
    seen = np.stack([table.seen for table in halves.tables])[:, : SIZES["subset"]]
    assert (seen.sum(0) == len(halves.tables) / 2).all()


def test_distances_are_those_of_a_pass_over_the_same_points(halves):
    table = halves.tables[1]
    spec = train.EncoderSpec.of(table.header["encoder"])
    train_set, test_set = (data.load("digits", split, size=32) for split in ("train", "test"))
    rows = [train_set.images[i] for i in table.points[: SIZES["subset"]]]
    rows += [test_set.images[i] for i in table.points[SIZES["subset"] :]]
    images = np.stack([row.numpy() for row in rows])
    found = measure.alignment(train.encoder(spec), torch.from_numpy(images), train.views_of(spec), ["8"], 2, seed=1)
    np.testing.assert_allclose(table.align["8"][1], found["8"].numpy(), atol=1e-6)


def test_crossed_pairs_have_all_four_sets_and_their_nulls_too(halves):
    [first, second] = halves.crossed
    for pair in (first, second, *[p for null in halves.crossed_nulls.values() for p in null]):
        assert pair.has(0, 1, 2, 3)
    f, g = halves.tables[0], halves.tables[2]
    assert np.array_equal(first.sets == 0, f.seen & g.seen)
    assert np.array_equal(first.sets == 3, ~f.seen & ~g.seen)


def test_the_null_of_the_same_points_holds_points_that_both_saw(halves):
    both = int((halves.crossed[0].sets == 0).sum())
    null = halves.nulls["encoders of the same points"][0]
    assert sum(int((null.sets == code).sum()) for code in (0, 1, 2)) == both


def test_scores_compare_those_that_saw_a_point_with_those_that_did_not(halves):
    rows = halves.points()
    assert len(rows) == SIZES["subset"]
    seen = np.stack([t.seen[rows] for t in halves.tables])
    d = np.stack([t.align["output"][1, rows] for t in halves.tables])
    inside = np.array([d[s, i].mean() for i, s in enumerate(seen.T)])
    outside = np.array([d[~s, i].mean() for i, s in enumerate(seen.T)])
    np.testing.assert_allclose(halves.scores("output"), (outside - inside) / (outside + inside), atol=1e-6)


def test_unitmem_sets_are_of_equal_size_and_blocks_are_of_the_seen(halves):
    header = halves.tables[0].header
    assert header["points_a_set"] == SIZES["external"]
    assert {"seen", "unseen", "external", "both", "seen-0", "seen-1", "seen-2"} == set(header["unit_sets"])


def test_what_was_run_is_told_from_the_headers(halves):
    ran = halves.ran()
    assert "2 pairs f, g: resnet9, simclr, digits" in ran["encoders"]
    assert ran["points"].startswith("20 S_C, 20 S_I, 10 S_E")
    assert "computed while this page was executed" in ran["measured"]


def test_a_second_reading_makes_nothing_and_gives_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    pair = studies.pairs("smoke", "halves", **SIZES, batch=10)[0]
    first, second = (tables.table(pair.f_untrained, "smoke") for _ in range(2))
    assert first.made
    assert not second.made
    assert all(np.array_equal(first.align[layer], second.align[layer]) for layer in first.align)


def test_a_measurement_is_well_under_a_megabyte_at_the_published_scale(halves):
    pair = studies.pairs("laptop", "papers")[0]
    rows = pair.f.encoder.shared + 2 * pair.f.encoder.candidates + pair.f.external
    layers, units = len(halves.tables[0].header["layers"]), sum(halves.tables[0].header["unit_counts"])
    assert 4 * (2 * layers * rows + 10 * units) < 500_000


def test_more_images_than_the_data_set_has_is_an_error_before_training(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    pair = studies.pairs("smoke", "halves", external=100_000)[0]
    with pytest.raises(ValueError, match=r"100,?000"):
        tables.table(pair.f, "smoke")
    assert not list(tmp_path.glob("encoders/*"))


def test_a_changed_view_count_is_another_measurement_of_the_same_encoder():
    pair = studies.pairs("smoke", "halves")[0]
    other = dataclasses.replace(pair.f, views=7)
    assert other.digest != pair.f.digest
    assert other.encoder.digest == pair.f.encoder.digest
