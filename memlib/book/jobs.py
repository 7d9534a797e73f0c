"""The jobs of an engine: one an encoder, one the measurements of a pair or a run, one a page. Plain data, no torch.

Where a scale's file says `jobs: 12`, so many jobs make all of it, encoders included: starting a process for each of
many encoders would take longer than training them.

python -m memlib.book.jobs look SCALE     where the encoders and measurements of a scale lie, as JSON
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from memlib.book.designs import SCALES, designs, pairs
from memlib.book.designs import scale as sizes_of
from memlib.book.experiments import experiments
from memlib.book.plan import Planned, measurements, members, reads
from memlib.specs import EncoderSpec, is_whole, nearest
from memlib.store import CHECKPOINT, digest, home

KINDS = ("train", "measure", "page")
DEFAULTS = {"gpus": 0, "threads": 1, "mem_mb": 4000, "runtime": 120}  # runtime in minutes


@dataclass(frozen=True)
class Plan:
    """What there is to train and to measure at a scale.

    Attributes:
        encoders: Specs by digest: those that a job trains, as making an untrained one is no job.
        measured: What a job makes, by digest: the measurements of a pair, early pairs of each design first; a run of
            an experiment.
        designs: {digest of a job: its design or experiment, or several}.
        scale: The scale's name.
    """

    encoders: dict[str, EncoderSpec]
    measured: dict[str, tuple[Planned, ...]]
    designs: dict[str, tuple[str, ...]]
    scale: str

    def of(self, notebook: str) -> list[str]:
        """Digests of the measuring jobs that a notebook needs; none where it is no page of designs."""
        read = {*reads(self.scale, notebook)}
        return [key for key in self.measured if read.intersection(self.designs[key])]


def plan(scale: str) -> Plan:
    """The plan of a scale.

    Raises:
        KeyError: The scale is unknown.
        ValueError: What its file says of `jobs` is no number of them.
    """
    few = sizes_of(scale).get("jobs")
    if few is not None and not is_whole(few, 1):
        raise ValueError(f"jobs={few!r}: allowed is a whole number of 1 or more, or nothing: one an encoder and pair")
    turns: list[tuple[int, str, Sequence[Planned]]] = []
    encoders: dict[str, tuple[EncoderSpec, str]] = {}
    for design in designs(scale):
        planned = pairs(scale, design)
        turns += [(turn, design, members(pair)) for turn, pair in enumerate(planned)]
        for m in (m for pair in planned for m in (pair.f, pair.g) if m.encoder.end):
            encoders.setdefault(m.encoder.digest, (m.encoder, design))
    for name, runs in experiments(scale).items():
        turns += [(turn, name, [run]) for turn, run in enumerate(runs, 1)]
    if few is None:
        jobs = [[turn] for turn in sorted(turns, key=lambda turn: turn[0])]
    else:  # a design stays in one piece
        names = [*dict.fromkeys(name for _, name, _ in turns)]
        jobs = [[turn for turn in turns if turn[1] in names[job::few]] for job in range(min(few, len(names)))]
        encoders = {}
    found = Plan({}, {}, {key: (design,) for key, (_, design) in encoders.items()}, scale)
    found.encoders.update({key: spec for key, (spec, _) in encoders.items()})
    for job in jobs:
        measured = tuple(m for _, _, some in job for m in some)
        key = digest([m.digest for m in measured])
        found.measured[key], found.designs[key] = measured, tuple(dict.fromkeys(name for _, name, _ in job))
    return found


def resources(scale: str, kind: str, *of: str) -> dict[str, int]:
    """What a job asks for: `gpus`, `threads`, `mem_mb`, and `runtime` in minutes.

    The `resources` of a scale's file say it for each kind of job, and those of a design for the jobs of its own; of
    several the most counts.

    Args:
        kind: `train`, `measure` or `page`.
        of: The job's designs or experiments; none: what the scale states.

    Raises:
        KeyError: A name is unknown.
        ValueError: A value is not a whole number, or below what a job needs.
    """
    if kind not in KINDS:
        raise nearest(kind, KINDS, "kind of job")
    sizes = sizes_of(scale)
    stated_of = {**sizes["designs"], **(sizes.get("experiments") or {})}
    if len(of) > 1:
        each = [resources(scale, kind, design) for design in of]
        return {name: max(one[name] for one in each) for name in DEFAULTS}
    for design in of:
        if design not in stated_of:
            raise nearest(design, stated_of, "design")
    wanted = dict(DEFAULTS)
    for place in (sizes, *(stated_of[design] for design in of)):
        stated: Mapping[str, Mapping[str, Any]] = place.get("resources") or {}
        for name in stated:
            if name not in KINDS:
                raise nearest(name, KINDS, "kind of job")
        for name, value in (stated.get(kind) or {}).items():
            if name not in DEFAULTS:
                raise nearest(name, DEFAULTS, "resource")
            least = 0 if name == "gpus" else 1
            if not is_whole(value, least):
                raise ValueError(f"{name}={value!r} of {kind}: allowed is a whole number of {least} or more")
            wanted[name] = value
    return wanted


def look(scale: str) -> dict[str, str | None]:
    """{digest of an encoder or measurement: where it lies, or will}; None where its images are not here.

    Raises:
        KeyError: The scale is unknown.
    """
    from memlib import data, store  # torch comes with these: an engine calls this in another process
    from memlib.book.paths import place

    known, folder = cache(data.fingerprint), store.home() / "encoders"
    found: dict[str, str | None] = {}
    for key, m in measurements(scale).items():
        places = {key: lambda m=m: place(m, scale, known)}
        for spec in m.encoders:
            places[spec.digest] = lambda s=spec: folder / f"{s.key(known(s.dataset, 'train'))}.safetensors"
        for name, where in places.items():
            try:
                found[name] = str(where())
            except (OSError, ValueError, KeyError):  # the job itself says what is wrong
                found[name] = None
    return found


def left(scale: str) -> set[Path]:
    """What a scale has left in the store: its measurements, and the encoders that no other scale wants.

    Raises:
        KeyError: The scale is unknown.
    """
    encoders, *wanted = (
        {Path(path) for path in look(name).values() if path is not None}
        for name in [scale, *(name for name in SCALES if name != scale)]
    )
    encoders = {path for path in encoders if path.parent == home() / "encoders"}.difference(*wanted)
    checkpoints = {path.with_name(path.name.removesuffix(".safetensors") + CHECKPOINT) for path in encoders}
    measured = (home() / "results" / Path(scale).stem).glob("*.safetensors")
    return {path for path in {*encoders, *checkpoints, *measured} if path.exists()}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m memlib.book.jobs", description=(__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("look", help="where the encoders and measurements of a scale lie").add_argument("scale")
    options = parser.parse_args(arguments)
    try:
        print(json.dumps(look(options.scale), indent=0))
    except KeyError as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
