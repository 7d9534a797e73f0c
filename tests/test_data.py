"""Data sets: the same points in the same order from wherever they come, and clear words where they do not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import memlib.data as data
from memlib import store
from memlib.data.__main__ import main
from memlib.data.dataset import square
from memlib.data.packs import write_pack

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty folder of data sets, of which no content is known beforehand."""
    monkeypatch.setenv("MEMLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(data, "FINGERPRINTS", {})
    return tmp_path / "data"


def points(n=12, side=4, seed=0):
    """Images [n, 3, side, side] and labels [n] of a data set that does not exist."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (n, 3, side, side), dtype=np.uint8)
    return torch.from_numpy(images), torch.from_numpy(draw.integers(0, len(CLASSES), n))


def dataset(*arguments, name="pets", split="train"):
    return data.Dataset(*points(*arguments), CLASSES, name, split)


def same(a, b):
    """The same points in the same order."""
    return a.images.equal(b.images) and a.labels.equal(b.labels) and a.fingerprint == b.fingerprint


# ---------------------------------------------------------------- order and fingerprint


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 30), side=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_shuffled_copy_is_the_same_data_set(n, side, seed):
    images, labels = points(n, side, seed)
    images[n // 2] = images[0]  # two equal images
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    one = data.Dataset(images, labels, CLASSES, "pets")
    other = data.Dataset(images[order], labels[order], CLASSES, "pets")
    assert same(one, other)
    assert sorted(map(str, one.images.tolist())) == sorted(map(str, images.tolist()))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 10), where=st.data())
def test_the_fingerprint_changes_with_any_pixel_label_shape_and_point(n, where):
    images, labels = points(n)
    i = where.draw(st.integers(0, n - 1))
    pixel = (i, *where.draw(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3))))
    brighter, relabelled = images.clone(), labels.clone()
    brighter[pixel] ^= where.draw(st.integers(1, 255))
    relabelled[i] = (labels[i] + 1) % 3
    kept = torch.arange(n) != i
    variants = [
        (images, labels),
        (brighter, labels),
        (images, relabelled),
        (images[kept], labels[kept]),
        (images.reshape(n, 3, 2, 8), labels),
        (torch.cat([images, images[:1]]), torch.cat([labels, labels[:1]])),
    ]
    found = {data.Dataset(*variant, CLASSES, "pets").fingerprint for variant in variants}
    assert len(found) == len(variants)
    assert data.Dataset(images, None, (), "pets").fingerprint not in found


def test_hashes_and_fingerprints_never_change():
    """Keys of encoders carry them: another value here means that every encoder is trained again."""
    images = torch.arange(96, dtype=torch.uint8).reshape(2, 3, 4, 4)
    found = data.Dataset(images, torch.tensor([0, 2]), CLASSES, "pets")
    assert bytes(found.hashes[0].tolist()).hex() == "0a99b1664c5018a777664fc199288789"
    assert found.fingerprint == "558977485287585d"


@settings(max_examples=25, deadline=None)
@given(side=st.integers(1, 12), size=st.integers(1, 20))
def test_other_sizes_hold_the_same_points_in_the_same_order(side, size):
    one = dataset(6, side)
    other = one.resized(size)
    assert other.images.shape == (6, 3, size, size)
    assert other.images.dtype == torch.uint8
    assert other.fingerprint == one.fingerprint
    assert other.labels.equal(one.labels)
    for i in range(6):
        assert other.images[i].equal(square(one.images[i : i + 1], size)[0])


def test_resizing_averages_what_becomes_too_small_and_cuts_the_centre():
    checkers = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).mul(255).to(torch.uint8)
    grey = square(checkers.expand(1, 3, 64, 64), 8)
    assert grey.float().sub(127.5).abs().max() < 3  # without antialiasing: 0 or 255
    wide = torch.zeros(1, 3, 4, 10, dtype=torch.uint8)
    wide[..., 3:7] = 200
    assert square(wide, 2).eq(200).all()
    assert square(wide.transpose(2, 3), 4).eq(200).all()
    with pytest.raises(ValueError, match="size=0"):
        square(wide, 0)


@pytest.mark.parametrize(
    ("images", "labels", "classes", "says"),
    [
        (torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]), CLASSES, r"uint8 images .*float32 \[2, 3, 4, 4\]"),
        (torch.zeros(2, 4, 4, 3, dtype=torch.uint8), torch.tensor([0, 1]), CLASSES, r"\[N, 3, H, W\]"),
        (torch.zeros(0, 3, 4, 4, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), CLASSES, "one image or more"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 3]), CLASSES, "labels from 0 to 2.*0 to 3"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, -1]), CLASSES, "labels from 0 to 2.*-1 to 0"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0]), CLASSES, r"int64 labels \[2\]"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0.0, 1.0]), CLASSES, "int64 labels.*float32"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), None, CLASSES, "labels for its classes wanted, and it has none"),
    ],
)
def test_what_is_no_data_set_is_refused(images, labels, classes, says):
    with pytest.raises(ValueError, match=says):
        data.Dataset(images, labels, classes, "pets")


def test_labels_that_are_needed_and_missing_are_an_error():
    flat = data.Dataset(points()[0], None, (), "photos")
    assert not flat.labelled
    with pytest.raises(ValueError, match=r"photos has no labels.*one subfolder a class"):
        _ = flat.labels


# ---------------------------------------------------------------- digits


def test_digits_are_always_there_with_the_fingerprints_that_are_known(monkeypatch):
    monkeypatch.undo()  # the known ones
    for split, count in (("train", 1442), ("test", 355)):
        found = data.load("digits", split)
        assert found.images.shape == (count, 3, 8, 8)
        assert (int(found.images.min()), int(found.images.max())) == (0, 255)
        assert found.fingerprint == data.FINGERPRINTS["digits", split] == data.fingerprint("digits", split)


def test_digits_test_is_a_fifth_of_each_class_and_apart_from_train():
    train, test = data.load("digits"), data.load("digits", "test")
    counts = [torch.bincount(part.labels) for part in (train, test)]
    assert counts[1].tolist() == (sum(counts) // 5).tolist()
    assert not {bytes(h) for h in train.hashes.tolist()} & {bytes(h) for h in test.hashes.tolist()}


@pytest.mark.skipif(
    not (Path(os.environ.get("MEMLIB_DATA", "/nowhere")) / "cifar10" / "train.safetensors").exists(),
    reason="no cifar10 in MEMLIB_DATA",
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar10_has_the_fingerprint_that_is_known(split, monkeypatch):
    monkeypatch.undo()
    assert data.load("cifar10", split).fingerprint == data.FINGERPRINTS["cifar10", split]


# ---------------------------------------------------------------- packs


def test_a_pack_is_read_as_it_was_written_and_has_the_format(root):
    one = dataset()
    path = write_pack(one, "pets", root, "made up")
    assert same(data.load("pets"), one)
    assert data.load("pets").classes == CLASSES
    arrays = load_file(path)
    assert {name: (str(a.dtype), a.shape) for name, a in arrays.items()} == {
        "images": ("uint8", (12, 3, 4, 4)),
        "labels": ("int64", (12,)),
    }
    said = store.peek(path)
    assert json.loads(said.pop("classes")) == list(CLASSES)
    assert said.pop("sha256")
    assert said == {"name": "pets", "split": "train", "source": "made up"}


def foreign(root, images=None, labels=None, drop=(), **changes):
    """A pack that others wrote: plain safetensors, without a checksum, in any order."""
    drawn = points()
    arrays = {
        "images": drawn[0].numpy() if images is None else images,
        "labels": drawn[1].numpy() if labels is None else labels,
    }
    header = {"name": "pets", "split": "train", "classes": json.dumps(CLASSES), "source": "others"} | changes
    path = root / "pets" / "train.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v for k, v in arrays.items() if k not in drop}, path, header)
    return path


def test_packs_of_others_are_read(root):
    foreign(root)
    assert same(data.load("pets"), dataset())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "pots"}, "its name is 'pots', not 'pets'"),
        ({"split": "test"}, "its split is 'test', not 'train'"),
        ({"classes": "cat, dog"}, "pack"),
        ({"classes": '{"cat": 0}'}, "a JSON list of names"),
        ({"classes": '["cat"]'}, "labels from 0 to 0"),
        ({"drop": ["labels"]}, "arrays `images` and `labels` wanted, and it has images"),
        ({"drop": ["images", "labels"]}, "it has none"),
        ({"images": np.zeros((12, 3, 4, 4), np.float32)}, "uint8 images .*float32"),
        ({"images": np.zeros((12, 4, 4, 3), np.uint8)}, r"uint8 \[12, 4, 4, 3\]"),
        ({"labels": np.zeros(12, np.int32)}, "int64 labels .*int32"),
        ({"labels": np.zeros(11, np.int64)}, r"int64 labels \[12\] wanted, and it has torch.int64 \[11\]"),
        ({"labels": np.full(12, 7)}, "labels from 0 to 2 wanted, and it has 7 to 7"),
    ],
)
def test_a_foreign_pack_is_refused_with_what_is_wrong_and_what_to_do(root, changes, says):
    path = foreign(root, **changes)
    with pytest.raises(ValueError, match=says) as error:
        data.load("pets")
    assert f"{path} is a foreign pack" in str(error.value)
    assert "make it again" in str(error.value)


@settings(max_examples=30, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_a_damaged_pack_is_noticed_wherever_the_damage_is(tmp_path_factory, place, cut):
    root = tmp_path_factory.mktemp("damage")
    path = write_pack(dataset(), "pets", root, "made up")
    whole = bytearray(path.read_bytes())
    at = int(place * len(whole))
    whole[at] ^= 1
    path.write_bytes(whole[:at] if cut else whole)
    with pytest.raises(ValueError, match=r"train\.safetensors is (damaged|a foreign pack)"):
        data.load("pets", root=root)


def test_a_pack_that_changed_on_the_disk_is_read_again_and_otherwise_not(root):
    write_pack(dataset(), "pets", root, "")
    first = data.load("pets")
    assert data.load("pets") is first
    write_pack(dataset(8), "pets", root, "")
    assert len(data.load("pets")) == 8


def test_a_disk_that_fills_up_leaves_no_pack(root, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"could not write .*pets/train\.safetensors .*No space left"):
        write_pack(dataset(), "pets", root, "")
    assert [p.name for p in (root / "pets").iterdir() if p.suffix != ".lock"] == []


def test_other_content_than_the_published_is_warned_of(root, monkeypatch):
    monkeypatch.setattr(data, "FINGERPRINTS", {("pets", "train"): "0123456789abcdef"})
    write_pack(dataset(), "pets", root, "")
    with pytest.warns(UserWarning, match="not the complete published one: its fingerprint is"):
        data.load("pets")
    monkeypatch.setattr(data, "FINGERPRINTS", {("pets", "train"): dataset().fingerprint})
    data._read.cache_clear()
    data.load("pets")  # warnings are errors


def test_pack_keeps_as_many_points_as_wanted_the_first_in_order(root, tmp_path):
    write_pack(dataset(), "pets", root, "")
    assert data.pack("pets", tmp_path / "to", count=5) == [tmp_path / "to" / "pets" / "train.safetensors"]
    found = data.load("pets", root=tmp_path / "to")
    assert found.images.equal(dataset().images[:5])
    data.pack("digits", tmp_path / "to", size=16, count=100)
    small = data.load("digits", size=16)
    packed = data.read_pack(tmp_path / "to" / "digits" / "train.safetensors", "digits", "train")
    assert packed.images.equal(small.images[:100])
    assert packed.hashes.equal(data.load("digits").hashes[:100])


# ---------------------------------------------------------------- names, fingerprints, the command line


def test_the_first_classes_of_a_data_set_are_the_same_points_with_a_fingerprint_of_their_own(root):
    whole, some = data.load("digits", "test", root), data.load("digits:3", "test", root)
    kept = whole.labels < 3
    assert torch.equal(some.images, whole.images[kept])
    assert torch.equal(some.labels, whole.labels[kept])
    assert torch.equal(some.hashes, whole.hashes[kept])
    assert some.classes == ("0", "1", "2")
    assert some.name == "digits:3"
    assert data.fingerprint("digits:3", "test", root) == some.fingerprint != whole.fingerprint
    for count in (0, 11):
        with pytest.raises(ValueError, match=f"{count} classes of digits wanted: allowed are 1 to 10"):
            data.load(f"digits:{count}", "test", root)


def test_unknown_names_and_splits_come_with_the_nearest_ones(root):
    write_pack(dataset(), "pets", root, "")
    for name, meant in (("CIFAR-10", "cifar10"), ("digit", "digits"), ("pests", "pets"), ("SVHN", "svhn")):
        with pytest.raises(KeyError, match=f"unknown data set.*did you mean '{meant}'"):
            data.load(name)
    with pytest.raises(KeyError, match="unknown split 'tests': allowed are 'train', 'test'; did you mean 'test'"):
        data.load("digits", "tests")
    with pytest.raises(FileNotFoundError, match=r"the pack pets in .* has no test split"):
        data.load("pets", "test")


def test_a_fingerprint_comes_from_the_images_here_or_is_known_or_an_error(root, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"cifar100 is not in .*prepare cifar100"):
        data.fingerprint("cifar100")
    monkeypatch.setattr(data, "FINGERPRINTS", {("cifar100", "train"): "0123456789abcdef"})
    assert data.fingerprint("cifar100") == "0123456789abcdef"
    write_pack(dataset(name="cifar100"), "cifar100", root, "")
    with pytest.warns(UserWarning, match="not the complete"):
        assert data.fingerprint("cifar100") == dataset().fingerprint


def test_the_command_line_lists_prepares_and_packs(root, tmp_path, capsys):
    write_pack(dataset(), "pets", root, "")
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in data.NAMES)
    assert f"train: pack {root / 'pets' / 'train.safetensors'}" in said
    assert main(["prepare", "digits"]) == 0
    assert "1,442 images of 8x8" in capsys.readouterr().out
    assert main(["pack", "digits", "--to", str(tmp_path / "to")]) == 0
    assert sorted(p.name for p in (tmp_path / "to" / "digits").glob("*.safetensors")) == [
        "test.safetensors",
        "train.safetensors",
    ]
    assert main(["prepare", "pest"]) == 1
    assert capsys.readouterr().err.startswith("unknown data set")


def test_the_command_line_runs_as_a_module(root):
    command = [sys.executable, "-W", "error", "-m", "memlib.data", "prepare", "folder:/nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("no train images in /nowhere: put them into /nowhere/train")
    assert len(ended.stderr.splitlines()) == 1
