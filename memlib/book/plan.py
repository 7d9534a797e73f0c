"""Which encoders, measurements and experiments each notebook needs: plain data and no torch, so that an engine plans
in a moment.

A *design* trains pairs of encoders and measures each; an *experiment* cuts into encoders of designs, a run at a time.
Their sizes stand in `notebooks/scales/<scale>.yaml`.
"""

from memlib.book.designs import SCALES, Measurement, PairPlan, designs, looks, pairs, scale, shares
from memlib.book.experiments import KINDS, Experiment, experiments
from memlib.specs import nearest

__all__ = [
    "KINDS",
    "NOTEBOOKS",
    "SCALES",
    "Experiment",
    "Measurement",
    "PairPlan",
    "Planned",
    "designs",
    "experiments",
    "looks",
    "measurements",
    "members",
    "pairs",
    "scale",
    "shares",
]

Planned = Measurement | Experiment

NOTEBOOKS = {  # the designs and experiments that each notebook reads
    "03_sslmem": ("base",),
    "04_1_layermem": ("base",),
    "04_1_resnets": ("resnet18", "resnet34", "resnet50"),
    "04_1_vit": ("vit_blocks",),
    "04_1_frameworks": (
        "resnet9_simclr",
        "resnet9_simsiam",
        "resnet9_byol",
        "resnet9_dino",
        "vit_mae",
        "vit_dino",
    ),
    "04_2_replacement": ("replacement", "replacement_blocks"),
    "04_2_finetuning": ("finetuning",),
    "05_1_unitmem": ("base",),
    "05_1_points_and_units": ("base", "ablation"),
    "05_1_training": ("base", "training"),
    "05_1_ssl_vs_sl": ("ssl", "sl", "sl_converged"),
    "05_1_privacy": ("vit_mae", "dp20", "dp8"),
    "05_2_pruning": ("pruning",),
    "05_2_injection": ("injection",),
    "C_layermem": ("base", "ablation"),
    "C_unitmem": ("base", "units"),
}

WHERE_THERE = {  # and those that a notebook reads where a scale has them: the papers' own design, encoders, arms
    "03_sslmem": ("papers",),
    "04_1_frameworks": ("resnet50_simclr", "resnet50_dino", "vit_base_mae", "vit_base_dino"),
    "05_1_unitmem": ("ssl", "stl10", "donors_svhn"),
    "C_layermem": ("base_weak", "base_strong", "base_seeds"),
    "C_unitmem": ("base_weak", "base_strong", "decay_more", "decay_most", "units_ssl", "units_sl", "units_stl10"),
}


def reads(scale_name: str, notebook: str) -> tuple[str, ...]:
    """The designs and experiments that a notebook reads at a scale; none where it is no page of designs.

    Of an experiment also the design of its encoders f, whose measurements say whether they memorize.
    """
    sizes = scale(scale_name)
    cut = sizes.get("experiments") or {}
    there = (*designs(scale_name), *cut)
    named = (*NOTEBOOKS.get(notebook, ()), *(name for name in WHERE_THERE.get(notebook, ()) if name in there))
    of_f = (cut[name]["roles"]["f"].split(".")[0] for name in named if name in cut)
    return tuple(dict.fromkeys((*named, *of_f)))


def members(pair: PairPlan) -> tuple[Measurement, ...]:
    """The four measurements of a pair."""
    return pair.f, pair.g, pair.f_untrained, pair.g_untrained


def measurements(scale_name: str, notebook: str | None = None) -> dict[str, Planned]:
    """What a notebook reads at a scale (None: all that the scale has), by digest; early pairs and runs first.

    Raises:
        KeyError: The scale or the notebook is unknown.
    """
    if notebook is not None and notebook not in NOTEBOOKS:
        raise nearest(notebook, NOTEBOOKS, "notebook")
    cut = experiments(scale_name)
    wanted = reads(scale_name, notebook) if notebook else (*designs(scale_name), *cut)
    by_turns: list[tuple[int, tuple[Planned, ...]]] = []
    for name in wanted:
        if name in cut:
            by_turns += [(turn, (run,)) for turn, run in enumerate(cut[name], 1)]  # after the encoders that it needs
        else:
            by_turns += [(turn, members(pair)) for turn, pair in enumerate(pairs(scale_name, name))]
    by_turns.sort(key=lambda item: item[0])
    return {m.digest: m for _, planned in by_turns for m in planned}
