"""Folders of images: ImageNet's layout, and any other."""

import numpy as np
import pytest
import torch
from PIL import Image

import memlib.data as data

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
