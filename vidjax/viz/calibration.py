"""The reliability diagram of a classifier (Guo et al. 2017, figure 1)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from vidjax.files import Place
from vidjax.viz.figures import new_figure, save_figure


def draw_reliability(
    counts: Int[np.ndarray, " bins"],
    accuracy: Float[np.ndarray, " bins"],
    confidence: Float[np.ndarray, " bins"],
    path: str | Place,
) -> Place:
    """Draw accuracy over confidence, and below it the number of answers in each bin.

    Args:
      counts: number of answers in bins of equal width over confidences from 0 to 1.
      accuracy: accuracy of each bin; NaN for an empty bin.
      confidence: mean confidence of each bin; NaN for an empty bin.
    """
    figure = new_figure(5.2, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges, filled = np.linspace(0, 1, len(counts) + 1), counts > 0
    upper.plot((0, 1), (0, 1), color="#888", linestyle="--", linewidth=1, label="calibrated")
    left, width = edges[:-1][filled], 1 / len(counts)
    upper.bar(left, accuracy[filled], width, align="edge", color="C0", edgecolor="white", label="accuracy")
    gaps = confidence[filled] - accuracy[filled]
    upper.bar(
        left, gaps, width, bottom=accuracy[filled], align="edge", facecolor="none", edgecolor="C3",
        hatch="///", linewidth=0.8, label="up to the mean confidence",
    )  # fmt: skip
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    upper.legend(frameon=False, fontsize=9, loc="upper left")
    lower.bar(edges[:-1], counts, width, align="edge", color="C0", edgecolor="white")
    lower.set(xlabel="confidence: the probability of the answer", ylabel="videos")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, path)
