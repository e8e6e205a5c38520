"""Helpers for all pictures: a figure without a display, shortened names, and saving."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from vidjax.errors import one_line
from vidjax.files import Place, located, make_folder, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """A figure of the given size in inches, without a window or global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # imported late: only drawing needs it
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label(name: str, most: int) -> str:
    """Shorten the name of a class or run for a picture: one line of at most `most` letters.

    Draw it with `parse_math=False`, since Matplotlib reads text between dollar signs as a formula.
    """
    name = one_line(name)
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def save_figure(figure: Figure, path: str | Place, dpi: int = 120) -> Place:
    """Write a figure as a PNG, creating its folder if needed."""
    path = located(path)
    make_folder(path.parent)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in other scripts show as boxes
        figure.savefig(picture, dpi=dpi)
    write_whole(path, picture.getvalue())
    return path
