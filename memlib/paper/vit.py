"""Tables 2 and 10: LayerMem of ViT-Tiny, MAE on CIFAR10, in the names of our layer table.

The two tables print different numbers for the same: block 12's attention is .281 with delta .010 in Table 2, and .280
with .009 in Table 10.
"""

# row -> (LayerMem, its delta)
TABLE_2: dict[str, tuple[float, float]] = {
    "ATT2": (0.028, 0.008),
    "ATT6": (0.114, 0.009),
    "ATT12": (0.281, 0.010),
    "FC2": (0.039, 0.011),
    "FC6": (0.129, 0.015),
    "FC12": (0.303, 0.022),
}

# row -> (LayerMem, its delta): of attention and of the fully connected layer to the residual sum before it, of the
# block (FCRes) to the block before it; the residual sum after attention has none
TABLE_10: dict[str, tuple[float, float | None]] = {
    "ATT1": (0.006, None),
    "ATTRes1": (0.007, None),
    "FC1": (0.020, None),
    "FCRes1": (0.022, None),
    "ATT2": (0.028, 0.006),
    "ATTRes2": (0.028, None),
    "FC2": (0.039, 0.011),
    "FCRes2": (0.040, 0.018),
    "ATT3": (0.046, 0.006),
    "ATTRes3": (0.047, None),
    "FC3": (0.060, 0.013),
    "FCRes3": (0.061, 0.021),
    "ATT4": (0.067, 0.006),
    "ATTRes4": (0.067, None),
    "FC4": (0.083, 0.017),
    "FCRes4": (0.085, 0.024),
    "ATT5": (0.092, 0.007),
    "ATTRes5": (0.091, None),
    "FC5": (0.105, 0.014),
    "FCRes5": (0.106, 0.021),
    "ATT6": (0.114, 0.008),
    "ATTRes6": (0.114, None),
    "FC6": (0.129, 0.015),
    "FCRes6": (0.131, 0.025),
    "ATT7": (0.140, 0.009),
    "ATTRes7": (0.139, None),
    "FC7": (0.155, 0.016),
    "FCRes7": (0.156, 0.025),
    "ATT8": (0.164, 0.008),
    "ATTRes8": (0.164, None),
    "FC8": (0.182, 0.018),
    "FCRes8": (0.182, 0.026),
    "ATT9": (0.191, 0.009),
    "ATTRes9": (0.190, None),
    "FC9": (0.210, 0.020),
    "FCRes9": (0.211, 0.029),
    "ATT10": (0.220, 0.009),
    "ATTRes10": (0.220, None),
    "FC10": (0.240, 0.020),
    "FCRes10": (0.241, 0.030),
    "ATT11": (0.249, 0.008),
    "ATTRes11": (0.249, None),
    "FC11": (0.271, 0.022),
    "FCRes11": (0.271, 0.030),
    "ATT12": (0.280, 0.009),
    "ATTRes12": (0.280, None),
    "FC12": (0.303, 0.023),
    "FCRes12": (0.304, 0.033),
}
