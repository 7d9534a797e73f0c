"""The store: what is read is what was written, or an error; keys, places and the command line."""

import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memlib import store
from memlib.book import jobs
from memlib.book.__main__ import main as book
from memlib.store.__main__ import main

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEMLIB_RESULTS", str(tmp_path / "published"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "encoders" / "a.safetensors"


# ---------------------------------------------------------------- the format


@settings(max_examples=25, deadline=None)
@given(
    arrays=st.dictionaries(
        st.text(min_size=1).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3)),
        max_size=4,
    ),
    header=st.dictionaries(st.text(), JSON, max_size=4),
)
def test_what_is_read_equals_what_was_written(arrays, header):
    tensors = {name: (torch.randn(shape) * 3).to(dtype) for name, (dtype, shape) in arrays.items()}
    with tempfile.TemporaryDirectory() as folder:
        store.write(Path(folder) / "a.safetensors", tensors, header)
        found, said = store.read(Path(folder) / "a.safetensors")
    assert said == header
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_numpy_shared_and_strided_arrays_are_kept_by_value(path):
    base = torch.arange(24.0).view(2, 3, 4)
    frozen = np.arange(5)
    frozen.flags.writeable = False
    arrays = {
        "whole": base,
        "part": base[0],
        "turned": base.permute(2, 0, 1),
        "weight": torch.ones(3, requires_grad=True),
        "frozen": frozen,
        "back": np.arange(6)[::-2],
        "number": np.float32(2.5),
    }
    store.write(path, arrays, {})
    found, _ = store.read(path)
    for name, array in arrays.items():
        assert found[name].tolist() == array.tolist(), name
    found["whole"][0] = 7  # what is read may be written to
    assert torch.equal(store.read(path)[0]["whole"], base)


def test_a_written_file_is_plain_safetensors(path):
    from safetensors.torch import load_file

    store.write(path, {"w": torch.ones(3)}, {"epochs": 2})
    assert torch.equal(load_file(path)["w"], torch.ones(3))
    assert json.loads(store.peek(path)["header"]) == {"epochs": 2}


def test_equal_content_gives_equal_bytes(path):
    arrays = {"a": torch.ones(3), "b": torch.zeros(2)}
    store.write(path, arrays, {"x": 1, "y": 2})
    first = path.read_bytes()
    store.write(path, dict(reversed(arrays.items())), {"y": 2, "x": 1})
    assert path.read_bytes() == first


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_or_missing_byte_is_noticed_and_named(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        store.write(path, {"w": torch.arange(20.0), "n": torch.arange(3)}, {"what": ["weights", 1]})
        whole = path.read_bytes()
        place = data.draw(st.integers(0, len(whole) - 1))
        flip = data.draw(st.integers(0, 255))
        changed = whole[:place] + bytes([whole[place] ^ flip]) * bool(flip) + whole[place + 1 :] * bool(flip)
        path.write_bytes(changed)  # flip 0: cut off at the place
        with pytest.raises(store.Damaged, match=r"a\.safetensors is damaged"):
            store.read(path)


def test_nothing_is_unpickled(path, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(store.Damaged):
        store.read(path)
    torch.save({"w": Trap()}, path)
    with pytest.raises(store.Damaged):
        store.read(path)
    assert not (tmp_path / "sprung").exists()


def test_safetensors_of_others_are_told_from_artefacts(path):
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True)
    save_file({"w": torch.ones(2)}, path)
    with pytest.raises(store.Damaged, match="no checksum"):
        store.read(path)


def test_a_bit_that_flips_anywhere_in_the_header_is_noticed(path):
    store.save(path, {"w": torch.ones(2)}, {"source": "made up"})
    whole = path.read_bytes()
    for place in range(8 + int.from_bytes(whole[:8], "little")):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
            with pytest.raises(store.Damaged):
                store.load(path)


def test_a_missing_file_is_not_a_damaged_one(path):
    with pytest.raises(FileNotFoundError):
        store.read(path)


# ---------------------------------------------------------------- keys and places


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_digest_depends_on_values_and_not_on_their_order(values):
    assert store.digest(values) == store.digest(dict(reversed(values.items())))
    assert store.digest(values) != store.digest({**values, "one more": 1})
    assert len(store.digest(values)) == 16


def test_digests_never_change():
    assert store.digest({"a": 1, "b": [1.5, None, "é", True]}) == "13bc5c9ced98e961"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}, torch.ones(1), Path("x")])
def test_digest_and_header_refuse_what_is_no_plain_finite_value(bad, path):
    with pytest.raises(ValueError, match="not plain values"):
        store.digest({"x": bad})
    with pytest.raises(ValueError, match="not plain values"):
        store.write(path, {}, {"x": bad})
    assert not path.exists()


