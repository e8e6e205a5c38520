"""The confusion matrix of a classifier as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from vidjax.files import Place
from vidjax.viz.figures import new_figure, save_figure

MAX_NAMED = 60  # classes; beyond that names would not be legible


def draw_confusion_matrix(matrix: Int[np.ndarray, "classes classes"], names: Sequence[str], path: str | Place) -> Place:
    """Draw rows as shares of their class; counts stand in the cells if there are at most 12 classes.

    Args:
      matrix: counts, row = label, column = prediction.
    """
    classes = len(names)
    side = float(np.clip(0.28 * classes + 2.5, 5, 14))
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    total = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the class", shrink=0.8)
    if classes <= MAX_NAMED:
        crowded = classes > 20
        size, angle = (6, 90) if crowded else (9, 45)
        axes.set_xticks(range(classes), names, fontsize=size, rotation=angle, ha="center" if crowded else "right")
        axes.set_yticks(range(classes), names, fontsize=size)
    if classes <= 12:
        for row, column in np.ndindex(matrix.shape):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=9)
    axes.set(xlabel="prediction", ylabel="label", title=f"Confusion matrix, {int(total.sum())} scored videos")
    return save_figure(figure, path)
