"""Folders of images: ImageNet's layout, and any other."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import memlib.data as data
from memlib.data.__main__ import main

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def same(a, b):
    """The same points in the same order."""
    return a.images.equal(b.images) and a.labels.equal(b.labels) and a.fingerprint == b.fingerprint


def picture(path, height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return torch.from_numpy(pixels).permute(2, 0, 1)


@pytest.fixture
def imagenet(root):
    """ImageNet's layout: two classes, images of several sizes, as JPEG."""
    for split, n in (("train", 8), ("val", 4)):
        for i in range(n):
            folder = root / "imagenet" / split / ("n01440764", "n01443537")[i % 2]
            picture(folder / f"{split}_{i}.JPEG", 20 + i, 30 - i, seed=i)
    return root / "imagenet"


def test_the_first_class_of_a_folder_has_a_fingerprint_of_its_own(imagenet):
    found = data.load("imagenet:1", "train", size=16)
    assert found.classes == data.load("imagenet", "train", size=16).classes[:1]
    assert data.fingerprint("imagenet:1", "train") == found.fingerprint != data.fingerprint("imagenet", "train")


def test_a_folder_whose_name_ends_like_a_number_of_classes_is_that_folder(tmp_path):
    for name, shades in (("run", 2), ("run:1", 3)):
        for shade in range(shades):
            picture(tmp_path / name / CLASSES[shade] / "a.png", 8, 8, seed=shade)
    assert data.load(f"folder:{tmp_path / 'run:1'}").classes == CLASSES
    assert data.load(f"folder:{tmp_path / 'run:2'}").classes == CLASSES[:2]


def test_imagenet_is_read_from_its_folder_at_the_size_that_is_stated(imagenet):
    train, test = data.load("imagenet", size=16), data.load("imagenet", "test", size=16)
    assert (train.images.shape, test.images.shape) == ((8, 3, 16, 16), (4, 3, 16, 16))
    assert train.classes == ("n01440764", "n01443537")
    assert train.labels.bincount().tolist() == [4, 4]
    with pytest.raises(ValueError, match=r"several sizes .*load\('imagenet', size=64\)"):
        data.load("imagenet")


def test_a_file_is_the_same_point_at_any_size_and_in_a_pack(imagenet, root, tmp_path):
    small, large = data.load("imagenet", size=8), data.load("imagenet", size=24)
    assert small.hashes.equal(large.hashes)
    assert small.fingerprint == large.fingerprint == data.fingerprint("imagenet")
    assert len(data.pack("imagenet", tmp_path / "to", size=24)) == 2
    assert same(data.load("imagenet", root=tmp_path / "to"), large)
    data.pack("imagenet", tmp_path / "few", size=8, count=3)
    few = data.load("imagenet", root=tmp_path / "few")
    assert few.images.equal(small.images[:3])
    assert few.hashes.equal(small.hashes[:3])


def test_a_folder_of_lossless_images_of_one_size_keeps_their_pixels(tmp_path):
    drawn = [picture(tmp_path / "pets" / CLASSES[i % 3] / f"{i}.png", 6, 6, seed=i) for i in range(7)]
    found = data.load(f"folder:{tmp_path / 'pets'}")
    assert found.classes == CLASSES
    wanted = {(image.numpy().tobytes(), i % 3) for i, image in enumerate(drawn)}
    pairs = zip(found.images, found.labels.tolist(), strict=True)
    assert {(image.numpy().tobytes(), label) for image, label in pairs} == wanted
    with pytest.raises(FileNotFoundError, match="no test images in"):
        data.load(f"folder:{tmp_path / 'pets'}", "test")
    assert data.pack(f"folder:{tmp_path / 'pets'}", tmp_path / "to") == [tmp_path / "to/pets/train.safetensors"]
    assert same(data.load("pets", root=tmp_path / "to"), found)


