"""Where artefacts lie, and the one file format for all of them.

An artefact is a safetensors file: arrays, a JSON header that says what they are, and a checksum over both. It
is written beside its place and moved into it: a reader sees all of it or nothing. Nothing is unpickled.

    python -m memlib.store list | size | verify | prune | publish --scale laptop
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import filelock
    import numpy as np
    from torch import Tensor

    Arrays = Mapping[str, "Tensor | np.ndarray"]

CHECKPOINT = ".ckpt.safetensors"  # a checkpoint lies beside its encoder: <key>.ckpt.safetensors


class Damaged(ValueError):
    """A file that is not what was once written; its text names the file and the reason."""


class NotMade(FileNotFoundError):
    """An artefact that is not in the store, where nothing is to be made."""


_READ_ONLY = ContextVar("read_only", default=False)


@contextmanager
def only_read() -> Iterator[None]:
    """Within this nothing is trained, measured or run: what is missing or damaged is `NotMade`."""
    token = _READ_ONLY.set(True)
    try:
        yield
    finally:
        _READ_ONLY.reset(token)


def home() -> Path:
    """Folder of what this machine has made: MEMLIB_HOME, or memlib's folder in the user's cache."""
    if chosen := os.environ.get("MEMLIB_HOME"):
        return Path(chosen).expanduser().resolve()
    import platformdirs

    return platformdirs.user_cache_path("memlib")


def results(scale: str) -> Path:
    """Folder of the published measurements at a scale: in MEMLIB_RESULTS, or the checkout's book/results."""
    chosen = os.environ.get("MEMLIB_RESULTS")
    root = Path(chosen).expanduser().resolve() if chosen else Path(__file__).parents[2] / "book" / "results"
    return root / scale


def measurement(scale: str, name: str) -> Path:
    """Path of a measurement: the published one if there is one, otherwise its place in home()."""
    published = results(scale) / f"{name}.safetensors"
    return published if published.exists() else home() / "results" / scale / published.name


def digest(values: object) -> str:
    """Key of plain values: 16 hex digits, the same for the same values whatever their order in a dict.

    Raises:
        ValueError: JSON cannot hold it, or a number is not finite.
    """
    return hashlib.sha256(_json(values).encode()).hexdigest()[:16]


def _json(values: object) -> str:
    try:
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise ValueError(f"not plain values: {error}; allowed is what JSON holds, finite numbers") from error


def _plain(value: object) -> int | float:
    """A number of numpy's as Python's."""
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    raise TypeError(f"{value!r} is {type(value).__name__}")


# ---------------------------------------------------------------- the file format


def write(path: Path | str, arrays: Arrays, header: dict[str, Any]) -> None:
    """Write an artefact: all of it or nothing, and safely on the disk when this returns.

    Args:
        arrays: tensors (any device, any dtype of safetensors) or numpy arrays by name.
        header: plain JSON values that say what the arrays are.

    Raises:
        OSError: The disk is full or not writable; says what to do. The old file is untouched.
    """
    save(path, arrays, {"header": _json(header)})


