"""Progress: seen on a terminal, silent elsewhere, and no part of the work."""

import io
import sys

import numpy as np
import pytest
import timm
import torch
from nets import images_of, noisy
from PIL import Image

import memlib
from memlib import data, measure, probe, progress
from memlib.measure import views


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Gone(Terminal):
    def write(self, text):
        raise OSError("the terminal is gone")


def works(net, folder):
    """What takes long where there is much of it."""
    images, labels = images_of(4), torch.tensor([0, 1, 0, 1])
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "1.png")
    return {
        "measuring": lambda: measure.alignment(net, images, noisy, views=2),
        "features": lambda: probe.features(net, images),
        "probing": lambda: probe.linear(torch.eye(4), labels, torch.eye(4), labels, epochs=2, warmup=1),
        "reading": lambda: data.folders.read_folder("pictures", "train", folder),
    }


@pytest.mark.parametrize("what", ["measuring", "features", "probing", "reading"])
def test_a_terminal_shows_a_bar_and_nothing_else_anything(net, what, tmp_path, monkeypatch):
    import tqdm

    plain = tqdm.tqdm
    monkeypatch.setattr(tqdm, "tqdm", lambda **given: plain(**given | {"delay": 0, "mininterval": 0}))
    work = works(net, tmp_path)[what]
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    work()
    assert what in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    work()
    assert file.getvalue() == ""
    closed = io.StringIO()
    closed.close()
    for other in (Gone(), closed, None):
        monkeypatch.setattr(sys, "stderr", other)
        work()


def test_a_training_goes_on_where_standard_error_is_closed(tmp_path, monkeypatch):
    from memlib import train
    from memlib.specs import EncoderSpec

    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    spec = EncoderSpec(dataset="digits", subset=8, epochs=1, batch=8, size=16)
    closed = io.StringIO()
    closed.close()
    for seed, other in enumerate((Gone(), closed, None)):
        monkeypatch.setattr(sys, "stderr", other)
        assert train.artefact(memlib.EncoderSpec(**spec.values() | {"seed": seed}))[1]["steps"] == 1


def test_a_model_made_for_larger_images_says_so_once_and_with_an_error(caplog):
    views._say.cache_clear()
    model, images = timm.create_model("resnet18", num_classes=0), images_of(3, 32)
    for _ in range(2):
        measure.alignment(model, images, noisy, ["global_pool"], views=2)
    said = [record.message for record in caplog.records]
    assert len(said) == 1
    assert "ResNet was made for images of 224 pixels, and these have 32" in said[0]
    with pytest.raises(AssertionError) as error:
        measure.alignment(timm.create_model("vit_tiny_patch16_224", depth=1), images, noisy, views=2)
    assert "made for images of 224 pixels" in error.value.__notes__[0]
    caplog.clear()
    measure.alignment(timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1), images, noisy, views=2)
    assert not caplog.records
    assert progress.on_terminal() == sys.stderr.isatty()
