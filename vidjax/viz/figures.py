"""What every picture shares: a figure without a display, and how it is written."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from vidjax.files import Place, located, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches that belongs to no window and no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # of all that imports this, only drawing needs it
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Place, dpi: int = 120) -> Place:
    """Write the figure as a PNG, making its folder if needed."""
    path = located(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=dpi)
    write_whole(path, picture.getvalue())
    return path
