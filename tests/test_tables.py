"""Tables: a design measured end to end on real images, and what a page takes from it."""

import dataclasses

import numpy as np
import pytest
import torch

from memlib import data, encoders, measure, metrics, store, studies, tables, train

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


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Supervised encoders with ClassMem and a probe, tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("tables")))
        yield tables.study("smoke", "sl", **SIZES, batch=10, pairs=1)


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


def test_classmem_is_that_of_the_plain_activations_of_all_seen_points(classes):
    table = classes.tables[1]
    spec = train.EncoderSpec.of(table.header["encoder"])
    dataset, encoder = data.load("digits", "train", size=32), train.encoder(spec)
    seen = torch.from_numpy(table.points[table.seen]).long()
    plain = measure.unit_activations(encoder, dataset.images[seen], "none", ["4", "8"], views=1)
    for layer, activations in plain.items():
        expected = metrics.classmem(activations, dataset.labels[seen])
        np.testing.assert_allclose(table.classmem[layer], expected, atol=5e-4)  # float16
        other = torch.from_numpy(table.points[~table.seen & (table.sets < 3)]).long()
        outside = measure.unit_activations(encoder, dataset.images[other], "none", [layer], views=1)[layer]
        expected = metrics.classmem(outside, dataset.labels[other])
        np.testing.assert_allclose(table.classmem_unseen[layer], expected, atol=5e-4)
        assert not np.allclose(table.classmem_shuffled[layer], table.classmem[layer])
    assert list(table.classmem) == table.header["unit_layers"] == [str(i) for i in range(1, 9)]


def test_classmem_reaches_the_units_of_a_page_and_their_controls(classes, halves):
    assert all(set(units.classmem) == set(units.seen) for units in (*classes.units, *classes.untrained))
    assert all(units.classmem == {} for units in halves.units)
    assert halves.tables[0].probe == {}


def test_probes_are_accuracies_by_data_set_one_a_seed(classes):
    for table in classes.tables:
        assert list(table.probe) == ["digits"]
        assert len(table.probe["digits"]) > 1
        assert all(0 <= accuracy <= 1 for accuracy in table.probe["digits"])
        assert len(table.header["fingerprints"]) == 4


def test_what_was_run_says_where_training_ended_and_what_the_probe_reached(classes):
    ran = classes.ran()
    trained = [table.header["training"] for table in classes.tables]
    reached = sum(t["reached"] for t in trained)
    assert f"{reached} of 2 with a linear probe of 20.0%" in ran["training"]
    mean = np.mean([table.probe["digits"] for table in classes.tables])
    assert ran["linear probe"].startswith(f"digits {mean:.1%} ± ")


def test_what_was_run_says_how_much_privacy_was_spent(halves):
    header = halves.tables[0].header
    spec = header["encoder"] | {"epsilon": 8, "delta": 1e-5, "clip": 0.1}
    private = []
    for table, spent in zip(halves.tables, (7.96, 7.98, 7.96, 7.98), strict=True):
        training = header["training"] | {"private": {"epsilon": spent, "noise_multiplier": 0.7}}
        private.append(dataclasses.replace(table, header=header | {"encoder": spec, "training": training}))
    ran = dataclasses.replace(halves, tables=private).ran()
    assert ran["privacy"].startswith("DP-SGD: epsilon 7.96 to 7.98 was spent, 8 allowed, at delta 1e-05")
    assert "privacy" not in halves.ran()


def test_units_are_those_behind_a_non_linearity_or_of_an_mlp():
    spec = dataclasses.replace(studies.pairs("smoke", "vit_mae")[0].f.encoder, epochs=0)
    rows = [layer for layer in encoders.from_spec(spec).layers if layer.unit_module]
    assert [layer.name for layer in rows] == [f"FC{i}" for i in range(1, 13)]


def test_a_published_measurement_is_found_where_its_images_are_not(classes, tmp_path, monkeypatch):
    measured = studies.pairs("smoke", "sl", **SIZES, batch=10, pairs=1)[0].f
    table, folder = classes.tables[0], tmp_path / "smoke"
    name = f"{measured.name}-{measured.key(*table.header['fingerprints'])}.safetensors"
    store.write(folder / name, {"points": table.points}, table.header)
    store.write(folder / f"{measured.name}-0000000000000000.safetensors", {"points": table.points}, table.header)
    monkeypatch.setenv("MEMLIB_RESULTS", str(tmp_path))

    def nowhere(name, split):
        raise FileNotFoundError(name)

    assert tables.place(measured, "smoke", nowhere) == folder / name
    with pytest.raises(FileNotFoundError):
        tables.place(dataclasses.replace(measured, views=3), "smoke", nowhere)


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


def test_a_measurement_is_well_under_a_megabyte_at_the_published_scale(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    path, header = tables.make(studies.pairs("smoke", "halves", **SIZES, batch=10)[0].f_untrained, "smoke")
    stored = store.read(path)[0]
    a_unit = sum(stored[name].nbytes for name in ("unitmem", "top_row", "top")) / sum(header["unit_counts"])
    for design in studies.designs("laptop"):
        measured = studies.pairs("laptop", design)[0].f
        spec, layers = measured.encoder, encoders.from_spec(measured.encoder).layers
        rows = (spec.subset or spec.shared + 2 * spec.candidates) + measured.external
        units = sum(layer.units for layer in layers if layer.unit_module)
        assert 4 * 2 * len(layers) * rows + units * (a_unit + 6 * measured.classes) < 800_000, design


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
