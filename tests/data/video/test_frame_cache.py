"""Frames kept in memory equal decoded ones, and their size stays within the limit."""

import threading

import numpy as np
import pytest
from videos import encode, moving_texture

from vidjax.data import read_frames
from vidjax.data.video import frame_cache as frame_cache_module
from vidjax.data.video.frame_cache import FrameCache
from vidjax.data.video.readers import StoredVideo
from vidjax.errors import VideoError

SHOWN = moving_texture(24, 48, 64)
FRAME = 48 * 64 * 3  # bytes


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(encode(SHOWN))
    return str(path)


@pytest.fixture
def opened(monkeypatch):
    """The videos that were opened."""
    paths, real = [], frame_cache_module.open_video
    monkeypatch.setattr(
        frame_cache_module, "open_video", lambda place, **options: paths.append(place) or real(place, **options)
    )
    return paths


def read(cache, path, wanted):
    with cache.open(path) as video:
        return video.read(wanted)


@pytest.mark.parametrize("limit", [0, 5 * FRAME, 10**9])
def test_frames_equal_the_files_however_many_are_kept(path, limit):
    cache, rng = FrameCache(limit), np.random.default_rng(0)
    for _ in range(12):
        wanted = rng.integers(0, 24, 5)
        np.testing.assert_array_equal(read(cache, path, wanted), read_frames(path, wanted))
        assert cache.kept_bytes <= limit
    assert (cache.kept_bytes > 0) == (limit > 0)


def test_a_file_is_opened_only_for_frames_that_are_not_kept(path, opened):
    cache = FrameCache(10**9)
    read(cache, path, [0, 4, 8, 12])
    read(cache, path, [8, 0, 0, 12])
    assert len(opened) == 1
    read(cache, path, [0, 5])
    assert len(opened) == 2
    with cache.open(path) as video:
        assert (video.frames, video.fps) == (24, 25.0)
    assert len(opened) == 2
    assert cache.kept_bytes == 5 * FRAME
    assert cache.bytes_per_video == 24 * FRAME


def test_changing_a_result_does_not_change_the_cache(path):
    cache = FrameCache(10**9)
    read(cache, path, [3, 3])[:] = 0
    read(cache, path, [3])[:] = 0
    np.testing.assert_array_equal(read(cache, path, [3]), read_frames(path, [3]))


def test_a_video_that_cannot_be_read_is_refused_each_time(tmp_path):
    cache = FrameCache(10**9)
    for _ in range(2):
        with pytest.raises(VideoError, match="missing"):
            cache.open(str(tmp_path / "gone.mp4"))


def test_records_of_two_splits_are_told_apart():
    """Both have a record 0."""
    cache, shown = FrameCache(10**9), [moving_texture(6, 48, 64), moving_texture(6, 48, 64)[::-1]]
    splits = [[{"video": encode(np.ascontiguousarray(frames))}] for frames in shown]
    for records in (*splits, *splits):
        found = read(cache, StoredVideo(records, 0), [0, 5])
        np.testing.assert_array_equal(found, read_frames(records[0]["video"], [0, 5]))


def test_threads_can_share_it(path):
    cache, wrong = FrameCache(10 * FRAME), []
    real = read_frames(path, range(24))

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            wanted = rng.integers(0, 24, 3)
            wrong.extend([wanted] * (not np.array_equal(read(cache, path, wanted), real[wanted])))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.kept_bytes <= 10 * FRAME


def test_frames_that_two_threads_decode_at_once_are_counted_once(path):
    cache = FrameCache(10**9)
    with cache.open(path) as first, cache.open(path) as second:  # neither finds a frame of the other
        first.read([0, 1])
        second.read([1, 2])
        second.read([0, 1, 2])
    assert cache.kept_bytes == 3 * FRAME
    np.testing.assert_array_equal(read(cache, path, [0, 1, 2]), read_frames(path, [0, 1, 2]))
