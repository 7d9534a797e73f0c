"""What layers are made of."""

import pytest
from torch import nn

from memlib import build_encoder
from memlib.encoders import BUILDERS
from memlib.surgery import parts


def test_a_convolution_takes_its_batchnorm_along():
    (found,) = parts(build_encoder("resnet9"), ["6"]).values()
    assert list(found) == ["conv4_0.conv", "conv4_0.bn"]
    (found,) = parts(build_encoder("resnet18"), ["conv5-4"]).values()
    assert list(found) == ["layer4.1.conv2", "layer4.1.bn2"]


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "vit_base"])
def test_parts_of_different_layers_never_overlap_and_have_the_layer_in_front_or_behind(name):
    encoder = build_encoder(name)
    seen = []
    for layer in encoder.layers:
        if layer.parts:
            assert layer.module in layer.parts
            seen += [id(module) for module in parts(encoder, [layer.name])[layer.name].values()]
    assert seen
    assert len(seen) == len(set(seen))


def test_any_module_is_named_by_its_path_or_a_pattern():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2)))
    assert list(parts(model, ["2.*"])) == ["2.0", "2.1"]
    assert parts(model, ["0"]) == {"0": {"0": model[0]}}
    assert parts(model, []) == {}


def test_an_unknown_layer_and_one_without_parameters_are_named_with_what_is_allowed():
    with pytest.raises(KeyError, match=r"unknown layer '9'.*'1'"):
        parts(build_encoder("resnet9"), ["9"])
    with pytest.raises(ValueError, match="'Res2' has no parameters: allowed are '1', '2'"):
        parts(build_encoder("resnet9"), ["Res2"])
    with pytest.raises(ValueError, match="'1' has no parameters: allowed are '0'"):
        parts(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), ["1"])


def test_a_pattern_takes_the_modules_that_have_parameters():
    from torchvision.models import resnet18

    found = parts(resnet18(), ["layer4.1.*"])
    assert list(found) == ["layer4.1.conv1", "layer4.1.bn1", "layer4.1.conv2", "layer4.1.bn2"]
    with pytest.raises(ValueError, match=r"layer 'layer4\.1\.relu' has no parameters"):
        parts(resnet18(), ["layer4.1.rel*"])
