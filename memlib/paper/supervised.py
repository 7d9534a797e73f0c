"""Table 20: supervised and self-supervised encoders on data sets of the papers; ResNet9, trained on CIFAR100."""

# data set -> {encoder: (accuracy of a linear probe in %, its standard deviation)}; SL was trained until convergence
TABLE_20: dict[str, dict[str, tuple[float, float]]] = {
    "cifar100": {"SSL": (65.4, 0.98), "SL": (66.1, 1.12)},
    "cifar10": {"SSL": (57.6, 0.87), "SL": (56.7, 0.83)},
    "stl10": {"SSL": (48.7, 0.98), "SL": (46.1, 1.04)},
    "svhn": {"SSL": (59.2, 0.76), "SL": (58.6, 0.82)},
}
