"""The figures of a run as a reader wants them: named in words, rounded, and in percent if they are shares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vidjax.viz.document import Block, Heading, Table

_WORDS = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "top1_scored": "top-1 accuracy, scored videos only",
    "mean_class_accuracy": "mean of the classes' accuracies",
    "ece": "expected calibration error",
    "map": "mean average precision",
    "map_localised": "mean average precision over time",
    "ccc": "concordance (CCC)",
    "pcc": "correlation (PCC)",
    "sagr": "agreement in sign (SAGR)",
    "r2": "explained share of the variance",
    "cider": "CIDEr-D",
    "num_classes_with_positives": "classes that occur",
    "num_intervals_past_the_end": "intervals that end after their video",
    "loss": "training loss",
    "lr": "learning rate",
    "grad_norm": "norm of the gradient",
    "grad_norm_limit": "limit for the norm of the gradient",
    "update_norm": "norm of the update",
    "nonfinite": "updates that were not finite",
    "decode_failures": "videos that could not be decoded",
    "clips_per_s": "clips per second",
    "step_s": "seconds per step",
    "compile_s": "seconds of compilation",
    "data_wait": "share of the time spent waiting for data",
    "mfu": "share of the peak FLOP/s (MFU)",
}
_PARTS = {
    "top1": "top-1", "top5": "top-5", "f1": "F1", "num": "number of", "ccc": "CCC", "pcc": "PCC", "rmse": "RMSE",
    "mse": "MSE", "sagr": "SAGR", "r2": "R2", "rougeL": "ROUGE-L",
}  # fmt: skip
_SHARE = re.compile(
    r"(^|[_/])(top\d+|precision|recall|f1|accuracy|map|ap|ece|mfu|data_wait|sagr|bleu\d|rouge[\dL])([_/]|$)"
)
# Figures that the report states in sentences beside the table, or in sections of their own.
_STATED = re.compile(r"eval/(num_scored|num_expected|clips|crops|merge|checkpoint|step|chosen)$|time/")
_SILENT_AT_0 = ("nonfinite", "decode_failures", "skipped", "roll_backs", "data_wait", "num_intervals_past_the_end")
# With one label per video, these equal the top-1 accuracy if all videos are scored.
_SAME_AS_TOP1 = ("top1_scored", "precision_micro", "recall_micro", "f1_micro")


def results_table(results: Mapping[str, Any]) -> Table:
    """One row per figure: its description, its value, and its name in results.json.

    Figures that `vidjax.viz.behind_scores` puts into sentences are left out, and so are counts of faults that are 0 and
    figures of `_SAME_AS_TOP1` that equal the top-1 accuracy.
    """
    rows = [[words(name), rounded(name, value), name] for name, value in results.items() if _tells(name, results)]
    return Table(("figure", "value", "in results.json"), rows)


def class_blocks(results: Mapping[str, Any]) -> list[Block]:
    """The "Classes" section of a report: the figures of single classes (eval/<figure>/<class>), one row per class."""
    found: dict[str, dict[str, str]] = {}
    for name, value in results.items():
        if name.count("/") > 1:
            _, figure, of_class = name.split("/", 2)
            found.setdefault(of_class, {})[figure] = rounded(figure, value)
    if not found:
        return []
    figures = list(dict.fromkeys(figure for line in found.values() for figure in line))
    rows = [[name, *(line.get(figure, "") for figure in figures)] for name, line in found.items()]
    return [Heading("Classes"), Table(("class", *(_PARTS.get(figure, figure) for figure in figures)), rows)]


def words(name: str) -> str:
    """Describe a figure of results.json, such as `eval/constant_top1`, in words."""
    group, _, figure = name.rpartition("/")
    if figure.startswith("constant_"):
        return f"{words(figure.removeprefix('constant_'))}, best constant answer"
    if found := re.fullmatch(r"(precision|recall|f1)_(macro|micro)", figure):
        said = f"{found[2]} {_PARTS.get(found[1], found[1])}"
    elif found := re.fullmatch(r"(bleu|rouge)(\d)", figure):
        said = f"{found[1].upper()}-{found[2]}"
    else:
        said = _WORDS.get(figure) or " ".join(_PARTS.get(part, part) for part in figure.split("_"))
    return f"{said}, last validation" if group == "val" else said


def rounded(name: str, value: Any) -> str:
    """Format a figure: a share in percent, any other float to three digits (whole from 100 on), anything else as is."""
    if not isinstance(value, float):
        return str(value)
    if _SHARE.search(name) and 0 <= value <= 1:
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def in_column(name: str, value: Any) -> str:
    """Format a figure for a column of figures: a share in percent, any other number with four decimals."""
    return f"{value:.1%}" if _SHARE.search(name) else f"{value:.4f}"


def _tells(name: str, results: Mapping[str, Any]) -> bool:
    """Return whether a figure says more than the sentences and the other figures."""
    group, _, figure = name.rpartition("/")
    same = figure in _SAME_AS_TOP1 and results[name] == results.get(f"{group}/top1")
    return not (_STATED.match(name) or same or (figure in _SILENT_AT_0 and not results[name]))
