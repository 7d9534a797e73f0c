"""What both reports need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlib.measure import Augment, as_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def as_many(control: Any, images: Any) -> None:
    """Check that there are as many control images as images."""
    if control is not None and len(as_images(control)) != len(as_images(images)):
        raise ValueError(
            f"control has {len(as_images(control))} images and images {len(as_images(images))}: as many are needed, "
            "because a maximum grows with their number and an interval narrows with it; cut the longer one"
        )


def axes(ax: Axes | None) -> Axes:
    """The given axes, or new ones."""
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1] if ax is None else ax


def named(augment: Augment) -> str:
    """What to call an augmentation."""
    return augment if isinstance(augment, str) else getattr(augment, "name", type(augment).__name__)


def legend(ax: Axes) -> None:
    """The legend above the panel, where it hides nothing."""
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
