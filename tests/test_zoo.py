"""Encoders that memlib did not build: what is measured of each, where its units are, and what is left out and why.

All have random weights and are as small as they can be built, from configurations and without a network. transformers
and open_clip, which memlib does not need, come with the extra `test`.
"""

import warnings
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

import pytest
import timm
import torch
import torchvision
from nets import images_of, noisy
from torch import nn

from memlib import measure
from memlib.taps import module_of

SILENT, NO_IMAGES, NO_FLOATS = (
    "does not run in evaluation",
    "one axis that grows with the images",
    "needed are floats",
)


class Case(NamedTuple):
    build: Callable[[], nn.Module]
    pixels: int
    units: dict[str, int]  # of some layers that are neither a convolution nor linear
    skipped: Mapping[str, str] = MappingProxyType({})  # patterns of all that is left out: why
    guessed: tuple[str, ...] = ()  # patterns of all whose axis of units is a guess
    random: bool = False


def timms(name, **options):
    return lambda: timm.create_model(name, **options)


def visions(name, **options):
    return lambda: torchvision.models.get_model(name, weights=None, **options)


def hugging(name, **options):
    def build():
        import transformers

        return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**options))

    return build


def open_clip():
    from open_clip import model

    return model._build_vision_tower(
        32, model.CLIPVisionCfg(layers=2, width=64, head_width=32, patch_size=8, image_size=32)
    )


NORMS = ("*.q_norm", "*.k_norm")  # of queries and keys: heads and features stay what they are in larger images
BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
VIT = {**BERT, "image_size": 32, "patch_size": 8}
UNUSED = {"*.attn_drop": SILENT}  # fused attention takes its dropout along
ZOO = {
    "timm ViT": Case(timms("test_vit", img_size=32), 32, {"blocks.0": 64, "patch_embed": 64}, UNUSED, NORMS),
    "timm DeiT distilled": Case(
        timms("deit_tiny_distilled_patch16_224", img_size=32, depth=2),
        32,
        {"blocks.0": 192, "pos_drop": 192},
        {**UNUSED, "fc_norm": SILENT},
        NORMS,
    ),
    "timm ConvNeXt": Case(timms("test_convnext"), 32, {"stages.0": 24, "stages.0.blocks.0.mlp.act": 96}),
    "timm Swin": Case(
        timms("swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=24, depths=(2, 2)),
        32,
        {"layers.0": 24, "layers.0.blocks.0.attn": 24, "layers.1.downsample": 48},
        guessed=("*.softmax", "*.attn_drop"),
    ),
    "timm MaxViT": Case(
        timms("test_maxvit", img_size=64),
        64,
        {"stages.0": 32, "stages.0.blocks.0.attn_block.attn": 32},
        {**UNUSED, "*.rel_pos": SILENT},
    ),
    "timm MobileViT": Case(
        timms("mobilevit_xxs"), 64, {"stages.2": 48, "stages.2.1.transformer.0.attn": 64}, UNUSED, NORMS
    ),
    "timm MLP-Mixer": Case(
        lambda: timm.models.mlp_mixer.MlpMixer(img_size=64, patch_size=16, embed_dim=32, num_blocks=2),
        64,
        {"blocks.0": 32, "stem": 32},
    ),
    "timm RegNet": Case(timms("regnetx_002"), 32, {"s1": 24, "s1.b1.act3": 24}),
    "timm EfficientNet": Case(timms("test_efficientnet"), 32, {"blocks.0": 16}, {"*.drop_path": SILENT}),
    "timm NFNet": Case(timms("test_nfnet"), 32, {"stages.0": 32}),
    "torchvision Inception": Case(
        visions("inception_v3", init_weights=False), 80, {"Mixed_5b": 256, "avgpool": 2048}, {"AuxLogits*": SILENT}
    ),
    "torchvision GoogLeNet": Case(
        visions("googlenet", init_weights=False), 32, {"inception3a": 256}, {"aux[12]*": SILENT}
    ),
    "torchvision DenseNet": Case(visions("densenet121"), 32, {"features.denseblock1": 256, "features": 1024}),
    "torchvision ViT": Case(
        lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=10),
        32,
        {"encoder": 16, "encoder.layers.encoder_layer_0.self_attention[0]": 16},
        {"*.out_proj": SILENT},
    ),
    "torchvision Swin": Case(
        lambda: torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 2], [4, 4], num_classes=10),
        32,
        {"features.1": 24, "features.3.0.attn": 48, "permute": 48},
        {"*.attn.qkv": SILENT, "*.attn.proj": SILENT},
    ),
    "torchvision MaxViT": Case(
        lambda: torchvision.models.MaxVit((64, 64), 8, 2, [16, 32], [1, 1], 16, 0.0, num_classes=10),
        64,
        {"blocks.0": 16, "blocks.1.layers.0.layers.window_attention.attn_layer.1": 32},
        guessed=("blocks.*",),  # 16 channels, tokens and windows, and no larger images
    ),
    "transformers ViT": Case(hugging("ViT", **VIT), 32, {"embeddings": 32, "output[last_hidden_state]": 32}),
    "transformers DINOv2": Case(hugging("Dinov2", **VIT), 32, {"embeddings": 32, "output[pooler_output]": 32}),
    "transformers ViTMAE": Case(
        hugging("ViTMAE", **VIT),
        32,
        {"embeddings[0]": 32, "output[last_hidden_state]": 32},
        {"embeddings[[]2[]]": NO_FLOATS, "output[[]ids_restore[]]": NO_FLOATS},
        random=True,
    ),
    "transformers CLIP vision": Case(
        hugging("CLIPVision", **VIT),
        32,
        {"embeddings": 32, "output[pooler_output]": 32},
        {"*.position_embedding": NO_IMAGES},
    ),
    "transformers Swin": Case(
        hugging("Swin", image_size=32, embed_dim=16, depths=[2, 2], num_heads=[2, 2], window_size=4),
        32,
        {"embeddings[0]": 16, "output[last_hidden_state]": 32},
        {"*.relative_position_bias": NO_IMAGES},
        guessed=("*.attention[[]*", "*.dropout"),  # weights of 16 by 16 tokens
    ),
    "open_clip": Case(open_clip, 32, {"transformer.resblocks.0": 64, "transformer": 64}, {"*.attn.out_proj": SILENT}),
}


