"""Designs: which encoders are trained on which points, in pairs, and what is measured of each."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from memlib.specs import EncoderSpec, nearest
from memlib.store import digest

RECIPE = 1  # changes when the meaning of measuring does
SCALES = ("smoke", "laptop", "paper")
KINDS = ("halves", "papers")
OF_TRAINING = ("stop", "until", "check", "epsilon", "delta", "clip")  # what an untrained encoder knows nothing of


@dataclass(frozen=True)
class Measurement:
    """One encoder, measured on its design's points and on as many as `external` test images (S_E).

    `name` says which it is among its design's: `halves-0`, `papers-f1`, `halves-0-untrained`. With `classes`
    ClassMem is measured, too; `probe` names the data sets on which a linear probe of the encoder is fitted and
    tested, on `probe_points` images of each split at most (None: on all).
    """

    name: str
    encoder: EncoderSpec
    views: int
    external: int
    classes: bool = False
    probe: tuple[str, ...] = ()
    probe_points: int | None = None

    @property
    def encoders(self) -> tuple[EncoderSpec, ...]:
        """The encoders that this needs."""
        return (self.encoder,)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that this needs, whose images its key takes."""
        return (self.encoder.dataset, *self.probe)

    def values(self) -> dict[str, Any]:
        """The fields that decide the numbers, as plain values; what is not measured leaves no trace."""
        values = {"recipe": RECIPE, "encoder": self.encoder.digest, "views": self.views, "external": self.external}
        classes = {"classes": True} if self.classes else {}
        probe = {"probe": list(self.probe), "probe_points": self.probe_points} if self.probe else {}
        return values | classes | probe

    @property
    def digest(self) -> str:
        """The name of this measurement before its images are known: 16 hexadecimal digits."""
        return digest(self.values())

    def key(self, *fingerprints: str) -> str:
        """The key of this measurement on training and test images of these fingerprints, and those of its probes."""
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
    path = Path(__file__).parents[2] / "notebooks" / "scales" / f"{name}.yaml"
    if name not in SCALES:
        path = Path(name)
        if path.suffix != ".yaml" or not path.exists():
            raise nearest(name, SCALES, "scale")
    return deepcopy(_parsed(path.read_text()))


@lru_cache(maxsize=8)
def _parsed(text: str) -> dict[str, Any]:
    """The content of a scale's file, read once: every design asks for it."""
    import yaml

    return yaml.safe_load(text)


def designs(scale_name: str) -> tuple[str, ...]:
    """The designs of a scale, as its file has them.

    Raises:
        KeyError: There is no such scale.
    """
    return tuple(scale(scale_name)["designs"])


def pairs(scale_name: str, design: str, **overrides: Any) -> list[Pair]:
    """The pairs of encoders of a design at a scale.

    What a design does not state of the encoder and of measuring stands in the scale's `encoder` and `measure`.
    Its `kind`, where its name is not one, is `halves` (complementary halves) or `papers` (S_S shared; S_C of f;
    S_I of g).

    Args:
        design: One of `designs(scale_name)`.
        overrides: Fields of `EncoderSpec` but its points; `pairs`; fields of `Measurement` but its name. None: as
            the scale has it.

    Raises:
        KeyError: The scale, the design or a field is unknown.
        ValueError: A value is out of its range.
    """
    sizes = scale(scale_name)
    if design not in sizes["designs"]:
        raise nearest(design, sizes["designs"], "design")
    values = {**sizes["encoder"], **sizes["measure"], **sizes["designs"][design]}
    kind = values.pop("kind", design)
    values.pop("resources", None)  # of jobs: they change no number
    if kind not in KINDS:
        raise nearest(kind, KINDS, f"kind of design {design!r}")
    measured = [field.name for field in fields(Measurement) if field.name not in ("name", "encoder")]
    known = [field.name for field in fields(EncoderSpec) if field.name != "points"] + ["pairs", *measured]
    for name, value in overrides.items():
        if name not in known:
            raise nearest(name, known, "override")
        if value is not None:
            values[name] = value
    measure = {name: values.pop(name) for name in measured if name in values}
    measure["probe"] = tuple(measure.get("probe", ()))
    count, seed = values.pop("pairs"), values.pop("seed")
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"pairs={count!r}: allowed is a whole number of 1 or more")
    plain = {name: value for name, value in values.items() if name not in OF_TRAINING}

    def both(points: str, name: str, seed: int) -> tuple[Measurement, Measurement]:
        spec = EncoderSpec.of({**values, "points": points, "seed": seed})
        untrained = EncoderSpec.of({**plain, "epochs": 0, "points": points, "seed": seed})
        return Measurement(name, spec, **measure), Measurement(f"{name}-untrained", untrained, **measure)

    result = []
    for j in range(count):
        first, second = 2 * j, 2 * j + 1
        halves = kind == "halves"
        sides = (f"half:{first}/{2 * count}", f"half:{second}/{2 * count}") if halves else ("f", "g")
        names = (f"{design}-{first}", f"{design}-{second}") if halves else (f"{design}-f{j}", f"{design}-g{j}")
        f, f_untrained = both(sides[0], names[0], seed + first)
        g, g_untrained = both(sides[1], names[1], seed + second)
        result.append(Pair(f, g, f_untrained, g_untrained))
    return result
