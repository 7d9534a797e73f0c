"""Studies of made-up measurements: ResNet9s that memorize where they are told to, or nothing."""

from copy import copy
from dataclasses import replace

import numpy as np
import torch

from memlib.book.cuts.ablation import WAYS, in_bytes
from memlib.book.measuring import Table
from memlib.book.pieces import Piece, Pieces
from memlib.book.runs import Run
from memlib.book.study import Study
from memlib.encoders import build_encoder
from memlib.pairs import S_C, S_E, S_I, pair_of
from memlib.specs import EncoderSpec

KINDS = {layer.name: layer.kind for layer in build_encoder("resnet9").layers}
CONVOLUTIONS = [row for row, kind in KINDS.items() if kind == "conv"]
DEEPER = dict(zip(CONVOLUTIONS, [0.06, 0.09, 0.12, 0.18, 0.21, 0.30, 0.33, 0.39], strict=True))
SPEC = EncoderSpec(framework="simclr", arch="resnet9", dataset="digits", points="half:0/8", epochs=1, batch=10)


class Pictures(Study):
    """A study whose images are noise, so that no data set is needed."""

    def images(self, rows):
        rng = np.random.default_rng(0)
        return {name: rng.integers(0, 255, (len(of), 32, 32, 3), dtype=np.uint8) for name, of in rows.items()}


def study(levels=None, pairs=4, points=240, external=120, units=0.0, seed=0, noise=0.02, shared=0.5, offset=0.04):
    """Pairs of complementary halves of one pool.

    Args:
        levels: {row: what it and the rows behind it memorize, as half a log ratio}; None: nothing.
        units: Share of the units that respond most to a point that the encoder saw, and by how much UnitMem is higher
            on such points; {row: share} where layers differ.
        shared: How much of what tells points apart without memory a convolution has in common with the one before.
        offset: How much f and g differ on every point.
    """
    rng, found = np.random.default_rng(seed), []
    strength, base = rng.standard_normal(
        (2, points + external)
    )  # of memory, and of a point's distances, by any encoder
    for number in range(pairs):
        sets = np.append(rng.permutation(np.repeat([S_C, S_I], points // 2)), np.full(external, S_E))
        made = []
        for of, share in ((levels or {}, units), ({}, 0.0)):  # after training and before it
            f, g = _sides(rng, sets, of, strength, base, noise, shared, offset)
            tables = [_table(rng, sets, saw, align, share) for saw, align in ((S_C, f), (S_I, g))]
            made.append(Piece(*tables, pair_of(*tables), None, number))
        found.append(replace(made[0], before=made[1]))
    return Pictures(found, scale="smoke", design="halves")


def _sides(rng, sets, levels, strength, base, noise, shared, offset):
    """Distances of f and g: features drift with depth, and with them which points are memorized most."""
    mark = np.select([sets == S_C, sets == S_I], [1.0, -1.0])
    f, g, level, between, own, odd = {}, {}, 0.0, offset * rng.normal(), rng.standard_normal(sets.size), strength
    for row, kind in KINDS.items():
        level = levels.get(row, level)
        if kind == "conv":
            own = shared * own + (1 - shared**2) ** 0.5 * rng.standard_normal(sets.size)
            odd = 0.9 * odd + 0.4 * rng.standard_normal(sets.size)
            between = 0.7 * (between + offset * rng.normal())
        log = between + noise * own + level * mark * np.exp(0.5 * odd - 0.125)
        views = 0.2 * noise * rng.standard_normal((2, sets.size))
        f[row], g[row] = (0.3 * np.exp(0.2 * base + sign * (log + views)).astype(np.float32) for sign in (-1, 1))
    return f, g


def _table(rng, sets, saw, align, share, units=64):
    """A measured encoder; its units are selective whether they memorize or not."""
    told, seen = np.flatnonzero(np.isin(sets, (S_C, S_I))), sets == saw
    shares = share if isinstance(share, dict) else dict.fromkeys(CONVOLUTIONS, share)
    unitmem = {name: {} for name in ("seen", "unseen", "external", "seen-0", "seen-1", "seen-2")}
    strongest = {}
    for i, row in enumerate(CONVOLUTIONS):
        base, known = 0.40 + 0.01 * i + 0.05 * rng.standard_normal(units), shares.get(row, 0.0)
        for name, scores in unitmem.items():
            more = known if name.startswith("seen") else 0.0
            scores[row] = np.clip(base + more + 0.01 * rng.standard_normal(units), 0, 1)
        own = rng.random(units) < known
        strongest[row] = np.where(own, rng.choice(np.flatnonzero(seen), units), rng.choice(told, units))
    active = {row: np.ones(units, dtype=bool) for row in CONVOLUTIONS}
    header = {"encoder": SPEC.values(), "points_a_set": int(seen.sum()), "name": "made up"}
    return Table(np.arange(sets.size), sets, seen, align, unitmem, strongest, active, header, False)


def verdicts(page, study, *names, others=()):
    """{claim: its verdict}, of some of a page's claims alone."""
    alone = copy(page)
    alone.claims = {name: page.claims[name] for name in names}
    return {name: one.verdict for name, one in alone.judge(study, *others).items()}


def again(study, spiked=True, cosine=2.0, units=12, scale=0.0):
    """The pairs of a study, measured again by every distance, and the activations of their units.

    Args:
        spiked: Whether, in every layer, the points that f or g saw and that all pairs memorize most drive some units.
        cosine: How many times as large half the log ratio is by cosine distance: 2, as it is half the square of l2.
        scale: How much larger representations of f are than those of g: raw distances have it.
    """
    rng, rows = np.random.default_rng(1), [*CONVOLUTIONS, "Res2", "Res6", "output"]
    found = []
    for piece in study:
        told = np.flatnonzero(piece.pair.sets != S_E)
        l2 = np.stack([[one.align[row].mean(0)[told] for row in rows] for one in (piece.f, piece.g)])
        noise = np.exp(0.001 * rng.standard_normal((3, *l2.shape)))
        raw = l2 * np.exp(scale * np.array([1.0, -1.0]))[:, None, None]
        align = np.stack([l2, 3 * l2 * noise[0], l2**cosine / 2 * noise[2], l2 / np.pi * noise[1], raw], 1)
        score = study.scores("output", study.pieces, told)
        active = 1 + 0.1 * rng.random((3, told.size, units * len(CONVOLUTIONS)))
        for one, seen in enumerate(
            (piece.f.seen, piece.g.seen) if spiked else ()
        ):  # before training nothing is known
            own = np.flatnonzero(seen[told])
            known = own[np.argsort(-score[own])][: own.size // 5]
            active[one, np.resize(known, active.shape[2]), np.arange(active.shape[2])] += 3
        ends = np.stack([active.min(1), active.max(1)], axis=1)
        codes = in_bytes(torch.from_numpy(active), torch.from_numpy(ends)).numpy()
        arrays = {"align": align.astype(np.float32), "units": codes, "ends": ends, "rows": told}
        header = {"ways": list(WAYS), "rows": rows, "layers": CONVOLUTIONS, "counts": [units] * len(CONVOLUTIONS)}
        found.append(Run(arrays, header, False, None))
    return Pieces(found)
