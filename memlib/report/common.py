"""What both reports need."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch

from memlib.measure import Augment, as_images
from memlib.measure.foreign import as_floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEANT = {
    "control": "a control is of points that nothing was trained on",
    "mirror": "a mirror is of points that g was trained on and f was not",
}


def as_many(control: Any, images: Any) -> None:
    """Check that there are as many control images as images."""
    if control is not None and len(as_images(control)) != len(as_images(images)):
        raise ValueError(
            f"control has {len(as_images(control))} images and images {len(as_images(images))}: as many are needed, "
            "because a maximum grows with their number and an interval narrows with it; cut the longer one"
        )


def duplicates(**sets: Any) -> list[str]:
    """A note, which is also a warning, of any two of these sets of images that have some in common."""
    given = {name: as_images(images) for name, images in sets.items() if images is not None}
    whole = all(pixels.dtype == torch.uint8 for pixels in given.values())
    seen: dict[str, list[bytes]] = {}
    for name, pixels in given.items():
        seen[name] = [image.tobytes() for image in (pixels if whole else as_floats(pixels)).cpu().numpy()]
    found = []
    for one, other in combinations(seen, 2):
        known = set(seen[one])
        if both := sum(image in known for image in seen[other]):
            found.append(f"{both} of the {other}'s images are also among {one}: {MEANT[other]}.")
            warnings.warn(found[-1], stacklevel=3)
    return found


def axes(ax: Axes | None) -> Axes:
    """The given axes, or new ones."""
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1] if ax is None else ax


def named(augment: Augment) -> str:
    """What to call an augmentation."""
    return augment if isinstance(augment, str) else getattr(augment, "name", type(augment).__name__)


def left_out(skipped: Mapping[str, str]) -> list[str]:
    """One sentence on the layers that were left out, with an example of each reason; none without."""
    if not skipped:
        return []
    reasons: dict[str, str] = {}
    for name, why in skipped.items():
        reasons.setdefault(re.sub(r"\d+", "", why), f"{name!r} {why}")
    return [f"Left out: {len(skipped)} layers, for example {'; '.join(reasons.values())}."]


def legend(ax: Axes) -> None:
    """The legend above the panel, where it hides nothing."""
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
