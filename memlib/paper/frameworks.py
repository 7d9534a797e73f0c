"""Tables 4, 29 and 31: LayerMem of frameworks on ImageNet, ResNet50 (SimCLR, DINO) and ViT-Base (MAE, DINO).

Table 4 prints other numbers than tables 29 and 31 for the same layers.
"""

# Table 4: row -> {framework: (LayerMem, its delta)}; the rows are convolution 2, 27 and 49, and block 2, 6 and 12
TABLE_4_RESNET50: dict[str, dict[str, tuple[float, float]]] = {
    "2": {"simclr": (0.040, 0.003), "dino": (0.041, 0.002)},
    "27": {"simclr": (0.161, 0.005), "dino": (0.165, 0.006)},
    "49": {"simclr": (0.302, 0.008), "dino": (0.311, 0.007)},
}
TABLE_4_VIT_BASE: dict[str, dict[str, tuple[float, float]]] = {
    "2": {"mae": (0.037, 0.010), "dino": (0.036, 0.011)},
    "6": {"mae": (0.120, 0.015), "dino": (0.116, 0.014)},
    "12": {"mae": (0.274, 0.019), "dino": (0.271, 0.019)},
}

# Linear probe accuracy on ImageNet of the encoders that the paper compares, stopped to be alike (section 4.1)
PROBE: dict[str, dict[str, float]] = {
    "ResNet50": {"simclr": 0.6612, "dino": 0.6844},
    "ViT-Base": {"mae": 0.6043, "dino": 0.6017},
}

# Table 29, ResNet50: row -> {framework: LayerMem}
TABLE_29: dict[str, dict[str, float]] = {
    "conv1": {"simclr": 0.038, "dino": 0.040},
    "max pool": {"simclr": 0.039, "dino": 0.040},
    "conv2-1": {"simclr": 0.041, "dino": 0.043},
    "conv2-2": {"simclr": 0.044, "dino": 0.045},
    "conv2-3": {"simclr": 0.048, "dino": 0.048},
    "conv2-4": {"simclr": 0.052, "dino": 0.052},
    "conv2-5": {"simclr": 0.055, "dino": 0.056},
    "conv2-6": {"simclr": 0.059, "dino": 0.060},
    "conv2-7": {"simclr": 0.063, "dino": 0.065},
    "conv2-8": {"simclr": 0.068, "dino": 0.069},
    "conv2-9": {"simclr": 0.072, "dino": 0.073},
    "conv3-1": {"simclr": 0.077, "dino": 0.078},
    "conv3-2": {"simclr": 0.081, "dino": 0.083},
    "conv3-3": {"simclr": 0.086, "dino": 0.088},
    "conv3-4": {"simclr": 0.092, "dino": 0.094},
    "conv3-5": {"simclr": 0.097, "dino": 0.099},
    "conv3-6": {"simclr": 0.103, "dino": 0.104},
    "conv3-7": {"simclr": 0.108, "dino": 0.110},
    "conv3-8": {"simclr": 0.112, "dino": 0.115},
    "conv3-9": {"simclr": 0.117, "dino": 0.120},
    "conv3-10": {"simclr": 0.123, "dino": 0.126},
    "conv3-11": {"simclr": 0.128, "dino": 0.131},
    "conv3-12": {"simclr": 0.134, "dino": 0.136},
    "conv4-1": {"simclr": 0.139, "dino": 0.142},
    "conv4-2": {"simclr": 0.145, "dino": 0.148},
    "conv4-3": {"simclr": 0.150, "dino": 0.153},
    "conv4-4": {"simclr": 0.156, "dino": 0.159},
    "conv4-5": {"simclr": 0.161, "dino": 0.164},
    "conv4-6": {"simclr": 0.166, "dino": 0.169},
    "conv4-7": {"simclr": 0.172, "dino": 0.175},
    "conv4-8": {"simclr": 0.178, "dino": 0.181},
    "conv4-9": {"simclr": 0.183, "dino": 0.186},
    "conv4-10": {"simclr": 0.189, "dino": 0.192},
    "conv4-11": {"simclr": 0.194, "dino": 0.198},
    "conv4-12": {"simclr": 0.200, "dino": 0.203},
    "conv4-13": {"simclr": 0.207, "dino": 0.210},
    "conv4-14": {"simclr": 0.212, "dino": 0.216},
    "conv4-15": {"simclr": 0.218, "dino": 0.221},
    "conv4-16": {"simclr": 0.224, "dino": 0.228},
    "conv4-17": {"simclr": 0.229, "dino": 0.234},
    "conv4-18": {"simclr": 0.235, "dino": 0.240},
    "conv5-1": {"simclr": 0.242, "dino": 0.247},
    "conv5-2": {"simclr": 0.249, "dino": 0.254},
    "conv5-3": {"simclr": 0.257, "dino": 0.261},
    "conv5-4": {"simclr": 0.265, "dino": 0.269},
    "conv5-5": {"simclr": 0.272, "dino": 0.276},
    "conv5-6": {"simclr": 0.279, "dino": 0.283},
    "conv5-7": {"simclr": 0.287, "dino": 0.292},
    "conv5-8": {"simclr": 0.295, "dino": 0.300},
    "conv5-9": {"simclr": 0.304, "dino": 0.309},
}

# Table 31, ViT-Base: block -> {framework: LayerMem}
TABLE_31: dict[str, dict[str, float]] = {
    "1": {"mae": 0.019, "dino": 0.019},
    "2": {"mae": 0.037, "dino": 0.036},
    "3": {"mae": 0.055, "dino": 0.056},
    "4": {"mae": 0.075, "dino": 0.077},
    "5": {"mae": 0.095, "dino": 0.096},
    "6": {"mae": 0.118, "dino": 0.119},
    "7": {"mae": 0.139, "dino": 0.142},
    "8": {"mae": 0.163, "dino": 0.168},
    "9": {"mae": 0.188, "dino": 0.193},
    "10": {"mae": 0.215, "dino": 0.219},
    "11": {"mae": 0.243, "dino": 0.247},
    "12": {"mae": 0.271, "dino": 0.275},
}
