"""CIFAR10, CIFAR100, SVHN and STL10: torchvision's own code on small files in their own formats."""

import hashlib
import http.server
import pickle
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets as known

import memlib.data as data
from memlib import split_points
from memlib.data.__main__ import main

SETS = ("cifar10", "cifar100", "svhn", "stl10")
COUNTS = {"train": 10, "test": 6}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty folder of data sets, of which no content is known beforehand."""
    monkeypatch.setenv("MEMLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(data, "FINGERPRINTS", {})
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def points(name, split):
    """Images [n, 3, H, W] and labels [n] that the files below hold."""
    draw = np.random.default_rng([SETS.index(name), len(split)])
    side = 96 if name == "stl10" else 32
    images = draw.integers(0, 256, (COUNTS[split], 3, side, side), dtype=np.uint8)
    return torch.from_numpy(images), torch.from_numpy(draw.integers(0, 10, COUNTS[split]))


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def archive(folder, path):
    with tarfile.open(path, "w:gz") as file:
        file.add(folder, folder.name)
    return path.name, md5(path)


def cifar(name, to, patch):
    """Pickled dicts of rows of 3072 bytes; CIFAR10 has its training set in two files here."""
    cls, key = (known.CIFAR10, "labels") if name == "cifar10" else (known.CIFAR100, "fine_labels")
    folder = to / cls.base_folder
    folder.mkdir(parents=True)

    def write(file, content):
        (folder / file).write_bytes(pickle.dumps(content, protocol=2))
        return [file, md5(folder / file)]

    (images, labels), (test_images, test_labels) = points(name, "train"), points(name, "test")
    rows, test_rows = images.reshape(len(images), -1).numpy(), test_images.reshape(len(test_images), -1).numpy()
    parts = [slice(0, 4), slice(4, None)] if name == "cifar10" else [slice(None)]
    train = [write(f"part_{i}", {"data": rows[p], key: labels[p].tolist()}) for i, p in enumerate(parts)]
    patch.setattr(cls, "train_list", train)
    patch.setattr(cls, "test_list", [write("test", {"data": test_rows, key: test_labels.tolist()})])
    meta = dict(cls.meta)
    meta["filename"], meta["md5"] = write("meta", {meta["key"]: [f"{name} {i}" for i in range(10)]})
    patch.setattr(cls, "meta", meta)


def stl10(name, to, patch):
    """Bytes in column-major order; labels from 1."""
    folder = to / known.STL10.base_folder
    folder.mkdir(parents=True)
    for split in COUNTS:
        images, labels = points(name, split)
        (folder / f"{split}_X.bin").write_bytes(images.transpose(2, 3).contiguous().numpy().tobytes())
        (folder / f"{split}_y.bin").write_bytes((labels.to(torch.uint8) + 1).numpy().tobytes())
    (folder / "unlabeled_X.bin").write_bytes(bytes(3 * 96 * 96))
    (folder / "class_names.txt").write_text("\n".join(f"stl10 {i}" for i in range(10)))
    for split, files in (("train", ["train_X", "train_y", "unlabeled_X"]), ("test", ["test_X", "test_y"])):
        patch.setattr(known.STL10, f"{split}_list", [[f"{file}.bin", md5(folder / f"{file}.bin")] for file in files])


def svhn(name, to, patch):
    """Matlab's format, images last; the digit 0 is labelled 10."""
    to.mkdir(parents=True, exist_ok=True)
    listed = dict(known.SVHN.split_list)
    for split in COUNTS:
        images, labels = points(name, split)
        labels = torch.where(labels == 0, 10, labels).to(torch.uint8)
        path = to / listed[split][1]
        scipy.io.savemat(path, {"X": images.permute(2, 3, 1, 0).numpy(), "y": labels[:, None].numpy()})
        listed[split] = [listed[split][0], path.name, md5(path)]
    patch.setattr(known.SVHN, "split_list", listed)


def write_files(name, to, patch):
    """A small data set in its own format, and its checksums where torchvision looks for them."""
    {"cifar10": cifar, "cifar100": cifar, "svhn": svhn, "stl10": stl10}[name](name, to, patch)


def wanted(name, split):
    classes = [str(i) for i in range(10)] if name == "svhn" else [f"{name} {i}" for i in range(10)]
    return data.Dataset(*points(name, split), classes, name, split)


def same(a, b):
    return a.images.equal(b.images) and a.labels.equal(b.labels) and (a.classes, a.split) == (b.classes, b.split)


