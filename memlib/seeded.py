"""The global generators of random numbers, lent to code that takes no generator of its own."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# there is one global generator for all threads: who draws from it has it alone
_ALONE = threading.RLock()


@contextmanager
def seeded(seed: int | None, device: torch.device | str = "cpu") -> Iterator[None]:
    """Draw from the global generators of torch, NumPy and Python as `seed` says; they are afterwards as they were.

    Other threads that come here wait meanwhile.

    Args:
        seed: 0 or more; None: from the state that they are in.
        device: Whose generator is seeded beside that of the CPU.
    """
    device = torch.device(device)
    with _ALONE, torch.random.fork_rng([device] if device.type == "cuda" else []):
        before = random.getstate(), np.random.get_state()
        try:
            if seed is not None:
                # not torch.manual_seed, which also seeds the devices that are not put back
                torch.default_generator.manual_seed(seed)
                if device.type == "cuda":
                    with torch.cuda.device(device):
                        torch.cuda.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
