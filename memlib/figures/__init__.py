"""Figures and tables of the pages, in one style: intervals shown, readable in light and dark, words on the axes."""

from memlib.figures.boxes import facts, nulls, summary, takeaways, verdicts
from memlib.figures.costs import costs_table, costs_text
from memlib.figures.finetuning import tuned_budget, tuned_choices, tuned_layers, tuned_sets, tuned_table
from memlib.figures.html import Html, span, table
from memlib.figures.images import extreme_images, image_grid, layer_images, unit_images
from memlib.figures.injection import (
    injection_controls,
    injection_curves,
    injection_encoders,
    injection_outputs,
    injection_table,
    injection_units,
)
from memlib.figures.layermem import (
    agreement_maps,
    extreme_curves,
    layer_curves,
    layermem_table,
    modules_table,
    single_pairs,
)
from memlib.figures.privacy import guarantees, privacy_curves, privacy_distributions, privacy_table
from memlib.figures.profiles import (
    contrast_table,
    depth_profiles,
    differences,
    framework_table,
    framework_units,
    learned_table,
    printed_table,
    profile_controls,
    vit_table,
)
from memlib.figures.pruning import (
    pruning_controls,
    pruning_curves,
    pruning_inactive,
    pruning_layers,
    pruning_table,
)
from memlib.figures.replacement import (
    batchnorm_table,
    choice_table,
    replaced_curves,
    replacement_map,
    replacement_scatter,
    single_table,
    whole_table,
)
from memlib.figures.speed import speed_machine, speed_table
from memlib.figures.ssl_vs_sl import class_curves, class_table, probe_table, stops_table, unit_scatter
from memlib.figures.sslmem import score_distributions, sslmem_table
from memlib.figures.style import COLOURS, style
from memlib.figures.unitmem import block_table, last_layer, member_rates, unitmem_distributions, unitmem_table

__all__ = [
    "COLOURS",
    "Html",
    "agreement_maps",
    "batchnorm_table",
    "block_table",
    "choice_table",
    "class_curves",
    "class_table",
    "contrast_table",
    "costs_table",
    "costs_text",
    "depth_profiles",
    "differences",
    "extreme_curves",
    "extreme_images",
    "facts",
    "framework_table",
    "framework_units",
    "guarantees",
    "image_grid",
    "injection_controls",
    "injection_curves",
    "injection_encoders",
    "injection_outputs",
    "injection_table",
    "injection_units",
    "last_layer",
    "layer_curves",
    "layer_images",
    "layermem_table",
    "learned_table",
    "member_rates",
    "modules_table",
    "nulls",
    "printed_table",
    "privacy_curves",
    "privacy_distributions",
    "privacy_table",
    "probe_table",
    "profile_controls",
    "pruning_controls",
    "pruning_curves",
    "pruning_inactive",
    "pruning_layers",
    "pruning_table",
    "replaced_curves",
    "replacement_map",
    "replacement_scatter",
    "score_distributions",
    "single_pairs",
    "single_table",
    "span",
    "speed_machine",
    "speed_table",
    "sslmem_table",
    "stops_table",
    "style",
    "summary",
    "table",
    "takeaways",
    "tuned_budget",
    "tuned_choices",
    "tuned_layers",
    "tuned_sets",
    "tuned_table",
    "unit_images",
    "unit_scatter",
    "unitmem_distributions",
    "unitmem_table",
    "verdicts",
    "vit_table",
    "whole_table",
]
