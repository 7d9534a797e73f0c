"""Injection: a rise that the optimizer makes by itself, or any point does, is told from one that the point makes."""

from types import SimpleNamespace

import numpy as np
import pytest
from legible import assert_legible

from memlib import claims, figures
from memlib.claims import injection

EPOCHS, POINTS, COUNT = (0, 10, 50), 40, 30
UNITS = {"highest": 3, "silent": 7, "random": 11}
RISE = np.array([0.0, 0.5, 1.0])  # share of the whole rise at each of the epochs
CLAIMED = {"one": (0.1, 0.02), "points": (0.1, 0.05), "copies": (0.2, 0.09), "other": (0.01, 0.0), "none": (0.0, 0.0)}


def outcome(seed, rises=CLAIMED, spill=0.0, holds=("one", "points", "copies")):
    """A run in which UnitMem of the two units rises by what was inserted, and of the others with `spill`."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.3, 0.6, COUNT)
    start[UNITS["highest"]], start[UNITS["silent"]] = 0.75, 0.0
    arrays = {"points": np.arange(POINTS)}
    for inserted, (high, silent) in rises.items():
        for tuned in ("highest", "silent", "layer"):
            more = np.zeros(COUNT)
            if tuned != "silent":
                more[UNITS["highest"]] = high + 0.005 * rng.standard_normal() * bool(high)
            if tuned != "highest":
                more[UNITS["silent"]] = abs(silent * (1 + 0.05 * rng.standard_normal()))
            if tuned == "layer":
                meant = [UNITS["highest"], UNITS["silent"]]
                more[[u for u in range(COUNT) if u not in meant]] = spill
            arm, point = f"{inserted}-{tuned}", 5 if inserted in holds else 6
            arrays[f"{arm}.unitmem"] = start + RISE[:, None] * more
            arrays[f"{arm}.strongest"] = np.full((3, 3), point)
            arrays[f"{arm}.activation"] = np.ones((3, 3))
            arrays[f"{arm}.align"] = np.ones((3, 2))
    header = {
        "inserted": list(rises),
        "tuned": ["highest", "silent", "layer"],
        "epochs": list(EPOCHS),
        "units": UNITS,
    }
    learned = {"f": 0.5 + 0.01 * (seed % 2), "untrained": 0.4}
    header |= {"point": 5, "silent": True, "accuracy": learned, "cosine": {"same": 0.8, "different": 0.1}}
    return SimpleNamespace(arrays=arrays, header=header)


def page(runs=4, **changes):
    made = [claims.inserted.run(outcome(seed, **changes)) for seed in range(runs)]
    return {v.claim.key: v for v in injection.page(made)}, made


def test_what_the_paper_claims_holds_where_it_is_planted():
    found, runs = page()
    assert {key: v.verdict for key, v in found.items()} == dict.fromkeys(found, "holds")
    said = injection.takeaways(runs, list(found.values()))
    assert len(said) == 3
    assert "nan" not in "".join(said)


def test_a_rise_that_weight_decay_makes_alone_is_none_by_the_point():
    found, _ = page(rises=CLAIMED | {"none": (0.1, 0.02)})
    assert found["rises"].verdict == found["silent"].verdict == "does not hold"


def test_a_rise_that_any_point_makes_is_not_the_point_s():
    found, _ = page(rises=CLAIMED | {"other": (0.1, 0.0)})
    assert found["specific"].verdict != "holds"
    assert found["rises"].verdict == "holds"


def test_a_layer_that_moves_as_a_whole_is_no_insertion_into_a_unit():
    found, _ = page(spill=0.3)
    parts = {name: part.verdict for name, part in found["others"].parts.items()}
    assert parts == {"unit alone": "holds", "whole layer": "does not hold"}


def test_another_strongest_point_and_a_unit_that_stays_silent_are_seen():
    found, _ = page(holds=("points", "copies"))
    assert found["remains"].verdict == "not tested here"
    assert found["remains"].effect.mean < 0
    still, runs = page(rises=CLAIMED | {"one": (0.1, 0.0)})
    assert still["silent"].verdict == "does not hold"
    assert "None within a margin" in still["silent"].parts["unit alone"].reason
    assert (runs[0].strongest["one", "silent"]["silent"] == -1).all()
    assert still["remains"].parts["silent unit, unit alone"].verdict != "holds"


def test_a_unit_that_is_not_silent_is_called_the_lowest():
    made = [outcome(seed) for seed in range(2)]
    made[1].header["silent"] = False
    runs = [claims.inserted.run(one) for one in made]
    found = {v.claim.key: v for v in injection.page(runs)}
    assert "lowest unit, whole layer" in found["remains"].parts
    said = "".join(map(repr, (figures.injection_table(runs), figures.injection_units(runs))))
    assert "lowest" in said
    assert "silent unit" not in said
    assert "the lowest unit's" in injection.takeaways(runs, list(found.values()))[0]


def test_without_a_silent_unit_claims_about_one_are_not_tested():
    made = [outcome(seed) for seed in range(4)]
    for one in made:
        one.header["silent"] = False
    found = {v.claim.key: v for v in injection.page([claims.inserted.run(one) for one in made])}
    open_ones = {key for key, v in found.items() if v.verdict == "not tested here"}
    assert open_ones == {claim.key for claim in injection.OF_SILENT}
    assert "a silent unit, which did not run" in found["silent"].reason


def test_encoders_that_learned_nothing_are_not_judged():
    made = [outcome(seed) for seed in range(4)]
    for one in made:
        one.header["accuracy"]["untrained"] = one.header["accuracy"]["f"] + 0.01
    runs = [claims.inserted.run(one) for one in made]
    found = injection.page(runs)
    assert {v.verdict for v in found} == {"not tested here"}
    assert all("not shown to be better after training" in v.reason for v in found)
    assert "52.0 %" in repr(figures.injection_encoders(runs))


def test_copies_that_do_no_more_than_different_points_are_seen():
    found, _ = page(rises=CLAIMED | {"copies": CLAIMED["points"]})
    assert found["copies"].verdict != "holds"


def test_one_encoder_is_not_tested_and_none_is_refused():
    found, _ = page(runs=1)
    assert {v.verdict for v in found.values()} == {"not tested here"}
    with pytest.raises(ValueError, match="no run"):
        injection.page([])


@pytest.mark.parametrize("inserted", ["one", "copies"])
def test_curves_are_legible(inserted):
    assert_legible(figures.injection_curves, page()[1], inserted)


def test_tables_set_the_paper_beside_ours_and_show_what_else_changed():
    _, runs = page(spill=0.3)
    lines = repr(figures.injection_table(runs)).splitlines()
    assert len(lines) == 1 + 3 * 2 * 3
    assert all(text in lines[1] for text in ("table 13", "the paper's", "0.754", "0.792"))
    assert f"{np.mean([r.curve('one', 'unit alone', 'highest')[-1] for r in runs]):.3f}" in lines[2]
    controls = repr(figures.injection_controls(runs)).splitlines()
    assert len(controls) == 1 + 5 * 2
    assert "0.300" in next(line for line in controls if "whole layer" in line)
    assert len(repr(figures.injection_outputs(runs)).splitlines()) == 1 + 5 * 2
    assert len(repr(figures.injection_units(runs)).splitlines()) == 5


def test_the_page_s_claims_have_a_source_and_name_what_counts():
    assert all(claim.source and claim.over == "encoders" for claim in injection.CLAIMS)
    assert {claim.page for claim in injection.CLAIMS} == {injection.PAGE}
    assert claims.injection is injection
