"""Experiments: what is cut into the encoders of designs, a run at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memlib.specs import EncoderSpec, nearest
from memlib.store import digest
from memlib.studies.designs import pairs, scale

RECIPES = {
    "replacement": 2,
    "finetuning": 2,
    "pruning": 2,
    "injection": 1,
}  # changes when an experiment's meaning does
CHOICES: dict[str, tuple[str, ...]] = {  # kind, which is a module of memlib.experiments: what a scale chooses of it
    "replacement": ("sizes", "drawn", "controls", "tested", "views"),
    "finetuning": ("tested", "epochs", "batch", "lr", "precision", "seeds", "views"),
    "pruning": ("shares", "draws", "curve_draws", "alone", "tested", "unit_points", "views", "precision"),
    "injection": ("points", "views", "epochs", "batch", "pool", "lr", "weight_decay"),
}
# whole numbers of 1 or more; None, where it is allowed, is all there are. `sizes` and `epochs` can be lists of them
COUNTS = (
    "sizes", "drawn", "controls", "tested", "views", "epochs", "batch", "seeds", "draws", "curve_draws",
    "unit_points", "points", "pool", "probe_points", "runs",
)  # fmt: skip
ALL = ("drawn", "tested", "unit_points", "probe_points")  # of these None is allowed
COMMON = ("kind", "resources", "roles", "runs", "probe", "probe_points")


@dataclass(frozen=True)
class Experiment:
    """One run of an experiment: its encoders by role, what they are probed on, and its choices, as plain data.

    `name` says which it is: `replacement-0`. `probe` names data sets, on which linear probes are fitted and tested;
    `probe_points` are the training images of each at most (None: all).
    """

    name: str
    kind: str
    roles: tuple[tuple[str, EncoderSpec], ...]
    probe: tuple[str, ...] = ()
    probe_points: int | None = None
    choices: tuple[tuple[str, Any], ...] = ()

    @property
    def encoders(self) -> tuple[EncoderSpec, ...]:
        """The encoders that this needs."""
        return tuple(spec for _, spec in self.roles)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that this needs, whose images its key takes."""
        return tuple(dict.fromkeys([*(spec.dataset for spec in self.encoders), *self.probe]))

    def encoder(self, role: str) -> EncoderSpec:
        """The spec of a role's encoder.

        Raises:
            KeyError: There is no such role.
        """
        roles = dict(self.roles)
        if role not in roles:
            raise nearest(role, roles, f"role of experiment {self.name!r}")
        return roles[role]

    def choice(self, name: str) -> Any:
        """What the scale chose; lists are tuples here.

        Raises:
            KeyError: There is no such choice.
        """
        choices = dict(self.choices)
        if name not in choices:
            raise nearest(name, choices, f"choice of experiment {self.name!r}")
        return choices[name]

    def values(self) -> dict[str, Any]:
        """The fields that decide the numbers, as plain values."""
        return {
            "recipe": RECIPES[self.kind],
            "experiment": self.kind,
            "encoders": {role: spec.digest for role, spec in self.roles},
            "probe": list(self.probe),
            "probe_points": self.probe_points,
            "choices": dict(self.choices),
        }

    @property
    def digest(self) -> str:
        """The name of this run before its images are known: 16 hexadecimal digits."""
        return digest(self.values())

    def key(self, *fingerprints: str) -> str:
        """The key of this run on images of these fingerprints."""
        return digest({"images": fingerprints, **self.values()})


def experiments(scale_name: str, only: str | None = None, **overrides: Any) -> dict[str, list[Experiment]]:
    """The experiments of a scale, by name: the runs of each.

    A scale's file has them as `{kind, roles: {f: halves.f, donor: donors}, runs, probe, probe_points, ...}`. Run i
    takes f (`halves.f`), or g, of the design's pair i; or the i-th encoder of the design (`donors`), f and g of the
    first pair first. With `.untrained` behind it, the same before training.

    Args:
        only: The experiment that overrides are for; None: all that know them.
        overrides: `runs`, `probe`, `probe_points` and choices. None: as the scale has it.

    Raises:
        KeyError: The scale, a kind, a role's design or a choice is unknown.
        ValueError: A choice is missing, or a design has too few encoders for the runs.
    """
    sizes = scale(scale_name)
    found = {}
    known = {*COMMON[3:], *(name for names in CHOICES.values() for name in names)}
    for name in overrides:
        if name not in known:
            raise nearest(name, sorted(known), "override")
    for name, stated in (sizes.get("experiments") or {}).items():
        kind = stated.get("kind", name)
        if kind not in CHOICES:
            raise nearest(kind, CHOICES, f"kind of experiment {name!r}")
        allowed = [*COMMON, *CHOICES[kind]]
        chosen = overrides if only in (None, name) else {}
        values = stated | {key: value for key, value in chosen.items() if value is not None and key in allowed}
        for key in values:
            if key not in allowed:
                raise nearest(key, allowed, f"choice of experiment {name!r}")
        if missing := [key for key in ("roles", "runs", *CHOICES[kind]) if key not in values]:
            raise ValueError(f"experiment {name!r} does not state {', '.join(missing)}")
        for key in (key for key in values if key in COUNTS):
            _check(name, key, values[key])
        choices = tuple((key, _frozen(values[key])) for key in CHOICES[kind])
        found[name] = [
            Experiment(
                f"{name}-{run}",
                kind,
                tuple((role, _encoder(scale_name, where, run)) for role, where in values["roles"].items()),
                tuple(values.get("probe") or ()),
                values.get("probe_points"),
                choices,
            )
            for run in range(values["runs"])
        ]
    return found


def _check(experiment: str, key: str, value: Any) -> None:
    """Refuse what is no number of things."""
    least = 0 if isinstance(value, list) and key == "epochs" else 1  # the first of injection's is the start
    counts = value if isinstance(value, list) and key in ("sizes", "epochs") else [value]
    if value is None and key in ALL:
        return
    if not counts or any(isinstance(n, bool) or not isinstance(n, int) or n < least for n in counts):
        allowed = "whole numbers" if isinstance(value, list) else "a whole number"
        also = ", or null: all" if key in ALL else ""
        raise ValueError(
            f"{key}={value!r} of experiment {experiment!r}: allowed is {allowed} of {least} or more{also}"
        )


def _encoder(scale_name: str, where: str, run: int) -> EncoderSpec:
    """The encoder that a role names, of one run."""
    design, *parts = where.split(".")
    for part in parts:
        if part not in ("f", "g", "untrained"):
            raise nearest(part, ("f", "g", "untrained"), f"encoder of design {design!r} in {where!r}")
    there = pairs(scale_name, design)
    sides = [side for side in ("f", "g") if side in parts or not {"f", "g"} & set(parts)]
    before = "_untrained" if "untrained" in parts else ""
    chosen = [getattr(pair, f"{side}{before}") for pair in there for side in sides]
    if run >= len(chosen):
        raise ValueError(
            f"run {run} of {where!r}: design {design!r} has {len(chosen)} such encoders; take fewer runs"
        )
    return chosen[run].encoder


def _frozen(value: Any) -> Any:
    """Lists as tuples, all the way down: an experiment is a value."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
