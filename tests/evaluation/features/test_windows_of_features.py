"""Features over time: equal to one call per window, with the seconds of a player, resumed and shared like any store."""

import dataclasses
import itertools
import json
import shutil
import signal
import subprocess
import sys

import av
import embed_worker
import feature_files
import jax
import numpy as np
import pytest
from embed_worker import RECIPE, WINDOWS, Colours, colours, embed
from small_backbones import backbone
from videos import encode, moving_texture

from vidjax.data import window_clips
from vidjax.data.clips.recipe import Windows
from vidjax.data.sources.video_files import Files, FileSource
from vidjax.errors import ConfigError, DataError, ResumeError, StalledError, VideoError
from vidjax.evaluation.features import window_extraction
from vidjax.evaluation.features.header import HEADER
from vidjax.evaluation.features.npy_files import file_names, on_grid, write_npy_files
from vidjax.evaluation.features.parts import open_part
from vidjax.evaluation.features.store import FeatureStore, check_pair
from vidjax.evaluation.features.writer import Split, Storage, write_features
from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

SPREAD = colours(sampling="segment")
BROKEN = "train/b/05.mp4"
# Thirty frames at a variable rate, in milliseconds: 20 per second, a picture of 0.7 seconds, then 10 per second.
UNEVEN = [*range(0, 500, 50), 500, *range(1200, 3100, 100)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Ten training videos of 0.4 to 1.6 s in two classes: one is broken and one has a variable rate."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(10):
        path = root / "train" / "ab"[number // 5] / f"{number:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        times = UNEVEN if number == 7 else None
        path.write_bytes(encode(moving_texture(30 if times else 10 + 3 * number, 16, 16, seed=number), times=times))
    (root / BROKEN).write_bytes((root / BROKEN).read_bytes()[:1500])
    (root / "val" / "a").mkdir(parents=True)
    (root / "val" / "a" / "uneven.mp4").write_bytes(encode(moving_texture(30, 16, 16), times=UNEVEN))
    return root


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """A store of windows written by a single call."""
    folder = tmp_path_factory.mktemp("stores") / "whole"
    assert embed(videos, folder, SPREAD, windows=WINDOWS)[1:4] == (10, [], [(BROKEN, "truncated")])
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def one_call_per_window(path, every, length, num_frames):
    """Clips and times as a plain loop takes them: decode everything, and cut each window by the times of its frames."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    frames = [frame.to_ndarray(format="rgb24") for frame in decoded]
    times = [frame.time - decoded[0].time for frame in decoded]
    times.append(times[-1] + float(decoded[-1].duration * decoded[-1].time_base))
    latest, half = max(times[-1] - length, 0.0), float(np.median(np.diff(times))) / 2
    found = {}
    for start in [every * number for number in range(100) if every * number < latest - half] + [latest]:
        end = min(start + length, times[-1])
        inside = [
            number
            for number, (shown, over) in enumerate(itertools.pairwise(times))
            if min(over, end) - max(shown, start) > min(half, (over - shown) / 2) - 0.001  # by half of a frame, or more
        ]
        found.setdefault((inside[0], inside[-1] + 1), []).append((start, end))
    clips = []
    for first, stop in found:
        places = [first + int((place + 0.5) * (stop - first) / num_frames) for place in range(num_frames)]
        clips.append(np.stack([frames[place] for place in places]))
    return clips, np.array([(same[0][0], same[-1][1]) for same in found.values()]), half + 0.001


@pytest.mark.parametrize("name", ["videomae", "timesformer", "vivit", "videomamba"])
def test_features_and_times_of_every_family_equal_one_call_per_window(videos, tmp_path, name):
    model = backbone(f"{name}_tiny")
    recipe = change_recipe(model.clips, RecipeChanges(every=0.2, window=0.4))
    model = dataclasses.replace(model, clip_recipe=recipe)
    data, names = embed_worker.data_of(videos), [f"train/{place}.mp4" for place in ("a/03", "b/07", "b/09", "a/00")]
    split = Split(FileSource("all", Files.of(str(videos), [str(videos / one) for one in names])), data, "all")
    split = dataclasses.replace(split, windows=recipe.windows)
    write_features(model, split, Storage(tmp_path, ("token_mean", "pooled"), "float32"), batch=8)
    store, apply = FeatureStore.open(tmp_path), jax.jit(model.module.apply)
    assert store.ids == tuple(names)
    for row, video in enumerate(names):
        clips, times, half_a_frame = one_call_per_window(videos / video, 0.2, 0.4, 4)
        np.testing.assert_allclose(store.times(row), times, atol=half_a_frame)
        pooled, mean = store.array("pooled", [row]), store.array("token_mean", [row])
        assert len(pooled) == len(clips)
        for number, clip in enumerate(clips):
            inputs = (clip[None] / 255 - np.array(recipe.mean)) / np.array(recipe.std)
            outputs = apply({"params": model.params}, inputs.astype(np.float32))
            for ours, theirs in ((pooled, outputs["pooled"]), (mean, outputs["tokens"].mean(1))):
                # Batches of another size add in another order: some float32 roundings of the largest value.
                np.testing.assert_allclose(ours[number], theirs[0], atol=2e-5 * np.abs(theirs).max())
    apart = store.array("pooled", [1])
    assert np.abs(np.diff(apart, axis=0)).max() > 1e-3 * np.abs(apart).max()  # windows differ


def test_a_store_of_windows_knows_rows_windows_and_times(videos, whole):
    store = FeatureStore.open(whole)
    assert len(store) == 10
    assert store.labels.tolist() == [0] * 5 + [1] * 5
    assert store.reasons[5] == "truncated"
    assert store.windows.counts[5] == 0
    assert store.windows.counts[0] == 1  # 0.4 s
    assert store.times(5).shape == (0, 2)
    assert store.array("pooled", [5]).shape == (0, 3)
    assert store.array("pooled").shape == (store.windows.counts.sum(), 3) == (len(store.windows.times), 3)
    joined = np.concatenate([store.array("tokens", [row]) for row in (9, 5, 0, 7)])
    np.testing.assert_array_equal(store.array("tokens", [9, 5, 0, 7]), joined)
    for row in (0, 7, 9):
        clips, times, half_a_frame = one_call_per_window(videos / store.ids[row], WINDOWS.seconds, WINDOWS.length, 2)
        np.testing.assert_allclose(store.times(row), times, atol=half_a_frame)
        expected = np.stack(clips).astype(np.float64).mean((2, 3)) * 0.5
        np.testing.assert_allclose(store.array("tokens", [row]), expected, rtol=1e-3)  # float16
    assert store.windows.durations[0] == pytest.approx(0.4, abs=1e-3)
    assert store.windows.fps[0] == pytest.approx(25)


def test_clips_of_the_models_own_stride_make_windows_of_their_span(videos, tmp_path):
    """Without a length, a window spans num_frames * stride frames: 2 * 3, which is 0.24 s."""
    embed(videos, tmp_path, windows=Windows(seconds=0.2))
    store = FeatureStore.open(tmp_path)
    np.testing.assert_allclose(store.times(1), [[0, 0.24], [0.2, 0.44], [0.28, 0.52]], atol=1e-6)
    assert store.header.window_seconds(25) == pytest.approx(0.24)
    with av.open(str(videos / store.ids[1])) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_allclose(
        store.array("tokens", [1]),
        np.array([[frames[first].mean((0, 1)), frames[first + 3].mean((0, 1))] for first in (0, 5, 7)]) / 2,
        rtol=1e-3,
    )


@pytest.mark.parametrize("calls", [1, 4])
def test_a_killed_and_resumed_call_writes_the_bytes_of_an_uninterrupted_one(videos, whole, tmp_path, calls):
    folder = tmp_path / "store"
    worker = [sys.executable, embed_worker.__file__, str(videos), str(folder), str(calls), "windows"]
    assert subprocess.run(worker, capture_output=True).returncode == -signal.SIGKILL
    written = {path.name for path in folder.glob("part*")}
    assert len(written) < 3
    with pytest.raises(DataError, match=rf"{len(written)} of 3 parts; finish it with .*--every 0.2 --window 0.4"):
        FeatureStore.open(folder)
    assert embed(videos, folder, SPREAD, windows=WINDOWS)[2] == []
    assert contents(folder) == contents(whole)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_hosts_write_the_store_of_one(videos, whole, tmp_path, order):
    rows = {0: 6, 1: 4}  # parts 0 and 2, and part 1
    for host in order:
        assert embed(videos, tmp_path, SPREAD, windows=WINDOWS, process=(host, 2))[1] == rows[host]
    assert contents(tmp_path) == contents(whole)


def test_bytes_depend_neither_on_threads_nor_on_their_order(videos, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(window_clips, "_lanes", lambda batching, threads: 3)
    for name in ("one", "two"):
        embed(videos, tmp_path / name, SPREAD, windows=WINDOWS)
        assert contents(tmp_path / name) == contents(whole)


def test_a_part_is_reported_as_it_is_computed(videos, tmp_path):
    told = []
    embed(videos, tmp_path, SPREAD, windows=WINDOWS, on_row=told.append)
    assert sum(told) == pytest.approx(10)
    assert any(part % 1 for part in told)  # not only whole videos


def test_each_video_is_opened_once_for_all_its_windows(videos, tmp_path, monkeypatch):
    opened, open_video = [], window_clips.open_video
    monkeypatch.setattr(window_clips, "open_video", lambda video: opened.append(video) or open_video(video))
    monkeypatch.setattr(window_extraction, "check_windows", lambda *arguments: None)
    monkeypatch.setattr("vidjax.evaluation.features.writer.check_windows", lambda *arguments: None)
    embed(videos, tmp_path, SPREAD, windows=WINDOWS)
    assert len(opened) == len(set(opened)) == 10


def test_a_video_that_breaks_half_way_has_no_windows_and_spoils_no_others(videos, whole, tmp_path, monkeypatch):
    views = window_clips.window_views

    def breaking(video, recipe, windows):
        for place, clips in enumerate(views(video, recipe, windows)):
            if video.frames == 37 and place == 4:  # the tenth video
                raise VideoError("corrupt", "a damaged frame")
            yield clips

    monkeypatch.setattr(window_clips, "window_views", breaking)
    embed(videos, tmp_path, SPREAD, windows=WINDOWS)
    store, before = FeatureStore.open(tmp_path), FeatureStore.open(whole)
    assert store.reasons[9] == "corrupt"
    assert store.times(9).shape == (0, 2)
    np.testing.assert_array_equal(store.array("tokens", range(9)), before.array("tokens", range(9)))


def test_values_that_are_not_finite_become_a_reason_and_values_too_large_an_error(videos, tmp_path):
    embed(videos, tmp_path / "nan", dataclasses.replace(SPREAD, params=np.float32(np.nan)), windows=WINDOWS)
    store = FeatureStore.open(tmp_path / "nan")
    assert set(store.reasons) == {"not_finite", "truncated"}
    assert store.array("pooled").shape == (0, 3)
    with pytest.raises(
        DataError, match=r"of train/./\d\d.mp4 reaches \d{6}, but the largest float16 is 65504; store float32"
    ):
        embed(videos, tmp_path / "half", dataclasses.replace(SPREAD, params=np.float32(3000)), windows=WINDOWS)


def test_a_video_with_more_windows_than_fit_into_memory_is_too_large(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(window_extraction, "_VIDEO_BYTES", 5 * 24)  # five windows of twelve float16
    embed(videos, tmp_path, SPREAD, windows=WINDOWS)
    store = FeatureStore.open(tmp_path)
    assert store.reasons[9] == "too_large"
    assert store.windows.counts.max() <= 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"windows": Windows(seconds=0.3, length=0.4)}, r"windows.every was 0.2, is now 0.3\. "),
        ({"windows": Windows(seconds=0.2, length=0.2)}, r"windows.length was 0.4, is now 0.2\. "),
        ({"windows": None}, r"windows.every was 0.2, is now not there; windows.length was 0.4, is now not there"),
    ],
)
def test_other_windows_in_the_same_folder_are_refused(videos, whole, options, told):
    before = contents(whole)
    with pytest.raises(ResumeError, match=f"whole holds other features: {told}"):
        embed(videos, whole, SPREAD, **options)
    assert contents(whole) == before


def test_stores_of_earlier_versions_are_read_and_written_as_before(tmp_path):
    """The header of a store without windows has neither the new key nor the new format."""
    feature_files.write_store(tmp_path / "old", "train", {"pooled": np.ones((9, 2))})
    tree = json.loads((tmp_path / "old" / HEADER).read_text())
    assert tree["format"] == 3
    assert "windows" not in tree
    store = FeatureStore.open(tmp_path / "old")
    assert store.windows is None
    with pytest.raises(ConfigError, match="holds one feature per row; embed with --every or --window"):
        store.times(0)
    with pytest.raises(ConfigError, match="holds one feature per row; embed with --every or --window"):
        write_npy_files(tmp_path / "npy", store, "pooled")


def test_a_header_of_windows_says_so_to_earlier_versions_and_a_flipped_bit_is_noticed(whole, tmp_path):
    tree = json.loads((whole / HEADER).read_text())
    assert (tree["format"], tree["windows"]) == (4, {"every": 0.2, "length": 0.4})
    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / HEADER).write_text((whole / HEADER).read_text().replace('"every": 0.2', '"every": 0.3'))
    with pytest.raises(DataError, match=r"is not a header of features \(ValueError: it is not what was written\)"):
        FeatureStore.open(copy)
    shutil.copy(whole / HEADER, copy)
    with open_part(whole, FeatureStore.open(whole).header, 0) as part:
        times = part.windows().times.tobytes()
    part = copy / "part-00000.safetensors"
    content = bytearray(part.read_bytes())
    content[content.index(times) + 9] ^= 1
    part.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged \(windows.times is not what was written\); remove it"):
        FeatureStore.open(copy)


def test_probes_refuse_features_of_windows(whole):
    store = FeatureStore.open(whole)
    with pytest.raises(ConfigError, match="holds a feature per window, and probes take one per video; embed without"):
        check_pair(store, store)


@pytest.mark.parametrize(("opened", "which"), [(16, "9 videos"), (4, "[34] sampled videos")])
def test_windows_longer_than_every_video_are_refused_before_anything_is_written(
    videos, tmp_path, monkeypatch, opened, which
):
    monkeypatch.setattr(window_extraction, "_OPENED", opened)
    long = Windows(seconds=1.0, length=4.0)
    told = rf"window of 4 s is longer than the longest of {which}, which has [\d.]+ s; ask"
    with pytest.raises(ConfigError, match=told):
        embed(videos, tmp_path / "out", SPREAD, windows=long)
    assert not (tmp_path / "out").exists()


def test_windows_longer_than_some_videos_are_told(videos, tmp_path):
    found = embed(videos, tmp_path / "out", SPREAD, windows=Windows(seconds=1.0, length=2.0))
    assert [name for name, _ in found.short] == [f"train/{place}.mp4" for place in (
        "a/00", "a/01", "a/02", "a/03", "a/04", "b/06", "b/08", "b/09",
    )]  # fmt: skip
    assert dict(found.short)["train/a/00.mp4"] == pytest.approx(0.4)
    store = FeatureStore.open(tmp_path / "out")
    assert store.windows.counts.tolist() == [1, 1, 1, 1, 1, 0, 1, 2, 1, 1]  # each of them is one window, all of it


def test_synthetic_frames_have_no_windows(tmp_path):
    data = dataclasses.replace(embed_worker.data_of(""), name="synthetic", num_classes=2)
    split = Split(embed_worker.open_source(data, "train"), data, "train", windows=WINDOWS)
    with pytest.raises(ConfigError, match="has synthetic frames, over which no windows slide; give videos"):
        write_features(Colours(), split, Storage(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_video_that_cannot_be_read_stops_the_call_with_its_name(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(window_clips, "window_views", lambda *what: (time_out() for _ in range(1)))
    release = window_clips.threading.Event()

    def time_out():
        release.wait(30)
        raise VideoError("corrupt", "released")

    data = dataclasses.replace(embed_worker.data_of(videos), stall_seconds=1)
    split = Split(embed_worker.open_source(data, "train"), data, "train", windows=WINDOWS)
    try:
        with pytest.raises(StalledError, match=r"no window has been decoded for 1 s .*; being read: train/a/00.mp4"):
            write_features(SPREAD, split, Storage(tmp_path, ("pooled",), rows_per_part=16))
    finally:
        release.set()


def test_small_stores_have_parts_to_share_and_large_ones_do_not_exceed_memory(videos, tmp_path):
    few = embed(videos, tmp_path / "few", SPREAD, windows=WINDOWS, rows_per_part=0)
    assert few.header.rows_per_part == 1
    shapes, every = {"tokens": (1568, 768)}, Windows(seconds=1.0)
    rows = window_rows(shapes, 10**6, every), window_rows({"pooled": (768,)}, 10**6, every)
    assert rows == (1, 256)
    assert window_rows({"pooled": (768,)}, 100, every) == 4


def window_rows(shapes, count, windows):
    from vidjax.evaluation.features import writer

    return writer._rows_per_part(shapes, "float16", count, windows)


def test_arrays_per_video_hold_the_windows_on_the_grid_with_their_times(whole, tmp_path):
    store = FeatureStore.open(whole)
    written = write_npy_files(tmp_path / "npy", store, "pooled")
    assert written == [f"{number:02d}" for number in range(10) if number != 5]
    assert {path.name for path in (tmp_path / "npy").iterdir()} == {
        f"{name}{end}" for name in written for end in (".npy", ".json")
    }
    about = json.loads((tmp_path / "npy" / "09.json").read_text())
    array = np.load(tmp_path / "npy" / "09.npy")
    assert (array.dtype, array.shape) == (
        np.float32,
        (6, 3),
    )  # 37 frames: windows at 0, 0.2, ... 1.0; the last, at 1.08, is off the grid
    assert len(store.times(9)) == 7
    np.testing.assert_array_equal(array, store.array("pooled", [9])[:6])
    np.testing.assert_allclose(about["times"], store.times(9)[:6], atol=1e-6)
    # ActionFormer places feature i at (i * feat_stride + num_frames / 2) / fps
    middles = (np.arange(6) * about["feat_stride"] + about["num_frames"] / 2) / about["fps"]
    np.testing.assert_allclose(middles, np.mean(about["times"], axis=1), atol=1e-3)
    assert (about["video"], about["feature"], about["every"], about["window"]) == ("train/b/09.mp4", "pooled", 0.2, 0.4)
    assert about["duration"] == pytest.approx(37 / 25, abs=1e-3)


def test_the_grid_of_a_variable_rate_repeats_a_picture_that_stays(videos, tmp_path):
    """A feature for each multiple of 0.2 s, though the picture does not change from 0.5 to 1.2 s."""
    embed(videos, tmp_path / "store", SPREAD, split="val", windows=Windows(seconds=0.2, length=0.2))
    store = FeatureStore.open(tmp_path / "store")
    write_npy_files(tmp_path, store, "pooled")
    times = np.array(json.loads((tmp_path / "uneven.json").read_text())["times"])
    due = 0.2 * np.arange(len(times))
    assert due[-1] == pytest.approx(2.8)
    assert (times[:, 0] <= due + 0.05).all()  # half a frame
    assert (times[:, 1] >= due + 0.2 - 0.05).all()
    assert [start for start, end in times if (start, end) == (0.6, 1.2)] == [0.6] * 3
    assert len(store.times(0)) == len(times) - 2 + 1  # two are repeated, and the last is off the grid


@pytest.mark.parametrize(
    ("starts", "every", "expected"),
    [
        ([0, 1, 2, 3], 1.0, [0, 1, 2, 3]),
        ([0, 1, 2, 2.6], 1.0, [0, 1, 2]),
        ([5.0, 6.0, 7.5], 1.0, [0, 1, 1]),
        ([0], 1.0, [0]),
        ([0, 0.98, 2.01], 1.0, [0, 1, 2]),
    ],
)
def test_windows_on_the_grid(starts, every, expected):
    assert on_grid(np.array(starts, float), every, 25.0).tolist() == expected


def test_files_are_named_after_their_videos_and_never_clash():
    assert file_names(["train/a/x.mp4", "train/b/y.avi"]) == ["x", "y"]
    assert file_names(["train/a/x.mp4", "train/b/x.mp4", "train/b/y.mp4"]) == ["a/x", "b/x", "y"]
    assert file_names(["a/x.mp4", "a/x.avi", "z.mp4"]) == ["a/x.mp4", "a/x.avi", "z"]
    assert file_names(["x", "x"]) == ["x-0", "x-1"]
    assert file_names(["P01_01 1.5-2.5 s"]) == ["P01_01 1.5-2.5 s"]
    assert all(not name.startswith(("/", "..")) for name in file_names(["../../a/x.mp4", "/b/x.mp4"]))


def test_the_clips_of_a_row_that_is_part_of_a_video_lie_within_it(videos, tmp_path):
    source = embed_worker.open_source(embed_worker.data_of(videos), "train")
    row = dataclasses.replace(source[9], window=(0.4, 1.2))
    with window_clips.open_row(row) as video:
        windows, times = window_clips.windows_in(
            video, row.window, dataclasses.replace(RECIPE, sampling="segment", windows=WINDOWS)
        )
    np.testing.assert_allclose(times, [[0.4, 0.8], [0.6, 1.0], [0.8, 1.2]], atol=1e-6)
    np.testing.assert_allclose(windows, times, atol=1e-6)
