"""Which encoders and measurements each notebook needs: plain data and no torch, so that an engine plans in a moment.

python -m memlib.studies plan SCALE              what there is to train and measure
python -m memlib.studies measure SCALE DIGEST    make one measurement, its encoder first if it is missing
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memlib.specs import EncoderSpec, nearest
from memlib.store import digest

RECIPE = 1  # changes when the meaning of measuring does

NOTEBOOKS = {  # the designs that each notebook reads
    "03_sslmem": ("papers", "halves"),
    "04_1_layermem": ("halves", "papers"),
    "05_1_unitmem": ("halves", "papers"),
}
SCALES = ("smoke", "laptop", "paper")
DESIGNS = ("halves", "papers")


@dataclass(frozen=True)
class Measurement:
    """One encoder, measured on its design's points and on as many as `external` test images (S_E).

    `name` says which it is among its design's: `halves-0`, `papers-f1`, `halves-0-untrained`.
    """

    name: str
    encoder: EncoderSpec
    views: int
    external: int

    def values(self) -> dict[str, Any]:
        """The fields that decide the numbers, as plain values."""
        return {"recipe": RECIPE, "encoder": self.encoder.digest, "views": self.views, "external": self.external}

    @property
    def digest(self) -> str:
        """The name of this measurement before its images are known: 16 hexadecimal digits."""
        return digest(self.values())

    def key(self, *fingerprints: str) -> str:
        """The key of this measurement on training and test images of these fingerprints."""
        return digest({"images": fingerprints, **self.values()})


@dataclass(frozen=True)
class Pair:
    """f and g of a pair, and both before training."""

    f: Measurement
    g: Measurement
    f_untrained: Measurement
    g_untrained: Measurement


def scale(name: str) -> dict[str, Any]:
    """The sizes of a scale, from `notebooks/scales/<name>.yaml`, or from a file of that form by its path.

    Raises:
        KeyError: There is no such scale.
    """
    import yaml

    path = Path(__file__).parents[1] / "notebooks" / "scales" / f"{name}.yaml"
    if name not in SCALES:
        path = Path(name)
        if path.suffix != ".yaml" or not path.exists():
            raise nearest(name, SCALES, "scale")
    return yaml.safe_load(path.read_text())


def pairs(scale_name: str, design: str, **overrides: Any) -> list[Pair]:
    """The pairs of encoders of a design at a scale.

    Args:
        design: `halves` (complementary halves) or `papers` (S_S shared; S_C of f; S_I of g).
        overrides: Fields of the scale's design, of its encoder, `views` or `external`; None: as the scale has it.

    Raises:
        KeyError: The scale, the design or an override is unknown.
    """
    sizes = scale(scale_name)
    if design not in DESIGNS:
        raise nearest(design, DESIGNS, "design")
    values = {**sizes["encoder"], **sizes["designs"][design], **sizes["measure"]}
    for name, value in overrides.items():
        if name not in values:
            raise nearest(name, values, "override")
        if value is not None:
            values[name] = value
    measure = {name: values.pop(name) for name in ("views", "external")}
    count, seed = values.pop("pairs"), values.pop("seed")
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"pairs={count!r}: allowed is a whole number of 1 or more")

    def both(points: str, name: str, seed: int) -> tuple[Measurement, Measurement]:
        spec = EncoderSpec(**values, points=points, seed=seed)
        untrained = EncoderSpec(**{**values, "epochs": 0}, points=points, seed=seed)
        return Measurement(name, spec, **measure), Measurement(f"{name}-untrained", untrained, **measure)

    result = []
    for j in range(count):
        sides = (f"half:{2 * j}/{2 * count}", f"half:{2 * j + 1}/{2 * count}") if design == "halves" else ("f", "g")
        names = (f"halves-{2 * j}", f"halves-{2 * j + 1}") if design == "halves" else (f"papers-f{j}", f"papers-g{j}")
        f, f_untrained = both(sides[0], names[0], seed + 2 * j)
        g, g_untrained = both(sides[1], names[1], seed + 2 * j + 1)
        result.append(Pair(f, g, f_untrained, g_untrained))
    return result


def measurements(scale_name: str, notebook: str | None = None) -> dict[str, Measurement]:
    """What a notebook (None: all of them) reads at a scale, by digest; encoders of early pairs first.

    Raises:
        KeyError: The scale or the notebook is unknown.
    """
    if notebook is not None and notebook not in NOTEBOOKS:
        raise nearest(notebook, NOTEBOOKS, "notebook")
    designs = dict.fromkeys(d for n in ([notebook] if notebook else NOTEBOOKS) for d in NOTEBOOKS[n])
    by_turns = sorted((t for d in designs for t in enumerate(pairs(scale_name, d))), key=lambda t: t[0])
    return {m.digest: m for _, pair in by_turns for m in _members(pair)}


def _members(pair: Pair) -> Iterator[Measurement]:
    yield from (pair.f, pair.g, pair.f_untrained, pair.g_untrained)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m memlib.studies", description=(__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="list what a scale trains and measures")
    plan.add_argument("scale")
    measure = commands.add_parser("measure", help="make one measurement, its encoder first if it is missing")
    measure.add_argument("scale")
    measure.add_argument("digest")
    measure.add_argument("--done", type=Path, help="write what was made here, as JSON, when it is done")
    options = parser.parse_args(arguments)
    try:
        listed = measurements(options.scale)
        if options.command == "plan":
            for key, m in listed.items():
                spec = m.encoder
                what = f"{spec.framework} {spec.arch} {spec.dataset}, {spec.epochs} epochs, seed {spec.seed}"
                print(f"{key}  {m.name:20s} {what}")
            return 0
        if options.digest not in listed:
            raise nearest(options.digest, listed, f"measurement of scale {options.scale}")
    except (KeyError, ValueError) as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    from memlib import tables

    path, header = tables.make(listed[options.digest], options.scale)
    if options.done:
        options.done.parent.mkdir(parents=True, exist_ok=True)
        options.done.write_text(
            json.dumps({"measurement": asdict(listed[options.digest]), "header": header}, indent=1)
        )
    print(f"{listed[options.digest].name}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
