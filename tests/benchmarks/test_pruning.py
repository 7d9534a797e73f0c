"""Speed of pruning: curves of single layers in one pass that shares what comes before, and each variant by itself."""

import torch

from memlib import build_encoder, load, probe
from memlib.surgery import silenced, silenced_features

IMAGES = 64
TARGET = 2.5  # times as fast: less than 40 % of the time


def test_curves_of_single_layers_are_faster_than_each_variant_from_the_image(speed, times_as_fast):
    torch.manual_seed(0)
    encoder = build_encoder("resnet9").to(memory_format=torch.channels_last)
    images = load("digits").resized(32).images[:IMAGES]
    units = {row.name: row.units for row in encoder.layers if row.unit_module}
    variants = [{n: torch.arange(count * tenth // 10)} for n, count in units.items() for tenth in range(1, 10)]

    def together():
        silenced_features(encoder, variants, images)

    def alone():
        for variant in variants:
            with silenced(encoder, variant):
                probe.features(encoder, images)

    with silenced(encoder, variants[5]):
        torch.testing.assert_close(
            silenced_features(encoder, variants[5:6], images)[0], probe.features(encoder, images)
        )
    speed(
        "curves of pruning in single layers",
        "times as fast as each from the image",
        TARGET,
        times_as_fast(together, alone),
    )
