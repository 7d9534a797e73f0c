"""Studies of which the truth is known, as half log ratios of distances of points, judged by the rules of evidence.

`python tests/simulated.py` writes how often each kind of study gets which verdict to
`book/results/benchmarks/verdicts-calibrated.csv`.
"""

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from memlib import stats
from memlib.book.estimates import Estimate, rank
from memlib.book.verdicts import FAILS, HOLDS, SEEN, VERDICTS, Contrast, Evidence, judge
from memlib.book.words import Words
from memlib.pairs import S_C, S_I, permute

POINTS, SPREAD = 100, 0.2  # points of a pair, half of them S_C; standard deviation of their half log ratios
ERROR = SPREAD / np.sqrt(POINTS)  # of a pair's mirrored estimate, by its points
MARGIN = ERROR
LOOKS = (0.5, 1.0)  # shares of the pairs at which `base` is judged
WORDS = Words("It is {}", "It is {} below", "On points that neither saw it is {}")
CSV = Path(__file__).parents[1] / "book/results/benchmarks/verdicts-calibrated.csv"


def points(rng, studies, pairs, truth, between=0.0, offset=0.0, heavy=False, slope=0.0):
    """For each pair: half log ratios [studies, L, N] and membership [N].

    Args:
        truth: mirrored estimate of each layer, [L].
        between: standard deviation of what is memorized, from pair to pair, of each layer by itself.
        offset: between f and g, of either sign, drawn for each pair and layer.
        heavy: t with 3 degrees of freedom, for points and pairs.
        slope: standard deviation between pairs of a rise over the layers.
    """
    layers = len(truth)

    def noise(*shape):
        return rng.standard_t(3, shape) / np.sqrt(3) if heavy else rng.standard_normal(shape)

    for _ in range(pairs):
        member = rng.permutation(POINTS) < POINTS // 2
        x = SPREAD * (0.8 * noise(studies, 1, POINTS) + 0.6 * noise(studies, layers, POINTS))  # layers are alike
        effect = np.asarray(truth) + between * noise(studies, layers)
        effect = effect + slope * noise(studies, 1) * (np.arange(layers) - (layers - 1) / 2)
        x += effect[:, :, None] * np.where(member, 1, -1)
        yield x + offset * rng.choice([-1, 1], (studies, layers, 1)), member


def permuted(found, draws, statistic=None):
    """Values and variances [K, studies, L] and p [studies, L]; all studies at once, as if they were layers."""
    values, variances, total = [], [], 0.0
    for pair, (x, member) in enumerate(found):
        sets = np.where(member, S_C, S_I)
        codes = np.concatenate([sets[None], permute(sets, sets >= 0, draws, pair)])
        mirrored = x.reshape(-1, POINTS) @ np.where(codes == S_C, 1 / POINTS, -1 / POINTS).T  # halves are equal
        drawn = mirrored if statistic is None else statistic(mirrored)
        values.append(drawn[:, 0])
        variances.append(drawn[:, 1:].var(1))
        total = total + drawn[:, 1:]
    p = stats.permuted_p(np.mean(values, axis=0), total / len(values))
    shape = (len(values), x.shape[0], -1)
    return np.reshape(values, shape), np.reshape(variances, shape), p.reshape(x.shape[0], -1)


def alone(evidence):
    """Verdicts on claims that are alone on their page."""
    return [judge({"claim": one})["claim"].verdict for one in evidence]


def contrasts(found, layer=0, **more):
    """A contrast a study, of one layer of `permuted`."""
    values, variances, p = (part[..., layer] for part in found)
    return [Contrast(values[:, s], MARGIN, variances=variances[:, s], p=p[s], **more) for s in range(len(p))]


def one_layer(rng, studies, pairs, draws, truth=0.0, **more):
    """The mirrored estimate of a layer is above zero."""
    found = permuted(points(rng, studies, pairs, [truth], **more), draws)
    return alone(Evidence(WORDS, c) for c in contrasts(found))


