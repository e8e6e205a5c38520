"""Splits sent to other machines: small, opened once there, and refused if the videos differ."""

import pickle

import pytest

from vidjax.config import DataConfig
from vidjax.data.prepare.splits import Splits
from vidjax.errors import DataError


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 300), ("val", 2)):
        for number in range(count):
            path = tmp_path / split / "ab"[number % 2] / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"a video")
    return tmp_path


def test_they_are_pickled_as_their_configuration_and_opened_once_per_process(root):
    splits = Splits(DataConfig(root=str(root)), ("train", "val"))
    sent = pickle.dumps(splits)
    assert len(sent) < 5000  # less than the names of 302 videos
    got = pickle.loads(sent)
    assert {name: source.content_id for name, source in got.items()} == {
        name: source.content_id for name, source in splits.items()
    }
    assert pickle.loads(sent) is got


def test_a_machine_that_sees_other_videos_is_refused(root):
    sent = pickle.dumps(Splits(DataConfig(root=str(root)), ("train", "val")))
    (root / "val" / "a" / "new.mp4").write_bytes(b"a video")
    with pytest.raises(DataError, match=f"sees different videos in split 'val' of {root}"):
        pickle.loads(sent)
