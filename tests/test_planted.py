"""From torch modules to verdicts, on encoders with a lookup of known points built in at known layers."""

import numpy as np
import pytest
import torch
from fabricate import verdicts
from torch import nn

import memlib
from memlib import metrics
from memlib.book.measuring import Table
from memlib.book.pages import layermem, unitmem
from memlib.book.pieces import Piece
from memlib.book.study import Study
from memlib.pairs import S_C, S_E, S_I, pair_of

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


class Built(Study):
    """A study of these encoders, whose layers are no ResNet9's."""

    convolutions = LAYERS


def measured(model, images, sets, own):
    """Distances from two draws of views, and the units on seen and unseen points, as a measurement has them."""
    options, seen, told = {"augment": weak, "layers": LAYERS, "views": 4}, sets == own, np.isin(sets, (S_C, S_I))
    draws = [memlib.alignment(model, images, seed=s, **options) for s in (0, 1)]
    align = {n: np.stack([d[n].numpy() for d in draws]) for n in LAYERS}
    align["output"] = align[LAYERS[-1]]
    units = memlib.unit_activations(model, images, **options)
    scores = {
        name: {n: metrics.unitmem(a[torch.from_numpy(points)]).numpy() for n, a in units.items()}
        for name, points in {"seen": seen, "unseen": told & ~seen}.items()
    }
    rows = np.flatnonzero(told)
    top = {n: rows[a[torch.from_numpy(told)].argmax(0).numpy()] for n, a in units.items()}
    active = {n: (a[torch.from_numpy(told)].amax(0) > 0).numpy() for n, a in units.items()}
    header = {"points_a_set": POINTS, "encoder": {}}
    return Table(np.arange(sets.size), sets, seen, align, scores, top, active, header, False)


def study(kind, count=4):
    """Pairs of encoders, f knowing S_C and g S_I; or untrained; or both knowing the same points."""
    images = torch.randint(
        0, 256, (3 * POINTS, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    pieces = []
    for i in range(count):
        sets = np.repeat([S_C, S_I, S_E], POINTS)
        sets[: 2 * POINTS] = np.random.default_rng(i).permutation(sets[: 2 * POINTS])
        tables = []
        for side, own in enumerate((S_C, S_I)):
            knows = {"planted": sets == own, "untrained": np.zeros(sets.size, bool), "same points": sets != S_E}[kind]
            model = Planted(images[torch.from_numpy(knows)], depth=2, seed=100 + 2 * i + side)
            tables.append(measured(model, images, sets, own))
        pieces.append(Piece(*tables, pair_of(*tables), None, i))
    return Built(pieces)


@pytest.fixture(scope="module")
def studies():
    return {kind: study(kind) for kind in ("planted", "untrained", "same points")}


def holds(verdict):
    return [name for name, part in verdict.parts.items() if part.verdict == "holds"]


def test_layers_with_a_lookup_are_found_and_no_others(studies):
    every = verdicts(layermem.page, studies["planted"], "every_layer")["every_layer"]
    assert holds(every) == PLANTED
    assert every.verdict == "does not hold"


def test_units_with_a_code_are_found_and_no_others(studies):
    found = verdicts(unitmem.page, studies["planted"], "spread", "first", "fraction")
    assert holds(found["spread"]) == PLANTED
    assert found["spread"].verdict != "holds"
    assert found["first"].verdict != "holds"
    assert found["fraction"].verdict == "holds"


@pytest.mark.parametrize("kind", ["untrained", "same points"])
def test_nulls_hold_nowhere(studies, kind):
    names = ("every_layer", "depth"), ("spread", "first", "fraction")
    for page, claims in zip((layermem.page, unitmem.page), names, strict=True):
        found = verdicts(page, studies[kind], *claims)
        assert {one.verdict for one in found.values()} == {"not judged"}


def test_known_points_are_aligned_better_by_the_encoder_that_knows_them(studies):
    """What the numbers are: distances of known points shrink in f, so SSLMem' of S_C rises and that of S_I falls."""
    pair = studies["planted"][0].pair
    for layer in PLANTED:
        assert pair.mean(layer, S_C) > 0.05
        assert pair.mean(layer, S_I) < -0.05
    for layer in LAYERS[:2]:
        assert abs(pair.mirrored(layer)) < 0.02
