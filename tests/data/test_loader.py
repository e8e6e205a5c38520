"""Batches are the same rows with the same pixels for any number of processes and workers, resumed or not."""

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import grain
import numpy as np
import pytest
from stalling import StallingSource
from videos import encode, flip_bits, moving_texture

from vidjax.config import DataConfig, EvalConfig
from vidjax.data import eval_batches, open_source, train_batches
from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.row_to_clips import LoadTrain
from vidjax.data.clips.sampling import eval_indices
from vidjax.data.loader import Batches, _join, _where
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.rows import Row
from vidjax.data.video.checked_file import CheckedFile
from vidjax.data.video.decode import read_frames
from vidjax.errors import ConfigError, DataError, StalledError, VideoError

BAD = ("train/c0/2.mp4", "train/c1/1.mp4")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes of five training videos each, two of them bad, and five validation videos."""
    root = tmp_path_factory.mktemp("data")
    for number in range(10):
        path = root / f"train/c{number % 2}/{number // 2}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(20, 48, 64, seed=number)))
    for number in range(5):
        path = root / f"val/c{number % 2}/{number // 2}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(20, 48, 64, seed=100 + number)))
    (root / BAD[0]).write_bytes(b"")
    (root / BAD[1]).write_bytes(flip_bits((root / BAD[1]).read_bytes(), 60))
    return DataConfig(
        root=str(root), num_frames=4, stride=2, image_size=32, global_batch=4, clips_per_decode=2,
        crop="random_resized", flip=0.5, rand_augment="rand-m7-n4-mstd0.5-inc1",
    )  # fmt: skip


def take(data, count, **options):
    batches = train_batches(open_source(data, "train"), data, seed=3, **options)
    taken = [{key: np.array(value) for key, value in batch.items()} for batch in itertools.islice(batches, count)]
    batches.close()
    return taken


@pytest.fixture(scope="module")
def expected(data):
    return take(data, 6)


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        for key, value in other.items():
            np.testing.assert_array_equal(batch[key], value, err_msg=key)


def test_batches_have_the_promised_arrays(expected):
    shapes = {
        "video": ((8, 4, 32, 32, 3), np.uint8), "label": ((8,), np.int32), "valid": ((8,), np.bool_),
        "index": ((8,), np.int64), "failed": ((8, 8), np.int32), "failed_reason": ((8, 8), np.int8),
    }  # fmt: skip
    for batch in expected:
        assert {key: (value.shape, value.dtype) for key, value in batch.items()} == shapes
        assert batch["valid"].all()


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_together_see_the_ordered_batches_of_one(data, expected, processes):
    parts = [take(data, 6, process=(place, processes)) for place in range(processes)]
    joined = [
        {key: np.concatenate([part[key] for part in step]) for key in step[0]} for step in zip(*parts, strict=True)
    ]
    assert_same(joined, expected)


@pytest.mark.parametrize("cache_gb", [0.0, 1e-4, 1.0])
def test_frames_kept_in_memory_do_not_change_the_batches(data, expected, cache_gb):
    assert_same(take(dataclasses.replace(data, cache_gb=cache_gb), 6), expected)


def test_worker_processes_do_not_change_the_batches(data, expected):
    assert_same(take(dataclasses.replace(data, workers=2), 6), expected)


def test_resuming_at_a_step_repeats_the_uninterrupted_batches(data, expected):
    assert_same(take(data, 3, start_step=3), expected[3:])
    assert_same(take(data, 2, start_step=4, process=(1, 2)), [
        {key: value[4:] for key, value in batch.items()} for batch in expected[4:]
    ])  # fmt: skip


def test_clips_are_cut_into_cubes_on_request(data, expected):
    cut = dataclasses.replace(data, cubes=(2, 16))
    for batch, whole in zip(take(cut, 2), expected, strict=False):
        assert batch["video"].shape == (len(whole["video"]), *cut.clip_shape)
        for number in range(8):  # time first
            t, y, x = np.unravel_index(number, (2, 2, 2))
            cube = whole["video"][:, 2 * t : 2 * t + 2, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
            np.testing.assert_array_equal(batch["video"][:, number], cube.reshape(len(cube), -1))


@pytest.mark.parametrize("cubes", [(3, 16), (2, 15), (2,), (0, 16)])
def test_cubes_that_do_not_tile_a_clip_are_refused(data, cubes):
    with pytest.raises(ConfigError, match=r"data\.cubes=.* do not tile 4 frames of 32 pixels"):
        dataclasses.replace(data, cubes=cubes).clip_shape  # noqa: B018 - a property that raises


def test_another_seed_gives_another_order(data, expected):
    other = next(train_batches(open_source(data, "train"), data, seed=4))
    assert not np.array_equal(other["index"], expected[0]["index"])


def test_every_video_comes_once_per_epoch(data):
    data = dataclasses.replace(data, global_batch=10, clips_per_decode=1)
    first, second = (batch["index"] for batch in take(data, 2))
    rows = set(range(10)) - {2, 6}  # bad ones are replaced by others
    assert set(first) == set(second) == rows
    assert not np.array_equal(first, second)


def test_clips_of_one_decode_share_their_row_and_differ_in_pixels(expected):
    for batch in expected:
        np.testing.assert_array_equal(batch["index"][::2], batch["index"][1::2])
        assert (batch["video"][::2] != batch["video"][1::2]).any((1, 2, 3, 4)).all()


def test_each_segment_of_a_clip_is_cropped_on_its_own():
    """Every frame of the video is the same noise, so frames of a clip differ only by their crops."""
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    video = SimpleNamespace(frames=40, fps=10.0, read=lambda indices: np.stack([frame] * len(indices)))
    opened = SimpleNamespace(open=lambda path: contextlib.nullcontext(video))
    source = InMemorySource("one", [Row("a.mp4", 0, "a")])
    data = DataConfig(num_frames=6, segments=2, stride=2, image_size=16, crop="random_resized")
    [clip] = LoadTrain(source, data, opened).random_map(0, np.random.default_rng(1))["video"]
    for half in (clip[:3], clip[3:]):
        np.testing.assert_array_equal(half, np.broadcast_to(half[0], half.shape))
    assert np.abs(clip[0].astype(int) - clip[3]).mean() > 10


def test_a_bad_video_is_replaced_by_one_of_its_class_and_reported(data):
    source = open_source(data, "train")
    reported = {}
    for batch in take(data, 5):
        for row in range(8):
            for failed, reason in zip(batch["failed"][row], batch["failed_reason"][row], strict=True):
                assert (failed < 0) == (reason < 0)
                if failed >= 0:
                    assert row % 2 == 0
                    reported[source[failed].id] = VideoError.REASONS[reason]
                    assert batch["label"][row] == source[failed].label
            assert source[batch["index"][row]].id not in BAD
            assert batch["label"][row] == source[batch["index"][row]].label
    assert reported == {BAD[0]: "empty", BAD[1]: "corrupt"}


def test_a_class_without_a_good_video_borrows_from_the_others(tmp_path):
    for path in ("train/bad/a.mp4", "train/good/b.mp4"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"" if "bad" in path else encode(moving_texture(8, 32, 32)))
    data = DataConfig(root=str(tmp_path), num_frames=2, stride=1, image_size=32, global_batch=2)
    batch = take(data, 1)[0]
    np.testing.assert_array_equal(batch["index"], [1, 1])
    np.testing.assert_array_equal(batch["label"], [1, 1])


@pytest.mark.parametrize("workers", [0, 1])
def test_only_bad_videos_are_a_data_error(tmp_path, workers):
    for number in range(12):
        (tmp_path / "train/c").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"train/c/{number}.mp4").write_bytes(b"")
    data = DataConfig(root=str(tmp_path), global_batch=1, workers=workers)
    batches = train_batches(open_source(data, "train"), data, seed=0)
    with pytest.raises(DataError, match="9 videos in a row cannot be decoded"):
        next(batches)
    batches.close()


def test_processes_that_do_not_divide_the_batch_are_refused(data):
    with pytest.raises(ConfigError, match=r"global_batch=4 .* 3 processes"):
        train_batches(open_source(data, "train"), data, seed=0, process=(0, 3))


@pytest.mark.parametrize(("batch", "processes", "workers"), [(4, 1, 0), (2, 2, 0), (4, 4, 0), (8, 2, 0), (2, 1, 2)])
def test_evaluation_shows_every_video_once(data, batch, processes, workers):
    data = dataclasses.replace(data, workers=workers)
    source, views = open_source(data, "val"), ClipRecipe.of(data, EvalConfig(clips=2, crops=3))
    steps = [
        [{k: np.array(v) for k, v in step.items()}
         for step in eval_batches(source, data, views, batch=batch, process=(place, processes))]
        for place in range(processes)
    ]  # fmt: skip
    assert {len(part) for part in steps} == {-(-5 // batch)}
    joined = [{key: np.concatenate([p[key] for p in step]) for key in step[0]} for step in zip(*steps, strict=True)]
    index, valid = (np.concatenate([step[key] for step in joined]) for key in ("index", "valid"))
    np.testing.assert_array_equal(index[valid], range(5))
    assert (index[~valid] == -1).all()
    for step in joined:
        assert step["video"].shape[1:] == (6, 4, 32, 32, 3)
        for place, row in enumerate(step["index"]):
            if row >= 0:
                assert step["label"][place] == source[row].label
                assert step["decoded"][place]


def test_evaluation_views_are_the_crops_of_each_test_clip_in_turn(data):
    source, views = open_source(data, "val"), ClipRecipe.of(data, EvalConfig(clips=2, crops=3))
    batch = next(eval_batches(source, data, views, batch=1))
    wanted = eval_indices(20, 10.0, views)
    for clip in range(2):
        crops = eval_crops(read_frames(source[0].video, wanted[clip]), views)
        np.testing.assert_array_equal(batch["video"][0, 3 * clip : 3 * clip + 3], crops)


def test_evaluation_never_replaces_a_bad_video(data):
    data = dataclasses.replace(data, eval_split="train")
    source = open_source(data, "train")
    steps = list(eval_batches(source, data, ClipRecipe.of(data, EvalConfig(clips=1, crops=1)), batch=5))
    decoded, reason = (np.concatenate([step[key] for step in steps]) for key in ("decoded", "failed_reason"))
    bad = {source[int(row)].id: VideoError.REASONS[reason[row]] for row in np.flatnonzero(~decoded)}
    assert bad == {BAD[0]: "empty", BAD[1]: "corrupt"}
    assert all(np.concatenate([step["valid"] for step in steps]))
    assert (np.concatenate([step["video"] for step in steps])[~decoded] == 0).all()


def test_synthetic_batches_have_the_same_form_and_differ_from_row_to_row():
    data = DataConfig(name="synthetic", num_frames=2, image_size=16, global_batch=4, clips_per_decode=2)
    batch = take(data, 1)[0]
    assert batch["video"].shape == (8, 2, 16, 16, 3)
    assert len(np.unique(batch["video"].reshape(8, -1), axis=0)) == 8
    recipe = ClipRecipe.of(data, EvalConfig(clips=1, crops=2))
    shown = next(eval_batches(open_source(data, "val"), data, recipe, batch=2))
    assert shown["video"].shape == (2, 2, 2, 16, 16, 3)


def test_video_errors_keep_their_reason_across_processes():
    error = pickle.loads(pickle.dumps(VideoError("corrupt", "x.mp4 is damaged")))
    assert (error.reason, str(error)) == ("corrupt", "corrupt: x.mp4 is damaged")


def test_workers_outlive_the_signals_of_a_preemption(data, expected):
    data = dataclasses.replace(data, workers=1)
    batches = train_batches(open_source(data, "train"), data, seed=3)
    taken = [{key: np.array(value) for key, value in next(batches).items()}]
    workers = multiprocessing.active_children()
    assert workers
    for worker in workers:
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGINT)
    taken += [{key: np.array(value) for key, value in next(batches).items()} for _ in range(5)]
    batches.close()
    assert_same(taken, expected)


SIGNALLED = """
import multiprocessing, os, signal, time
from vidjax.config import DataConfig
from vidjax.data import open_source, train_batches
if __name__ == "__main__":
    data = DataConfig(name="synthetic", num_frames=2, image_size=16, global_batch=2, workers=2)
    batches = train_batches(open_source(data, "train"), data, seed=0)
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGINT)
        os.kill(worker.pid, signal.SIGTERM)
    print(*next(batches)["valid"])
    batches.close()
