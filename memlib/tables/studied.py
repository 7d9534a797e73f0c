"""A design, measured: its encoders as pairs, with what must not show in them, and in words what was run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from memlib import claims, studies
from memlib.specs import half
from memlib.tables.measured import DRAWS, SETS, Table, table, thumbnails


@dataclass(frozen=True)
class Study:
    """A design at a scale, measured: what the claims of a page are tested on.

    Attributes:
        pairs: f and g of each pair.
        crossed: Pairs with all four sets. Of halves: encoders of different pairs, no encoder in two of these;
            in the papers' design the pairs themselves.
        nulls, crossed_nulls: As `pairs` and `crossed`, with nothing to find: before training, and trained on the
            same points with other seeds.
        units, untrained: The units of all encoders, f and g of the first pair first; and before training.
        tables: The measurements, f and g of the first pair first.
        before: The measurements before training, in the same order.
    """

    pairs: list[claims.Pair]
    crossed: list[claims.Pair]
    nulls: dict[str, list[claims.Pair]]
    crossed_nulls: dict[str, list[claims.Pair]]
    units: list[claims.Units]
    untrained: list[claims.Units]
    tables: list[Table]
    before: list[Table] = field(default_factory=list)

    def points(self) -> np.ndarray:
        """Rows of the points that some encoders saw and others did not."""
        seen = np.stack([table.seen for table in self.tables])
        return np.flatnonzero(seen.any(0) & ~seen.all(0))

    def scores(self, layer: str, draw: str = "score") -> np.ndarray:
        """SSLMem' of each of `points()`, of all encoders: those that saw a point against those that did not.

        As eq. 1 wants: over encoders first, then the ratio.
        """
        rows = self.points()
        seen = np.stack([table.seen[rows] for table in self.tables])  # [E, R]
        d = np.stack([table.align[layer][DRAWS.index(draw), rows] for table in self.tables]).astype(np.float64)
        inside, outside = (np.average(d, axis=0, weights=w) for w in (seen, ~seen))
        return (outside - inside) / (outside + inside)

    def images(self, rows: np.ndarray, scale: str) -> np.ndarray:
        """The images of rows, uint8 [n, H, W, 3], as they travel with the measurements."""
        first = self.tables[0]
        return thumbnails(first.header["encoder"]["dataset"], "train", first.points[rows], scale)

    def ran(self) -> dict[str, str]:
        """What was run, for the reader: sizes, seeds, choices, circumstances, and whether it was read or computed."""
        first, headers = self.tables[0], [table.header for table in self.tables]
        spec, choices, trained = first.header["encoder"], first.header["choices"], [h["training"] for h in headers]
        counts = [
            f"{int((first.sets == i).sum()):,} {name}" for i, name in enumerate(SETS) if (first.sets == i).any()
        ]
        made = sum(table.made for table in self.tables)
        dates = sorted({h["date"] for h in headers})
        return {
            "encoders": f"{len(self.pairs)} pairs f, g: {spec['arch']}, {spec['framework']}, {spec['dataset']}",
            "points": f"{', '.join(counts)}; each encoder was trained on {trained[0]['points']:,}",
            "training": f"{spec['epochs']:,} epochs of {spec['augment']} views, batches of {spec['batch']}, "
            f"{spec['optimizer']} {spec['lr']:g}{_end(spec, trained)}; {trained[0]['precision']}",
            **_privacy(spec, trained),
            "seeds": f"weights and views {', '.join(str(h['encoder']['seed']) for h in headers)}; "
            f"split {spec['split_seed']}",
            "choices": f"{choices['views']} views a point, all pairs of them; {choices['distance']} distance of unit "
            f"vectors; UnitMem against the {choices['rest']} of the other points",
            **_probes(self.tables),
            "cost": f"{sum(t['seconds'] for t in trained) / 60:,.0f} minutes of training and "
            f"{sum(h['seconds'] for h in headers) / 60:,.1f} of measuring on {trained[0]['device']}, "
            f"{trained[0]['threads']} thread{'s' * (trained[0]['threads'] > 1)} an encoder",
            "measured": f"{dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'}; "
            + (
                f"{made} of {len(self.tables)} computed while this page was executed"
                if made
                else "read from the store"
            ),
        }


def _end(spec: dict[str, Any], trained: list[dict[str, Any]]) -> str:
    """Where training ended, if not with its last epoch."""
    if (wanted := spec.get("until")) is not None:
        reached, epochs = sum(t["reached"] for t in trained), _range([t["epochs"] for t in trained], ",.0f")
        return f"; ended after {epochs} of them, {reached} of {len(trained)} with a linear probe of {wanted:.1%}"
    return "" if spec.get("stop") is None else f"; ended after {spec['stop']:,} of them"


def _privacy(spec: dict[str, Any], trained: list[dict[str, Any]]) -> dict[str, str]:
    """The epsilon that was reached, of private encoders."""
    if spec.get("epsilon") is None:
        return {}
    private = [t["private"] for t in trained]
    spent, noise = (
        _range([p["epsilon"] for p in private], ".2f"),
        _range([p["noise_multiplier"] for p in private], ".2f"),
    )
    return {
        "privacy": f"DP-SGD: epsilon {spent} was spent, {spec['epsilon']:g} allowed, at delta {spec['delta']:g}; "
        f"each point's gradient clipped to {spec['clip']:g}, noise of {noise} times that"
    }


def _probes(tables: list[Table]) -> dict[str, str]:
    """Accuracy of the linear probes, over encoders."""
    said = []
    for name in tables[0].probe:
        each = [float(np.mean(table.probe[name])) for table in tables]
        said.append(f"{name} {np.mean(each):.1%} ± {np.std(each, ddof=1):.1%}")
    return {"linear probe": f"{', '.join(said)} (mean and standard deviation over encoders)"} if said else {}


def _range(values: list[float], form: str) -> str:
    """The values from the lowest to the highest, or the only one."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def study(scale: str, design: str, **overrides: Any) -> Study:
    """A design at a scale, with its nulls; what is missing is trained and measured first.

    Args:
        overrides: As for `studies.pairs`.
    """
    members = [(m.f, m.g, m.f_untrained, m.g_untrained) for m in studies.pairs(scale, design, **overrides)]
    measured = [[table(m, scale) for m in four] for four in members]
    pairs = [claims.pair(f, g) for f, g, _, _ in measured]
    tables = [one for f, g, _, _ in measured for one in (f, g)]
    before = [one for _, _, f, g in measured for one in (f, g)]
    untrained = [(f, g) for _, _, f, g in measured]
    crossed, crossed_untrained = pairs, [claims.pair(f, g) for f, g in untrained]
    nulls = {"untrained encoders": crossed_untrained}
    if half(members[0][0].encoder.points):
        crossed, crossed_untrained = _crossed([(f, g) for f, g, _, _ in measured]), _crossed(untrained)
    same = {"encoders of the same points": [_same_points(p, i) for i, p in enumerate(crossed)]} if crossed else {}
    return Study(
        pairs,
        crossed,
        nulls | same,
        {"untrained encoders": crossed_untrained, **same},
        [claims.units(t) for t in tables],
        [claims.units(t) for t in before],
        tables,
        before,
    )


def _crossed(measured: list[tuple[Table, Table]]) -> list[claims.Pair]:
    """Encoders of different halves as pairs: a quarter of the points is S_S, S_C, S_I and, with test images, S_E."""
    return [
        claims.Pair(f.align, g.align, np.select([f.seen & g.seen, f.seen, g.seen], [0, 1, 2], 3))
        for a, b in zip(measured[::2], measured[1::2], strict=False)
        for f, g in zip(a, b, strict=True)
    ]


def _same_points(pair: claims.Pair, number: int) -> claims.Pair:
    """The points that both saw, cut into a seeming S_S, S_C and S_I, beside S_E: there is nothing to find."""
    sets = np.where(pair.sets == 3, 3, -1)
    both = np.random.default_rng(number).permutation(np.flatnonzero(pair.sets == 0))
    for code, rows in enumerate(np.array_split(both, 3)):
        sets[rows] = code
    kept = np.flatnonzero(sets >= 0)
    f, g = ({n: d[:, kept] for n, d in side.items()} for side in (pair.align_f, pair.align_g))
    return claims.Pair(f, g, sets[kept])
