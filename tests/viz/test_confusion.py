"""The confusion matrix: its most confused pairs, and the sheet of many classes."""

import numpy as np
import pytest
from PIL import Image

from vidjax.evaluation.result_files import write_matrix
from vidjax.viz.confusion import confusion_blocks, draw_confusion_matrix, similar_order, worst_pairs
from vidjax.viz.document import Table


def test_pairs_are_ordered_by_count_then_by_the_size_of_the_class():
    matrix = np.array([[90, 5, 5], [7, 3, 0], [5, 0, 5]])
    assert worst_pairs(matrix) == [(1, 0, 7), (2, 0, 5), (0, 1, 5), (0, 2, 5)]
    assert worst_pairs(matrix, 1) == [(1, 0, 7)]
    assert worst_pairs(np.eye(3, dtype=int)) == []


def test_the_table_has_the_shares_of_the_class(tmp_path):
    write_matrix(tmp_path / "confusion_matrix.csv", np.array([[3, 1], [0, 4]]), ["a, b", 'c "d"\n'])
    [table] = [block for block in confusion_blocks(tmp_path, tmp_path / "pictures") if isinstance(block, Table)]
    assert list(map(list, table.rows)) == [["a, b", 'c "d"\n', "1", "25.0%", "75.0%"]]


@pytest.mark.parametrize("content", [None, "", "a,b\n1", "a,b\nb,x", "\xff"])
def test_without_a_complete_matrix_there_is_no_section(tmp_path, content):
    if content is not None:
        (tmp_path / "confusion_matrix.csv").write_text(content, encoding="latin-1")
    assert confusion_blocks(tmp_path, tmp_path / "pictures") == []


def test_classes_that_are_confused_become_neighbours():
    matrix = 20 * np.eye(12, dtype=int)
    pairs = [(0, 7), (3, 11), (5, 8)]
    for one, other in pairs:
        matrix[one, other] = matrix[other, one] = 15
    order = similar_order(matrix).tolist()
    assert sorted(order) == list(range(12))
    assert all(abs(order.index(one) - order.index(other)) == 1 for one, other in pairs)


def test_on_the_sheet_each_row_and_column_has_the_name_of_its_class(tmp_path):
    """Only one of 80 classes has a name and videos: there is ink left of its row and above its column, nowhere else."""
    matrix = np.zeros((80, 80), int)
    matrix[50, 50] = 1
    names = ["" if number != 50 else "MMMM" for number in range(80)]
    place = similar_order(matrix).tolist().index(50)
    sheet = np.asarray(Image.open(draw_confusion_matrix(matrix, names, tmp_path / "c.png")).convert("L")).astype(int)
    high, wide = sheet.shape
    left, top = wide - 12 - 80 * 9, high - 12 - 80 * 9
    rows = np.flatnonzero((sheet[top : top + 720, :left] < 128).any(axis=1)) // 9
    columns = np.flatnonzero((sheet[30:top, left : left + 720] < 128).any(axis=0)) // 9
    assert set(rows.tolist()) == set(columns.tolist()) == {place}
    middle = slice(9 * place + 3, 9 * place + 6)
    assert sheet[top:, left:][middle, middle].max() < 90


@pytest.mark.parametrize("classes", [3, 70])
def test_names_that_matplotlib_would_read_as_formulas_are_drawn(tmp_path, classes):
    names = ["$x_$ $", "跳舞", "two\nlines", *map(str, range(classes - 3))]
    draw_confusion_matrix(np.eye(classes, dtype=int), names, tmp_path / "c.png")
    assert Image.open(tmp_path / "c.png").width > 300
