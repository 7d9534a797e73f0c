"""Figures and tables of the pages, in one style: intervals shown, readable in light and dark, words on the axes."""

from memlib.figures.boxes import facts, nulls, summary, takeaways, verdicts
from memlib.figures.html import Html, span, table
from memlib.figures.images import extreme_images, image_grid, layer_images, unit_images
from memlib.figures.layermem import (
    agreement_maps,
    extreme_curves,
    layer_curves,
    layermem_table,
    modules_table,
    single_pairs,
)
from memlib.figures.speed import speed_machine, speed_table
from memlib.figures.sslmem import score_distributions, sslmem_table
from memlib.figures.style import COLOURS, style
from memlib.figures.unitmem import block_table, last_layer, member_rates, unitmem_distributions, unitmem_table

__all__ = [
    "COLOURS",
    "Html",
    "agreement_maps",
    "block_table",
    "extreme_curves",
    "extreme_images",
    "facts",
    "image_grid",
    "last_layer",
    "layer_curves",
    "layer_images",
    "layermem_table",
    "member_rates",
    "modules_table",
    "nulls",
    "score_distributions",
    "single_pairs",
    "span",
    "speed_machine",
    "speed_table",
    "sslmem_table",
    "style",
    "summary",
    "table",
    "takeaways",
    "unit_images",
    "unitmem_distributions",
    "unitmem_table",
    "verdicts",
]
