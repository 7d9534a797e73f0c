"""Speed of importing: memlib beyond torch, which everybody who uses it has loaded anyway."""

import subprocess
import sys

LIMIT = 1.0  # seconds beyond torch
HEAVY = ("kornia", "lightly", "timm", "lightning_fabric", "matplotlib", "seaborn", "pandas", "sklearn", "torchvision")

CODE = """
import sys, time  # process time: other work on the machine does not count
import torch, numpy
began = time.process_time()
import memlib
for name in memlib.__all__:
    getattr(memlib, name)
print(time.process_time() - began)
print(*[name for name in sys.argv[1:] if name in sys.modules])
"""


def test_importing_all_of_memlib_takes_less_than_a_second_beyond_torch(speed):
    runs = []
    for _ in range(5):
        out = subprocess.run([sys.executable, "-c", CODE, *HEAVY], capture_output=True, text=True, check=True).stdout
        seconds, _, heavy = out.partition("\n")
        assert not heavy.strip(), f"imported although nothing used it: {heavy}"
        runs.append(LIMIT / float(seconds))
    speed("importing memlib beyond torch", "times as fast as a second", 1.0, runs)