def planted(rng, studies, pairs, draws, between=0.0):
    """An effect of which `pairs_needed` says that so many pairs tell it with 90 % power."""
    deviation = np.hypot(ERROR, between)
    sizes = np.linspace(0, 12, 1201) * deviation
    enough = [d for d in sizes if (stats.pairs_needed(d, deviation) or np.inf) <= pairs]
    return one_layer(rng, studies, pairs, draws, truth=enough[0], between=between)


def at_a_share(rng, studies, pairs, draws):
    """What matters is a quarter of the deepest layer's estimate in the same pairs, and the layer has just that."""
    values, variances, p = permuted(points(rng, studies, pairs, [MARGIN, 4 * MARGIN], between=ERROR), draws)
    return alone(
        Evidence(WORDS, Contrast(x[:, 0], 0.25, variances=v[:, 0], reference=x[:, 1], p=p[s, 0]))
        for s, (x, v) in enumerate(zip(values.swapaxes(0, 1), variances.swapaxes(0, 1), strict=True))
    )


def controlled(rng, studies, pairs, draws, truth=0.0):
    """LayerMem on S_C, which has the offset between f and g in it, with the same on points that neither saw."""
    seen, unseen = [], []
    for x, member in points(rng, studies, pairs, [truth], between=ERROR / 2):
        offset = ERROR * (4 + rng.standard_normal((studies, 1)))
        seen.append(x[:, 0, member] + offset)
        unseen.append(SPREAD * rng.standard_normal((studies, POINTS)) + offset)
    (x, v), (c, w) = (
        (np.stack([side.mean(1) for side in sides]), np.stack([side.var(1) / side.shape[1] for side in sides]))
        for sides in (seen, unseen)
    )
    return alone(
        Evidence(WORDS, Contrast(x[:, s], MARGIN, variances=v[:, s], control=c[:, s], control_variances=w[:, s]))
        for s in range(studies)
    )


def alike(rng, studies, pairs, draws, truth=MARGIN):
    """A claim of no difference, where there is one of just the margin."""
    values, variances, _ = permuted(points(rng, studies, pairs, [truth], between=ERROR), draws)
    return alone(
        Evidence(WORDS, Contrast(values[:, s, 0], MARGIN, sign=0, variances=variances[:, s, 0]))
        for s in range(studies)
    )


def every(rng, studies, pairs, draws, truth):
    """A claim about every layer."""
    found = permuted(points(rng, studies, pairs, truth, between=ERROR / 2), draws)
    parts = [contrasts(found, layer) for layer in range(len(truth))]
    return alone(Evidence(WORDS, {str(i): c for i, c in enumerate(layers)}) for layers in zip(*parts, strict=True))


def depth(rng, studies, pairs, draws, **more):
    """Kendall's tau of eight layers with their order; each pair may rise or fall as it likes."""

    def tau(levels):
        return rank([Estimate(itemgetter(layer)) for layer in range(8)])(
            levels.reshape(-1, 8, levels.shape[-1]).swapaxes(0, 1)
        )

    values, variances, p = permuted(points(rng, studies, pairs, np.zeros(8), **more), draws, tau)
    return alone(
        Evidence(WORDS, Contrast(values[:, s, 0], 0.3, variances=variances[:, s, 0], p=p[s, 0], step=1 / 14))
        for s in range(studies)
    )


def page(rng, studies, pairs, draws, truth, between=0.0):
    """Six claims of a page; what a study is said to show is *holds* if one of those without an effect holds."""
    found = permuted(points(rng, studies, pairs, truth, between=between), draws)
    claims = zip(*(contrasts(found, i) for i in range(len(truth))), strict=True)
    verdicts = [judge({str(i): Evidence(WORDS, c) for i, c in enumerate(six)}) for six in claims]
    empty = [str(i) for i, t in enumerate(truth) if not t]
    return [HOLDS if any(v[i].verdict == HOLDS for i in empty) else v[empty[0]].verdict for v in verdicts]


