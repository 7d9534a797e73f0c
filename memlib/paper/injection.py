"""Tables 13, 14a and 14b: UnitMem of two units of a ResNet18's last convolution while a test point is learned.

SimSiam, CIFAR10. Table 13's lower row is called "Lowest UnitMem"; the unit had no activation before.
"""

# inserted -> unit -> {epoch: UnitMem}; `one` table 13, `points` (300 of them) 14a, `copies` (300 of one) 14b
TABLES_13_14: dict[str, dict[str, dict[int, float]]] = {
    "one": {
        "highest": {0: 0.754, 10: 0.761, 50: 0.792, 200: 0.814, 500: 0.824, 1000: 0.826},
        "silent": {0: 0.0, 10: 0.0, 50: 0.0, 200: 0.0008, 500: 0.0021, 1000: 0.0109},
    },
    "points": {
        "highest": {0: 0.754, 10: 0.766, 50: 0.809, 200: 0.819, 500: 0.826, 1000: 0.828},
        "silent": {0: 0.0, 10: 0.0, 50: 0.011, 200: 0.038, 500: 0.046, 1000: 0.051},
    },
    "copies": {
        "highest": {0: 0.754, 10: 0.798, 50: 0.846, 200: 0.857, 500: 0.861, 1000: 0.862},
        "silent": {0: 0.0, 10: 0.039, 50: 0.065, 200: 0.079, 500: 0.081, 1000: 0.081},
    },
}
