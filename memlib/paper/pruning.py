"""Table 6: linear probes of a ResNet9, SimCLR on CIFAR10, with units pruned by UnitMem; percent.

A row of random units holds accuracy and the number printed beside it, which we take for the standard deviation over
the ten draws; the other rows are of one pruning and have none.
"""

TABLE_6: dict[tuple[str, str, float], dict[str, tuple[float, ...]]] = {  # (scope, criterion, share) -> by data set
    ("none", "none", 0.0): {"cifar10": (70.44,), "svhn": (78.22,), "stl10": (69.12,)},
    ("layer", "top", 0.1): {"cifar10": (53.04,), "svhn": (63.84,), "stl10": (50.94,)},
    ("layer", "random", 0.1): {"cifar10": (58.09, 1.76), "svhn": (67.04, 2.44), "stl10": (55.71, 2.18)},
    ("layer", "low", 0.1): {"cifar10": (62.58,), "svhn": (72.26,), "stl10": (59.26,)},
    ("layer", "top", 0.2): {"cifar10": (48.30,), "svhn": (55.88,), "stl10": (43.18,)},
    ("layer", "random", 0.2): {"cifar10": (51.34, 1.21), "svhn": (58.01, 1.34), "stl10": (46.74, 0.97)},
    ("layer", "low", 0.2): {"cifar10": (54.84,), "svhn": (62.60,), "stl10": (50.02,)},
    ("total", "top", 0.1): {"cifar10": (49.16,), "svhn": (61.28,), "stl10": (47.30,)},
    ("total", "random", 0.1): {"cifar10": (56.77, 2.09), "svhn": (67.09, 1.56), "stl10": (53.89, 2.33)},
    ("total", "low", 0.1): {"cifar10": (62.62,), "svhn": (72.28,), "stl10": (59.30,)},
}
