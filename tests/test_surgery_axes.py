"""Units that are silenced are where looking at the model finds them, or where the user says they are."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

from memlib.surgery import silence, silenced
from memlib.taps import record


class Places(nn.Module):
    """Puts out maps with channels in front and last, as high and wide as they are deep; tokens last; and one size."""

    def __init__(self, size=None):
        super().__init__()
        self.conv, self.act, self.last, self.tokens = nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.GELU(), nn.GELU()
        self.size = size

    def forward(self, x):
        if self.size not in (None, x.shape[-1]):
            raise ValueError(f"takes {self.size} pixels")
        x = self.act(self.conv(nn.functional.interpolate(x, scale_factor=0.25)))  # [N, 8, 8, 8] of 32 pixels
        x = self.last(x.permute(0, 2, 3, 1))  # [N, H, W, C]
        return self.tokens(x.permute(0, 3, 1, 2).flatten(2)).mean(2)  # [N, C, T]


AXES = {"act": 1, "last": 3, "tokens": 1}


@pytest.mark.parametrize("layer", AXES)
def test_units_are_silent_where_they_are_whatever_the_sizes(layer):
    model, x = Places().eval(), torch.rand(2, 3, 32, 32)
    with torch.no_grad(), record(model, [layer]) as outputs, silenced(model, {layer: [3]}):
        within = model(x)
    units = outputs[layer].movedim(AXES[layer], 0)
    assert not units[3].any()
    assert units[[0, 1, 2, 4, 5, 6, 7]].flatten(1).any(1).all()
    copy = silence(model, {layer: [3]})
    for other in (copy, deepcopy(copy), pickle.loads(pickle.dumps(copy))):
        with torch.no_grad():
            assert torch.equal(other(x), within)
    assert not any(module._forward_hooks for module in model.modules())


def test_where_looking_does_not_tell_units_are_guessed_aloud_or_told():
    model, x = Places(size=64).eval(), torch.rand(2, 3, 64, 64)
    with pytest.warns(UserWarning, match="layer 'last' has the units was guessed"):
        silence(model, {"last": [3]})
    told = silence(model, {"last": [3]}, axes={"last": 3})
    with torch.no_grad(), record(told, ["last"]) as outputs:
        told(x)
    assert not outputs["last"][..., 3].any()
    with pytest.raises(KeyError, match="did you mean 'last'"):
        silence(model, {"last": [3]}, axes={"lost": 3})
