"""Claims about frameworks: shared profiles are found, shared images are none; ImageNet is not claimed by what ran."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_claims_resnets import RNG, pairs
from test_claims_units import encoders

from memlib import claims, figures, paper
from memlib.claims import frameworks, takeaways

ROWS = {"ResNet": [str(i) for i in range(1, 7)], "ViT": [f"FCRes{i}" for i in range(1, 6)]}
NAMES = {"ResNet": ("simclr", "simsiam", "dino"), "ViT": ("mae", "dino")}
RAN = {
    "ResNet": {"arch": "resnet9", "dataset": "cifar10"},
    "ViT": {"arch": "vit_tiny", "dataset": "cifar10"},
}


def study(rng, rows, stored, last, gap=0.0):
    """A framework's encoders: what each row has memorized, and units whose mean UnitMem is about .55 + gap."""
    untrained = pairs(rng, rows=rows, points=(0, 60, 60, 30))
    units = encoders(rng, {last: 0.4}, unseen_gap=0.1 + gap, units=200)
    return SimpleNamespace(
        pairs=pairs(rng, stored, rows, points=(0, 60, 60, 30)),
        nulls={"untrained encoders": untrained},
        units=units,
        untrained=encoders(rng, {last: 0.0}, units=200),
    )


def families(rng, levels=None, gaps=None):
    """`levels`: framework -> what its last row has memorized, growing with depth, 0 for nothing."""
    found = {}
    for family, names in NAMES.items():
        rows = ROWS[family]
        last = "8" if family == "ResNet" else "FC12"
        found[family] = {
            name: study(
                rng,
                rows,
                dict(zip(rows, np.linspace(0.02, 1, len(rows)) * (levels or {}).get(name, 0.3), strict=True)),
                last,
                (gaps or {}).get(name, 0.0),
            )
            for name in names
        }
    return found


def page(made, ran=RAN):
    return {v.claim.key: v for v in frameworks.page(made, ROWS, ran)}


@pytest.fixture(scope="module")
def alike():
    return families(RNG(0))


@pytest.fixture(scope="module")
def found_alike(alike):
    return page(alike)


def test_frameworks_alike_in_profile_level_and_units_hold(found_alike):
    found = found_alike
    tested = ("deeper", "profile", "level", "magnitude", "number")
    assert {key: found[f"frameworks-{key}"].verdict for key in tested} == dict.fromkeys(tested, "holds")
    assert list(found["frameworks-profile"].parts) == ["ResNet", "ViT"]
    assert len(found["frameworks-level"].parts) == 4  # three of the ResNet's, one of the ViT's


def test_claims_about_imagenet_are_not_tested_by_what_ran_instead(alike, found_alike):
    for key in ("resnet50", "vit-base"):
        v = found_alike[f"frameworks-{key}"]
        assert v.verdict == "not tested here"
        assert "imagenet, which did not run" in v.reason
        assert "nan" not in str(v)
    ran = {"ResNet": {"arch": "resnet50", "dataset": "imagenet"}, "ViT": RAN["ViT"]}
    found = page(alike, ran)
    assert found["frameworks-resnet50"].verdict == "holds"
    assert found["frameworks-vit-base"].verdict == "not tested here"


def test_a_framework_that_memorizes_less_is_another_level_and_the_same_profile():
    found = page(families(RNG(0), {"dino": 0.15}))
    assert found["frameworks-profile"].verdict == "holds"
    level = found["frameworks-level"]
    assert level.verdict == "does not hold"
    assert level.parts["ResNet simclr and simsiam"].verdict == "holds"
    assert level.parts["ViT mae and dino"].verdict == "does not hold"


def test_units_that_differ_by_more_than_the_margin_are_not_alike():
    found = page(families(RNG(0), gaps={"mae": -0.2}))
    assert found["frameworks-magnitude"].verdict == "does not hold"
    assert found["frameworks-number"].verdict == "does not hold"
    assert found["frameworks-magnitude"].parts["ResNet simclr and dino"].verdict == "holds"


def test_encoders_that_memorized_nothing_share_no_profile():
    none = dict.fromkeys((name for names in NAMES.values() for name in names), 0.0)
    counts = Counter()
    for draw in range(5):
        made = families(RNG(draw), none)
        parts = (frameworks.deeper, frameworks.profiles, frameworks.levels)
        counts.update(
            v.claim.key for v in claims.correct([part(made, ROWS) for part in parts]) if v.verdict == "holds"
        )
    assert counts.total() <= 1


