"""A report as a folder: tables as CSV, figures as SVG and PNG, and one page that reads offline."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SHOWN = 40  # rows of a table on the page and in a terminal; its CSV has all
GREY = "#767676"  # contrast 4.5 and more on white and on black
STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2rem .7rem;text-align:right}
td:first-child,th:first-child{text-align:left;position:sticky;left:0;background:Canvas}
tr{border-bottom:1px solid #8884}
@media(prefers-color-scheme:dark){.wide>img{background:#000}}.wide{overflow-x:auto}.wide>img{max-width:none;width:auto;min-width:100%}
.images{display:grid;grid-template-columns:repeat(auto-fill,minmax(7rem,1fr));gap:1rem}
figure{margin:0;font-size:.8rem;overflow-wrap:anywhere}figure img{width:100%;image-rendering:auto}
"""


class Picture(NamedTuple):
    """An image, uint8 [3, H, W], with what to say of it."""

    image: Tensor
    caption: str


def write(
    folder: Path,
    title: str,
    said: Sequence[str],
    tables: Mapping[str, pd.DataFrame],
    draw: Callable[[Axes], Any] | None = None,
    wide: int = 0,
    pictures: Mapping[str, Sequence[Picture]] | None = None,
) -> Path:
    """Write a report; returns its page.

    Args:
        said: Paragraphs below the title.
        tables: {name: table}: `name.csv`, and on the page the first rows of each.
        draw: Draws the figure.
        wide: Entries along the figure's axis, which say how wide it is.
        pictures: {heading: images}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(one)}</p>" for one in said)]
    if draw is not None:
        _figure(folder, draw, wide)
        drawn = base64.b64encode((folder / "figure.svg").read_bytes()).decode()
        parts.append(
            f'<div class="wide"><img alt="{html.escape(title)}" src="data:image/svg+xml;base64,{drawn}"></div>'
        )
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
        more = f": the first {SHOWN} of {len(table):,} rows" if len(table) > SHOWN else ""
        shown = rounded(table.head(SHOWN)).to_html(index=False, border=0, na_rep="–")
        link = f'<a href="{name}.csv">{name}.csv</a>'
        parts.append(f'<h2>{name.capitalize()}</h2><p>{link}{more}</p><div class="wide">{shown}</div>')
    for heading, images in (pictures or {}).items():
        each = "".join(map(_shown, images))
        parts.append(f'<h2>{html.escape(heading)}</h2><div class="images">{each}</div>')
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{html.escape(title)}</title>"
    page = folder / "index.html"
    page.write_text(f"<!doctype html><html lang=en>{head}<style>{STYLE}</style>{''.join(parts)}</html>\n", "utf-8")
    return page


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """A table with numbers of four digits behind the point, as pages and terminals show it."""
    return table.round({name: 4 for name, kind in table.dtypes.items() if kind.kind == "f"})


def _figure(folder: Path, draw: Callable[[Axes], Any], wide: int) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[Any, Any] = dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY
    )
    style |= dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none")
    with mpl.rc_context(style | {"savefig.dpi": 150, "svg.hashsalt": "memlib"}):
        figure = Figure(figsize=(max(7.0, 0.17 * wide), 4.5), layout="constrained")
        FigureCanvasAgg(figure)  # whatever backend this session has
        draw(figure.subplots())
        figure.savefig(folder / "figure.png")
        figure.savefig(folder / "figure.svg", metadata={"Date": None})


def _shown(picture: Picture) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture.image.permute(1, 2, 0).numpy()).save(stream, "PNG")
    drawn = base64.b64encode(stream.getvalue()).decode()
    caption = html.escape(picture.caption)
    return f'<figure><img alt="" src="data:image/png;base64,{drawn}"><figcaption>{caption}</figcaption></figure>'
