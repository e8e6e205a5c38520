"""What every picture shares: a figure without a display, and how it is written."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from vidjax.errors import one_line
from vidjax.files import Place, located, make_folder, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches that belongs to no window and no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # of all that imports this, only drawing needs it
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label(name: str, most: int) -> str:
    """The name of a class or a run as a picture shows it: on one line, with at most so many letters.

    Give `parse_math=False` to what draws it, since Matplotlib takes what is between dollars for a formula.
    """
    name = one_line(name)
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def save_figure(figure: Figure, path: str | Place, dpi: int = 120) -> Place:
    """Write the figure as a PNG, making its folder if needed."""
    path = located(path)
    make_folder(path.parent)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a name in another script, which shows as boxes
        figure.savefig(picture, dpi=dpi)
    write_whole(path, picture.getvalue())
    return path
