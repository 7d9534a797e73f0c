"""python -m memlib.train [SPEC.json] [FIELD=VALUE ...]: train the encoder of a spec into the store

python -m memlib.train framework=simclr arch=vit_tiny dataset=digits size=16 epochs=2
torchrun --nproc_per_node 4 -m memlib.train spec.json batch=4096
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import traceback
from pathlib import Path

from memlib import store, train
from memlib.specs import EncoderSpec
from memlib.train import processes


def spec_of(parts: list[str]) -> EncoderSpec:
    """The spec of JSON files of fields, and of FIELD=VALUE; what comes later counts.

    Raises:
        KeyError: A field or a name is unknown.
        ValueError: A value is not allowed, a file is not a JSON object, or a part is neither.
    """
    values: dict = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if equals and not part.endswith(".json"):
            try:
                values[name] = json.loads(value)
            except ValueError:
                values[name] = value  # a name, which JSON would want in quotes
            continue
        if not Path(part).is_file():
            raise ValueError(f"{part!r} is neither a file nor FIELD=VALUE: allowed are spec.json or lr=0.001")
        try:
            found = json.loads(Path(part).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{part} is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise ValueError(f"{part} holds a {type(found).__name__}: allowed is an object of a spec's fields")
        values |= found
    return EncoderSpec.of(values)


def main(arguments: list[str] | None = None) -> int:
    """The command line; errors are one line, of each process that has one, and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m memlib.train",
        description="Train the encoder of a spec into the store, in one process or many.",
    )
    parser.add_argument(
        "spec", nargs="+", help="a JSON file of an EncoderSpec's fields, or FIELD=VALUE, value as JSON"
    )
    parser.add_argument("--root", type=Path, help="folder of data sets (default: MEMLIB_DATA)")
    parser.add_argument(
        "--save-every", type=float, default=train.SAVE_EVERY, help="seconds between checkpoints (%(default)s)"
    )
    chosen = parser.parse_args(arguments)
    launched = processes.launch()
    logging.basicConfig(
        level=logging.INFO if launched.rank == 0 else logging.WARNING,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
    )
    try:
        spec = spec_of(chosen.spec)
        processes.start()
        arrays, header = train.artefact(spec, chosen.root, chosen.save_every)
    except Exception as error:
        expected = isinstance(error, KeyError | ValueError | OSError | train.Diverged)
        if not expected:
            traceback.print_exc()
        said = error.args[0] if isinstance(error, KeyError) else error
        who = f"process {launched.rank} of {launched.count}: " if launched.count > 1 else ""
        print(f"{who}{said if expected else type(error).__name__}", file=sys.stderr, flush=True)
        if launched.count > 1:
            os._exit(1)  # leaving the others' exchanges takes no time: the launcher, or their broken line, ends them
        return 1
    if launched.rank == 0:
        key = spec.key(header["fingerprint"])
        loss = f", loss {float(arrays['loss'][-1]):.4f}" if len(arrays["loss"]) else ""
        print(f"{store.home() / 'encoders' / key}.safetensors")
        print(f"{header['steps']} steps{loss}, {header['seconds']} s, {header['processes']} processes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
