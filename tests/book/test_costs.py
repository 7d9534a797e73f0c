"""Costs: counted work equals closed forms."""

import dataclasses
import re

import pytest
import yaml

from memlib.book import costs, plan
from memlib.book.pages import costs as costs_page
from memlib.specs import EncoderSpec

# multiply-adds of Table 8's convolutions at 32x32: weights times places of the output
RESNET9 = 27 * 32 * 32**2 + 288 * 64 * 16**2 + 2 * 576 * 64 * 8**2 + 576 * 128 * 8**2 + 1152 * 256 * 4**2
RESNET9 += 2 * 2304 * 256 * 2**2


def test_multiply_adds_of_resnet9_are_those_of_its_table():
    assert costs.cost(EncoderSpec(), 1000).multiply_adds == RESNET9


def test_a_supervised_step_is_one_forward_and_two_backward_but_for_the_first_layer_and_the_head():
    found = costs.cost(EncoderSpec(framework="supervised"), 1000)
    first = 27 * 32 * 32**2  # the images get no gradient
    head = 256 * 2
    assert found.step == 2 * (3 * RESNET9 - first + 3 * head)


def test_simclr_costs_two_views_and_its_head():
    supervised, simclr = (costs.cost(EncoderSpec(framework=name), 1000).step for name in ("supervised", "simclr"))
    assert 2 < simclr / supervised < 2.05


def test_byol_pays_its_teachers_forward_and_no_more():
    head = predictor = 2 * 256 * 1024
    trained = 3 * (RESNET9 + head + predictor) - 27 * 32 * 32**2  # forward and backward of a view
    found = costs.cost(EncoderSpec(framework="byol"), 1000)
    assert found.step == 2 * 2 * (trained + RESNET9 + head)


def test_hours_follow_from_steps_batch_and_rate():
    found = costs.cost(EncoderSpec(epochs=10, batch=100), 1000)
    assert found.steps == 100
    assert found.operations == found.step * 10_000
    assert costs.hours(3.6e15, 0.5, 1e12) == pytest.approx(2)


def test_points_of_every_design_are_known_without_its_data_set():
    for scale in plan.SCALES:
        for design in plan.scale(scale)["designs"]:
            spec = plan.pairs(scale, design)[0].f.encoder
            assert costs.training_points(spec) >= spec.batch
    unknown = EncoderSpec(dataset="folder:pictures")
    with pytest.raises(ValueError, match="subset=None"):
        costs.training_points(unknown)
    assert costs.training_points(dataclasses.replace(unknown, subset=80, points="half:0/2")) == 40


def test_designs_that_differ_in_their_points_alone_take_other_numbers_of_steps(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    base = {"encoder": {"dataset": "digits", "batch": 10, "epochs": 2}, "measure": {"views": 2}}
    halves = {"kind": "halves", "pairs": 1, "seed": 0, "external": 10}
    designs = {"few": halves | {"subset": 40}, "many": halves | {"subset": 80}}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(base | {"designs": designs}))
    found = costs.listing(str(tmp_path / "two.yaml")).set_index("design")
    assert found.loc["many", "operations"] == 2 * found.loc["few", "operations"]


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(ValueError, match="batch=128 with 100 training points"):
        costs.cost(EncoderSpec(), 100)


def test_a_listing_is_counted_once_and_has_every_design_of_its_scale(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    small = tmp_path / "small.yaml"
    design = "subset: 40, pairs: 2, external: 10, batch: 10, epochs: 3"
    small.write_text(
        "encoder: {dataset: digits, size: 16}\nmeasure: {views: 2}\ndesigns:\n"
        f"  halves: {{{design}, seed: 0}}\n  wide: {{kind: halves, {design}, arch: resnet18, seed: 10}}\n"
    )
    found = costs.listing(str(small))
    assert found["design"].tolist() == ["halves", "wide"]
    assert found["encoders"].tolist() == [4, 4]
    assert found["parameters"].tolist() == [1_642_432 + 2_240, 11_176_512]
    monkeypatch.setattr(costs, "cost", lambda *_: pytest.fail("counted again"))
    assert costs.listing(str(small)).equals(found)


def test_hours_of_the_scale_for_one_gpu_are_of_such_a_card_and_fill_no_more_than_a_night():
    name, peak = costs.card("gpu")
    assert peak < costs.PEAK == costs.card("paper")[1]
    found, (share, *_) = costs.listing("gpu"), costs.reached()
    assert found["design"].tolist() == list(plan.designs("gpu"))
    assert 2 < costs.hours(float((found["operations"] * found["encoders"]).sum()), share, peak) < 8
    assert name in repr(costs_page.text("gpu"))


def test_what_a_page_takes_again_is_said_for_here_and_for_the_papers_sizes():
    said = costs.again("laptop", "05_2_injection")
    assert re.search(r"scale laptop took \d+ minutes of one processor thread", said)
    assert re.search(r"is [\d,]+ (hours|minutes) of one A100 by its operations alone", said)
