"""Sliding windows through the real loader, with a model of known answers: merged by hand, failures counted."""

import json
import pathlib

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from sklearn.metrics import average_precision_score

from vidjax.config import Config, DataConfig, EvalConfig
from vidjax.data import motion_videos
from vidjax.data.datasets import motion
from vidjax.data.video.decode import read_frames
from vidjax.errors import ConfigError
from vidjax.evaluation.multi_label import MultiLabelEvaluator

DATA = DataConfig(num_frames=4, stride=2, image_size=32, crop="center", threads=1)
WEIGHTS = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)


class Colours:
    """An objective whose logits are the mean colour of a clip."""

    def scores(self, params, clips):
        return (clips.astype("float32").mean(axis=(1, 2, 3)) / 32 - 2) @ params


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    spec = motion_videos.MotionSpec(train_videos=0, test_videos=0, val_videos=0, long_videos=6, size=32)
    folder = motion_videos.prepare(str(tmp_path_factory.mktemp("sliding") / "long"), spec)
    broken = pathlib.Path(folder, "long", "long_00004.mp4")
    broken.write_bytes(broken.read_bytes()[:700])
    return folder


def evaluate(root, workdir, merge, **options):
    source = motion.read_split(root, "long", "intervals")
    mesh = jax.make_mesh((4, 1, 1), ("data", "fsdp", "tensor"), (AxisType.Auto,) * 3, devices=jax.devices()[:4])
    config = Config(task="multi_label", data=DATA, eval=EvalConfig(crops=1, window_merge=merge, **options))
    evaluator = MultiLabelEvaluator(config, Colours(), source, mesh, workdir)
    return source, evaluator(WEIGHTS, progress=False)


@pytest.mark.parametrize("merge", ["mean", "max"])
def test_videos_and_moments_are_merged_from_their_windows(root, tmp_path, merge):
    source, results = evaluate(root, tmp_path, merge, window_stride=1.5)
    scores, at, positives, positives_at = [], [], [], []
    for row in (source[i] for i in range(6)):
        positives.append([any(number == c for _, _, number in row.intervals) for c in range(8)])
        times = [i / 25 * 8.0 for i in range(25)]
        positives_at += [[any(s <= t <= e and n == c for s, e, n in row.intervals) for c in range(8)] for t in times]
        if row.id == "long_00004":
            scores.append([-1.0] * 8)
            at += [[-1.0] * 8] * 25
            continue
        windows = {}
        for first in (0, 15, 30, 45, 60, 72):  # windows of 8 frames every 1.5 s at 10 frames per second, and the last
            colour = read_frames(row.video, np.arange(first, first + 8, 2)).mean(axis=(0, 1, 2))
            windows[first] = 1 / (1 + np.exp(-(colour / 32 - 2) @ WEIGHTS))
        scores.append(getattr(np, merge)(list(windows.values()), axis=0))
        for time in times:
            distance = {f: max(f / 10 - time, time - (f + 8) / 10, 0) for f in windows}
            near = [windows[f] for f in windows if distance[f] <= min(distance.values())]
            at.append(getattr(np, merge)(near, axis=0))
    for name, found, wanted in (("map", scores, positives), ("map_localised", at, positives_at)):
        found, wanted = np.array(found), np.array(wanted)
        seen = wanted.any(axis=0)
        expected = np.mean([average_precision_score(wanted[:, c], found[:, c]) for c in np.flatnonzero(seen)])
        assert results[f"eval/{name}"] == pytest.approx(expected, abs=2e-3)  # float32 may swap near ties
        assert results[f"eval/constant_{name}"] == pytest.approx(wanted[:, seen].mean())


def test_a_video_that_cannot_be_read_stays_in_the_denominator(root, tmp_path):
    _, results = evaluate(root, tmp_path, "max", window_stride=1.5)
    assert (results["eval/num_scored"], results["eval/num_expected"]) == (5, 6)
    assert (results["eval/num_windows"], results["eval/num_windows_scored"]) == (31, 30)
    failed = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert [line["id"] for line in failed] == ["long_00004"]
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["scored"] for line in lines] == [True] * 4 + [False, True]


def test_a_number_of_windows_is_evenly_spaced(root, tmp_path):
    _, results = evaluate(root, tmp_path, "max", clips=3)
    assert results["eval/num_windows"] == 5 * 3 + 1
    windows = [json.loads(line) for line in (tmp_path / "windows.jsonl").read_text().splitlines()]
    assert [(line["start"], line["end"]) for line in windows[:3]] == [(0.0, 0.8), (3.6, 4.4), (7.2, 8.0)]


def test_a_stride_below_zero_is_refused(root, tmp_path):
    with pytest.raises(ConfigError, match=r"config.eval.window_stride=-1 must be at least 0 seconds"):
        evaluate(root, tmp_path, "max", window_stride=-1)
