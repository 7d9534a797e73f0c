"""Recording by name: the right tensors under the right names, and nothing left behind."""

import re

import pytest
import timm
import torch
import torchvision
from torch import nn

from memlib.taps import record


class Twice(nn.Module):
    """Calls one ReLU twice, in place, and puts out a nested structure."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.relu = nn.ReLU(inplace=True)
        self.same = self.relu
        self.pair = Pair()
        self.unused = nn.Linear(4, 4)

    def forward(self, x):
        x = self.relu(self.bn(x))
        x = x - 0.5
        x = self.same(x)
        return self.pair(x)


class Pair(nn.Module):
    def forward(self, x):
        return x + 1, {"deep": [x + 2, None], "words": "none"}


@pytest.fixture
def twice():
    torch.manual_seed(0)
    return Twice()


X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def state(model):
    """All that recording must leave as it was."""
    return (
        [(name, module.training) for name, module in model.named_modules()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        {name: value.clone() for name, value in model.state_dict().items()},
    )


def assert_unchanged(model, before):
    after = state(model)
    assert after[:2] == before[:2]
    for name, value in before[2].items():
        assert torch.equal(after[2][name], value), name


def test_names_tell_second_calls_and_items(twice):
    with record(twice) as outputs:
        twice(X)
    assert list(outputs) == [
        *("bn", "relu", "relu@1", "pair[0]", "pair[1][deep][0]", "output[0]", "output[1][deep][0]")
    ]
    torch.testing.assert_close(outputs["relu@1"], (outputs["bn"].relu() - 0.5).relu())
    torch.testing.assert_close(outputs["pair[1][deep][0]"], outputs["relu@1"] + 2)


def test_an_output_that_is_overwritten_in_place_is_recorded_as_it_was(twice):
    with record(twice, ["bn"]) as outputs:
        twice(X)
    twice.eval()
    torch.testing.assert_close(outputs["bn"], twice.bn(X))
    assert (outputs["bn"] < 0).any()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["relu"], ["relu", "relu@1"]),
        (["relu@1"], ["relu@1"]),
        (["same"], ["same", "same@1"]),
        (["pair"], ["pair[0]", "pair[1][deep][0]"]),
        (["pair[1]"], ["pair[1][deep][0]"]),
        (["b?"], ["bn"]),
        (["*e*u"], ["relu", "relu@1"]),
        (["output[0]", "bn"], ["bn", "output[0]"]),
        ("bn", ["bn"]),
    ],
)
def test_names_and_patterns_select_what_they_say(twice, asked, found):
    with record(twice, asked) as outputs:
        twice(X)
    assert list(outputs) == found


def test_a_part_called_output_is_what_that_name_means():
    model = nn.Sequential()
    model.add_module("first", nn.Linear(4, 4))
    model.add_module("output", nn.ReLU())
    with record(model) as outputs:
        y = model(X)
    assert list(outputs) == ["first", "output"]
    assert torch.equal(outputs["output"], y)


def test_a_pattern_needs_only_one_of_its_modules_to_fire(twice):
    with record(twice, ["*"]) as outputs:
        twice(X)
    assert "bn" in outputs
    assert "unused" not in outputs


def test_outputs_cleared_between_batches_count_calls_anew(twice):
    with record(twice, ["relu"]) as outputs:
        for _ in range(3):
            outputs.clear()
            twice(X)
    assert list(outputs) == ["relu", "relu@1"]


def test_without_clearing_a_second_run_counts_on(twice):
    with record(twice, ["bn"]) as outputs:
        twice(X)
        twice(X)
    assert list(outputs) == ["bn", "bn@1"]


def test_a_reducer_sees_the_tensor_inside_the_hook_and_decides_what_is_kept(twice):
    with record(twice, ["bn", "relu"], reduce=lambda name, t: t.min().item() if name == "bn" else None) as outputs:
        twice(X)
    assert list(outputs) == ["bn"]
    assert outputs["bn"] < 0


def test_recorded_tensors_carry_no_gradient_graph(twice):
    with record(twice) as outputs:
        twice(X)
    assert not any(t.requires_grad for t in outputs.values())


def test_recording_leaves_mode_hooks_and_buffers_as_they_were(twice):
    twice.train()
    twice.bn.eval()
    twice.bn.register_forward_hook(lambda *_: None)
    before = state(twice)
    with record(twice) as outputs:
        assert not any(module.training for module in twice.modules())
        twice(X)
    assert outputs
    assert_unchanged(twice, before)


def test_nothing_stays_behind_where_a_name_is_wrong(twice):
    before = state(twice)
    with pytest.raises(KeyError, match="did you mean 'relu'"), record(twice, ["bn", "rleu"]):
        twice(X)
    assert_unchanged(twice, before)


def test_nothing_stays_behind_where_the_model_raises(twice):
    before = state(twice)
    with pytest.raises(RuntimeError, match="4"), record(twice, ["bn", "pair"]):
        twice(torch.randn(3, 5))
    assert_unchanged(twice, before)


@pytest.mark.parametrize("silent", ["unused", "relu@2", "pair[2]", "unus*"])
def test_a_layer_that_was_named_and_did_not_fire_is_an_error(twice, silent):
    before = state(twice)
    said = rf"never put out a tensor: {re.escape(repr(silent))}; recorded were 'bn'"
    with pytest.raises(ValueError, match=said), record(twice, ["bn", silent]):
        twice(X)
    assert_unchanged(twice, before)


def test_a_model_that_was_never_run_is_an_error_and_no_layers_too(twice):
    with pytest.raises(ValueError, match="nothing was recorded"), record(twice, ["bn"]):
        pass
    with pytest.raises(ValueError, match="layers is empty"), record(twice, []):
        pass


def test_compiled_and_scripted_models_are_refused(twice):
    for compiled in (torch.compile(twice, backend="eager"), nn.Sequential(torch.compile(twice, backend="eager"))):
        with pytest.raises(ValueError, match=r"compiled.*_orig_mod"), record(compiled):
            pass
    inside = nn.Sequential(nn.Linear(4, 4))
    inside[0].compile(backend="eager")
    with pytest.raises(ValueError, match="module '0' is compiled"), record(inside):
        pass


MODELS = {
    "torchvision resnet18": lambda: torchvision.models.resnet18(weights=None),
    "torchvision vit_b_16": lambda: torchvision.models.vit_b_16(weights=None, image_size=32, num_classes=10),
    "torchvision convnext_tiny": lambda: torchvision.models.convnext_tiny(weights=None),
    "timm resnet18": lambda: timm.create_model("resnet18", num_classes=0),
    "timm vit_tiny": lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0),
    "timm convnext_atto": lambda: timm.create_model("convnext_atto", num_classes=0),
}


@pytest.mark.parametrize("name", MODELS)
def test_recorded_layers_equal_those_of_hooks_set_by_hand(name):
    torch.manual_seed(0)
    model, x = MODELS[name](), torch.randn(2, 3, 32, 32)
    by_hand = {}

    def copy(path):
        return lambda module, args, out: by_hand.setdefault(path, []).append(
            (out[0] if isinstance(out, tuple) else out).clone()
        )

    before = state(model)
    with torch.no_grad(), record(model) as outputs:
        y = model(x)
    assert_unchanged(model, before)
    model.eval()
    handles = [module.register_forward_hook(copy(path)) for path, module in model.named_modules() if path]
    with torch.no_grad():
        expected = model(x)
    for handle in handles:
        handle.remove()
    assert torch.equal(y, expected)
    assert torch.equal(outputs.pop("output"), expected)
    pairs = {}
    for path, calls in by_hand.items():
        for i, tensor in enumerate(calls):
            key = f"{path}@{i}" if i else path
            pairs[key if key in outputs else f"{key}[0]"] = tensor
    assert set(outputs) == set(pairs)
    for key, tensor in pairs.items():
        assert torch.equal(outputs[key], tensor), key


def test_the_output_projection_of_torchvisions_attention_never_fires_and_is_named():
    model = MODELS["torchvision vit_b_16"]()
    layer = "encoder.layers.encoder_layer_0.self_attention"
    with pytest.raises(ValueError, match="out_proj"), torch.no_grad(), record(model, [f"{layer}.out_proj"]):
        model(torch.randn(1, 3, 32, 32))
    with torch.no_grad(), record(model, [layer]) as outputs:
        model(torch.randn(1, 3, 32, 32))
    assert list(outputs) == [f"{layer}[0]"]
