"""python -m memlib.store list | size | verify | prune [--scale SCALE] | publish --scale SCALE"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from memlib.store import CHECKPOINT, Damaged, home, peek, read, results, verified, write


def _artefacts() -> list[Path]:
    return sorted(home().glob("encoders/*.safetensors")) + sorted(home().glob("results/*/*.safetensors"))


def show() -> int:
    """One line an artefact: kind, size, path, and what its header says."""
    for path in _artefacts():
        kind = "measurement" if "results" in path.relative_to(home()).parts else "encoder"
        kind = "checkpoint" if path.name.endswith(CHECKPOINT) else kind
        try:
            header = peek(path).get("header", "")
        except Damaged:
            header = "DAMAGED"
        print(f"{kind:12}{path.stat().st_size / 1e6:9.2f} MB  {path}  {header[:160]}")
    return size()


def size() -> int:
    """How many artefacts there are, and how much room they take."""
    found = _artefacts()
    print(f"{len(found):,} artefacts, {sum(path.stat().st_size for path in found) / 1e6:,.1f} MB in {home()}")
    return 0


def verify() -> int:
    """Check every artefact; 1 where one is damaged, each named."""
    damaged = [reason for path in _artefacts() if (reason := _damage(path))]
    print(*damaged, f"{len(_artefacts())} artefacts in {home()}, {len(damaged)} damaged", sep="\n")
    if damaged:
        print("damaged ones are made again when wanted; `python -m memlib.store prune` removes them")
    return 1 if damaged else 0


def prune(also: Iterable[Path] = (), why: str = "") -> int:
    """Remove damaged files, drafts of killed processes, checkpoints of finished encoders; and others for a reason."""
    freed = sum(_remove(path, path, lambda _: why) for path in sorted(also))
    for draft in sorted(home().rglob(".*.tmp")):
        freed += _remove(draft, draft.with_name(draft.name[1:-4]), lambda _: "was left by a killed process")
    for path in _artefacts():
        freed += _remove(path, path, lambda path: _damage(path) or _finished(path))
    print(f"{freed / 1e6:.1f} MB freed in {home()}")
    return 0


def _damage(path: Path) -> str | None:
    try:
        verified(path)
        return None if "sha256" in peek(path) else f"{path} is damaged: it has no checksum of memlib's store"
    except FileNotFoundError:  # another process has moved or removed it
        return None
    except Damaged as error:
        return str(error)


def _finished(path: Path) -> str | None:
    encoder = path.with_name(path.name.removesuffix(CHECKPOINT) + ".safetensors")
    return "its encoder is finished" if path.name.endswith(CHECKPOINT) and encoder.exists() else None


def _remove(path: Path, artefact: Path, reason: Callable[[Path], str | None]) -> int:
    """Remove a file if there is a reason and no process is making the artefact; returns the bytes freed."""
    import filelock

    if not reason(path):
        return 0
    try:
        with filelock.FileLock(artefact.with_name(f".{artefact.name}.lock"), timeout=0):
            if not (why := reason(path)) or not path.exists():  # it was made again meanwhile
                return 0
            size = path.stat().st_size
            path.unlink()
            print(f"removed {path}: {why}")
            return size
    except filelock.Timeout:
        print(f"kept {path}: another process is making {artefact.name}")
        return 0


def publish(scale: str) -> int:
    """Copy this machine's measurements at a scale to the published ones."""
    found = sorted((home() / "results" / scale).glob("*.safetensors"))
    for path in found:
        target = results(scale) / path.name
        write(target, *read(path))
        target.with_name(f".{target.name}.lock").unlink()  # the published folder is committed
        print(f"published {target}")
    if not found:
        print(f"no measurement at scale {scale!r} in {home()}: run the notebooks first", file=sys.stderr)
    return 0 if found else 1


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m memlib.store", description=f"Artefacts in {home()}.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (show, size, verify, prune, publish):
        name = "list" if command is show else command.__name__
        added = commands.add_parser(name, help=(command.__doc__ or "").splitlines()[0])
        added.set_defaults(command=command)
        if command in (prune, publish):
            why = "what this scale alone has left, too" if command is prune else "whose measurements"
            added.add_argument("--scale", required=command is publish, help=why)
    chosen = vars(parser.parse_args(arguments))
    if chosen["command"] is prune and (scale := chosen.pop("scale")):  # the book knows what is a scale's
        return subprocess.call([sys.executable, "-m", "memlib.book", "prune", scale])
    return chosen.pop("command")(**chosen)


if __name__ == "__main__":
    sys.exit(main())
