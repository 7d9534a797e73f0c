"""What the pages draw with and print: legible on a narrow screen, in light and dark, with their intervals."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from legible import assert_legible
from matplotlib.colors import to_rgb

from memlib.book import show
from memlib.book.claims import Claim, Judged
from memlib.book.show import chart
from memlib.book.show.style import GREY, name_points
from memlib.book.verdicts import NOTHING_MEMORIZED, Verdict
from memlib.book.words import Scale, Words, p_value
from memlib.stats import Interval, over_pairs, unbounded

matplotlib.use("Agg")
LAYERS = ["1", "2", "3", "4", "Res2", "5", "6", "7", "8", "Res6"]
BLOCKS = [f"FCRes{i}" for i in range(1, 13)]
KINDS = ("seen", "unseen", "untrained")
CONTROLS = ["both saw", "neither saw"]
WORDS = "accuracy on the test images of another data set (%)"
RNG = np.random.default_rng(0)


def rising(places, step=0.01):
    return {n: over_pairs(step * i + RNG.normal(0, 0.01, 4), 100) for i, n in enumerate(places)}


def by_layer(places=LAYERS):
    found = {n: rising(places) for n in ("mirrored estimate", "raw, f only")}
    return found | {n: rising(places, 0) for n in CONTROLS}


def scores(names=KINDS, places=LAYERS):
    return {kind: {n: RNG.beta(3, 4, 50) for n in places} for kind in names}


def pictures(n):
    return RNG.integers(0, 255, (n, 16, 16, 3), dtype=np.uint8)


PRINTED = {"LayerMem paper, Table 1": {n: 0.1 + 0.02 * i for i, n in enumerate(LAYERS)}}
DEEP = {f"ResNet{k}": rising(range(k), 1 / k) for k in (18, 34, 50)}
CELLS = {(a, b): 0.4 for a in LAYERS for b in LAYERS}
DRAWN = {
    "curves with the paper above": lambda: show.curves(
        by_layer(), "layer", "LayerMem, here", controls=CONTROLS, paper=PRINTED, above="LayerMem paper"
    ),
    "curves over the depth": lambda: show.curves(
        DEEP, "share of the encoder's depth", "mirrored estimate, here", paper=DEEP, above="paper (raw)", depth=True
    ),
    "curves, panels side by side": lambda: show.curves(
        {f"ViT-Tiny, {name}": by_layer(BLOCKS) for name in ("MAE", "DINO", "SimCLR")}, "layer", "LayerMem",
        controls=CONTROLS, columns=2,
    ),
    "curves of shares": lambda: show.curves(
        {scope: {n: rising((0, 0.1, 0.5)) for n in (*BLOCKS[:5], "random")} for scope in ("in all", "in each layer")},
        "share of the units that is pruned", WORDS, controls=["random"], percent=True, limits=(0, None),
    ),
    "curves with scales of their own": lambda: show.curves(
        {words: by_layer(BLOCKS) for words in ("UnitMem on seen points", "seen minus unseen points", "member rate")},
        "layer", joined=False, lines={"member rate": {"chance": 0.5}},
    ),
    "intervals": lambda: show.intervals(
        {f"{n} encoder": rising([f"{a} + {b}, with the head" for a in "1234" for b in "567"]) for n in KINDS[1:]},
        WORDS, "tuned layers", percent=True,
    ),
    "intervals, panels side by side": lambda: show.intervals(
        {t: {"all": rising(CONTROLS)} for t in ("halves, crossed", "the papers' design")}, "mean SSLMem′", "points",
        columns=2,
    ),
    "spreads": lambda: show.spreads(scores(), "layer", "UnitMem of the units", lines={"high": 0.5}, limits=(0, 1)),
    "spreads by long names": lambda: show.spreads(
        scores(places=[f"ResNet50 {n}" for n in BLOCKS[:6]]), "encoder and framework", "UnitMem of the units"
    ),
    "histograms": lambda: show.histograms(
        {f"ε = {e}": {kind: RNG.beta(3, 4, 200) for kind in KINDS} for e in "∞8"}, "UnitMem of a unit", limits=(0, 1)
    ),
    "heat": lambda: show.heat({"overlap": CELLS, "Kendall's τ": CELLS}, "layer", "layer", above={"overlap": CELLS}),
    "scatter": lambda: show.scatter(
        {t: {t: {n: (i / 100, rising("a")["a"]) for i, n in enumerate(LAYERS)}} for t in ("donor", "untrained")},
        "memorization of the layer (mirrored estimate)", "accuracy lost (percentage points)", percent=True,
    ),
    "scatter of parameters": lambda: show.scatter(
        {n: {f"{a} + head": (10 ** (3 + i / 3), i / 9) for i, a in enumerate(LAYERS)} for n in KINDS[1:]},
        "parameters of the encoder that are tuned", WORDS, percent=True, log=True, lines={"head alone": 0.38},
    ),
    "clouds": lambda: show.scatter(
        {f"layer {n}: 43 %": {"units": {"": RNG.uniform(0, 1, (2, 50))}} for n in LAYERS}, "UnitMem", "ClassMem",
        diagonal=True, limits=(0, 1), columns=4,
    ),
    "images": lambda: show.images({n: pictures(8) for n in KINDS}, dict.fromkeys(KINDS, [0.5] * 8)),
    "images, framed": lambda: show.images(
        {"layer 1": pictures(3)}, {"layer 1": [0.5] * 3}, {"layer 1": [True, False, True]}, columns=8
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _style():
    show.style()


@pytest.mark.parametrize("name", DRAWN)
def test_figure_is_legible_with_words_on_its_axes_and_nothing_cut_off(name):
    assert_legible(DRAWN[name], axes="images" not in name)


def luminance(colour):
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("background", ["#ffffff", "#121212"])
def test_every_colour_reads_on_white_and_on_near_black(background):
    for colour in (*show.COLOURS.values(), *chart.CYCLE):
        light, dark = sorted([luminance(colour), luminance(background)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, colour


def bars(ax):
    """Ends of the vertical error bars of a panel."""
    lines = [line for container in ax.containers for line in container[2]]
    return [np.sort(part[:, 1]) for line in lines for part in line.get_segments() if part.ndim == 2]


def test_intervals_are_drawn_and_one_pair_has_none():
    found = {"1": Interval(0.2, 0.1, 0.4, 4, 100, 0.1), "2": unbounded(0.3, 100), "3": 0.5, "4": None}
    ax = show.curves({"mirrored": found}, "layer", "estimate").axes[0]
    np.testing.assert_allclose(bars(ax)[:3], [(0.1, 0.4), (0.3, 0.3), (0.5, 0.5)])
    band = (
        show.curves({"mirrored": {float(n): i for n, i in found.items()}}, "layer", "estimate").axes[0].collections[0]
    )
    inner = band.get_paths()[0].vertices
    assert {0.1, 0.4} <= set(inner[:, 1])
    ax = show.intervals({"mirrored": found}, "estimate", "layer").axes[0]
    assert ax.containers[0][2][0].get_segments()[0][:, 0].tolist() == pytest.approx([0.1, 0.4])


def test_series_are_told_apart_without_colour_and_controls_are_grey():
    ax = show.curves(by_layer(), "layer", "LayerMem", controls=CONTROLS).axes[0]
    looks = {
        line.get_label(): (line.get_marker(), line.get_linestyle())
        for line in ax.lines
        if line.get_label() in CONTROLS
    }
    looks |= {c.get_label(): (c[0].get_marker(), c[0].get_linestyle()) for c in ax.containers}
    assert len(set(looks.values())) == 4
    assert {line.get_color() for line in ax.lines if line.get_label() in CONTROLS} == {show.COLOURS["paper"]}
    with pytest.raises(KeyError, match="did you mean"):
        show.curves(by_layer(), "layer", "LayerMem", controls=["neither sees"])


def test_a_label_has_one_look_in_all_panels_and_the_paper_has_its_colour():
    parts = {"a": {"x": {"1": 0.1}}, "b": {"y": {"1": 0.2}, "x": {"1": 0.1}}}
    figure = show.curves(parts, "layer", "estimate", paper={"x": {"1": 0.3, "9": 0.4}})
    colours = {
        (c.get_label(), c[0].get_color(), c[0].get_marker()) for ax in figure.axes for c in ax.containers
    }  # fmt: skip
    assert len(colours) == 2
    blue = figure.axes[0].containers[0][0].get_color()
    paper = [line for line in figure.axes[0].lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert [(line.get_color(), line.get_ydata().tolist()) for line in paper] == [(blue, [0.3])]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["x", "y", "LayerMem paper"]


def test_places_stand_in_the_order_of_the_longest_series_and_depth_is_a_share():
    ax = show.curves({"delta": {"2": 0.1}, "mirrored": {"1": 0.1, "2": 0.2}}, "layer", "estimate").axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2"]
    figure = show.curves(DEEP, "share of the depth", "estimate", depth=True)
    assert [line.get_xdata()[-1] for line in figure.axes[0].lines[:3]] == [1, 1, 1]


def test_zero_has_a_line_only_where_the_panel_reaches_it():
    def flat(values):
        ax = show.curves({"a": dict(zip("12", values, strict=True))}, "layer", "estimate").axes[0]
        return [line for line in ax.lines if list(line.get_ydata()) == [0, 0]]

    assert len(flat((-0.1, 0.1))) == 1
    assert not flat((0.5, 0.6))


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="nothing to draw"):
        show.spreads({"halves": {}}, "layer", "score")


def test_names_of_points_do_not_cover_each_other():
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
    x, y = [1.0, 1.01, 1.02, 1.05, 2.0], [1.0, 1.0, 1.02, 1.01, 1.5]
    ax.plot(x, y, "o")
    name_points(ax, x, y, ["layer 1", "layer 2", "layer 3", "layer 4", "layer 5"])
    boxes = [t.get_window_extent() for t in ax.texts]
    plt.close(figure)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_panels_below_the_papers_have_titles_for_words_and_scales_of_their_own():
    ours = {"small": {"a": {"1": 0.01, "2": 0.02}}, "large": {"b": {"1": 1.0, "2": 2.0}}}
    figure = show.curves(ours, "layer", paper={"t": {"1": 0.1, "2": 0.3}}, above="paper")
    assert [ax.get_ylabel() for ax in figure.axes] == ["paper", *ours]
    assert len({ax.get_ylim() for ax in figure.axes}) == 3


def test_heat_has_the_papers_numbers_above_the_diagonal_alone():
    ours = {("1", "1"): 1.0, ("2", "1"): 0.25, ("2", "2"): -1.0, ("1", "2"): np.nan}
    figure = show.heat(ours, "layer", "layer", above={("2", "1"): 0.75, ("1", "9"): 0.5})
    assert [t.get_text() for t in figure.axes[0].texts] == ["1.00", ".75", ".25", "−1.00"]
    assert "above the diagonal" in figure.axes[0].get_title()
    assert [t.get_text() for t in show.heat(ours, "layer", "layer", form=".0f").axes[0].texts] == ["1", "0", "−1"]


def test_image_frames_tell_seen_from_unseen_without_colour():
    flags = [True, False, True]
    figure = show.images({"row": pictures(3)}, {"row": [0.5, "a", -0.25]}, {"row": flags})
    for ax, flag in zip(figure.axes, flags, strict=True):
        assert (ax.spines["left"].get_linestyle() in ("-", "solid")) == flag
    assert [ax.get_xlabel() for ax in figure.axes] == [".50", "a", "−.25"]
    with pytest.raises(ValueError, match="one caption"):
        show.images({"row": pictures(2)}, {"row": ["a"]})


def test_table_scrolls_by_itself_and_shows_what_is_missing_as_a_dash():
    frame = pd.DataFrame({"layer": ["1", "<2>"], "delta": [None, -0.0314], "p": [2e-10, 0.5], "n": [3, 4]})
    shown = show.table(frame, {"delta": "+.2f"}, caption="a & b")
    assert shown.data.startswith('<div class="table-scroll"')
    assert "a &amp; b" in shown.data
    assert "&lt;2&gt;" in shown.data
    assert "−.03" in repr(shown)
    assert "–" in repr(shown)
    assert "2.0e" in repr(shown)
    assert shown._repr_html_() == shown.data
    with pytest.raises(KeyError, match="did you mean 'delta'"):
        show.table(frame, {"detla": ".3f"})


def test_table_takes_rows_with_intervals_and_columns_that_some_lack():
    long = "words that are longer than a table of pandas would show without cutting them off"
    rows = [
        {"layer": "1", "ours": Interval(0.5, 0.25, 0.75, 4, 100, 0.1), "held": True},
        {
            "layer": "2",
            "paper": 0.4,
            "ours": unbounded(-0.125, 100),
            "held": np.False_,
            "parameters": 2304,
            "why": long,
        },
    ]
    text = repr(show.table(rows, {"ours": "%"}))
    head, first, second = text.splitlines()
    assert head.split() == ["layer", "paper", "ours", "held", "parameters", "why"]
    assert first.split()[:2] == ["1", "–"]
    assert "50.0 [25.0,\u00a075.0]" in first
    assert second.split()[1:5] == [".400", "−12.5", "no", "2,304"]
    assert long in second
    assert long in show.table(rows).data


def test_facts_have_a_column_a_design():
    shown = repr(show.facts({"halves": {"points": "500"}, "papers": {"seeds": "0, 1"}}))
    assert [line.split() for line in shown.splitlines()[1:]] == [["points", "500"], ["seeds", "0,", "1"]]


def test_rows_beyond_the_eighth_are_folded():
    assert "all 9 rows" in show.table([{"n": i} for i in range(9)]).data
    assert "all" not in show.table([{"n": i} for i in range(8)]).data


def test_figures_text_is_legible_on_white_and_on_the_ground_that_they_have_in_the_dark():
    """WCAG's contrast of 4.5; the ground is that of the book's style sheet."""

    def luminance(colour):
        channels = np.array(to_rgb(colour))
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    sheet = (Path(__file__).parents[2] / "book/_static/pages.css").read_text()
    [ground] = re.findall(r'data-theme="dark"\].* div.cell_output img { background: (\S+) ', sheet)
    text = luminance(GREY)
    assert (1 + 0.05) / (text + 0.05) >= 4.5
    assert (text + 0.05) / (luminance(ground) + 0.05) >= 4.5


def judged(*words, why="It is .5. None came near."):
    """Claims with these verdicts."""
    claim = Claim(
        "page/name",
        "It is so",
        "a number",
        "Table 1",
        (),
        Words("It is {}", "It is −{}", scale=Scale()),
        (),
        lambda: None,
    )
    effect = Interval(0.5, 0.25, 0.75, 4, 100, 0.01)
    made = [Verdict(n, "", "", f"{n}. {why}", effect, corrected_p=0.02, pairs=4) for n in words]
    return {f"claim {i}": Judged(claim, verdict) for i, verdict in enumerate(made)}


def test_the_answer_is_the_leading_claim_s_with_a_sentence_and_counts():
    found = show.answer(judged("holds", "holds", "undecided"), "claim 0", "It is <b>.", "laptop")
    assert "<strong>Yes.</strong> It is &lt;b&gt;." in found.data
    assert repr(found).splitlines()[1] == "2 hold, 1 undecided (3 claims, scale laptop, 4 pairs of encoders or runs)"
    with pytest.raises(KeyError, match="did you mean"):
        show.answer(judged("holds"), "claim 1", "It is.", "laptop")


def test_a_page_without_a_judged_claim_is_a_banner_that_says_what_would_answer_it():
    unlike = show.answer(judged("not judged"), "claim 0", "It is.", "laptop")
    assert repr(unlike).startswith("Not judged. It is .5. None came near.\n")
    found = judged("not judged", "not judged", why=NOTHING_MEMORIZED)
    found = show.answer(found, "claim 0", "It is.", "a/b/own.yaml")
    assert "answer-unjudged" in found.data
    assert repr(found).startswith(f"Not judged. {NOTHING_MEMORIZED} Encoders that are trained for longer")
    assert "scale own" in repr(found)
    assert "It is. " not in repr(found)


def test_a_verdict_is_a_line_with_the_number_that_decides():
    found = show.verdicts(judged("holds")).data
    assert found.count("<details") == 1
    assert "It is .5. None came near. <span class='decides'>.500 [.250,\u00a0.750], p = .020.</span>" in found
    assert "p = " not in show.verdicts(judged("not judged")).data


@pytest.mark.parametrize(
    ("p", "shown"),
    [(3.2e-5, "< .001"), (0.0321, "= .032"), (0.0499, "= .050"), (0.4, "= .40"), (0.99, "= .99"), (1.0, "> .99")],
)
def test_a_p_reads_as_a_share_or_as_its_bound(p, shown):
    assert p_value(p) == shown
    assert repr(show.result(judged("holds")["claim 0"])).endswith("near.")
