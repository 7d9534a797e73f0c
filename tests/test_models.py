"""Models by name, and weights that fit them, are refused or are not safe to read."""

import argparse
import json
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from memlib import store, train
from memlib.models import Vectors, load_model, read_weights
from memlib.specs import EncoderSpec

SMALL = "timm:test_resnet"


def weights(seed, prefix="", **options):
    torch.manual_seed(seed)
    return {prefix + k: v for k, v in timm.create_model("test_resnet", num_classes=0, **options).state_dict().items()}


@pytest.mark.parametrize("kind", ["safetensors", "pt", "checkpoint"])
@pytest.mark.parametrize("prefix", ["", "module.backbone.", "encoder."])
def test_weights_of_a_file_are_the_model_s_whatever_their_prefix_and_head(kind, prefix, tmp_path):
    wanted = weights(3, prefix)
    head = {"module.projection_head.0.weight": torch.ones(2)} if prefix else {"fc.weight": torch.ones(3, 4)}
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "safetensors":
        save_file(wanted | head, path)
    else:
        torch.save({"state_dict": wanted | head, "epoch": 3} if kind == "checkpoint" else wanted | head, path)
    loaded = load_model(SMALL, path)
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, wanted[prefix + name])
    text = " ".join(loaded.said)
    assert str(path) in text
    assert (f"without the prefix {prefix!r}" in text) == bool(prefix)
    assert "Left out, as no part of the encoder: " + ("module (1)" if prefix else "fc (1)") in text
    assert not loaded.model.training


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: {k: v for k, v in w.items() if k != "conv1.0.weight"}, "missing: conv1.0.weight"),
        (lambda w: w | {"layer9.weight": torch.ones(2)}, "unexpected: layer9.weight"),
        (lambda w: w | {"bn1.weight": torch.ones(2)}, r"bn1.weight is \[2\] there and \[32\] in the model"),
        (lambda w: {"other.name": torch.ones(2)}, r"none of its keys \(other.name\) is the model's"),
        (
            lambda _: {f"{s}.{k}": v for s in ("student", "teacher") for k, v in weights(len(s)).items()},
            "'student.', 'teacher.'",
        ),
    ],
)
def test_weights_that_do_not_fit_are_an_error_that_names_the_keys(change, said, tmp_path):
    save_file(change(weights(0)), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=said):
        load_model(SMALL, tmp_path / "w.safetensors")


def test_a_pickle_that_holds_objects_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"state_dict": weights(0), "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(ValueError, match=r"refused: it holds argparse.Namespace.*save_file\(c\['state_dict'\]"):
        read_weights(path)


class Evil:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_pickle_runs_no_code(tmp_path, capsys):
    torch.save({"model": Evil()}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="refused"):
        read_weights(tmp_path / "w.pt")
    assert "never" not in capsys.readouterr().out


def test_a_file_that_is_none_of_this_says_so(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"w\.pt"):
        read_weights(tmp_path / "w.pt")
    torch.save({"teacher": weights(0), "student": weights(0)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"several state dicts: teacher, student.*\['student'\]"):
        read_weights(tmp_path / "w.pt")
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        read_weights(tmp_path / "none.pt")


def test_classification_layers_are_left_out():
    vision = load_model("torchvision:resnet18")
    assert "'fc' is left out" in " ".join(vision.said)
    assert vision.model(torch.zeros(1, 3, 32, 32)).shape == (1, 512)
    assert "random weights" in " ".join(vision.said)
    timms = timm.create_model("test_resnet")
    assert load_model(SMALL).model(torch.zeros(1, 3, 64, 64)).shape == (1, timms.num_features)


def test_timm_says_size_and_normalisation_and_random_weights_are_the_same_each_time():
    one, two = load_model("timm:test_vit"), load_model("timm:test_vit")
    assert (one.size, one.mean) == (160, timm.create_model("test_vit").pretrained_cfg["mean"])
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("timm:resnet81", KeyError, "did you mean 'resnet"),
        ("torchvision:resnet81", KeyError, "did you mean 'resnet"),
        ("memlib:resnet19", KeyError, "did you mean 'resnet"),
        ("tim:resnet18", KeyError, "timm:NAME"),
        ("nothing", KeyError, "timm:NAME"),
        ("hf:nowhere", FileNotFoundError, "config.json"),
        ("json:loads_of", KeyError, "no function 'loads_of'"),
        ("builtins:dict", ValueError, "needed is a torch.nn.Module"),
    ],
)
def test_an_unknown_name_is_an_error_that_says_what_is_allowed(name, error, said):
    with pytest.raises(error) as caught:
        load_model(name)
    assert said in str(caught.value.args[0])


def test_a_function_of_one_s_own_makes_the_model(tmp_path, monkeypatch):
    (tmp_path / "own_sizes.py").write_text("WIDTH = 4\n")
    (tmp_path / "own_encoder.py").write_text(
        "import torch\ndef small():\n    from own_sizes import WIDTH\n    return torch.nn.Conv2d(3, WIDTH, 3)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(tmp_path))])
    assert load_model("own_encoder:small").model.out_channels == 4
    for name in ("own_encoder", "own_sizes"):
        sys.modules.pop(name)


def test_an_encoder_of_the_store_and_a_spec_are_models(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMLIB_HOME", str(tmp_path))
    spec = EncoderSpec(dataset="digits", subset=20, epochs=0, batch=10, framework="byol", size=16)
    (tmp_path / "spec.json").write_text(json.dumps(spec.values()))
    with pytest.raises(FileNotFoundError, match=r"python -m memlib.train .*spec.json"):
        load_model(f"memlib:{tmp_path / 'spec.json'}")
    encoder = train.encoder(spec)
    (path,) = (store.home() / "encoders").glob("*.safetensors")
    for name in (str(path), f"memlib:{tmp_path / 'spec.json'}"):
        loaded = load_model(name)
        assert (loaded.size, type(loaded.model)) == (16, type(encoder))
        for a, b in zip(encoder.parameters(), loaded.model.parameters(), strict=True):
            assert torch.equal(a, b)
    save_file(weights(0), tmp_path / "bare.safetensors")
    with pytest.raises(ValueError, match="does not say which model"):
        load_model(str(tmp_path / "bare.safetensors"))


def test_a_folder_of_transformers_needs_its_configuration_and_the_library(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"no config.json"):
        load_model(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="pip install transformers"):
        load_model(str(tmp_path))


def test_a_folder_of_transformers_is_the_model_that_it_saved(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28)
    saved = transformers.Dinov2Model(config)
    saved.save_pretrained(tmp_path)
    loaded = load_model(f"hf:{tmp_path}")
    assert loaded.size == 28
    for a, b in zip(saved.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert Vectors(loaded.model, loaded.mean, loaded.std)(torch.zeros(2, 3, 28, 28)).shape == (2, 32)


def test_vectors_are_taken_of_images_as_the_model_has_them():
    from memlib.augment import IMAGENET_MEAN, IMAGENET_STD

    pixels = torch.rand(2, 3, 4, 4)
    ours = (pixels - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    vectors = Vectors(torch.nn.Identity(), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))(ours)
    torch.testing.assert_close(vectors, (2 * pixels - 1).flatten(2).mean(2))
