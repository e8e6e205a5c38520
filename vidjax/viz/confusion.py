"""The confusion matrix of a classifier as a picture, and its most confused pairs as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from vidjax.files import Place
from vidjax.viz.confusion_sheet import draw_sheet
from vidjax.viz.document import Block, Heading, Picture, Table, Text
from vidjax.viz.figures import label, new_figure, save_figure

MATRIX, PICTURE = "confusion_matrix.csv", "confusion_matrix.png"  # in a run's folder, and in its folder of pictures
_MANY = 60  # classes; with more, names would be illegible on a page, so the picture is larger than the page
_LETTERS = 40  # maximum letters of a name
_PAIRS = 20  # rows of the table


def draw_confusion_matrix(matrix: Int[np.ndarray, "classes classes"], names: Sequence[str], path: str | Place) -> Place:
    """Draw each row as shares of its class, with counts in the cells if there are at most 12 classes.

    Every class is named. With more than 60 classes the picture is a large sheet, and classes that are confused with
    each other are neighbours (`similar_order`). The colour encodes the square root of the share, so that even one video
    in a hundred is visible.

    Args:
      matrix: counts, row = label, column = prediction.
    """
    names, share = [label(name, _LETTERS) for name in names], _shares(matrix)
    classes = len(names)
    if classes > _MANY:
        order = similar_order(matrix)
        return draw_sheet(share[np.ix_(order, order)], [names[number] for number in order], path)
    side = float(np.clip(0.28 * classes + 2.5, 5, 14))
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    ticks = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 1)
    bar = figure.colorbar(image, ax=axes, label="share of the class", shrink=0.8, ticks=np.sqrt(ticks))
    bar.ax.set_yticklabels([f"{tick:.0%}" for tick in ticks])
    crowded = classes > 20
    size, angle = (6, 90) if crowded else (9, 45)
    across = "center" if crowded else "right"
    axes.set_xticks(range(classes), names, fontsize=size, rotation=angle, ha=across, parse_math=False)
    axes.set_yticks(range(classes), names, fontsize=size, parse_math=False)
    if classes <= 12:
        for row, column in np.ndindex(matrix.shape):
            colour = "white" if share[row, column] > 0.25 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=9)
    axes.set(xlabel="prediction", ylabel="label")
    return save_figure(figure, path)


def similar_order(matrix: Int[np.ndarray, "classes classes"]) -> Int[np.ndarray, " classes"]:
    """Order classes so that confused classes are neighbours, by average-linkage clustering."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    share = _shares(matrix)
    distance = 1 - (share + share.T) / 2
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average"))


def worst_pairs(matrix: Int[np.ndarray, "classes classes"], most: int = _PAIRS) -> list[tuple[int, int, int]]:
    """The label, prediction and count of the most confused pairs; with equal counts, the smaller class comes first."""
    wrong = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    labels, answers = np.nonzero(wrong)
    counts = wrong[labels, answers]
    order = np.lexsort((matrix.sum(axis=1)[labels], -counts))[:most]
    return [(int(labels[place]), int(answers[place]), int(counts[place])) for place in order]


def confusion_blocks(workdir: Place, pictures: Place) -> list[Block]:
    """The "Confusion" section of a report; empty for a run without a confusion matrix.

    Args:
      workdir: the run's folder.
      pictures: the folder of `PICTURE`.
    """
    matrix, names = _read_matrix(workdir / MATRIX)
    blocks: list[Block] = []
    if (pictures / PICTURE).is_file():
        many = len(names) > _MANY
        order = " Classes that are confused with each other are neighbours. Click for full size." if many else ""
        caption = f"Confusion matrix of the scored videos: rows are labels, columns predictions.{order}"
        blocks.append(Picture(pictures / PICTURE, caption, zooms=many))
    if pairs := worst_pairs(matrix):
        totals, right = matrix.sum(axis=1), np.diag(matrix)
        rows = [
            [
                names[label],
                names[answer],
                f"{count}",
                f"{count / totals[label]:.1%}",
                f"{right[label] / totals[label]:.1%}",
            ]
            for label, answer, count in pairs
        ]
        columns = ("label", "mistaken for", "videos", "share of the class", "right in the class")
        wrong = int(totals.sum() - right.sum())
        told = sum(count for *_, count in pairs)
        blocks += [
            Text(f"The most confused pairs, which account for {told} of the {wrong} wrong answers."),
            Table(columns, rows),
        ]
    return [Heading("Confusion"), *blocks] if blocks else []


def _shares(matrix: np.ndarray) -> np.ndarray:
    """The share of each class's videos with each prediction; 0 for a class without videos."""
    total = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)


def _read_matrix(path: Place) -> tuple[np.ndarray, list[str]]:
    """Read counts and class names; both empty if the file is missing or damaged."""
    try:
        (_, *names), *lines = csv.reader(io.StringIO(path.read_text()))
        matrix = np.array([line[1:] for line in lines], np.int64).reshape(len(names), len(names))
    except (FileNotFoundError, ValueError):
        return np.zeros((0, 0), np.int64), []
    return matrix, names
