"""A run of the replacement experiment as the numbers that the claims of page 04_2_replacement are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

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

    @property
    def steps(self) -> Steps:
        """What can be replaced, in forward order."""
        return tuple(self.rows)

    def sets(self, size: int) -> list[Steps]:
        """All sets of that size that the donor replaced."""
        return [steps for role, steps in self.accuracy if role == "donor" and len(steps) == size]

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
        """step -> mirrored estimate, or what it adds to its predecessor's; the first has none of that."""
        if by == "LayerMem":
            return {step: self.at(row) for step, row in self.rows.items()}
        return {s: self.at(r) - self.at(self.previous[r]) for s, r in self.rows.items() if r in self.previous}

    def chosen(self, size: int, by: Rule, most: bool = True) -> Steps:
        """The most, or least, memorizing steps, in forward order."""
        memory = self.memory(by)
        ranked = sorted(memory, key=lambda step: -memory[step] if most else memory[step])[:size]
        return tuple(step for step in self.steps if step in ranked)


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
        dict(header["rows"]),
        dict(header["previous"]),
        arrays["mirrored"].astype(np.float64),
        dict(zip(header["steps"], arrays["parameters"].tolist(), strict=True)),
        {
            role: dict(zip(header["normed"], each.tolist(), strict=True))
            for role, each in zip(roles, arrays["similarity"], strict=True)
        },
        header["tested"],
    )