def read(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Arrays (on the CPU) and header of an artefact, checked against its checksum.

    Raises:
        Damaged: The file is not what was written.
        FileNotFoundError: There is none.
    """
    arrays, metadata = load(path)
    if "sha256" not in metadata or "header" not in metadata:
        raise Damaged(f"{path} is damaged: it has no checksum or header, so memlib's store did not write it")
    return arrays, json.loads(metadata["header"])


def save(path: Path | str, arrays: Arrays, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with this metadata and its checksum, as `write` does."""
    import numpy as np
    import torch
    from safetensors.torch import save as serialise

    tensors = {  # copied, because safetensors refuses tensors that share memory
        name: torch.from_numpy(np.array(a, order="C")) if isinstance(a, np.ndarray | np.generic)
        else a.detach().to("cpu", copy=True).contiguous()
        for name, a in arrays.items()
    }  # fmt: skip
    blob = memoryview(serialise(tensors))
    start = 8 + int.from_bytes(blob[:8], "little")
    table = json.loads(bytes(blob[8:start])) | {"__metadata__": dict(metadata)}
    table["__metadata__"]["sha256"] = _checksum(table, blob[start:])
    head = _json(table).encode()
    head += b" " * (-len(head) % 8)  # the payload starts at a multiple of 8
    _place(Path(path), [len(head).to_bytes(8, "little"), head, blob[start:]])


def load(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; its checksum is compared where it carries one.

    Raises:
        Damaged: The file is not what was written.
        FileNotFoundError: There is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as deserialise

    blob = verified(Path(path))
    try:
        return deserialise(blob), peek(path)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise Damaged(f"{path} is damaged: {error}") from error


def peek(path: Path | str) -> dict[str, str]:
    """Metadata of a safetensors file, without reading its arrays.

    Raises:
        Damaged: The file has no readable safetensors header.
    """
    with Path(path).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return _table(path, file.read(min(size, 100_000_000)), size).get("__metadata__", {})


def _table(path: Path | str, head: bytes, size: int) -> dict[str, Any]:
    try:
        if len(head) < size or not isinstance(table := json.loads(head), dict):
            raise ValueError("its header is cut off")
    except ValueError as error:  # JSON and Unicode errors are among these
        raise Damaged(f"{path} is damaged: no safetensors header ({error})") from error
    return table


def _checksum(table: dict[str, Any], payload: memoryview) -> str:
    """sha256 over names, dtypes, shapes, metadata (without the checksum) and bytes."""
    kept = {k: v for k, v in table["__metadata__"].items() if k != "sha256"}
    found = hashlib.sha256(_json(table | {"__metadata__": kept}).encode())
    found.update(payload)
    return found.hexdigest()


def verified(path: Path) -> bytes:
    """All bytes of a file, after its checksum was compared; no torch needed."""
    blob = path.read_bytes()
    start = 8 + int.from_bytes(blob[:8], "little")
    table = _table(path, blob[8:start], start - 8)
    metadata = table.get("__metadata__", {})
    expected = metadata.get("sha256")
    if expected is None and any(re.fullmatch("[0-9a-f]{64}", str(value)) for value in metadata.values()):
        raise Damaged(f"{path} is damaged: its checksum has lost its name")
    if expected is not None and expected != _checksum(table, memoryview(blob)[start:]):
        raise Damaged(f"{path} is damaged: its content does not match its checksum")
    return blob


def _place(path: Path, chunks: list[bytes | memoryview]) -> None:
    """Write beside the place, bring it to the disk, move it there; the draft never outlives a failure."""
    draft = path.with_name(f".{path.name}.tmp")  # one name: what a killed process left is written over
    with lock(path), _advised(path, sum(map(len, chunks))):
        try:
            with draft.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)  # the move itself reaches the disk with its folder
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _advised(path: Path, size: int) -> Iterator[None]:
    """Errors of a disk with the file, its size in bytes, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not write {path} ({size / 1e6:.1f} MB): {error.strerror}. Nothing half-written was left. Free "
            "some space (`python -m memlib.store prune`) or choose a disk that has room (MEMLIB_HOME, MEMLIB_DATA)",
        ) from error


# ---------------------------------------------------------------- one makes, others wait


def find_or_make(
    path: Path | str, make: Callable[[], tuple[Arrays, dict[str, Any]]]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The artefact at this path, made first if it is missing or damaged.

    Of several processes that want it, one makes it and the others wait. A damaged file is warned of by name. An
    artefact that is there is read also where nothing can be written.

    Args:
        make: called without arguments where the artefact is wanted; returns arrays and header for `write`.

    Raises:
        OSError: It is to be made where nothing can be written; said before it is made.
        NotMade: It is missing or damaged within `only_read`.
    """
    path = Path(path)
    if (found := find(path)) is not None:
        return found
    if _READ_ONLY.get():
        raise NotMade(f"{path.stem} is neither published nor in the store, or damaged")
    with lock(path):
        if (found := find(path, warn=True)) is not None:  # another process made it meanwhile
            return found
        write(path, *make())
    return read(path)


def find(path: Path, warn: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The artefact at this path; None where it is missing or damaged, of which it can warn."""
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except Damaged as error:
        if warn:
            warnings.warn(f"{error}. It is made again.", stacklevel=3)
        return None


def lock_of(path: Path) -> filelock.BaseFileLock:
    """The path's lock, one object a process: held twice, it is released twice."""
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the path's lock, which this process may hold already; says so when it has to wait."""
    import filelock

    try:
        held = lock_of(path)
        held.acquire(timeout=0)
    except OSError as error:  # filelock.Timeout is one, too
        if not isinstance(error, filelock.Timeout):
            raise OSError(
                error.errno,
                f"nothing can be written to {path.parent}: {error.strerror}. What lies there can be read; to make "
                f"{path.name}, choose another place (MEMLIB_HOME, MEMLIB_DATA)",
            ) from error
        logging.getLogger(__name__).warning("waiting for another process that is making %s", path)
        held.acquire()
    try:
        yield
    finally:
        held.release()
