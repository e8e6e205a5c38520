"""The motion videos from which miniatures of public data sets are made."""

import pathlib

import pytest

from vidjax.data import motion_videos

SPEC = motion_videos.MotionSpec(train_videos=8, test_videos=0, val_videos=8, long_videos=3, size=32)


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Paths and annotations of a few motion videos by id: train_00000, ..., val_00000, ..., long_00002."""
    root = pathlib.Path(motion_videos.prepare(str(tmp_path_factory.mktemp("mini") / "motion"), SPEC))
    return {about["id"]: (root / about["video"], about) for about in motion_videos.annotations(str(root))}
