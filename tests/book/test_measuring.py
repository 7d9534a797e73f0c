"""Measurements: a design measured end to end on real images, and what a study takes from it."""

import dataclasses

import numpy as np
import pytest
import torch

from memlib import data, encoders, measure, metrics, store, train
from memlib.book import measuring, paths, plan, runs, study

SIZES = {"epochs": 1, "views": 2, "subset": 40, "external": 10}
PLAIN = SIZES | {"batch": 10, "probe": []}  # of base, without its probe


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """A tiny real study: four encoders of complementary halves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("tables")))
        patch.setenv("MEMLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield study.design("smoke", "base", **PLAIN)


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """The papers' design, tiny."""
    sizes = {"epochs": 1, "views": 2, "shared": 20, "candidates": 10, "external": 10, "pairs": 1, "batch": 10}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("tables")))
        yield study.design("smoke", "papers", **sizes)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Supervised encoders with ClassMem and a probe, tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("tables")))
        yield study.design("smoke", "sl", **SIZES, batch=10, pairs=1)


def test_what_is_measured_so_far_is_read_and_nothing_made(halves, monkeypatch):
    made = []
    monkeypatch.setattr(measuring, "measure_one", made.append)
    assert len(study.so_far("smoke", "base", **PLAIN)) == len(halves)
    assert len(study.so_far("smoke", "base", **PLAIN, pairs=len(halves) + 2)) == 0  # halves of another design
    assert len(study.so_far("smoke", "base", **PLAIN | {"epochs": 3})) == 0
    assert list(study.so_far("smoke", "no such design").studies) == ["no such design"]
    assert len(study.sweep("gpu", "strength")) == 0  # which has no sweeps
    assert made == []


def test_f_saw_s_c_and_g_saw_s_i(halves, papers):
    for one in (halves, papers):
        for f, g in zip(one.tables[::2], one.tables[1::2], strict=True):
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


def test_crossed_pairs_have_all_four_sets_before_training_too(halves):
    [piece] = halves.crossed  # two crossings of one partition are one piece of evidence
    for crossed in (piece, piece.before):
        assert all({*pair.sets.tolist()} == {0, 1, 2, 3} for pair in crossed.pair.sides)
    f, g = halves.tables[0], halves.tables[2]
    assert np.array_equal(piece.pair.sides[0].sets == 0, f.seen & g.seen)
    assert np.array_equal(piece.pair.sides[0].sets == 3, ~f.seen & ~g.seen)


def test_scores_compare_those_that_saw_a_point_with_those_that_did_not(halves):
    rows = halves.points()
    assert len(rows) == SIZES["subset"]
    seen = np.stack([t.seen[rows] for t in halves.tables])
    d = np.stack([t.align["output"][:, rows].mean(0) for t in halves.tables])
    d /= np.exp(np.log(d).mean(1, keepdims=True))  # what an encoder's distances are larger by on all points
    inside = np.array([d[s, i].mean() for i, s in enumerate(seen.T)])
    outside = np.array([d[~s, i].mean() for i, s in enumerate(seen.T)])
    np.testing.assert_allclose(
        halves.scores("output", halves.pieces, rows), (outside - inside) / (outside + inside), atol=1e-6
    )


def test_an_encoder_with_larger_distances_on_all_points_changes_no_score(halves):
    first, rows = halves[0], halves.points()
    larger = {row: 3 * d for row, d in first.f.align.items()}
    scaled = dataclasses.replace(first, f=dataclasses.replace(first.f, align=larger))
    ours, same = (halves.scores("output", [piece], rows) for piece in (first, scaled))
    np.testing.assert_allclose(ours, same, atol=1e-6)
    by_others, by_itself = halves.chosen_and_scored("output")
    np.testing.assert_array_equal(by_itself, ours)
    np.testing.assert_array_equal(by_others, halves.scores("output", halves[1:], rows))


def test_without_units_the_rest_is_the_same_and_nothing_of_them_is_kept(halves):
    planned = plan.pairs("smoke", "base", **PLAIN)[0].f
    found = measuring.table(dataclasses.replace(planned, units=False), "smoke")
    for row, distances in halves.tables[0].align.items():
        np.testing.assert_array_equal(found.align[row], distances)
    assert found.unitmem == found.top_row == found.active == {}
    assert dataclasses.replace(planned, units=False).digest != planned.digest


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
    for table in (*classes.tables, *classes.before.tables):
        assert all(
            table.scores("classmem", layer).shape == table.scores("seen", layer).shape for layer in table.top_row
        )
    with pytest.raises(KeyError, match="classmem"):
        halves.tables[0].scores("classmem", "8")
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
    pieces = [
        dataclasses.replace(piece, f=f, g=g) for piece, f, g in zip(halves, private[::2], private[1::2], strict=True)
    ]
    ran = dataclasses.replace(halves, pieces=pieces).ran()
    assert ran["privacy"].startswith("DP-SGD: epsilon 7.96 to 7.98 was spent, 8 allowed, at delta 1e-05")
    assert "privacy" not in halves.ran()


