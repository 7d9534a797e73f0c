"""python -m memlib.data list | prepare NAME | pack NAME --to DIR"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from memlib.data import NAMES, SPLITS, default_root, load, pack, where


def show(root: Path) -> None:
    """One line a data set: its name, and where its splits lie."""
    packs = [path.parent.name for path in sorted(root.glob("*/train.safetensors"))]
    for name in dict.fromkeys([*NAMES, *packs]):
        places = []
        for split in SPLITS:
            try:
                found = where(name, split, root)
            except FileNotFoundError:
                found = None
            if found is not None:
                places.append(f"{split}: {' '.join([found.kind, *map(str, found.paths[:1])])}")
        missing = f"a folder that you put into {root / name}" if name == "imagenet" else "`prepare` downloads it"
        print(f"{name:16}{', '.join(places) or f'not here: {missing}'}")
    print(f"{'folder:PATH':16}any folder of images, in one subfolder a class or flat without labels")


def prepare(name: str, root: Path) -> None:
    """Bring a data set here if it is not, and read all of it once."""
    for split in SPLITS:
        try:
            print(load(name, split, root))
        except FileNotFoundError:
            if split == "train":
                raise
            print(f"{name} has no test split")


def main(arguments: list[str] | None = None) -> int:
    """The command line; errors are one line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m memlib.data", description="Data sets of images.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="data sets, and where they lie on this machine")
    preparing = commands.add_parser("prepare", help="bring a data set to this machine and check it")
    packing = commands.add_parser("pack", help="write a data set as one file a split, for a machine without internet")
    for command in (listing, preparing, packing):
        command.add_argument("--root", type=Path, help="folder of data sets (default: MEMLIB_DATA)")
    for command in (preparing, packing):
        command.add_argument("name")
    packing.add_argument("--to", type=Path, required=True, help="folder to write to, a MEMLIB_DATA for that machine")
    packing.add_argument("--size", type=int, help="side of the images, where files come in several sizes")
    packing.add_argument("--count", type=int, help="keep no more than this many images a split")
    chosen = parser.parse_args(arguments)
    root = default_root(chosen.root)
    try:
        if chosen.command == "list":
            show(root)
        elif chosen.command == "prepare":
            prepare(chosen.name, root)
        else:
            for path in pack(chosen.name, chosen.to, root, chosen.size, chosen.count):
                print(f"wrote {path}")
    except (KeyError, ValueError, OSError) as error:
        print(error.args[0] if isinstance(error, KeyError) else error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
