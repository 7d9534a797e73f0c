"""Designs: which encoders are trained on which points, in pairs, and what is measured of each."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from memlib.specs import EncoderSpec, is_whole, nearest
from memlib.store import digest

RECIPE = 1  # changes when the meaning of measuring does
SCALES = ("smoke", "laptop", "gpu", "paper")
KINDS = ("halves", "papers")
OF_TRAINING = ("stop", "until", "check", "epsilon", "delta", "clip")  # what an untrained encoder knows nothing of


@dataclass(frozen=True)
class Measurement:
    """One encoder, measured on its design's points and on as many as `external` test images (S_E).

    `name` says which it is among its design's: `halves-0`, `papers-f1`, `halves-0-untrained`. With `classes`
    ClassMem is measured, too; without `units` no unit is, where no page reads them; `probe` names the data sets on
    which a linear probe of the encoder is fitted and tested, on `probe_points` images of each split at most (None: on
    all).
    """

    name: str
    encoder: EncoderSpec
    views: int
    external: int
    classes: bool = False
    units: bool = True
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
        units = {} if self.units else {"units": False}
        probe = {"probe": list(self.probe), "probe_points": self.probe_points} if self.probe else {}
        return values | classes | units | probe

    @property
    def digest(self) -> str:
        """The name of this measurement before its images are known: 16 hexadecimal digits."""
        return digest(self.values())

    def key(self, *fingerprints: str) -> str:
        """The key of this measurement on training and test images of these fingerprints, and those of its probes."""
        return digest({"images": fingerprints, **self.values()})


@dataclass(frozen=True)
class PairPlan:
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


def sweep(scale_name: str, name: str) -> dict[str, str]:
    """A family of trainings that differ in one thing: {arm: its design}.

    Raises:
        KeyError: The scale or the sweep is unknown, or the design of an arm.
    """
    sizes = scale(scale_name)
    known = sizes.get("sweeps") or {}
    if name not in known:
        raise nearest(name, known, f"sweep of scale {scale_name}")
    arms = {str(arm): design for arm, design in known[name].items()}
    for arm, design in arms.items():
        if design not in sizes["designs"]:
            raise nearest(design, sizes["designs"], f"design of arm {arm!r} of sweep {name!r}")
    return arms


def looks(scale_name: str, name: str) -> tuple[int, ...]:
    """Numbers of pairs at which a design is judged, or of runs at which an experiment is, as its scale plans them in
    `looks`; none: once, with all.

    Raises:
        KeyError: The scale has no such design or experiment.
        ValueError: They are not whole numbers that rise.
    """
    sizes = scale(scale_name)
    known = sizes["designs"] | (sizes.get("experiments") or {})
    if name not in known:
        raise nearest(name, known, f"design or experiment of scale {scale_name}")
    found = known[name].get("looks", [])
    if not all(is_whole(k, 2) for k in found) or found != sorted(set(found)):
        raise ValueError(f"looks={found!r} of {name!r}: allowed are rising whole numbers of pairs from 2 on")
    return tuple(found)


def shares(planned: Sequence[int], pairs: int) -> tuple[float, ...]:
    """Shares of the planned pairs at which a design with so many was judged so far; (): it is judged once.

    Another number of pairs than the planned ones is a look of its own, behind those before it.
    """
    whole = max(*planned, pairs) if planned else pairs
    return tuple(k / whole for k in (*[k for k in planned if k < pairs], pairs)) if planned else ()


def pairs(scale_name: str, design: str, **overrides: Any) -> list[PairPlan]:
    """The pairs of encoders of a design at a scale.

    What a design does not state of the encoder and of measuring stands in the scale's `encoder` and `measure`.
    Its `kind`, where its name is not one, is `halves` (complementary halves) or `papers` (S_S shared; S_C of f;
    S_I of g). Halves can be of several disjoint `pools` of `subset` points, taken in turn: pairs j and j + pools
    are two partitions of one pool.

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
    values.pop("looks", None)  # of judging
    if kind not in KINDS:
        raise nearest(kind, KINDS, f"kind of design {design!r}")
    measured = [field.name for field in fields(Measurement) if field.name not in ("name", "encoder")]
    placed = ("points", "pool")  # by the design itself
    known = [field.name for field in fields(EncoderSpec) if field.name not in placed] + ["pairs", *measured]
    for name, value in overrides.items():
        if name not in known:
            raise nearest(name, known, "override")
        if value is not None:
            values[name] = value
    measure = {name: values.pop(name) for name in measured if name in values}
    measure["probe"] = tuple(measure.get("probe", ()))
    if measure.get("classes") and not measure.get("units", True):
        raise ValueError(f"classes: true and units: false of design {design!r}: ClassMem is one of units, take one")
    count, seed, pools = values.pop("pairs"), values.pop("seed"), values.pop("pools", None)
    for name, value in (("pairs", count), ("pools", 1 if pools is None else pools)):
        if not is_whole(value, 1):
            raise ValueError(f"{name}={value!r}: allowed is a whole number of 1 or more")
    if pools is not None and kind != "halves":
        raise ValueError(f"pools={pools} of design {design!r}: allowed with kind halves")
    plain = {name: value for name, value in values.items() if name not in OF_TRAINING}

    def both(points: str, name: str, seed: int, pool: int = 0) -> tuple[Measurement, Measurement]:
        spec = EncoderSpec.of({**values, "points": points, "seed": seed, "pool": pool})
        untrained = EncoderSpec.of({**plain, "epochs": 0, "points": points, "seed": seed, "pool": pool})
        return Measurement(name, spec, **measure), Measurement(f"{name}-untrained", untrained, **measure)

    result = []
    for j in range(count):
        first, second = 2 * j, 2 * j + 1
        halves = kind == "halves"
        sides = (f"half:{first}/{2 * count}", f"half:{second}/{2 * count}") if halves else ("f", "g")
        pool = j % (pools or 1)
        if pools is not None:  # named so that more pairs leave these as they are
            sides = (f"half:{j // pools * 2}", f"half:{j // pools * 2 + 1}")
        names = (f"{design}-{first}", f"{design}-{second}") if halves else (f"{design}-f{j}", f"{design}-g{j}")
        f, f_untrained = both(sides[0], names[0], seed + first, pool)
        g, g_untrained = both(sides[1], names[1], seed + second, pool)
        result.append(PairPlan(f, g, f_untrained, g_untrained))
    return result
