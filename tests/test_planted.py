"""From torch modules to verdicts, on encoders with a lookup of known points built in at known layers."""

import numpy as np
import pytest
import torch
from torch import nn

import memlib
from memlib import claims, metrics
from memlib.claims import layermem, unitmem

POINTS, UNITS, LAYERS = 40, 24, ["stages.0", "stages.1", "stages.2", "stages.3"]
PLANTED = LAYERS[2:]


def weak(images, generator):
    """Flips and noise: views of a point differ, and its nearest known point is still itself."""
    x = images.float() / 255 if images.dtype == torch.uint8 else images
    flipped = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    return torch.where(flipped, x.flip(-1), x) + 0.03 * torch.randn(x.shape, generator=generator)


class Stage(nn.Module):
    """A convolution with its ReLU, which a stored code, where there is one, takes most of the place of."""

    def __init__(self, inputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, UNITS, 3, padding=1)

    def forward(self, x, code):
        x = self.conv(x).relu()
        known = (code.amax(1) > 0).view(-1, 1, 1, 1)
        return torch.where(known, 0.7 * x + code[:, :, None, None], x)


class Planted(nn.Module):
    """Random features; from stage `depth` on, points that it knows put out a code of their own besides."""

    def __init__(self, known, depth, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.stages = nn.ModuleList(Stage(3 if i == 0 else UNITS) for i in range(len(LAYERS)))
        self.depth = depth
        self.known = known.float() / 255
        self.codes = torch.zeros(len(known), UNITS)
        if len(known):  # each known point has one unit that fires for it alone
            units = torch.randperm(UNITS).repeat(len(known) // UNITS + 1)[: len(known)]
            self.codes[torch.arange(len(known)), units] = 0.5 + torch.rand(len(known))

    def forward(self, x):
        code = torch.zeros(len(x), UNITS)
        if len(self.known):
            both = (self.known, self.known.flip(-1))
            distance = torch.stack([torch.cdist(x.flatten(1), k.flatten(1)) for k in both]).amin(0)
            nearest = distance.argmin(1)
            found = distance.gather(1, nearest[:, None])[:, 0] < 1.5
            code = torch.where(found[:, None], self.codes[nearest], code)
        for i, stage in enumerate(self.stages):
            x = stage(x, code if i >= self.depth else torch.zeros_like(code))
        return x.mean((2, 3))


def measured(model, images, sets, seen):
    """Distances from two draws of views, and the units on seen and unseen points, as a measurement has them."""
    options = {"augment": weak, "layers": LAYERS, "views": 4}
    draws = [memlib.alignment(model, images, seed=s, **options) for s in (0, 1)]
    align = {n: np.stack([d[n].numpy() for d in draws]) for n in LAYERS}
    told = (sets == claims.S_C) | (sets == claims.S_I)
    table = memlib.unit_activations(model, images[told], **options)
    member = seen[told]
    inside = torch.from_numpy(member)
    return align, claims.Units(
        {n: metrics.unitmem(a[inside]).numpy() for n, a in table.items()},
        {n: metrics.unitmem(a[~inside]).numpy() for n, a in table.items()},
        {n: a.argmax(0).numpy() for n, a in table.items()},
        {n: (a.amax(0) > 0).numpy() for n, a in table.items()},
        member,
    )


def study(kind, count=4):
    """Pairs of encoders, f knowing S_C and g S_I; or untrained; or both knowing the same points."""
    images = torch.randint(
        0, 256, (3 * POINTS, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    pairs, units = [], []
    for i in range(count):
        sets = np.repeat([claims.S_C, claims.S_I, claims.S_E], POINTS)
        sets[: 2 * POINTS] = np.random.default_rng(i).permutation(sets[: 2 * POINTS])
        aligns = []
        for side, own in enumerate((claims.S_C, claims.S_I)):
            seen = sets == own
            knows = {"planted": seen, "untrained": np.zeros_like(seen), "same points": sets != claims.S_E}[kind]
            model = Planted(images[torch.from_numpy(knows)], depth=2, seed=100 + 2 * i + side)
            align, found = measured(model, images, sets, seen)
            aligns.append(align)
            units.append(found)
        pairs.append(claims.Pair(*aligns, sets))
    return pairs, units


@pytest.fixture(scope="module")
def studies():
    return {kind: study(kind) for kind in ("planted", "untrained", "same points")}


def holds(verdict):
    return [name for name, part in verdict.parts.items() if part.verdict == "holds"]


def test_layers_with_a_lookup_are_found_and_no_others(studies):
    nulls = {kind: studies[kind][0] for kind in ("untrained", "same points")}
    pairs, _ = studies["planted"]
    assert holds(layermem.every_layer(pairs, LAYERS, nulls)) == PLANTED
    assert layermem.every_layer(pairs, PLANTED, nulls).verdict == "holds"
    assert layermem.every_layer(pairs, LAYERS, nulls).verdict != "holds"


def test_units_with_a_code_are_found_and_no_others(studies):
    _, units = studies["planted"]
    found = unitmem.spread(units, LAYERS, studies["untrained"][1])
    assert holds(found) == PLANTED
    assert unitmem.spread(units, PLANTED, studies["untrained"][1]).verdict == "holds"
    assert unitmem.first_layer(units, LAYERS, studies["untrained"][1]).verdict == "does not hold"
    assert unitmem.fraction(units, LAYERS, studies["untrained"][1]).verdict == "holds"


@pytest.mark.parametrize("kind", ["untrained", "same points", "permuted"])
def test_nulls_hold_nowhere(studies, kind):
    pairs, units = studies["planted" if kind == "permuted" else kind]
    if kind == "permuted":
        pairs = [p.permuted(50 + i) for i, p in enumerate(pairs)]
    assert holds(layermem.every_layer(pairs, LAYERS)) == []
    assert layermem.depth(pairs, LAYERS).verdict != "holds"
    if kind != "permuted":
        assert holds(unitmem.spread(units, LAYERS)) == []
        assert unitmem.fraction(units, LAYERS, studies["untrained"][1]).verdict != "holds"


def test_known_points_are_aligned_better_by_the_encoder_that_knows_them(studies):
    """What the numbers are: distances of known points shrink in f, so SSLMem' of S_C rises and that of S_I falls."""
    pair = studies["planted"][0][0]
    for layer in PLANTED:
        assert pair.of(layer, claims.S_C).mean() > 0.05
        assert pair.of(layer, claims.S_I).mean() < -0.05
    for layer in LAYERS[:2]:
        assert abs(layermem.mirror(pair, layer)) < 0.02
