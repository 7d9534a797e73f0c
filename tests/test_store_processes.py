"""The store among processes: all of an artefact or nothing, made by one while the others wait."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest
import torch

from memlib import store


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "encoders" / "a.safetensors"


def start(code: str, *arguments: object) -> subprocess.Popen:
    """A process of its own that runs this code with arguments in `sys.argv[1:]`."""
    program = "import sys, time\nimport numpy as np\nfrom pathlib import Path\nfrom memlib import store\n" + code
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> str:
    """What a process said, after it has ended well."""
    out, error = process.communicate()
    assert process.returncode == 0, error
    return out


def beside(path: Path) -> list[str]:
    """What lies in the path's folder, but for locks, which are empty and stay."""
    return sorted(p.name for p in path.parent.iterdir() if p.suffix != ".lock")


def test_keys_and_headers_need_no_torch(path):
    store.write(path, {"w": torch.ones(2)}, {})
    code = "store.digest({'a': 1}); store.peek(sys.argv[1]); store.verified(Path(sys.argv[1])); "
    finish(start(code + "assert 'torch' not in sys.modules", path))


# ---------------------------------------------------------------- all or nothing


def test_bytes_reach_the_disk_before_the_move_and_the_move_after(path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("move"), replace(a, b)))
    store.write(path, {"w": torch.ones(2)}, {})
    assert calls == [str(path.with_name(".a.safetensors.tmp")), "move", str(path.parent)]


KILL_WRITERS = """
import os, signal, torch
path = Path(sys.argv[1])
draft = path.with_name(f".{path.name}.tmp")
def kill_writer(moment):
    ends, begun = os.pipe()
    if (writer := os.fork()) == 0:
        for step in range(1, 10_000):
            store.write(path, {"w": np.full(2_000_000, step, dtype=np.float32)}, {"step": step})
            os.write(begun, b"%6d" % step)
    written = int(os.read(ends, 6))
    moment()
    os.kill(writer, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) == -9
    arrays, header = store.read(path)
    assert header["step"] >= written
    assert torch.equal(arrays["w"], torch.full((2_000_000,), float(header["step"])))
def wait_for_draft():
    while not draft.exists():
        pass
for attempt in range(6):
    kill_writer(lambda: time.sleep(0.007 * attempt))
for attempt in range(100):
    draft.unlink(missing_ok=True)
    kill_writer(wait_for_draft)
    if draft.exists():
        break
print(draft.exists(), end="")
"""


def test_killed_at_any_moment_a_writer_leaves_a_whole_file(path):
    assert finish(start(KILL_WRITERS, path)) == "True"  # the last kill came while a file was being written
    assert path.with_name(".a.safetensors.tmp").exists()
    store.write(path, {"w": torch.ones(1)}, {})  # not held up by what it left
    assert beside(path) == ["a.safetensors"]


LITTLE_ROOM = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store.write(sys.argv[1], {"w": np.ones(100_000)}, {})
"""


def test_a_full_disk_leaves_what_was_there_and_says_what_to_do(path):
    store.write(path, {"w": torch.ones(2)}, {"old": True})
    process = start(LITTLE_ROOM, path)
    _, error = process.communicate()
    assert process.returncode == 1
    assert "OSError" in error
    assert f"could not write {path} (0.8 MB): File too large" in error
    assert "memlib.store prune" in error
    assert "MEMLIB_HOME" in error
    assert beside(path) == ["a.safetensors"]
    assert store.read(path)[1] == {"old": True}


def test_an_error_while_writing_leaves_no_draft(path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.write(path, {"w": torch.ones(2)}, {})
    assert beside(path) == []


# ---------------------------------------------------------------- one makes, others wait

MAKE = """
import os, signal, torch
def make(seconds):
    with open(sys.argv[2], "a") as log:
        log.write("made\\n")
    time.sleep(seconds)
    return {"w": np.arange(3.0)}, {"by": "one"}
def want(seconds):
    if (process := os.fork()) == 0:
        arrays, header = store.find_or_make(sys.argv[1], lambda: make(seconds))
        os._exit(0 if arrays["w"].tolist() == [0, 1, 2] and header == {"by": "one"} else 1)
    return process
def code(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
"""


def test_of_three_processes_one_makes_and_the_others_wait(path, tmp_path):
    log = tmp_path / "log"
    finish(start(MAKE + "assert [code(process) for process in [want(1), want(1), want(1)]] == [0, 0, 0]", path, log))
    assert log.read_text() == "made\n"


def test_a_waiting_process_says_so_and_makes_it_when_the_maker_is_killed(path, tmp_path):
    log = tmp_path / "log"
    scene = """
maker = want(100)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
waiter = want(0)
time.sleep(0.3)
os.kill(maker, signal.SIGKILL)
assert (code(maker), code(waiter)) == (-9, 0)
"""
    process = start(MAKE + scene, path, log)
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert error == f"waiting for another process that is making {path}\n"
    assert log.read_text() == "made\nmade\n"


def test_of_many_threads_one_makes(path):
    made, results = [], []

    def make():
        made.append(1)
        time.sleep(0.2)
        return {"w": torch.ones(1)}, {}

    threads = [threading.Thread(target=lambda: results.append(store.find_or_make(path, make))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(results) == 4


def test_a_maker_may_write_its_own_place_meanwhile(path):
    def make():
        store.write(path, {"w": torch.zeros(1)}, {"draft": True})
        return {"w": torch.ones(1)}, {"draft": False}

    assert store.find_or_make(path, make)[1] == {"draft": False}


def test_what_was_found_is_not_made(path):
    store.write(path, {"w": torch.ones(1)}, {"first": True})
    assert store.find_or_make(path, lambda: pytest.fail("made again"))[1] == {"first": True}


def test_what_could_not_be_made_leaves_nothing_and_can_be_tried_again(path):
    with pytest.raises(ZeroDivisionError):
        store.find_or_make(path, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    assert beside(path) == []
    assert store.find_or_make(path, lambda: ({}, {"second": True}))[1] == {"second": True}


def test_a_damaged_file_is_warned_of_by_name_and_made_again(path):
    store.write(path, {"w": torch.ones(100)}, {"first": True})
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.warns(UserWarning, match=r"a\.safetensors is damaged: .*It is made again"):
        found = store.find_or_make(path, lambda: ({"w": torch.ones(1)}, {"first": False}))
    assert found[1] == {"first": False}
    assert store.read(path)[1] == {"first": False}


def test_a_store_that_may_only_be_read_gives_what_it_has_and_refuses_the_rest_before_it_is_made(path, monkeypatch):
    store.write(path, {"w": torch.ones(1)}, {"first": True})

    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    monkeypatch.setattr(Path, "mkdir", refused)
    assert store.find_or_make(path, lambda: pytest.fail("made again"))[1] == {"first": True}
    other = path.with_name("other.safetensors")
    with pytest.raises(OSError, match=r"nothing can be written to .*: Read-only .*can be read; .*MEMLIB_HOME"):
        store.find_or_make(other, lambda: pytest.fail("made in vain"))
