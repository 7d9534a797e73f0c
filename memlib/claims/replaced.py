"""A run of the replacement experiment as the numbers that the claims of page 04_2_replacement are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from memlib.specs import nearest
from memlib.stats import kendall
from memlib.surgery.variants import highest

Steps = tuple[str, ...]
Rule = Literal["LayerMem", "delta"]
RULES: tuple[Rule, ...] = ("LayerMem", "delta")


@dataclass(frozen=True)
class Run:
    """One run of the experiment: f, whose layers were replaced, and what stood in.

    Attributes:
        accuracy: (role, steps) -> {data set: accuracy in [0, 1]}; ("f", ()) is f itself.
        own, theirs: the data sets of f and of the donor.
        layers: those that were measured, in forward order.
        rows: step -> layer at its end.
        previous: layer -> what its delta is taken against.
        mirrored: mirrored estimates [1 + T, L], before and after each of T replacements in f and g (C.11).
        parameters: step -> how many it has.
        similarity: role -> {step: cosine of BatchNorms: both, weights, biases, both by chance}.
        tested: test images of a probe.
        drawn: role -> {number of steps, of which not all sets were replaced: those drawn at random}.
    """

    accuracy: Mapping[tuple[str, Steps], Mapping[str, float]]
    own: str
    theirs: str
    layers: Sequence[str]
    rows: Mapping[str, str]
    previous: Mapping[str, str]
    mirrored: np.ndarray
    parameters: Mapping[str, int]
    similarity: Mapping[str, Mapping[str, Sequence[float]]]
    tested: int
    drawn: Mapping[str, Mapping[int, Sequence[Steps]]] = field(default_factory=dict)

    @property
    def steps(self) -> Steps:
        """What can be replaced, in forward order."""
        return tuple(self.rows)

    def sets(self, size: int, role: str = "donor") -> list[Steps]:
        """All sets of that size, or those drawn of them, that an encoder's steps replaced."""
        if size in self.drawn.get(role, {}):
            return list(self.drawn[role][size])
        return [steps for whose, steps in self.accuracy if whose == role and len(steps) == size]

    def sizes(self) -> list[int]:
        """How many steps were replaced at once, without the donor as a whole."""
        found = {len(steps) for role, steps in self.accuracy if role == "donor"}
        return sorted(n for n in found if n < len(self.steps))

    def lost(self, steps: Steps, role: str = "donor") -> float:
        """Accuracy that f loses on its own data set."""
        return self.accuracy["f", ()][self.own] - self.accuracy[role, steps][self.own]

    def gained(self, steps: Steps, role: str = "donor") -> float:
        """Accuracy that f gains on the donor's data set."""
        return self.accuracy[role, steps][self.theirs] - self.accuracy["f", ()][self.theirs]

    def at(self, layer: str, after: str | None = None) -> float:
        """Mirrored estimate of a layer, before or after a step was replaced."""
        return float(self.mirrored[0 if after is None else 1 + self.steps.index(after), self.layers.index(layer)])

    def memory(self, by: Rule = "LayerMem") -> dict[str, float]:
        """step -> mirrored estimate, or what it adds to its predecessor's; the first has none of that.

        Raises:
            KeyError: There is no such rule.
        """
        if by not in RULES:
            raise nearest(by, RULES, "rule of choice")
        if by == "LayerMem":
            return {step: self.at(row) for step, row in self.rows.items()}
        return {s: self.at(r) - self.at(self.previous[r]) for s, r in self.rows.items() if r in self.previous}

    def chosen(self, size: int, by: Rule, most: bool = True) -> Steps:
        """The most, or least, memorizing steps, in forward order."""
        sign = 1 if most else -1
        return highest({step: sign * score for step, score in self.memory(by).items()}, size)


