"""Page X_your_encoder: the example that it runs on, and paths of the reader's own."""

import ast

import nbformat
import pandas as pd
import pytest
import torch
from test_house import ROOT

from memlib import data, report, store
from memlib.book.pages import your_encoder as yours
from memlib.cli import main
from memlib.models import load_model

FOLDERS = ("seen", "mirror", "unseen")


def test_the_example_s_weights_and_images_are_there_and_no_image_twice():
    images = [data.load(f"folder:{store.results('example') / name}") for name in FOLDERS]
    assert [len(one) for one in images] == [125] * 3
    assert len({bytes(h) for one in images for h in one.hashes.numpy()}) == 375
    for name in ("f", "g"):
        assert load_model("memlib:resnet9", yours.place(f"example/{name}.safetensors")).size is None


def test_f_memorizes_its_images_in_layer_8_and_what_layer_6_shows_is_an_offset():
    """What the page shows is in the files, on a tenth of the work."""
    example = store.results("example")
    f, g = (load_model("memlib:resnet9", example / f"{name}.safetensors").model for name in ("f", "g"))
    seen, mirror, unseen = (data.load(f"folder:{example / name}").images[:60] for name in FOLDERS)
    table = report.layermem(f, g, seen, unseen, mirror, layers=["6", "8"], views=3).table().set_index("layer")
    assert table.loc["8", "excess_low"] > 0
    assert table.loc["8", "mirrored_low"] > 0
    assert table.loc["6", "ci_low"] > 0
    assert table.loc["6", "layermem"] > 4 * abs(table.loc["6", "mirrored"])


def test_a_path_is_the_reader_s_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert yours.place("mine/w.pt") == yours.Path("mine/w.pt")
    assert yours.place("example/f.safetensors").resolve() == store.results("example") / "f.safetensors"
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / "f.safetensors").touch()
    assert yours.place("example/f.safetensors") == yours.Path("example/f.safetensors")
    assert yours.places(None) == [None]
    assert yours.places(["a.pt", None]) == [yours.Path("a.pt"), None]


def test_a_number_that_is_missing_is_a_dash():
    found = pd.DataFrame({"layer": ["1", "2"], "delta": pd.array([None, 0.25], dtype="Float64")})
    assert "–" in yours.table(found).data
    assert ".250" in yours.table(found).data


def test_the_page_takes_what_the_command_takes():
    page = nbformat.read(ROOT / "notebooks" / "X_your_encoder.ipynb", as_version=4)
    (parameters,) = (cell.source for cell in page.cells if "parameters" in cell.metadata.tags)
    names = {node.targets[0].id for node in ast.parse(parameters).body}
    with pytest.raises(SystemExit):
        main(["layermem", "--help"])
    assert names == {"scale", "model", "f", "g", "images", "control", "mirror", "size", "layers", "views"}


def test_the_images_behind_units_are_those_of_their_points():
    images = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 20, 3), torch.nn.ReLU())
    units = report.unitmem(net, images, augment="none", views=1, layers=["1"])
    figure = yours.behind(units, images)
    shown = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert len(shown) == yours.SHOWN
    for array, unit in zip(shown, units.top(yours.SHOWN), strict=True):
        assert (array == images[unit.point].permute(1, 2, 0).numpy()).all()