def test_units_are_those_behind_a_non_linearity_or_of_an_mlp():
    spec = dataclasses.replace(plan.pairs("smoke", "vit_mae")[0].f.encoder, epochs=0)
    rows = [layer for layer in encoders.from_spec(spec).layers if layer.unit_module]
    assert [layer.name for layer in rows] == [f"FC{i}" for i in range(1, 13)]


def test_a_published_measurement_is_found_where_its_images_are_not(classes, tmp_path, monkeypatch):
    measured = plan.pairs("smoke", "sl", **SIZES, batch=10, pairs=1)[0].f
    table, folder = classes.tables[0], tmp_path / "smoke"
    name = f"{measured.name}-{measured.key(*table.header['fingerprints'])}.safetensors"
    store.write(folder / name, {"points": table.points}, table.header)
    store.write(folder / f"{measured.name}-0000000000000000.safetensors", {"points": table.points}, table.header)
    monkeypatch.setenv("MEMLIB_RESULTS", str(tmp_path))

    def nowhere(name, split):
        raise FileNotFoundError(name)

    assert paths.place(measured, "smoke", nowhere) == folder / name
    with pytest.raises(FileNotFoundError):
        paths.place(dataclasses.replace(measured, views=3), "smoke", nowhere)


def test_what_was_run_is_told_from_the_headers(halves):
    ran = halves.ran()
    assert "2 pairs f, g: resnet9, simclr, digits" in ran["encoders"]
    assert ran["points"].startswith("20 S_C, 20 S_I, 10 S_E")
    assert "computed while this page was executed" in ran["measured"]


def test_what_was_run_names_every_machine_and_precision_with_how_many_encoders_it_trained(halves):
    trained = [t.header["training"] for t in halves.tables]
    [precision], [device], [threads] = ({one[key] for one in trained} for key in ("precision", "device", "threads"))
    assert halves.ran()["training"].endswith(f"; {precision}")
    assert f" on {device}, {threads} thread" in halves.ran()["cost"]
    moved = dict(trained[-1], precision="other-mixed", device="another", threads=threads + 1)
    last = dataclasses.replace(halves[-1].g, header=halves[-1].g.header | {"training": moved})
    ran = dataclasses.replace(halves, pieces=[*halves[:-1], dataclasses.replace(halves[-1], g=last)]).ran()
    assert ran["training"].endswith(f"; {precision} ({len(trained) - 1}), other-mixed (1)")
    assert ran["cost"].endswith(
        f" on {device} ({len(trained) - 1}), another (1), {threads} to {threads + 1} threads an encoder"
    )


def test_a_second_reading_makes_nothing_and_gives_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    pair = plan.pairs("smoke", "base", **PLAIN)[0]
    first, second = (measuring.table(pair.f_untrained, "smoke") for _ in range(2))
    assert first.made
    assert not second.made
    assert all(np.array_equal(first.align[layer], second.align[layer]) for layer in first.align)


def test_a_measurement_is_well_under_a_megabyte_at_the_published_scale(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    path, header = runs.make(plan.pairs("smoke", "base", **PLAIN)[0].f_untrained, "smoke")
    stored = store.read(path)[0]
    a_unit = sum(stored[name].nbytes for name in ("unitmem", "top_row", "top")) / sum(header["unit_counts"])
    for design in plan.designs("laptop"):
        measured = plan.pairs("laptop", design)[0].f
        spec, layers = measured.encoder, encoders.from_spec(measured.encoder).layers
        rows = (spec.subset or spec.shared + 2 * spec.candidates) + measured.external
        units = sum(layer.units for layer in layers if layer.unit_module)
        assert 4 * 2 * len(layers) * rows + units * (a_unit + 6 * measured.classes) < 800_000, design


def test_more_images_than_the_data_set_has_is_an_error_before_training(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    pair = plan.pairs("smoke", "base", external=100_000)[0]
    with pytest.raises(ValueError, match=r"100,?000"):
        measuring.table(pair.f, "smoke")
    assert not list(tmp_path.glob("encoders/*"))


def test_a_changed_view_count_is_another_measurement_of_the_same_encoder():
    pair = plan.pairs("smoke", "base")[0]
    other = dataclasses.replace(pair.f, views=7)
    assert other.digest != pair.f.digest
    assert other.encoder.digest == pair.f.encoder.digest
