"""The loader's contenders do the same work on the same frames; the cores that a chip needs follow from its step."""

import sys
import types

import numpy as np
import pytest

from vidjax.bench import decoders, loader
from vidjax.bench.settings import Settings
from vidjax.bench.videos import FRAMES, write_videos
from vidjax.config import DataConfig
from vidjax.data.open import open_source
from vidjax.data.video.decode import probe_video


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    write_videos(root / "train" / "a", 1, key_every=12)
    return open_source(DataConfig(root=str(root)), "train")


def test_all_contenders_make_the_same_clip(source):
    path = source[0].video
    assert probe_video(path).frames == FRAMES
    for seed in range(3):
        (ours,) = loader.vidjax_clips(source, 1)(0, np.random.default_rng(seed))
        np.testing.assert_array_equal(ours, decoders.pyav_clip(path, np.random.default_rng(seed)))
        for clip in decoders.LOOPS.values():
            if not decoders.why_not(clip, path):
                theirs = clip(path, np.random.default_rng(seed)).astype(int)
                assert np.abs(ours - theirs).mean() < 3  # they convert colours differently


def test_a_loop_that_does_not_work_here_is_named_with_the_reason(source, monkeypatch):
    path, reasons = source[0].video, {}
    monkeypatch.setitem(sys.modules, "decord", None)  # importing it raises ImportError
    broken = types.SimpleNamespace(VideoDecoder=lambda *args, **options: 1 / 0)
    monkeypatch.setitem(sys.modules, "torchcodec", types.SimpleNamespace(decoders=broken))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", broken)
    for name, clip in decoders.LOOPS.items():
        reasons[name] = decoders.why_not(clip, path)
    assert reasons == {
        "a PyAV loop": "", "an OpenCV loop": "", "decord2": "not installed",
        "torchcodec": "does not work here: division by zero",
    }  # fmt: skip
    rows = loader.absent("loader, files", [20.0, 21.0], reasons)
    assert [(row.name, row.ours, row.peer) for row in rows] == [
        ("loader, files, against decord2 (not installed)", 21.0, None),
        ("loader, files, against torchcodec (does not work here: division by zero)", 21.0, None),
    ]


def test_several_clips_of_the_same_frames_differ(source):
    clips = loader.vidjax_clips(source, 4)(0, np.random.default_rng(0))
    assert clips.shape == (4, 16, 224, 224, 3)
    assert len({clip.tobytes() for clip in clips}) > 1  # multi-scale crops have 130 places, and may repeat


def test_every_contender_gets_the_same_windows_and_each_round_is_returned(monkeypatch):
    drawn = {"a": [], "b": []}
    clock = iter([0.0, 2.0, 10.0, 14.0, 20.0, 21.0, 30.0, 38.0])
    monkeypatch.setattr(loader, "time", types.SimpleNamespace(process_time=lambda: next(clock)))
    contenders = {
        name: (clips, lambda video, rng, name=name: drawn[name].append((video, rng.random())))
        for name, clips in (("a", 1), ("b", 4))
    }
    assert loader.clips_per_core(contenders, videos=2, rounds=2) == {"a": [2.0, 4.0], "b": [4.0, 2.0]}
    assert drawn["a"] == drawn["b"]
    assert drawn["a"][:4] == drawn["a"][4:]
    assert len(set(drawn["a"])) == 4


def test_cores_are_the_chips_rate_over_the_rate_of_a_core():
    files = "files, key frame every 250"
    speed = {(files, "1"): [25.0], (files, "4"): [75.0], ("records", "1"): [50.0], ("records", "4"): [200.0]}
    speed[files, decoders.PYAV] = [20.0]
    rows = loader.cores(speed, files, Settings(step_ms=160.0, step_clips=32))
    assert [row.ours for row in rows] == [8.0, 200 / 75, 4.0, 1.0]
    assert {row.peer for row in rows} == {10.0}
    assert rows[-1].ratio == 10.0


@pytest.mark.slow
def test_the_whole_benchmark_has_a_row_for_files_records_and_cores():
    rows = loader.measure(Settings(rounds=1, videos=1))
    assert {row.unit for row in rows} == {"clips/s/core", "cores"}
    several = [row for row in rows if row.name.endswith("4 clips per decode, against 1 clip")]
    assert len(several) == 3
    assert all(row.ratio > 2 for row in several)
