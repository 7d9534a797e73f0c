"""Fixtures of all tests: a store of its own for each session, and no progress on the terminal."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")


@pytest.fixture(scope="session", autouse=True)
def own_store(tmp_path_factory):
    """Nothing that a test makes lands in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMLIB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def net():
    """A network of no layer table."""
    import torch
    from nets import Net

    torch.manual_seed(0)
    return Net()


@pytest.fixture(scope="module")
def encoder():
    """An untrained ResNet9."""
    import torch

    from memlib.encoders import build_encoder

    torch.manual_seed(0)
    return build_encoder("resnet9")
