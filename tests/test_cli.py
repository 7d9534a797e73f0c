"""The commands of the shell, on models with random weights and folders of images."""

import re
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from memlib.cli import main

ROOT = Path(__file__).parents[1]


def folder_of(folder, count, seed, size=32):
    folder.mkdir(parents=True)
    pixels = torch.randint(0, 256, (count, size, size, 3), generator=torch.Generator().manual_seed(seed))
    for i, one in enumerate(pixels.to(torch.uint8).numpy()):
        Image.fromarray(one).save(folder / f"{i}.png")
    return str(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two folders of images, a labelled set, and the weights of two models."""
    place = tmp_path_factory.mktemp("place")
    folder_of(place / "seen", 8, 0)
    folder_of(place / "unseen", 6, 1)
    for split in ("train", "test"):
        for label in range(2):
            folder_of(place / "labelled" / split / f"class{label}", 6, 10 + label + 2 * (split == "test"))
    for name, seed in (("f", 0), ("g", 1)):
        torch.manual_seed(seed)
        save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), place / f"{name}.safetensors")
    return place


def run(*arguments):
    return main([str(one) for one in arguments])


VIEWS = ("--size", 32, "--views", 2)


def offline(report):
    """The page's text, after a look at what it would fetch."""
    text = (report / "index.html").read_text()
    assert not re.search(r"https?://|src=['\"](?!data:)|@import|<script", text)
    links = re.findall(r'href="([^"]+)"', text)
    assert links
    assert all((report / link).is_file() for link in links)
    return text


def test_unitmem_on_a_timm_model_with_random_weights_and_two_folders(place, tmp_path, capsys):
    out = tmp_path / "report"
    seen, unseen = place / "seen", place / "unseen"
    folders = ("--images", seen, "--control", unseen, "--out", out)
    assert run("unitmem", "--model", "timm:test_resnet", *folders, *VIEWS) == 0
    shown = capsys.readouterr()
    assert "timm:test_resnet has random weights." in shown.err
    assert "6 of the 8 images" in shown.err
    assert "member_rate" in shown.out
    units, layers = pd.read_csv(out / "units.csv"), pd.read_csv(out / "layers.csv")
    assert list(units) == ["layer", "unit", "unitmem", "point", "control", "file"]
    assert set(units["file"]) <= {f"{i}.png" for i in range(8)}
    assert units["unitmem"].is_monotonic_decreasing
    assert layers["units"].sum() == len(units)
    assert {path.name for path in out.iterdir()} == {
        "units.csv",
        "layers.csv",
        "figure.svg",
        "figure.png",
        "index.html",
    }
    text = offline(out)
    assert text.count("data:image/png") == 24
    assert "image/svg+xml" in text


def test_the_file_beside_a_unit_is_the_image_that_it_answers_to(place, tmp_path):
    from memlib import load
    from memlib.cli import _files

    images = load(f"folder:{place / 'seen'}").images
    for point, name in enumerate(_files(str(place / "seen"), 8)):
        there = torch.frombuffer(bytearray(Image.open(place / "seen" / name).tobytes()), dtype=torch.uint8)
        assert torch.equal(images[point].permute(1, 2, 0).flatten(), there)


def test_layermem_of_a_pair_and_of_pairs(place, tmp_path, capsys):
    model = ("layermem", "--model", "timm:test_resnet", "--images", place / "seen", *VIEWS)
    f, g = place / "f.safetensors", place / "g.safetensors"
    out = tmp_path / "pair"
    assert (
        run(*model, "--f", f, "--g", g, "--control", place / "unseen", "--mirror", place / "unseen", "--out", out)
        == 0
    )
    assert "intervals over the points" in capsys.readouterr().err
    layers, points = pd.read_csv(out / "layers.csv"), pd.read_csv(out / "points.csv")
    assert {"layermem", "excess", "mirrored"} <= set(layers)
    assert list(points)[1:] == layers["layer"].tolist()
    assert points.drop(columns="file").mean().to_numpy() == pytest.approx(layers["layermem"].to_numpy(), abs=1e-5)
    offline(out)
    assert run(*model, "--f", f, "--g", g, "--f", g, "--g", f, "--layers", "layer*") == 0
    assert "intervals over 2 pairs of encoders" in capsys.readouterr().err


def test_a_probe_and_what_pruning_costs_it(place, tmp_path, monkeypatch):
    from memlib import probe

    monkeypatch.setattr(probe, "linear", partial(probe.linear, epochs=2, warmup=0, seeds=1))
    model = ("--model", "memlib:resnet9", "--size", 32, "--data", place / "labelled")
    assert run("probe", *model, "--out", tmp_path / "probe") == 0
    whole = pd.read_csv(tmp_path / "probe" / "accuracy.csv")["accuracy"].item()
    assert 0 <= whole <= 1
    out = tmp_path / "prune"
    options = ("--images", place / "seen", "--views", 2, "--share", 0.5, "--out", out)
    assert run("prune", *model, *options) == 0
    table = pd.read_csv(out / "accuracy.csv").set_index("pruned")
    assert table.loc["nothing", "accuracy"] == pytest.approx(whole)
    assert set(table.index) == {"nothing", "highest UnitMem", "lowest UnitMem", "random 1", "random 2", "random 3"}
    assert table["cost"].to_numpy() == pytest.approx(whole - table["accuracy"].to_numpy())
    offline(out)


PRUNED = ["--model", "memlib:resnet9", "--size", "32", "--images", "seen", "--data", "labelled"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["unitmem", "--model", "timm:resnet81", "--images", "seen"], "did you mean"),
        (["unitmem", "--model", "timm:test_vit", "--images", "nowhere"], "no folder nowhere"),
        (["unitmem", "--model", "timm:test_vit", "--weights", "none.pt", "--images", "seen"], "no file of weights"),
        (
            ["unitmem", "--model", "timm:test_vit", "--weights", "f.safetensors", "--images", "seen"],
            "none of its keys",
        ),
        (["unitmem", *["--model", "timm:test_vit"] * 2, *["--weights", "f"] * 3, "--images", "seen"], "one --model"),
        (["prune", "--model", "timm:test_resnet", "--images", "seen", "--data", "labelled"], "needs --layers"),
        (["prune", *["--model", "memlib:resnet9"] * 2, "--images", "seen", "--data", "labelled"], "takes one model"),
        (["prune", *PRUNED, "--points", "-4"], "points=-4: allowed is None, or 2 to"),
        (["prune", *PRUNED, "--tested", "1000000"], "tested=1000000: allowed is None, or 2 to"),
        (["unitmem", "--model", "memlib:resnet9", "--images", "mixed"], "--size 64"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(arguments, said, place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    if not Path("mixed").exists():
        folder_of(Path("mixed"), 2, 3)
        Image.new("RGB", (20, 20)).save("mixed/other.png")
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_the_console_script_is_installed_and_its_help_needs_no_torch():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"memlib": "memlib.cli:main"}
    code = (
        "import sys\nfrom memlib.cli import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    for command in (["-c", code], ["-m", "memlib", "unitmem", "--help"]):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert "memlib" in done.stdout
