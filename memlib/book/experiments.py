"""Experiments: what is cut into the encoders of designs, a run at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memlib.book.designs import pairs, scale
from memlib.specs import EncoderSpec, is_whole, nearest
from memlib.store import digest


@dataclass(frozen=True)
class Choice:
    """What a scale chooses of an experiment.

    Attributes:
        words: What it is, for the reader.
        whole: Whether it is a whole number; other choices are checked where they are used.
        least: The least that is allowed of whole numbers.
        several: Whether it can be a list of them.
        all: Whether None is allowed: all that there are.
    """

    words: str
    whole: bool = True
    least: int = 1
    several: bool = False
    all: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of experiment, which is a module of `memlib.book.cuts`.

    Attributes:
        recipe: Changes when the experiment's meaning does.
        choices: {name: what a scale chooses of it}.
    """

    recipe: int
    choices: dict[str, Choice]


VIEWS, TESTED = Choice("views of a point"), Choice("test images", all=True)
PRECISION, LR = Choice("precision", whole=False), Choice("learning rate", whole=False)
KINDS = {
    "replacement": Kind(
        2,
        {
            "sizes": Choice("layers replaced at once", several=True),
            "drawn": Choice("sets drawn of each size", all=True),
            "controls": Choice("of them by layers of g"),
            "tested": TESTED,
            "views": VIEWS,
        },
    ),
    "finetuning": Kind(
        2,
        {
            "tested": TESTED,
            "epochs": Choice("epochs"),
            "batch": Choice("batch"),
            "lr": LR,
            "precision": PRECISION,
            "seeds": Choice("seeds of a run"),
            "views": VIEWS,
        },
    ),
    "pruning": Kind(
        2,
        {
            "shares": Choice("shares pruned", whole=False),
            "draws": Choice("random draws in the table"),
            "curve_draws": Choice("random draws elsewhere"),
            "alone": Choice("share pruned of one layer alone", whole=False),
            "tested": TESTED,
            "unit_points": Choice("points of UnitMem", all=True),
            "views": VIEWS,
            "precision": PRECISION,
        },
    ),
    "injection": Kind(
        1,
        {
            "points": Choice("points"),
            "views": VIEWS,
            "epochs": Choice("epochs", least=0, several=True),
            "batch": Choice("batch"),
            "pool": Choice("views of a point that training draws from"),
            "lr": LR,
            "weight_decay": Choice("weight decay", whole=False),
        },
    ),
    "units": Kind(
        1,
        {
            "sets": Choice("other augmentation sets", whole=False),
            "counts": Choice("numbers of points", least=2, several=True),
            "concepts": Choice("classes that share a concept", whole=False),
            "views": VIEWS,
        },
    ),
    "training": Kind(
        1,
        {
            "snapshots": Choice("snapshots after epochs", whole=False),
            "tested": TESTED,
            "views": VIEWS,
        },
    ),
    "ablation": Kind(2, {"points": Choice("points of a set", all=True), "views": VIEWS}),
}
RUNS = {"runs": Choice("runs"), "probe_points": Choice("training images of a probe", all=True)}  # of every kind
COMMON = ("kind", "resources", "looks", "roles", "runs", "probe", "probe_points")


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
            "recipe": KINDS[self.kind].recipe,
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

    A scale's file has them as `{kind, roles: {f: base.f, donor: donors}, runs, looks, probe, probe_points, ...}`.
    Run i takes f (`base.f`), or g, of the design's pair i; or the i-th encoder of the design (`donors`), f and g of
    the first pair first. With `.untrained` behind it, the same before training.

    Args:
        only: The experiment that overrides are for; None: all that know them.
        overrides: `runs`, `probe`, `probe_points` and choices. None: as the scale has it.

    Raises:
        KeyError: The scale, a kind, a role's design or a choice is unknown.
        ValueError: A choice is missing, or a design has too few encoders for the runs.
    """
    sizes = scale(scale_name)
    found = {}
    known = {*COMMON[4:], *(name for kind in KINDS.values() for name in kind.choices)}
    for name in overrides:
        if name not in known:
            raise nearest(name, sorted(known), "override")
    for name, stated in (sizes.get("experiments") or {}).items():
        kind = stated.get("kind", name)
        if kind not in KINDS:
            raise nearest(kind, KINDS, f"kind of experiment {name!r}")
        choices = KINDS[kind].choices
        allowed = [*COMMON, *choices]
        asked = overrides if only in (None, name) else {}
        values = stated | {key: value for key, value in asked.items() if value is not None and key in allowed}
        for key in values:
            if key not in allowed:
                raise nearest(key, allowed, f"choice of experiment {name!r}")
        if missing := [key for key in ("roles", "runs", *choices) if key not in values]:
            raise ValueError(f"experiment {name!r} does not state {', '.join(missing)}")
        for key, choice in (RUNS | choices).items():
            if key in values:
                _check(name, key, values[key], choice)
        chosen = tuple((key, _frozen(values[key])) for key in choices)
        found[name] = [
            Experiment(
                f"{name}-{run}",
                kind,
                tuple((role, _encoder(scale_name, where, run)) for role, where in values["roles"].items()),
                tuple(values.get("probe") or ()),
                values.get("probe_points"),
                chosen,
            )
            for run in range(values["runs"])
        ]
    return found


def _check(experiment: str, name: str, value: Any, choice: Choice) -> None:
    """Refuse what is no number of things."""
    if not choice.whole or (value is None and choice.all):
        return
    counts = value if isinstance(value, list) and choice.several else [value]
    least = choice.least if isinstance(value, list) else 1  # the first of injection's epochs is the start
    if not counts or not all(is_whole(n, least) for n in counts):
        allowed = "whole numbers" if isinstance(value, list) else "a whole number"
        also = ", or null: all" if choice.all else ""
        raise ValueError(
            f"{name}={value!r} of experiment {experiment!r}: allowed is {allowed} of {least} or more{also}"
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