def test_a_flat_folder_has_no_labels_and_its_pack_neither(tmp_path):
    for i in range(4):
        picture(tmp_path / "photos" / f"{i}.png", 5 + i, 9, seed=i)
    found = data.load(f"folder:{tmp_path / 'photos'}", size=4)
    assert (len(found), found.labelled, found.classes) == (4, False, ())
    assert found.fingerprint == data.fingerprint(f"folder:{tmp_path / 'photos'}")
    data.pack(f"folder:{tmp_path / 'photos'}", tmp_path / "to", size=4)
    packed = data.load("photos", root=tmp_path / "to")
    assert packed.images.equal(found.images)
    assert packed.fingerprint == found.fingerprint
    with pytest.raises(ValueError, match="photos has no labels"):
        _ = packed.labels


def test_grey_palette_and_transparent_images_become_rgb(tmp_path):
    pixels = np.arange(36, dtype=np.uint8).reshape(6, 6)
    for i, mode in enumerate(("L", "P", "RGBA", "CMYK", "1")):
        Image.fromarray(pixels).convert("RGB").convert(mode).save(
            tmp_path / f"{i}.{'tiff' if mode == 'CMYK' else 'png'}"
        )
    assert data.load(f"folder:{tmp_path}").images.shape == (5, 3, 6, 6)


