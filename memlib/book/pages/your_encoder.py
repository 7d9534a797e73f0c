"""Page X_your_encoder: memlib's two calls on a checkpoint and folders of images, the book's or the reader's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from memlib import store
from memlib.book import show
from memlib.book.show.style import shown_once

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from memlib.report import LayerMem, UnitMem

SHOWN = 12  # units whose images are shown


def place(path: str) -> Path:
    """A path of the reader's, or `example/...`: a pair of the book's encoders and their images."""
    own = Path(path).expanduser()
    if own.exists() or own.parts[:1] != ("example",):
        return own
    return Path(os.path.relpath(store.results("example").joinpath(*own.parts[1:])))


def places(paths: str | list[str | None] | None) -> list[Path | None]:
    """One path or several, each as `place` has it; [None] for None."""
    listed = paths if isinstance(paths, list) else [paths]
    return [None if path is None else place(path) for path in listed]


def table(found: pd.DataFrame) -> show.Html:
    """A table of a result, three digits a number."""
    floats = [name for name, kind in found.dtypes.items() if kind.kind == "f"]
    return show.table(found.astype(object).where(found.notna(), None), dict.fromkeys(map(str, floats), ".3f"))


def drawn(result: LayerMem | UnitMem) -> Figure:
    """The figure of a result."""
    figure = result.plot().get_figure(root=True)
    assert figure is not None
    return shown_once(figure)


def behind(units: UnitMem, images: Tensor) -> Figure:
    """The images behind the units with the highest UnitMem, highest first, each with its score."""
    top = units.top(SHOWN)
    pictures = images[[one.point for one in top]].permute(0, 2, 3, 1).numpy()
    name = "highest UnitMem"
    return show.images({name: pictures}, {name: [one.score for one in top]})


def highest(units: UnitMem) -> show.Html:
    """The units of `behind`, in the same order."""
    import pandas as pd

    return table(pd.DataFrame(units.top(SHOWN)))