def test_published_measurements_come_before_those_of_this_machine(tmp_path):
    here = tmp_path / "home" / "results" / "smoke" / "m.safetensors"
    assert store.measurement("smoke", "m") == here
    store.write(here, {"x": torch.ones(1)}, {"made": "here"})
    assert store.measurement("smoke", "m") == here
    assert main(["publish", "--scale", "smoke"]) == 0
    published = tmp_path / "published" / "smoke" / "m.safetensors"
    assert store.measurement("smoke", "m") == published
    assert published.read_bytes() == here.read_bytes()
    assert [p.name for p in published.parent.iterdir()] == ["m.safetensors"]  # this folder is committed
    assert main(["publish", "--scale", "laptop"]) == 1


def test_without_settings_results_are_the_checkouts(monkeypatch):
    monkeypatch.delenv("MEMLIB_RESULTS")
    assert store.results("laptop") == Path(__file__).parents[1] / "book" / "results" / "laptop"
    monkeypatch.delenv("MEMLIB_HOME")
    assert store.home().name == "memlib"


# ---------------------------------------------------------------- the command line


def test_list_verify_and_prune_tell_good_files_from_others(path, capsys):
    def fill(name):
        store.write(path.with_name(name), {"w": torch.ones(100)}, {"key": name})
        return path.with_name(name)

    good, bad = fill("good.safetensors"), fill("bad.safetensors")
    running, finished = fill("running.ckpt.safetensors"), fill("good.ckpt.safetensors")
    bad.write_bytes(bad.read_bytes()[:-4])
    killed = path.with_name(".killed.safetensors.tmp")
    killed.write_bytes(b"half")
    held = path.with_name(".held.safetensors.tmp")
    held.write_bytes(b"half")

    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(p.name in said for p in (good, bad, running, finished))
    assert said.count("checkpoint ") == 2
    assert main(["verify"]) == 1
    said = capsys.readouterr().out
    assert f"{bad} is damaged" in said
    assert "4 artefacts" in said
    with filelock.FileLock(path.with_name(".held.safetensors.lock")):
        assert main(["prune"]) == 0
    said = capsys.readouterr().out
    assert f"kept {held}" in said
    left = sorted(p.name for p in path.parent.iterdir() if p.suffix != ".lock")
    assert left == sorted(p.name for p in (held, good, running))
    assert main(["verify"]) == 0


def test_prune_of_a_scale_takes_its_measurements_and_encoders_that_no_other_scale_wants(path, capsys, monkeypatch):
    def fill(name):
        target = path.parents[1] / name
        store.write(target, {"w": torch.ones(100)}, {})
        return str(target)

    own, shared, foreign = (fill(f"encoders/{name}.safetensors") for name in ("own", "shared", "foreign"))
    fill("encoders/own.ckpt.safetensors")
    mine, other = fill("results/smoke/m.safetensors"), fill("results/laptop/m.safetensors")
    published = str(path.parents[2] / "published" / "smoke" / "m.safetensors")
    store.write(published, {"w": torch.ones(1)}, {})
    places = {"smoke": [own, shared, published, mine, None], "laptop": [shared, foreign, other]}
    places |= {"gpu": [None], "paper": [None]}
    monkeypatch.setattr(jobs, "look", lambda scale: dict(enumerate(places[scale])))
    assert main(["size"]) == 0
    assert "6 artefacts, 0.0 MB" in capsys.readouterr().out
    assert book(["prune", "smoke"]) == 0
    assert f"removed {own}: is of scale smoke" in capsys.readouterr().out
    left = sorted(map(str, [*path.parents[1].rglob("*.safetensors"), *Path(published).parent.glob("*.safetensors")]))
    assert left == sorted([shared, foreign, other, published])


def test_a_scale_that_there_is_not_is_named_with_the_nearest(capsys):
    assert book(["prune", "smok"]) == 2
    assert "did you mean 'smoke'" in capsys.readouterr().err


def test_the_store_hands_the_pruning_of_a_scale_to_the_book(capfd):
    assert main(["prune", "--scale", "smok"]) == 2
    assert "did you mean 'smoke'" in capfd.readouterr().err


def test_the_command_line_runs_as_a_module(path):
    store.write(path, {"w": torch.ones(1)}, {"seed": 3})
    listed = subprocess.run([sys.executable, "-m", "memlib.store", "list"], capture_output=True, text=True)
    assert listed.returncode == 0
    assert str(path) in listed.stdout
    assert '{"seed":3}' in listed.stdout
    assert listed.stderr == ""