def test_folders_that_cannot_be_used_say_why(tmp_path):
    def load(size=None):
        return data.load(f"folder:{tmp_path}", size=size)

    with pytest.raises(FileNotFoundError, match=r"no train images in .*put them into"):
        data.load(f"folder:{tmp_path / 'missing'}")
    with pytest.raises(ValueError, match="no images in"):
        load()
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match=r"no images in .*cat"):
        load()
    picture(tmp_path / "cat" / "1.png", 4, 4)
    with pytest.raises(ValueError, match="are 12000 GB, and this machine has"):
        load(size=2_000_000)
    picture(tmp_path / "stray.png", 4, 4)
    with pytest.raises(ValueError, match=r"holds images \(stray\.png, \.\.\.\) beside subfolders"):
        load()
    (tmp_path / "stray.png").unlink()
    (tmp_path / "cat" / "2.png").write_bytes((tmp_path / "cat" / "1.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"2\.png cannot be read as an image .*repair or remove it"):
        load()


def test_a_changed_file_is_read_again(tmp_path):
    picture(tmp_path / "1.png", 4, 4, seed=1)
    first = data.load(f"folder:{tmp_path}")
    assert data.load(f"folder:{tmp_path}") is first
    picture(tmp_path / "1.png", 4, 4, seed=2)
    assert data.load(f"folder:{tmp_path}").fingerprint != first.fingerprint


# ---------------------------------------------------------------- what files and folders really are like


def one(tmp_path, size=None):
    """The only image of a folder, uint8 [H, W, 3]."""
    return data.load(f"folder:{tmp_path}", size=size).images[0].permute(1, 2, 0).numpy()


def test_images_of_16_bits_keep_their_range_and_of_32_are_refused_by_name(tmp_path):
    deep = np.array([[0, 257, 25700], [32896, 65278, 65535]], dtype=np.uint16)
    for name in ("deep.png", "deep.tiff", "deep.pgm"):
        Image.fromarray(deep).save(tmp_path / name)
        assert one(tmp_path)[..., 0].tolist() == [[0, 1, 100], [128, 254, 255]]
        assert (one(tmp_path) == one(tmp_path)[..., :1]).all()
        (tmp_path / name).unlink()
    for name, kind in (("whole.tiff", np.int32), ("float.tiff", np.float32)):
        Image.fromarray(deep.astype(kind)).save(tmp_path / name)
        with pytest.raises(ValueError, match=rf"{name} cannot be read .*32 bits.*allowed are 8 and 16"):
            one(tmp_path)
        (tmp_path / name).unlink()


def test_images_are_turned_as_their_exif_data_say(tmp_path):
    image = Image.fromarray(np.arange(18, dtype=np.uint8).reshape(2, 3, 3))
    turned = image.getexif()
    turned[0x0112] = 6  # a quarter to the right
    image.save(tmp_path / "1.png", exif=turned)
    assert np.array_equal(one(tmp_path), np.rot90(np.asarray(image), -1))
    assert one(tmp_path, size=2).shape == (2, 2, 3)


def test_what_systems_and_programs_leave_is_no_class_and_no_image(tmp_path):
    wanted = [tmp_path / "cat" / "1.png", tmp_path / "cat" / "deep" / "2.png", tmp_path / "dog" / "3.png"]
    for i, path in enumerate(wanted):
        picture(path, 4, 4, seed=i)
    for litter in (
        ".hidden",
        ".ipynb_checkpoints",
        "__MACOSX",
        "@eaDir",
        "#recycle",
        "cat/.ipynb_checkpoints",
        "cat/__MACOSX",
    ):
        picture(tmp_path / litter / "copy.png", 4, 4)
    (tmp_path / "cat" / "._1.png").write_bytes(b"of a Mac")
    (tmp_path / ".DS_Store").write_bytes(b"of a Mac")
    assert sorted(data.folders.list_files(tmp_path)) == sorted(wanted)
    assert data.load(f"folder:{tmp_path}").classes == ("cat", "dog")


def test_links_are_followed_and_loops_of_them_end(tmp_path):
    picture(tmp_path / "elsewhere" / "1.png", 4, 4, seed=1)
    picture(tmp_path / "set" / "cat" / "2.png", 4, 4, seed=2)
    for name, target in (("linked", "elsewhere"), ("cat/up", "set"), ("cat/self", "set/cat")):
        (tmp_path / "set" / name).symlink_to(tmp_path / target)
    found = data.load(f"folder:{tmp_path / 'set'}")
    assert (len(found), found.classes) == (2, ("cat", "linked"))


def test_a_link_to_nothing_is_named(tmp_path):
    picture(tmp_path / "cat" / "1.png", 4, 4)
    for link in (tmp_path / "cat" / "2.png", tmp_path / "dog"):
        link.symlink_to(tmp_path / "gone")
        with pytest.raises(ValueError, match=rf"{link.name} is a link to .*gone, which is not there"):
            one(tmp_path)
        link.unlink()


def test_labels_of_both_splits_are_of_the_names_and_a_class_that_one_lacks_is_said(tmp_path):
    for split, names in (("train", ("cat", "dog", "owl")), ("test", ("ant", "dog", "owl"))):
        for i, name in enumerate(names):
            picture(tmp_path / split / name / "1.png", 4, 4, seed=i + 10 * len(split))
    train = data.load(f"folder:{tmp_path}")
    with pytest.warns(UserWarning, match=r"test has no images of cat; .*train has no images of ant"):
        test = data.load(f"folder:{tmp_path}", "test")
    assert train.classes == ("cat", "dog", "owl")
    assert test.classes == ("cat", "dog", "owl", "ant")
    assert sorted(test.labels.tolist()) == [1, 2, 3]
    assert data.fingerprint(f"folder:{tmp_path}", "test") == test.fingerprint
    assert data.load(f"folder:{tmp_path}", "test") is test


def header_of(path, width, height):
    """A PNG whose header claims a size."""
    picture(path, 4, 4)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def test_a_bomb_and_damaged_headers_name_their_file_also_on_the_command_line(tmp_path, capsys):
    header_of(tmp_path / "bomb.png", 40_000, 40_000)
    assert main(["prepare", f"folder:{tmp_path}"]) == 1
    said = capsys.readouterr().err
    assert "bomb.png cannot be read as an image" in said
    assert len(said.splitlines()) == 1
    (tmp_path / "bomb.png").unlink()
    for name, content in (("a.tiff", b"II*\0\xff\xff\xff\xff"), ("b.png", b""), ("c.bmp", b"BM" + bytes(60))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} cannot be read as an image .*repair or remove it"):
            one(tmp_path, size=4)
        (tmp_path / name).unlink()


def test_the_memory_that_images_of_one_size_take_is_known_before_they_are_read(tmp_path, monkeypatch):
    picture(tmp_path / "1.png", 40, 50)
    monkeypatch.setattr(os, "sysconf", lambda name: 70)  # 4,900 bytes
    monkeypatch.setattr(data.folders, "_decode", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"1 images of 40x50 are .* GB, and this machine has .* --size 40 --count N"):
        one(tmp_path)
