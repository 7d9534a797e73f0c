"""Figures and tables of the pages: drawn from tables alone, legible on a narrow screen, in light and dark."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from legible import assert_legible

from memlib import claims, figures, paper, tables
from memlib.claims import layermem, sslmem
from memlib.figures.style import COLOURS

LAYERS = [str(i) for i in range(1, 9)]
ROWS = [*LAYERS[:4], "Res2", *LAYERS[4:], "Res6", "output"]


class Pictures(tables.Study):
    """A study whose images are noise, so that no data set is needed."""

    def images(self, rows, scale):
        return np.random.default_rng(0).integers(0, 255, (len(rows), 32, 32, 3), dtype=np.uint8)


def encoder(rng, sets, seen, memory=0.0):
    """A measured encoder: distances shrink with depth on points that it saw."""
    layers = enumerate(ROWS)
    align = {
        n: np.exp(rng.normal(-1, 0.2, (2, sets.size)) - memory * i / 10 * seen).astype(np.float32) for i, n in layers
    }
    half = np.flatnonzero((sets == 1) | (sets == 2))
    unitmem = {k: {n: rng.beta(5, 5, 32) for n in LAYERS} for k in ("seen", "unseen", "seen-0", "seen-1")}
    top = {n: rng.choice(half, 32) for n in LAYERS}
    header = {"points_a_set": int((seen & np.isin(sets, (1, 2))).sum())}
    active = {n: np.ones(32, bool) for n in LAYERS}
    return tables.Table(np.arange(sets.size), sets, seen, align, unitmem, top, active, header, False)


@pytest.fixture(scope="module")
def study():
    rng, sets = np.random.default_rng(0), np.repeat([0, 1, 2, 3], [80, 60, 60, 60])
    seen = {"f": np.isin(sets, (0, 1)), "g": np.isin(sets, (0, 2))}
    measured = [encoder(rng, sets, seen[side], 0.4) for _ in range(3) for side in "fg"]
    before = [encoder(rng, sets, seen[side]) for _ in range(3) for side in "fg"]
    pairs = [claims.pair(f, g) for f, g in zip(measured[::2], measured[1::2], strict=True)]
    nulls = {"untrained encoders": [claims.pair(f, g) for f, g in zip(before[::2], before[1::2], strict=True)]}
    units, untrained = ([claims.units(t) for t in part] for part in (measured, before))
    return Pictures(pairs, pairs, nulls, nulls, units, untrained, measured)


DRAWN = {
    "score_distributions": lambda s: figures.score_distributions(
        {"a": sslmem.scores(s.pairs), "b": sslmem.scores(s.crossed)}
    ),
    "layer_curves": lambda s: figures.layer_curves(s, list(paper.TABLE_1)),
    "extreme_curves": lambda s: figures.extreme_curves(layermem.extremes(s.pairs, LAYERS, 15)),
    "agreement_maps": lambda s: figures.agreement_maps(s.pairs, LAYERS),
    "single_pairs": lambda s: figures.single_pairs(s.pairs, LAYERS),
    "member_rates": lambda s: figures.member_rates(s, LAYERS),
    "unitmem_distributions": lambda s: figures.unitmem_distributions(s, LAYERS),
    "last_layer": lambda s: figures.last_layer(s, "8"),
    "depth_profiles": lambda s: figures.depth_profiles({"a": (s, ROWS), "b": (s, LAYERS)}, {"a": [0.1, 0.2, 0.3]}),
    "profile_controls": lambda s: figures.profile_controls(dict.fromkeys("abc", (s, LAYERS))),
    "framework_units": lambda s: figures.framework_units({"ResNet": {"simclr": s, "dino": s}}),
    "extreme_images": lambda s: figures.extreme_images(s, "smoke"),
    "layer_images": lambda s: figures.layer_images(s, "smoke", LAYERS),
    "unit_images": lambda s: figures.unit_images(s, "smoke", LAYERS),
}


@pytest.fixture(autouse=True)
def _style():
    import matplotlib

    matplotlib.use("Agg")
    figures.style()
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize("name", DRAWN)
def test_figure_has_words_on_its_axes_no_background_and_type_for_a_narrow_screen(name, study):
    assert_legible(DRAWN[name], study, axes="images" not in name)


def luminance(colour):
    import matplotlib.colors

    rgb = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("background", ["#ffffff", "#121212"])
def test_every_colour_reads_on_white_and_on_near_black(background):
    for name, colour in COLOURS.items():
        light, dark = sorted([luminance(colour), luminance(background)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, name


def test_image_frames_tell_seen_from_unseen_without_colour(study):
    table = study.tables[0]
    figure = figures.unit_images(study, "smoke", ["1"])
    units = np.argsort(-table.unitmem["seen"]["1"], kind="stable")[:8]
    seen = table.seen[table.top_row["1"][units]]
    assert seen.any()
    assert not seen.all()
    for ax, flag in zip(figure.axes, seen, strict=True):
        assert (ax.spines["left"].get_linestyle() in ("-", "solid")) == flag
    with pytest.raises(ValueError, match="one caption"):
        figures.image_grid([np.zeros((2, 8, 8, 3), np.uint8)], [["a"]], ["row"])


def test_table_scrolls_by_itself_and_shows_what_is_missing_as_a_dash():
    frame = pd.DataFrame({"layer": ["1", "<2>"], "delta": [None, -0.0314], "p": [2e-10, 0.5], "n": [3, 4]})
    shown = figures.table(frame, {"delta": "+.2f"}, caption="a & b")
    assert shown.data.startswith('<div class="table-scroll"')
    assert "a &amp; b" in shown.data
    assert "&lt;2&gt;" in shown.data
    assert "−0.03" in repr(shown)
    assert "–" in repr(shown)
    assert "2.0e" in repr(shown)
    assert shown._repr_html_() == shown.data
    with pytest.raises(KeyError, match="did you mean 'delta'"):
        figures.table(frame, {"detla": ".3f"})


def test_span_reads_as_mean_and_interval_without_minus_zero():
    assert figures.span(-0.01, -0.02, -0.0001) == "−0.010 [−0.020,\u00a00.000]"
    assert figures.span(0.5, -np.inf, np.inf) == "0.500"


def test_every_claim_of_a_page_has_its_verdict_in_words_with_its_source(study):
    found = sslmem.page(study.crossed, nulls=study.nulls)
    shown = figures.verdicts(found).data
    for v in found:
        assert v.claim.statement in shown.replace("&#x27;", "'")
        assert v.verdict in shown
    assert "nan" not in shown
    assert found[0].claim.statement in figures.summary(found).data
    assert figures.nulls(found).data.count("<tr") > len(found)


def test_tables_set_the_paper_beside_ours(study):
    text = repr(figures.layermem_table(study, list(paper.TABLE_1), k=15))
    for row in paper.TABLE_1.values():
        assert f"{row[0]:.3f}" in text
    assert len(repr(figures.modules_table(study, ROWS)).splitlines()) == len(ROWS) + 1
    assert len(repr(figures.unitmem_table(study, LAYERS)).splitlines()) == len(LAYERS) + 1
    assert len(repr(figures.block_table(study, LAYERS)).splitlines()) == len(LAYERS) + 1
    assert "S_C" in repr(figures.sslmem_table({"papers": study.crossed}))
    text = repr(figures.printed_table(study, ROWS, {"Table 18": paper.TABLE_18}))
    assert all(f"{paper.TABLE_18[row][0]:.3f}" in text for row in ROWS)
    families, rows = {"ResNet": {"simclr": study, "dino": study}}, {"ResNet": LAYERS}
    assert len(repr(figures.framework_table(families, rows)).splitlines()) == 3
    assert "0.000" in repr(figures.contrast_table(families, rows))
    apart = dict.fromkeys(LAYERS, 0.123)
    assert repr(figures.differences(families["ResNet"], LAYERS, {"Table 4": apart})).count("0.123") == len(LAYERS)


def test_curves_of_encoders_as_deep_as_each_other_are_drawn_by_layer_and_others_by_the_share_of_their_depth(study):
    by_layer = figures.depth_profiles({"a": (study, LAYERS)}, {"a": [0.1] * 8}, "block")
    assert by_layer.axes[1].get_xlabel() == "block"
    assert by_layer.axes[1].lines[0].get_xdata().tolist() == list(range(1, 9))
    by_share = figures.depth_profiles({"a": (study, LAYERS), "b": (study, ROWS)}, {})
    assert [line.get_xdata()[-1] for line in by_share.axes[1].lines[:2]] == [1, 1]


def test_table_10_by_block_has_a_dash_where_there_is_no_delta():
    from test_claims_vit import KINDS, PREVIOUS, RNG, pairs, planted

    text = repr(figures.vit_table(SimpleNamespace(pairs=pairs(RNG(0), planted(), tuple(KINDS))), KINDS, PREVIOUS))
    rows = text.splitlines()
    assert "–" in rows[1]
    assert "–" not in rows[2]
    assert f"{paper.TABLE_10['FC2'][1]:+.3f}" in rows[2]


def test_study_with_one_pair_is_drawn_without_bounds(study):
    one = dataclasses.replace(
        study, pairs=study.pairs[:1], crossed=[], units=study.units[:1], untrained=study.untrained[:1]
    )
    for draw in ("layer_curves", "extreme_curves", "member_rates"):
        DRAWN[draw](one).canvas.draw()
    assert figures.verdicts(sslmem.page(one.pairs)).data.count("not tested here") >= 4