@pytest.fixture
def server(tmp_path):
    """The internet: serves a folder, and lists what was asked for."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path / "internet"))

        def log_message(self, *_):
            asked.append(self.path)

    asked: list[str] = []
    (tmp_path / "internet").mkdir()
    internet = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=internet.serve_forever, daemon=True).start()
    internet.asked, internet.folder = asked, tmp_path / "internet"  # type: ignore[attr-defined]
    internet.url = f"http://127.0.0.1:{internet.server_port}"  # type: ignore[attr-defined]
    yield internet
    internet.shutdown()
    internet.server_close()


def publish(name, server, tmp_path, patch):
    """Put a small data set on the internet, where torchvision looks for it."""
    write_files(name, tmp_path / "made", patch)
    if name == "svhn":
        listed = dict(known.SVHN.split_list)
        for split in COUNTS:
            (tmp_path / "made" / listed[split][1]).rename(server.folder / listed[split][1])
            listed[split] = [f"{server.url}/{listed[split][1]}", *listed[split][1:]]
        patch.setattr(known.SVHN, "split_list", listed)
        return
    cls = getattr(known, name.upper())
    filename, checksum = archive(tmp_path / "made" / cls.base_folder, server.folder / "set.tar.gz")
    for key, value in (("url", f"{server.url}/{filename}"), ("filename", filename), ("tgz_md5", checksum)):
        patch.setattr(cls, key, value)


def left(root):
    """Every file in the root but for locks."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and p.suffix != ".lock")


@pytest.mark.parametrize("name", SETS)
def test_torchvisions_files_a_pack_and_a_shuffled_copy_are_the_same_points(name, root, tmp_path, monkeypatch):
    write_files(name, root, monkeypatch)
    for split in COUNTS:
        assert same(data.load(name, split), wanted(name, split))
    data.pack(name, tmp_path / "packs")
    packed = data.load(name, root=tmp_path / "packs")
    assert same(packed, data.load(name))
    assert packed.fingerprint == data.load(name).fingerprint == data.fingerprint(name)
    splits = split_points(len(packed), 4, 3, seed=1)
    order = torch.randperm(len(packed))
    shuffled = data.Dataset(packed.images[order], packed.labels[order], packed.classes, name)
    for chosen in (splits.shared, splits.candidates, splits.independent):
        assert shuffled.images[chosen].equal(data.load(name).images[chosen])


@pytest.mark.parametrize("name", SETS)
def test_a_file_with_the_wrong_checksum_is_named(name, root, monkeypatch):
    write_files(name, root, monkeypatch)
    path = next(p for p in sorted(root.rglob("*")) if p.name in ("part_0", "train_32x32.mat", "train_X.bin"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match=f"{name}: {path} has the wrong checksum .*Remove it"):
        data.load(name)


@pytest.mark.parametrize("name", SETS)
def test_what_is_missing_is_downloaded_once_and_then_there_without_the_internet(
    name, root, server, tmp_path, monkeypatch
):
    publish(name, server, tmp_path, monkeypatch)
    (root / f".{name}.download").mkdir()
    (root / f".{name}.download" / "half").write_bytes(b"left by a process that was killed")
    assert main(["prepare", name]) == 0
    assert left(root) == [f"{name}/test.safetensors", f"{name}/train.safetensors"]
    asked = len(server.asked)
    for split in COUNTS:
        assert same(data.load(name, split), wanted(name, split))
    assert len(server.asked) == asked


def test_of_several_that_want_it_one_downloads(root, server, tmp_path, monkeypatch):
    publish("cifar10", server, tmp_path, monkeypatch)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: data.load("cifar10"), range(3)))
    assert all(same(one, wanted("cifar10", "train")) for one in found)
    assert sum("set.tar.gz" in line for line in server.asked) <= 2  # one look at the address, one download
    assert left(root) == ["cifar10/test.safetensors", "cifar10/train.safetensors"]


@pytest.mark.parametrize("name", SETS)
def test_without_internet_it_says_what_to_put_where(name, root, server, tmp_path, monkeypatch):
    publish(name, server, tmp_path, monkeypatch)
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=f"{name} is not in {root} and could not be downloaded") as error:
        data.load(name)
    said = str(error.value)
    assert f"python -m memlib.data pack {name} --to DIR` and copy DIR/{name} to {root / name}" in said
    files = {"svhn": "test_32x32.mat and train_32x32.mat", "stl10": "stl10_binary"}
    assert f"torchvision's {files.get(name, getattr(known, name.upper()).__dict__.get('base_folder'))} into" in said
    assert left(root) == []


@pytest.mark.parametrize("name", ["cifar10", "svhn"])
def test_a_download_with_the_wrong_checksum_leaves_nothing(name, root, server, tmp_path, monkeypatch):
    publish(name, server, tmp_path, monkeypatch)
    for path in server.folder.iterdir():
        path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(ValueError, match=f"{name}: what was downloaded has the wrong checksum"):
        data.load(name)
    assert left(root) == []


def test_a_page_that_is_not_there_is_no_data_set(root, server, tmp_path, monkeypatch):
    publish("cifar10", server, tmp_path, monkeypatch)
    (server.folder / "set.tar.gz").unlink()
    with pytest.raises(ConnectionError, match=r"could not be downloaded .*404"):
        data.load("cifar10")
    assert left(root) == []
