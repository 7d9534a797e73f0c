"""Probes and surgery leave the model as it was, whatever it does in place or when its mode changes."""

import threading

import pytest
import torch
from nets import Adapter, Caching, Noisy, images_of, net, noisy
from torch import nn

from memlib import measure, probe, surgery

IMAGES = images_of(5)


def test_a_probe_leaves_models_that_merge_make_or_keep_tensors_as_they_were():
    torch.manual_seed(0)
    adapter, lazy, caching = Adapter(), nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), Caching()
    for model in (adapter, lazy, caching):
        before = {name: p.clone() for name, p in model.named_parameters() if not nn.parameter.is_lazy(p)}
        first, again = probe.features(model, IMAGES), probe.features(model, IMAGES)
        assert torch.equal(first, again)
        assert model.training
        assert all(torch.equal(model.get_parameter(name), value) for name, value in before.items())
    assert not adapter.merged
    assert lazy[1].has_uninitialized_params()
    assert caching.cache is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_probe_feeds_models_of_other_precision_with_it_and_gives_float32(dtype):
    model = net()
    plain, other = probe.features(model, IMAGES), probe.features(model.to(dtype), IMAGES)
    assert other.dtype == torch.float32
    torch.testing.assert_close(other, plain, rtol=0.05, atol=0.02)


def test_a_probe_says_what_is_random_or_depends_on_the_batch_and_repeats_it():
    model, state = Noisy(), torch.get_rng_state()
    with pytest.warns(UserWarning, match="Noisy: It takes random numbers in evaluation"):
        first = probe.features(model, IMAGES)
    with pytest.warns(UserWarning, match="Noisy"):
        assert torch.equal(probe.features(model, IMAGES), first)
    assert torch.equal(torch.get_rng_state(), state)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten())
    with pytest.warns(UserWarning, match="depends on the other images in its batch"):
        probe.features(model, IMAGES)


def test_probes_of_one_model_in_several_threads_find_what_they_find_one_after_the_other():
    model, images, found = nn.Sequential(net(), nn.Dropout()), images_of(200), [None] * 4
    alone = probe.features(model, images, batch=8)

    def run(k):
        found[k] = probe.features(model, images, batch=8)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, alone) for one in found)
    assert all(module.training for module in model.modules())


CUTS = {
    "silence": lambda model: surgery.silence(model, {"inside.conv": [0]}),
    "replace": lambda model: surgery.replace(model, Caching(), ["inside.conv"]),
    "tune_unit": lambda model: surgery.tune_unit(
        model, "inside.out", 0, lambda y: y.sum(), lambda _: [torch.ones(2, 3, 16, 16)], 1
    ),
    "tune": lambda model: surgery.tune(model, ["inside.out"], IMAGES, torch.arange(5) % 2, epochs=1),
}


@pytest.mark.parametrize("cut", CUTS)
def test_cuts_take_models_that_keep_tensors_of_a_graph(cut):
    model = Caching()
    before = model(torch.ones(2, 3, 16, 16))
    CUTS[cut](model)
    assert model.last is before
    assert before.requires_grad


def test_a_unit_that_is_tuned_in_an_adapter_leaves_its_weights_apart():
    model = nn.Sequential(Adapter())
    made = surgery.tune_unit(model, "0.base", 0, lambda y: y.square().sum(), lambda _: [torch.ones(2, 3, 16, 16)], 1)
    assert made[0].training
    assert not made[0].merged
    torch.testing.assert_close(made[0].base.weight[1:], model[0].base.weight[1:], rtol=0, atol=1e-7)
    assert not torch.equal(made[0].base.weight[0], model[0].base.weight[0])


def test_modules_of_torch_export_are_refused_as_scripted_ones_are():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    program = torch.export.export(model, (torch.rand(2, 3, 8, 8),))
    calls = [
        lambda model: measure.alignment(model, IMAGES, noisy, views=2),
        lambda model: probe.features(model, IMAGES),
        lambda model: surgery.silence(model, {"0": [0]}),
        lambda model: surgery.tune(model, ["0"], IMAGES, torch.arange(5) % 2),
    ]
    for call in calls:
        for refused in (program.module(), nn.Sequential(program.module())):
            with pytest.raises(ValueError, match=r"made by torch\.export.*pass the Python module"):
                call(refused)
        with pytest.raises(ValueError, match=r"model is ExportedProgram: allowed is a torch\.nn\.Module"):
            call(program)
