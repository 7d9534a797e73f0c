"""Which encoders, measurements and experiments each notebook needs.

python -m memlib.studies plan SCALE                  what there is to train and measure
python -m memlib.studies train SCALE DIGEST          train the encoder of a spec's digest, if it is missing
python -m memlib.studies measure SCALE DIGEST ...    make measurements and runs of experiments, encoders first
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memlib import studies
from memlib.specs import EncoderSpec, nearest


def _line(m: studies.Planned) -> str:
    """A measurement or run in words, for the plan."""
    if isinstance(m, studies.Experiment):
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
    parser = argparse.ArgumentParser("python -m memlib.studies", description=(__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="list what a scale trains and measures")
    plan.add_argument("scale")
    train = commands.add_parser("train", help="train one encoder, if it is missing")
    measure = commands.add_parser("measure", help="make measurements, their encoders first if these are missing")
    for command, count in ((train, 1), (measure, "+")):
        command.add_argument("scale")
        command.add_argument("digests", nargs=count, metavar="digest", help="as `plan` lists them")
        command.add_argument("--done", type=Path, help="write what was made here, as JSON, when it is done")
    options = parser.parse_args(arguments)
    try:
        listed = studies.measurements(options.scale)
        if options.command == "plan":
            for key, m in listed.items():
                print(f"{key}  {m.encoders[0].digest}  {m.name:26s} {_line(m)}")
            return 0
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
    from memlib import processes, train

    processes.start()
    header = train.artefact(spec)[1]
    if processes.rank():
        return {}
    print(f"{spec.digest}: {header['steps']} steps")
    return {"encoder": asdict(spec), "header": header}


def _measured(measurement: studies.Planned, scale_name: str) -> dict[str, Any]:
    """Make a measurement or run, if it is missing; what is to be said of it."""
    from memlib import tables

    path, header = tables.make(measurement, scale_name)
    print(f"{measurement.name}: {path}")
    return {"measurement": asdict(measurement), "header": header}


if __name__ == "__main__":
    sys.exit(main())
