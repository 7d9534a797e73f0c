"""Table 5: ResNet9, SimCLR on CIFAR10, with a head and chosen layers tuned on STL10 at 32 by 32 pixels."""

# tuned layers -> (accuracy, its standard deviation) in %; () is the head alone
TABLE_5: dict[tuple[str, ...], tuple[float, float]] = {
    (): (48.6, 1.12),
    ("6",): (53.0, 0.86),
    ("8",): (52.7, 0.97),
    ("6", "8"): (56.7, 0.84),
    ("7", "8"): (55.3, 0.77),
    ("4", "6", "8"): (57.9, 0.79),
    ("6", "7", "8"): (56.5, 0.95),
}