def test_profiles_of_the_same_halves_that_are_alike_because_the_images_are_do_not_pass():
    """Distances of a layer depend on the image in the same way in both frameworks, whoever was trained on it."""

    def same_images(rng, name):
        rows, sets = ROWS["ResNet"], np.repeat(np.arange(4), (0, 60, 60, 30))
        made = []
        for pair in range(4):
            image = 0.4 * RNG(pair).standard_normal((len(rows), sets.size))  # of the images: shared by frameworks
            noise = 0.01 * rng.standard_normal((2, len(rows), sets.size))
            f, g = ({r: 0.5 * np.exp(s * image[i] + noise[:, i] * s) for i, r in enumerate(rows)} for s in (-1, 1))
            made.append(claims.Pair(f, g, sets))
        return SimpleNamespace(pairs=made, nulls={}, units=[], untrained=[])

    rng = RNG(0)
    found = frameworks.same_profile({name: same_images(rng, name) for name in NAMES["ResNet"]}, ROWS["ResNet"])
    assert abs(found.effect.mean) < 0.5
    assert found.verdict != "holds"


def test_frameworks_on_other_points_are_refused(alike):
    made = alike["ResNet"]
    other = SimpleNamespace(**vars(made["dino"]))
    other.pairs = [replace(p, sets=p.sets[::-1]) for p in other.pairs]
    with pytest.raises(ValueError, match="pair 1 of 'dino' has other points than that of 'simclr'"):
        frameworks.same_profile({"simclr": made["simclr"], "dino": other}, ROWS["ResNet"])
    with pytest.raises(ValueError, match="two frameworks"):
        frameworks.same_profile({"simclr": made["simclr"]}, ROWS["ResNet"])


def test_tables_have_every_framework_and_every_two_and_the_take_aways_follow_them(alike, found_alike):
    made = alike
    one, two = frameworks.framework_table(made, ROWS), frameworks.contrast_table(made, ROWS)
    assert one["framework"].tolist() == ["simclr", "simsiam", "dino", "mae", "dino"]
    assert two["frameworks"].tolist() == ["simclr, simsiam", "simclr, dino", "simsiam, dino", "mae, dino"]
    assert "tau, untrained encoders" in two
    between = frameworks.differences(made["ResNet"], ROWS["ResNet"])
    assert between.shape == (6, 4)
    said = takeaways.frameworks(made, ROWS, list(found_alike.values()))
    assert len(said) == 3
    assert "above chance in 5 of 5" in said[2]


def test_tables_29_and_31_say_what_the_claims_quote():
    assert len(paper.TABLE_29) == 50
    assert len(paper.TABLE_31) == 12
    for table in (paper.TABLE_29, paper.TABLE_31):
        for name in next(iter(table.values())):
            levels = [row[name] for row in table.values()]
            assert levels == sorted(levels)
            assert len(set(levels)) >= len(levels) - 1
    apart = [abs(row["simclr"] - row["dino"]) for row in paper.TABLE_29.values()]
    assert round(max(apart), 3) == 0.005  # as the page says
    for claim, table in ((frameworks.RESNET50, paper.TABLE_29), (frameworks.VIT_BASE, paper.TABLE_31)):
        for row in (next(iter(table.values())), next(reversed(table.values()))):
            for number in row.values():
                assert f"{number:.3f}"[1:] in claim.paper


def test_a_framework_whose_encoders_lost_by_training_is_named():
    def study(after, before):
        tables, untrained = (
            [SimpleNamespace(probe={"digits": [a, a]}, header={"encoder": {"dataset": "digits"}}) for a in accuracies]
            for accuracies in (after, before)
        )
        half = np.arange(8) < 4
        units = [SimpleNamespace(member=member) for _ in range(3) for member in (half, ~half)]
        return SimpleNamespace(tables=tables, before=untrained, units=units, untrained=units, pairs=[])

    start = [0.30, 0.31, 0.30, 0.32, 0.31, 0.30]
    made = {
        "ResNet": {
            "simclr": study([0.40, 0.42, 0.41, 0.43, 0.42, 0.40], start),
            "byol": study([0.20, 0.21, 0.21, 0.22, 0.20, 0.19], start),
            "dino": study([0.30, 0.31, 0.31, 0.31, 0.31, 0.30], start),
        }
    }
    found = frameworks.learned(made).set_index("framework")
    assert found.loc["simclr", "gain"].excludes_zero(1)
    assert found.loc["byol", "gain"].excludes_zero(-1)
    assert found.loc["byol", "before"].mean == pytest.approx(np.mean(start))
    named = frameworks.lost(made)
    assert [name.split(" (")[0] for name in named] == ["ResNet byol", "ResNet dino"]
    assert f"does not exclude zero): {', '.join(named)}." in figures.learned_table(made)._repr_html_()


def test_frameworks_that_taught_nothing_are_not_judged(alike, found_alike):
    judged = {v.claim.key: v for v in frameworks.page(alike, ROWS, RAN, ["ResNet byol"])}
    assert {v.verdict for v in judged.values()} == {claims.OPEN}
    for key, verdict in judged.items():
        assert found_alike[key].reason in verdict.reason
        assert "not named" not in verdict.reason
    assert "ResNet byol" in judged["frameworks-deeper"].reason
