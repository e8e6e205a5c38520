"""Curves: which lines of metrics.jsonl they use, and which metrics get a panel."""

import json

import numpy as np
import pytest
from PIL import Image

from vidjax.viz.curves import draw_curves, read_metric, smooth


@pytest.fixture
def run(tmp_path):
    lines = [{"step": s, "train/loss": 2 / s, "train/lr": 0.1} for s in range(1, 200)]
    lines += [{"step": 200, "train/loss": None}, {"step": 200, "eval/top1": 0.5}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 201, "train/lo')
    return tmp_path


def test_lines_without_a_number_and_a_truncated_last_line_are_left_out(run):
    steps, values = read_metric(run / "metrics.jsonl", "train/loss")
    np.testing.assert_array_equal(steps, np.arange(1, 200))
    np.testing.assert_allclose(values, 2 / steps)
    assert read_metric(run / "metrics.jsonl", "eval/top1")[1].tolist() == [0.5]
    assert len(read_metric(run / "gone.jsonl", "train/loss")[0]) == 0


def test_smoothing_is_a_centred_mean_truncated_at_the_ends():
    values = np.random.default_rng(0).normal(size=20)
    expected = [values[max(0, i - 2) : i + 3].mean() for i in range(20)]
    np.testing.assert_allclose(smooth(values, 5), expected)


def test_metrics_without_two_values_in_any_run_get_no_panel(run, tmp_path):
    metrics = ["train/loss", "train/lr", "eval/top1", "eval/none"]  # a single evaluation is not a curve
    two = draw_curves({"a": run, "b": run / "gone"}, metrics, tmp_path / "p" / "two.png")
    one = draw_curves({"a": run}, ["train/loss"], tmp_path / "one.png")
    assert Image.open(two).width == pytest.approx(2 * Image.open(one).width, rel=0.02)
    assert draw_curves({"a": run}, ["eval/top1", "eval/none"], tmp_path / "none.png") is None