def run(outcome: Any) -> Run:
    """A run from its stored outcome (`tables.Outcome`)."""
    header, arrays = outcome.header, outcome.arrays
    probed, roles = header["probe"], ("donor", "g", "untrained")
    accuracy = arrays["accuracy"].astype(np.float64).mean(2)  # [V, P]
    return Run(
        {
            (role, tuple(s)): dict(zip(probed, a.tolist(), strict=True))
            for (role, s), a in zip(header["variants"], accuracy, strict=True)
        },
        header["encoders"]["f"]["dataset"],
        header["encoders"]["donor"]["dataset"],
        tuple(header["layers"]),
        {step: header["rows"][step] for step in header["steps"]},  # the store sorts names
        dict(header["previous"]),
        arrays["mirrored"].astype(np.float64),
        dict(zip(header["steps"], arrays["parameters"].tolist(), strict=True)),
        {
            role: dict(zip(header["normed"], each.tolist(), strict=True))
            for role, each in zip(roles, arrays["similarity"], strict=True)
        },
        header["tested"],
        {
            role: {int(size): [tuple(steps) for steps in sets] for size, sets in by.items()}
            for role, by in header["drawn"].items()
        },
    )


Of = Callable[[Run], float]
Pick = Callable[[Run], Steps]


def chosen(size: int, by: Rule, most: bool = True) -> Pick:
    """The most, or least, memorizing steps of each run."""
    return lambda one: one.chosen(size, by, most)


def last(size: int) -> Pick:
    """The last steps."""
    return lambda one: one.steps[-size:]


def lost(steps: Steps | Pick, role: str = "donor") -> Of:
    """Accuracy that each run loses on its own data set."""
    return lambda one: one.lost(steps(one) if callable(steps) else steps, role)


def gained(steps: Steps | Pick, role: str = "donor") -> Of:
    """Accuracy that each run gains on the donor's data set."""
    return lambda one: one.gained(steps(one) if callable(steps) else steps, role)


def mean_lost(size: int, role: str = "donor") -> Of:
    """Accuracy lost by random layers of an encoder: the mean of all sets of that size, or of those drawn."""
    return lambda one: float(np.mean([one.lost(steps, role) for steps in one.sets(size, role)]))


def mean_gained(size: int, role: str = "donor") -> Of:
    """Accuracy gained by random layers, likewise."""
    return lambda one: float(np.mean([one.gained(steps, role) for steps in one.sets(size, role)]))


def memory(step: str, by: Rule = "LayerMem") -> Of:
    """What a step memorizes."""
    return lambda one: one.memory(by)[step]


def at(layer: str, after: str | None = None) -> Of:
    """Mirrored estimate of a layer, before or after a step was replaced."""
    return lambda one: one.at(layer, after)


def alike(role: str, which: int = 0, step: str | None = None) -> Of:
    """Cosine of f's BatchNorms and another encoder's: 0 both, 1 weights, 2 biases, 3 by chance; None: the mean."""

    def of(one: Run) -> float:
        each = one.similarity[role]
        return float(np.mean([each[name][which] for name in (each if step is None else [step])]))

    return of


Score = Callable[[Run], Mapping[str, float]]  # of a run, by layer


def tau(score: Score, role: str = "donor") -> Of:
    """Kendall's tau of a number by layer and the accuracy that a layer's replacement costs."""

    def of(one: Run) -> float:
        scores = score(one)
        cost = [one.lost((step,), role) for step in scores]
        values = list(scores.values())
        return kendall(values, cost)[0] if np.ptp(values) and np.ptp(cost) else 0.0

    return of


def depth(one: Run) -> dict[str, float]:
    """step -> its place."""
    return {step: float(place) for place, step in enumerate(one.steps)}


def parameters(one: Run) -> dict[str, float]:
    """step -> its number of parameters."""
    return {step: float(count) for step, count in one.parameters.items()}


def among(layers: Score, score: Score) -> Score:
    """Another score of the layers that one speaks of: the first layer has no delta."""
    return lambda one: {step: score(one)[step] for step in layers(one)}


def less(a: Of, b: Of) -> Of:
    """One number less another of the same run."""
    return lambda one: a(one) - b(one)