"""


def test_workers_outlive_the_signals_of_a_preemption_from_their_start(tmp_path):
    """In a process that has started no other before: Python's resource tracker then starts with the first worker."""
    script = tmp_path / "signalled.py"
    script.write_text(SIGNALLED)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert (ended.stdout, ended.returncode) == ("True True\n", 0)


SLOW_TO_END = """
import atexit, multiprocessing, os, signal, subprocess, sys
from vidjax.config import DataConfig
from vidjax.data import open_source, read_ahead, train_batches
if __name__ == "__main__":
    data = DataConfig(name="synthetic", num_frames=2, image_size=16, global_batch=2, workers=1)
    batches = train_batches(open_source(data, "train"), data, seed=0)
    next(batches)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGSTOP)
    atexit.register(subprocess.Popen, ["sh", "-c", f"sleep 2; kill -CONT {worker.pid}"])  # the first thing at exit
    if sys.argv[1] == "patience runs out":
        read_ahead.CLOSING = 1.0
    else:
        signal.signal(signal.SIGALRM, lambda *_: sys.exit())
        signal.setitimer(signal.ITIMER_REAL, 0.5)
    batches.close()
"""


@pytest.mark.parametrize("how", [pytest.param("patience runs out", marks=pytest.mark.slow), "a signal comes"])
def test_a_process_that_ends_while_a_worker_does_is_silent(tmp_path, how):
    """The thread that closes the worker and the one that ends the process both wait for it."""
    script = tmp_path / "slow.py"
    script.write_text(SLOW_TO_END)
    ended = subprocess.run([sys.executable, script, how], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0


ORPHANS = """
import multiprocessing, os, signal
from vidjax.config import DataConfig
from vidjax.data import open_source, train_batches
if __name__ == "__main__":
    data = DataConfig(name="synthetic", num_frames=2, image_size=16, global_batch=2, workers=1)
    batches = train_batches(open_source(data, "train"), data, seed=0)
    next(batches)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="looks for the processes in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(ORPHANS)
    ended = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, check=False)
    assert ended.returncode == -signal.SIGKILL
    left = {int(pid) for pid in ended.stdout.split()}
    assert left
    deadline = time.monotonic() + 20
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if os.path.exists(f"/proc/{pid}")}
        time.sleep(0.2)
    assert not left


def test_a_killed_worker_gives_one_readable_error():
    synthetic = DataConfig(name="synthetic", num_frames=2, image_size=16, global_batch=4, workers=2, threads=1)
    others = multiprocessing.active_children()
    batches = train_batches(open_source(synthetic, "train"), synthetic, seed=0)
    next(batches)
    worker = next(child for child in multiprocessing.active_children() if child not in others)
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(DataError, match=r"a loader process was killed.*fewer data\.workers"):
        list(itertools.islice(batches, 10_000))
    batches.close()


def test_the_decoded_videos_of_the_next_batch_are_counted():
    held = threading.Event()

    class Rows(list):
        def __getitem__(self, row):
            if row == 3:
                held.wait(60)
            return {"index": np.array([row])}

    batches = Batches(grain.MapDataset.source(Rows(range(4))), 4, _join, DataConfig(threads=2), str)
    deadline = time.monotonic() + 20
    while batches.decoded < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (batches.decoded, batches.videos) == (3, 4)
    held.set()
    np.testing.assert_array_equal(next(batches)["index"], range(4))
    batches.close()


def test_a_loader_that_stalls_names_the_file_it_is_at():
    held = threading.Event()

    class Rows(list):
        def __getitem__(self, row):
            if row == 5:
                held.wait(60)
            return {"index": np.array([row])}

    data = DataConfig(threads=2, stall_seconds=2)
    batches = Batches(grain.MapDataset.source(Rows(range(8))), 4, _join, data, "clip {}.mp4".format)
    next(batches)
    since = time.monotonic()
    with pytest.raises(StalledError, match=r"no video has been decoded for 2 s .*the loader is at clip 5\.mp4\."):
        next(batches)
    assert 1 < time.monotonic() - since < 20
    held.set()
    batches.close()


def test_a_stalled_file_with_a_checksum_is_named_by_its_path():
    checked = CheckedFile("/disk/a.mp4", bytes(32), "checksums.sha256")
    assert _where(InMemorySource("train", [Row(checked, 0, "a.mp4")]), 0) == "/disk/a.mp4"


@pytest.mark.slow
def test_a_worker_that_stalls_is_named_by_its_videos():
    # longer than a worker needs to start
    data = DataConfig(num_frames=2, image_size=16, global_batch=2, workers=1, threads=1, stall_seconds=20)
    source = StallingSource(held=(3, 7))
    batches = train_batches(source, data, seed=0)
    with pytest.raises(StalledError) as raised:
        list(itertools.islice(batches, 20))
    assert any(f"synthetic/train/{row}" in str(raised.value) for row in source.held)
    batches.close()
