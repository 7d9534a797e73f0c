"""Page layermem: what is planted holds, what is not does not; the paper's numbers stand beside ours."""

import fabricate
import numpy as np
import pytest
from legible import assert_legible

from memlib.book import claims, paper, show
from memlib.book.pages import layermem
from memlib.pairs import S_E

SMALL = {"points": 200, "external": 60}


@pytest.fixture(scope="module")
def planted():
    return fabricate.study(fabricate.DEEPER, pairs=10, **SMALL)


@pytest.fixture(scope="module")
def judged(planted):
    return layermem.page.judge(planted)


def test_planted_memorization_holds_in_every_claim_about_layers(judged):
    found = {name: one.verdict.verdict for name, one in judged.items() if name not in ("top", "order", "ten")}
    assert found == dict.fromkeys(found, "holds")


def test_points_that_neighbours_memorize_alike_are_found_beyond_what_layers_share():
    apart = fabricate.study(fabricate.DEEPER, pairs=6, points=400, external=200, shared=0.0)
    found = {n: layermem.page.claims[n].of(apart) for n in ("top", "order", "ten")}
    for effect in found.values():
        seen, unseen = (np.mean(apart.values(one)) for one in (effect.estimate, effect.control))
        assert seen > unseen + effect.margin


def test_layers_that_share_features_do_not_pass_for_layers_that_memorize_the_same():
    study = fabricate.study(None, pairs=6, shared=0.9, **SMALL)
    effect = layermem.page.claims["order"].of(study)
    seen, unseen = (study.over(one) for one in (effect.estimate, effect.control))
    assert seen.low > effect.margin
    assert abs(seen.mean - unseen.mean) < effect.margin


def test_encoders_that_memorize_nothing_are_not_judged():
    found = fabricate.verdicts(layermem.page, fabricate.study(None, **SMALL), *layermem.page.claims)
    assert {one.verdict for one in found.values()} == {"not judged"}
    assert "not shown to memorize" in found["depth"].text


@pytest.mark.parametrize("same_points", [False, True])
def test_encoders_with_nothing_to_find_rarely_pass_the_gate(same_points):
    """Nothing memorized, or f and g trained on the same points: both then hold them alike."""
    passed = 0
    for seed in range(20):
        study = fabricate.study(None, pairs=3, points=80, external=40, seed=seed)
        if same_points:
            for piece in study:
                for table in (*piece.pair.align_f.values(), *piece.pair.align_g.values()):
                    table[:, piece.pair.sets != S_E] *= 0.8
        passed += not claims.memorizes(study)
    assert passed <= 2


def test_memorization_of_deep_layers_alone_is_not_in_every_layer():
    levels = dict.fromkeys(fabricate.KINDS, 0.0) | {"6": 0.2, "7": 0.2, "8": 0.2, "Res6": 0.2, "output": 0.2}
    levels |= {row: 0.2 for row in fabricate.KINDS if row.startswith(("BN4", "MaxPool4"))}
    every = fabricate.verdicts(layermem.page, fabricate.study(levels, **SMALL), "every_layer")["every_layer"]
    assert every.verdict == "does not hold"
    assert [row for row, part in every.parts.items() if part.verdict == "holds"] == ["6", "7", "8"]


def test_a_batchnorm_that_memorizes_is_not_called_negligible():
    levels = fabricate.DEEPER | {"BN4-0": 0.5, "7": 0.53, "8": 0.56}
    norms = fabricate.verdicts(layermem.page, fabricate.study(levels, **SMALL), "norms")["norms"]
    assert norms.verdict == "does not hold"
    assert norms.part == "BN4-0"


def test_tables_set_the_paper_beside_ours(planted):
    text = repr(layermem.layer_table(planted, "table_1", *layermem.NUMBERED))
    for value in paper.table("table_1")["LayerMem"]:
        assert f" {value:.3f}".replace(" 0", " ") in text
    assert len(repr(layermem.layer_table(planted, "table_18")).splitlines()) == len(fabricate.KINDS) + 1


@pytest.mark.parametrize("name", ["layer_curves", "extreme_curves", "agreement_maps", "top_images"])
def test_figures_are_legible(planted, name):
    assert_legible(getattr(layermem, name), planted, axes="images" not in name)


def test_verdicts_and_answer_are_sentences(planted, judged):
    shown = show.verdicts(judged)
    assert shown.data.count("<details") == len(judged)
    assert all(one.claim.statement in shown.data.replace("&#x27;", "'") for one in judged.values())
    assert "nan" not in shown.data
    assert layermem.answer(judged, planted).startswith("Of 8 convolutions 8 are shown to memorize: 1, 2, 3")


def test_points_that_no_other_pair_can_choose_are_an_error_that_says_so():
    with pytest.raises(ValueError, match="take more pairs"):
        layermem.extreme_curves(fabricate.study(fabricate.DEEPER, pairs=1))