@pytest.mark.parametrize("name", ZOO)
def test_every_layer_is_measured_on_its_units_or_left_out_with_the_reason(name):
    case = ZOO[name]
    torch.manual_seed(0)
    model = case.build()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        [found] = measure.sweep(model, images_of(2, case.pixels), noisy, None, 2, units="table")
    assert any("random numbers" in str(warning.message) for warning in caught) == case.random
    assert any("random numbers" in note for note in found.notes) == case.random

    modules = dict(model.named_modules())
    there = {module_of(layer, modules) for layer in (*found.align, *found.skipped)}
    assert not [p for p, m in modules.items() if p and p not in there and type(m).forward is not nn.Module.forward]
    for layer, why in found.skipped.items():
        assert any(fnmatchcase(layer, pattern) and said in why for pattern, said in case.skipped.items()), layer
    for pattern in case.skipped:
        assert any(fnmatchcase(layer, pattern) for layer in found.skipped), pattern

    assert list(found.align) == list(found.table)
    for layer, table in found.table.items():
        module = modules.get(module_of(layer, modules))
        units = case.units.get(layer, getattr(module, "out_channels", getattr(module, "out_features", None)))
        assert units in (None, table.shape[1]), layer
        assert torch.isfinite(table).all()
    assert not case.units.keys() - found.table.keys()
    guessed = [note.partition("guessed of ")[2].partition(": ")[0] for note in found.notes if "guessed" in note]
    layers = [one.partition(" (")[0] for note in guessed for one in note.split("), ")]
    assert bool(layers) == bool(case.guessed)
    assert all(any(fnmatchcase(layer, pattern) for pattern in case.guessed) for layer in layers)