def looked_at(rng, studies, pairs, draws, truth=0.0):
    """Judged after half and after all of the pairs; the first verdict that decides stays."""
    all_pairs = list(points(rng, studies, pairs, [truth], between=ERROR))
    verdicts = []
    for look in (1, 2):
        found = permuted(all_pairs[: look * pairs // 2], draws)
        verdicts.append(alone(Evidence(WORDS, c, looks=LOOKS[:look]) for c in contrasts(found)))
    return [next((v for v in each if v in (HOLDS, FAILS)), each[-1]) for each in zip(*verdicts, strict=True)]


@dataclass(frozen=True)
class Kind:
    """A kind of study: which verdicts are wrong and how often they may be given; how often *holds* is promised."""

    what: str
    judged: Callable[..., list[str]]
    wrong: tuple[str, ...] = (HOLDS,)
    level: float = 0.025
    power: float | None = None
    more: dict | None = None
    least: int = 2  # pairs

    def verdicts(self, studies, pairs, draws=400, seed=0):
        return self.judged(
            np.random.default_rng([seed, KINDS.index(self), pairs]), studies, pairs, draws, **(self.more or {})
        )


EIGHT = [0.0] + 7 * [5 * ERROR]
KINDS = [
    Kind("nothing planted", one_layer),
    Kind("nothing planted, pairs vary", one_layer, more={"between": ERROR}),
    Kind("offsets of .05 between f and g", one_layer, more={"offset": 0.05, "between": ERROR}),
    Kind("heavy tails", one_layer, more={"heavy": True, "between": ERROR}),
    Kind("rise with depth, of either sign from pair to pair", depth, more={"slope": ERROR}),
    Kind("no rise with depth, pairs alike", depth),
    Kind("an offset that unseen points show as well", controlled),
    Kind("every of 8 layers, one empty", every, more={"truth": EIGHT}),
    Kind("6 claims, nothing planted", page, more={"truth": 6 * [0.0]}),
    Kind("6 claims, 5 of them planted", page, more={"truth": [0.0] + 5 * [5 * ERROR]}),
    Kind("nothing planted, two looks", looked_at, least=6),
    Kind("an effect of what matters", one_layer, (FAILS,), more={"truth": MARGIN, "between": ERROR}),
    Kind("an effect of what matters, a share of another", at_a_share, (FAILS,)),
    Kind("beyond such an offset by what matters", controlled, (FAILS, SEEN), more={"truth": MARGIN}),
    Kind("every of 8 layers, all with what matters", every, (FAILS,), more={"truth": 8 * [MARGIN]}),
    Kind("an effect of what matters, two looks", looked_at, (FAILS,), more={"truth": MARGIN}, least=6),
    Kind("said to be none, of what matters", alike, (HOLDS, FAILS), level=0.05),
    Kind("planted, pairs alike", planted, (FAILS,), power=0.9, least=4),
    Kind("planted, pairs vary", planted, (FAILS,), power=0.9, more={"between": 2 * ERROR}, least=4),
]


def table(studies, counts=(2, 4, 6, 8, 12)):
    """How often each kind gets which verdict, a row a kind and number of pairs."""
    for kind in KINDS:
        for pairs in (k for k in counts if k >= kind.least):
            found = Counter(kind.verdicts(studies, pairs, draws=1000, seed=1))
            row = {"simulated": kind.what, "pairs": pairs, "studies": studies}
            row |= {verdict: f"{found[verdict] / studies:.4f}" for verdict in VERDICTS[:-1]}
            wrong = f"{sum(found[v] for v in kind.wrong) / studies:.4f}"
            yield row | {"wrong": wrong, "allowed": kind.level, "promised": kind.power or ""}


if __name__ == "__main__":
    rows = list(table(studies=1000))
    with CSV.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
