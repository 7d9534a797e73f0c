"""Page unitmem: units that make points theirs are found where they are, and selective ones are not."""

import fabricate
import numpy as np
import pytest
from legible import assert_legible

from memlib.book import show
from memlib.book.pages import unitmem


@pytest.fixture(scope="module")
def planted():
    return fabricate.study(fabricate.DEEPER, units=0.5, points=120, external=60)


@pytest.fixture(scope="module")
def judged(planted):
    return unitmem.page.judge(planted, {"CIFAR10": planted})


def test_units_that_know_points_in_every_layer_hold(judged):
    found = {name: one.verdict.verdict for name, one in judged.items()}
    assert found["spread"] == found["first"] == found["fraction"] == "holds"


def test_units_that_know_points_in_deep_layers_alone_are_not_spread():
    deep = dict.fromkeys(fabricate.CONVOLUTIONS[5:], 0.6)
    study = fabricate.study(fabricate.DEEPER, units=deep, points=200)
    spread = fabricate.verdicts(unitmem.page, study, "spread")["spread"]
    assert spread.verdict != "holds"
    assert [row for row, part in spread.parts.items() if part.verdict == "holds"] == ["6", "7", "8"]


def test_selective_units_do_not_pass_for_memorizing_ones():
    """UnitMem near .5 that rises with depth, but alike on unseen points, and points are strongest by chance."""
    found = fabricate.verdicts(
        unitmem.page, one := fabricate.study(fabricate.DEEPER), *unitmem.page.claims, others=({"CIFAR10": one},)
    )
    assert all(one.verdict != "holds" for one in found.values())
    assert found["deeper"].seen.mean > 0.5
    assert found["first"].attribution == "no"
    assert found["deeper"].attribution != "yes"


def test_encoders_that_memorize_nothing_are_not_judged():
    found = fabricate.verdicts(unitmem.page, fabricate.study(None, units=0.5), "spread", "first")
    assert {one.verdict for one in found.values()} == {"not judged"}


def test_the_data_set_with_fewer_memorizing_units_is_found():
    many, few = (
        fabricate.study(fabricate.DEEPER, units=u, points=p, external=60) for u, p in ((0.6, 120), (0.1, 80))
    )
    names = "everywhere", "fewest"
    found = fabricate.verdicts(unitmem.page, many, *names, others=({"CIFAR10": many, "SVHN": few},))
    assert {part: one.verdict for part, one in found["everywhere"].parts.items()}["CIFAR10"] == "holds"
    assert found["fewest"].verdict == "holds"
    found = fabricate.verdicts(unitmem.page, many, *names, others=({"CIFAR10": few, "SVHN": many},))
    assert found["fewest"].verdict == "does not hold"
    found = fabricate.verdicts(unitmem.page, many, *names, others=({"CIFAR10": many},))
    assert (found["everywhere"].verdict, found["fewest"].verdict) == ("holds", "not judged")
    assert len(repr(unitmem.data_sets({"CIFAR10": many, "SVHN": few})).splitlines()) == 3


@pytest.mark.parametrize("name", ["member_rates", "distributions", "last_layer", "unit_images"])
def test_figures_are_legible(planted, name):
    assert_legible(getattr(unitmem, name), planted, axes="images" not in name)


def test_image_frames_tell_seen_from_unseen_without_colour():
    study = fabricate.study(fabricate.DEEPER)
    one, figure = study.tables[0], unitmem.unit_images(study)
    strongest = one.top_row["1"][np.argsort(-one.scores("seen", "1"), kind="stable")[:8]]
    for ax, seen in zip(figure.axes, one.seen[strongest], strict=False):
        assert (ax.spines["left"].get_linestyle() in ("-", "solid")) == seen


def test_tables_have_a_row_a_layer(planted):
    for table in (unitmem.layer_table(planted), unitmem.block_table(planted)):
        assert len(repr(table).splitlines()) == len(fabricate.CONVOLUTIONS) + 1
        assert "nan" not in table.data


def test_verdicts_and_answer_are_sentences(planted, judged):
    assert show.verdicts(judged).data.count("<details") == len(judged)
    assert unitmem.answer(judged, planted).endswith("more than by chance in layers 1, 2, 3, 4, 5, 6, 7, 8.")
