"""What a run of the replacement experiment says: numbers of f with other encoders' layers, as estimates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from memlib.book.cuts.replacement import ROLES
from memlib.book.estimates import Estimate, rank
from memlib.book.runs import Run, Runs
from memlib.specs import nearest
from memlib.surgery.variants import highest

RULES = ("LayerMem", "delta")

Steps = tuple[str, ...]
Pick = Callable[[Run], Steps]


def accuracy(role: str, steps: Steps | Pick, where: str = "f") -> Estimate:
    """Accuracy in [0, 1] of f with a role's encoder in the place of some steps, mean over seeds.

    Args:
        steps: Which; or which each run takes. None of role "f" is f itself.
        where: On whose data set: "f", or "donor".
    """

    def of(run: Run) -> float:
        known = [(whose, *some) for whose, some in run.header["variants"]]
        wanted = role, *(steps(run) if callable(steps) else steps)
        if wanted not in known:
            raise nearest(" ".join(wanted), map(" ".join, known), "variant of f")
        column = run.header["probe"].index(run.header["encoders"][where]["dataset"])
        return float(run.arrays["accuracy"][known.index(wanted), column].mean(dtype=np.float64))

    return Estimate(of)


def lost(steps: Steps | Pick, role: str = "donor") -> Estimate:
    """Accuracy that f loses on its own data set."""
    return accuracy("f", ()) - accuracy(role, steps)


def gained(steps: Steps | Pick, role: str = "donor") -> Estimate:
    """Accuracy that f gains on the donor's data set."""
    return accuracy(role, steps, "donor") - accuracy("f", (), "donor")


def randomly(number: Callable[[Steps, str], Estimate], size: int, role: str = "donor") -> Estimate:
    """The mean of a number over all sets of so many steps that were replaced, or those that were drawn of them."""
    return Estimate(lambda run: float(np.mean([number(some, role)(run) for some in sets(run, size, role)])))


def sets(run: Run, size: int, role: str = "donor") -> list[Steps]:
    """All sets of that size that a role's steps replaced; the drawn ones where not all there are."""
    drawn = run.header["drawn"].get(role, {}).get(str(size))
    return [
        tuple(one) for one in drawn or [s for whose, s in run.header["variants"] if (whose, len(s)) == (role, size)]
    ]


def at(layer: str, after: str | None = None) -> Estimate:
    """The mirrored estimate of a layer, before or after a step was replaced in f and in g by the donor's."""

    def of(run: Run) -> float:
        row = 0 if after is None else 1 + run.header["steps"].index(after)
        return float(run.arrays["mirrored"][row, run.header["layers"].index(layer)])

    return Estimate(of, scale="log ratio")


def memory(runs: Iterable[Run], by: str = "LayerMem") -> dict[str, Estimate]:
    """{step: what it memorizes, or what it adds to its predecessor (delta)}; the first has no predecessor."""
    header = next(iter(runs)).header
    ends = {step: header["rows"][step] for step in header["steps"]}  # the store sorts names
    if by == "LayerMem":
        return {step: at(row) for step, row in ends.items()}
    return {step: at(row) - at(before) for step, row in ends.items() if (before := header["previous"].get(row))}


def chosen(size: int, by: str = "LayerMem", most: bool = True) -> Pick:
    """The most, or least, memorizing steps of each run, in forward order."""
    sign = 1 if most else -1
    return lambda run: highest({step: sign * of(run) for step, of in memory([run], by).items()}, size)


def last(size: int) -> Pick:
    """The last steps."""
    return lambda run: tuple(run.header["steps"][-size:])


def alike(role: str, which: int = 0, step: str | None = None) -> Estimate:
    """Cosine of the BatchNorms of f and a role: 0 both, 1 weights, 2 biases, 3 both by chance; mean over steps."""

    def of(run: Run) -> float:
        column = run.arrays["similarity"][ROLES[1:].index(role), :, which].astype(np.float64)
        return float(column.mean() if step is None else column[run.header["normed"].index(step)])

    return Estimate(of)


def steps(runs: Runs) -> Steps:
    """The steps that were replaced, in forward order."""
    return tuple(runs[0].header["steps"])


def tau(by: Mapping[str, Any], role: str = "donor") -> Estimate:
    """Kendall's tau of a number by layer and the accuracy that replacing the layer costs."""
    return rank([lost((step,), role) for step in by], list(by.values()))


def drop(runs: Runs, step: str) -> Estimate:
    """What a layer memorized minus what is left of it after it was replaced."""
    row = runs[0].header["rows"][step]
    return at(row) - at(row, step)


def donor(runs: Runs) -> str:
    """The donor's data set."""
    return runs[0].header["encoders"]["donor"]["dataset"]


def sizes(runs: Runs) -> list[int]:
    """How many steps were replaced at once, without the donor as a whole."""
    found = {len(steps) for role, steps in runs[0].header["variants"] if role == "donor"}
    return sorted(found - {len(runs[0].header["steps"])})
