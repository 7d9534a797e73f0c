"""How a benchmark reports: ratios of one interleaved run, their median against a target."""

import datetime
import json
import os
import re
import statistics
import time
from pathlib import Path

import pytest

TOLERANCE = 0.7  # machines are noisy: a run fails below this share of its target


def machine() -> str:
    """Processor, cores, torch and day."""
    import torch

    from memlib import train

    return f"{train.processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {datetime.date.today()}"


@pytest.fixture
def speed():
    """Report ratios: printed, written to the folder MEMLIB_BENCHMARKS if it is set, and held against the target."""

    def report(name, unit, target, runs, **more):
        value = statistics.median(runs)
        entry = {
            "name": name,
            "unit": unit,
            "target": target,
            "value": value,
            "runs": runs,
            "machine": machine(),
            **more,
        }
        print(f"{name}: {value:.2f} {unit}" + (f" (target {target:g})" if target else ""))
        if folder := os.environ.get("MEMLIB_BENCHMARKS"):
            path = Path(folder) / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(entry, indent=1))
        if target:
            assert value >= TOLERANCE * target, f"{name}: {value:.2f} {unit}, and {TOLERANCE} of {target:g} is needed"

    return report


@pytest.fixture
def one_thread():
    """A single thread, whose processor time other work on the machine hardly disturbs."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def times_as_fast(one_thread):
    """How many times as fast one function is as another, for each of some rounds; by one thread's processor time."""

    def seconds(work):
        began = time.thread_time()
        work()
        return time.thread_time() - began

    def rounds(fast, slow, count=3):
        fast()  # the first warms up
        found = []
        for _ in range(count):
            # before and after, so that a machine that speeds up or slows down cancels
            first = seconds(fast)
            each = seconds(slow)
            found.append(each / ((first + seconds(fast)) / 2))
        return found

    return rounds
