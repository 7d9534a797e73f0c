"""A model, a pass and the views change nothing that another model, pass, view or the user's own tensors see."""

import threading

import pytest
import torch
from nets import Adapter, Caching, Noisy, images_of, net, noisy, places
from torch import nn

from memlib import layermem, measure
from memlib.taps import record

IMAGES = images_of(5)


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


class Greedy(nn.Module):
    """Writes into what it is given."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, x):
        return self.inside(x.mul_(-3))


def test_a_model_that_writes_into_its_input_is_alone_with_it():
    f, g = Greedy(net()), net(1)
    for models in ([f, g], [g, f], [f, f]):
        layers = ["*out"]
        both = measure.sweep(models, IMAGES, noisy, layers, 3)
        for model, found in zip(models, both, strict=True):
            assert same(found.align, measure.alignment(model, IMAGES, noisy, layers, 3))


@pytest.mark.parametrize("images", [IMAGES, IMAGES.float() / 255])
def test_an_augmentation_that_writes_into_its_images_or_hands_one_tensor_out_again_is_as_one_that_does_not(images):
    before, buffer = images.clone(), torch.empty(64, 3, 16, 16)

    def clean(x, generator):
        return 0.5 * x.float() + torch.randn(x.shape, generator=generator)

    def greedy(x, generator):
        drawn = torch.randn(x.shape, generator=generator)
        buffer.copy_(x).mul_(0.5).add_(drawn)
        x.zero_()
        return buffer

    assert same(measure.alignment(net(), images, greedy, views=3), measure.alignment(net(), images, clean, views=3))
    assert torch.equal(images, before)


def test_a_model_that_keeps_tensors_trains_on_as_if_it_had_not_been_measured():
    def gradients(measured):
        places.cache_clear()
        torch.manual_seed(0)
        model = Caching()
        if measured:
            measure.unit_activations(model, IMAGES, noisy, views=2)
            assert model.cache is None
        model(torch.ones(2, 3, 16, 16)).square().sum().backward(retain_graph=True)
        if measured == "twice":  # what it keeps now is part of a graph
            measure.alignment(model, IMAGES, noisy, views=2)
            layermem(model, model, IMAGES, augment=noisy, views=2)
        model(torch.ones(2, 3, 16, 16)).square().sum().backward()
        return {name: p.grad for name, p in model.named_parameters()}

    expected = gradients(False)
    assert same(gradients("once"), expected)
    assert same(gradients("twice"), expected)


@pytest.mark.parametrize("part", [False, True])
def test_adapters_that_merge_weights_have_them_apart_again_bit_for_bit(part):
    torch.manual_seed(0)
    adapter = Adapter()
    model = nn.Sequential(adapter) if part else adapter
    before = {name: value.clone() for name, value in model.state_dict().items()}
    merged = measure.alignment(model, IMAGES, noisy, views=2)
    with record(model) as outputs:
        assert adapter.merged
        model(torch.rand(2, 3, 16, 16))
    assert outputs
    assert adapter.training
    assert not adapter.merged
    assert same(model.state_dict(), before)
    model.eval()
    assert same(measure.alignment(model, IMAGES, noisy, views=2), merged)
    assert adapter.merged


def test_a_model_in_several_modes_has_them_again():
    class Frozen(nn.BatchNorm2d):
        def train(self, mode=True):
            return super().train(False)

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Frozen(4), nn.Dropout(), nn.Flatten())
    model.train()
    model[2].eval()
    modes = [module.training for module in model.modules()]
    with record(model) as outputs:
        assert not any(module.training for module in model.modules())
        model(torch.rand(2, 3, 8, 8))
    assert outputs
    assert [module.training for module in model.modules()] == modes == [True, True, False, False, True]


@pytest.mark.filterwarnings("ignore:Lazy")
def test_a_layer_that_is_made_when_it_first_runs_is_measured_as_it_will_be_and_not_made():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(7))
    found = layermem(model, model, IMAGES, augment=noisy, views=2)
    assert found.table()["layermem"].abs().max() == 0
    lazy = measure.alignment(model, IMAGES, noisy, views=2)
    assert "made when it first runs: 1.weight, 1.bias" in lazy.notes[0]
    assert model[1].has_uninitialized_params()
    model(IMAGES.float())
    made = measure.alignment(model, IMAGES, noisy, views=2)
    assert same(made, lazy)
    assert not made.notes


def test_what_cannot_be_copied_is_refused():
    model = net()
    model.guard = threading.Lock()
    with pytest.raises(ValueError, match=r"cannot be copied.*copy\.deepcopy"):
        measure.alignment(model, IMAGES, noisy, views=2)


def test_global_random_numbers_are_drawn_anew_for_each_view_and_are_afterwards_as_they_were():
    import random

    import numpy as np

    def careless(images, generator):
        shift = random.random() + np.random.rand()
        return images.float() / 255 + shift + torch.randn(images.shape)

    def state():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    model = net()
    before = state()
    one, other = (measure.alignment(model, IMAGES, careless, views=3) for _ in range(2))
    measure.alignment(model, IMAGES, "strong", views=2)
    assert state() == before
    assert same(one, other)
    assert one["conv"].min() > 0


@pytest.mark.filterwarnings("ignore:Noisy")
def test_two_threads_find_what_they_find_one_after_the_other_even_of_one_model():
    model, nets = Noisy(), [net(1), net(2)]
    asked = [(model, "normal"), (model, "strong"), (nets[0], "normal"), (nets[0], "weak"), (nets[1], "strong")]
    state = torch.get_rng_state()
    alone = [measure.alignment(one, IMAGES, augment, views=3) for one, augment in asked]
    assert torch.equal(torch.get_rng_state(), state)
    found = [None] * len(asked)

    def run(k):
        found[k] = measure.alignment(asked[k][0], IMAGES, asked[k][1], views=3)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(one, other) for one, other in zip(found, alone, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_is_recorded_in_another_thread_is_refused_until_that_is_done():
    model, there, done, said = net(), threading.Event(), threading.Event(), []

    def other():
        with record(model) as outputs:
            there.set()
            done.wait(60)
            model(torch.rand(1, 3, 16, 16))
        said.append(len(outputs))

    thread = threading.Thread(target=other)
    thread.start()
    there.wait(60)
    for refused in (
        lambda: record(nn.Sequential(model)).__enter__(),
        lambda: measure.alignment(model, IMAGES, noisy),
    ):
        with pytest.raises(ValueError, match="in another thread"):
            refused()
    done.set()
    thread.join()
    with record(model) as outputs:
        model(torch.rand(1, 3, 16, 16))
        measure.alignment(model, IMAGES, noisy, views=2)  # a copy, whose outputs are no other's
    assert said == [len(outputs)]


class Drawing(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.inside, self.draw = net(), draw

    def forward(self, x):
        return self.inside(x) + self.draw(x)


@pytest.mark.filterwarnings("ignore:Drawing")
def test_noise_of_numpy_and_python_is_drawn_as_the_seed_says_and_that_of_no_seed_is_said():
    import random

    import numpy as np

    hidden, state = np.random.default_rng(0), (random.getstate(), np.random.get_state()[1].tolist())
    for draw in (lambda x: random.random(), lambda x: torch.from_numpy(np.random.rand(len(x), 7)).float()):
        model = Drawing(draw)
        found = layermem(model, model, IMAGES, augment=noisy, views=2)
        assert found.table()["layermem"].abs().max() == 0
        assert "as the seed says" in found.notes[0]
    assert state == (random.getstate(), np.random.get_state()[1].tolist())
    model = Drawing(lambda x: torch.from_numpy(hidden.random((len(x), 7))).float())
    assert "which no seed reaches" in layermem(model, model, IMAGES, augment=noisy, views=2).notes[0]
