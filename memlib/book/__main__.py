"""Which encoders, measurements and experiments each notebook needs.

python -m memlib.book plan SCALE                  what there is to train and measure
python -m memlib.book train SCALE DIGEST          train the encoder of a spec's digest, if it is missing
python -m memlib.book measure SCALE DIGEST ...    make measurements and runs of experiments, encoders first
python -m memlib.book prune SCALE                 take away what a scale alone has left in the store
python -m memlib.book verdicts SCALE [--csv FILE] every claim with its verdict, from what is stored
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memlib.book.plan import Experiment, Planned, measurements
from memlib.specs import EncoderSpec, nearest


def _line(m: Planned) -> str:
    """A measurement or run in words, for the plan."""
    if isinstance(m, Experiment):
        return f"{m.kind} of {', '.join(f'{role} {spec.digest}' for role, spec in m.roles)}"
    spec = m.encoder
    said = [f"{spec.framework} {spec.arch} {spec.dataset}", f"{spec.end} epochs", f"seed {spec.seed}"]
    said += [f"until the probe reaches {spec.until:g}"] if spec.until else []
    said += [f"epsilon {spec.epsilon:g}"] if spec.epsilon else []
    said += ["ClassMem"] if m.classes else []
    said += [f"probed on {', '.join(m.probe)}"] if m.probe else []
    return ", ".join(said)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m memlib.book", description=(__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="list what a scale trains and measures")
    prune = commands.add_parser("prune", help="take away what a scale alone has left in the store")
    verdicts = commands.add_parser("verdicts", help="judge every claim of a scale by what is stored; makes nothing")
    verdicts.add_argument("--csv", nargs="?", const="-", metavar="FILE", help="as CSV, to a file or to be piped")
    verdicts.add_argument("--svg", type=Path, metavar="FILE", help="also draw the start page's figure into a file")
    for command in (plan, prune, verdicts):
        command.add_argument("scale")
    train = commands.add_parser("train", help="train one encoder, if it is missing")
    measure = commands.add_parser("measure", help="make measurements, their encoders first if these are missing")
    for command, count in ((train, 1), (measure, "+")):
        command.add_argument("scale")
        command.add_argument("digests", nargs=count, metavar="digest", help="as `plan` lists them")
        command.add_argument("--done", type=Path, help="write what was made here, as JSON, when it is done")
    options = parser.parse_args(arguments)
    try:
        listed = measurements(options.scale)
        if options.command == "plan":
            for key, m in listed.items():
                print(f"{key}  {m.encoders[0].digest}  {m.name:26s} {_line(m)}")
            return 0
        if options.command == "prune":
            return _pruned(options.scale)
        if options.command == "verdicts":
            return _verdicts(options.scale, options.csv, options.svg)
        specs = {spec.digest: spec for m in listed.values() for spec in m.encoders}
        what, known = ("encoder", [*specs]) if options.command == "train" else ("measurement", [*listed])
        for key in options.digests:
            if key not in known:
                raise nearest(key, known, f"{what} of scale {options.scale}")
    except (KeyError, ValueError) as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if options.command == "train":
        made = [_trained(specs[key]) for key in options.digests]
    else:
        made = [_measured(listed[key], options.scale) for key in options.digests]
    if options.done and all(made):
        options.done.parent.mkdir(parents=True, exist_ok=True)
        options.done.write_text(json.dumps(made, indent=1))
    return 0


def _trained(spec: EncoderSpec) -> dict[str, Any]:
    """Train an encoder, if it is missing; what is to be said of it, by the first of several processes."""
    from memlib import train
    from memlib.train import processes

    processes.start()
    header = train.artefact(spec)[1]
    if processes.rank():
        return {}
    print(f"{spec.digest}: {header['steps']} steps")
    return {"encoder": asdict(spec), "header": header}


def _pruned(scale_name: str) -> int:
    """Remove a scale's measurements, the encoders that are its alone, and what is damaged or half made."""
    from memlib.book import jobs
    from memlib.store.__main__ import prune

    return prune(jobs.left(scale_name), f"is of scale {Path(scale_name).stem}")


def _verdicts(scale_name: str, csv: str | None, svg: Path | None) -> int:
    """Print every claim with its verdict, or write them as CSV; what is missing is said on standard error."""
    from memlib.book import board, scoreboard

    rows, missing = scoreboard.judged(scale_name)
    for page, what in missing.items():
        print(f"{page} did not run at {Path(scale_name).stem}: {what}", file=sys.stderr)
    if csv is None:
        for row in rows:
            print(f"{row['ids']:8s} {row['page']}/{row['claim']:16s} {row['verdict']}. {row['reason']}")
    elif csv == "-":
        print(scoreboard.text(rows), end="")
    else:
        Path(csv).parent.mkdir(parents=True, exist_ok=True)
        Path(csv).write_text(scoreboard.text(rows), encoding="utf-8")
    if svg:
        svg.write_text(board.drawing(rows, Path()), encoding="utf-8")
    return 0


def _measured(measurement: Planned, scale_name: str) -> dict[str, Any]:
    """Make a measurement or run, if it is missing; what is to be said of it."""
    from memlib.book import runs

    path, header = runs.make(measurement, scale_name)
    print(f"{measurement.name}: {path}")
    return {"measurement": asdict(measurement), "header": header}


if __name__ == "__main__":
    sys.exit(main())
