"""Which files of a tree are videos."""

import os

import pytest

from vidjax.data.sources.video_tree import find_videos, subfolders
from vidjax.errors import DataError


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))


def test_videos_are_found_at_any_depth_and_nothing_else(tmp_path):
    put(
        tmp_path,
        "b.MP4",
        "a/c d/e.webm",
        "a/f.mov",
        "notes.txt",
        "a/cover.jpg",
        ".hidden.mp4",
        ".trash/g.mp4",
        "._b.MP4",
    )
    assert list(find_videos(str(tmp_path))) == ["a/c d/e.webm", "a/f.mov", "b.MP4"]
    assert list(find_videos(str(tmp_path), "a")) == ["a/c d/e.webm", "a/f.mov"]
    assert subfolders(str(tmp_path)) == ["a"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    put(tmp_path, "disk/one.mp4", "set/two.mp4")
    os.symlink(tmp_path / "disk", tmp_path / "set/linked")
    os.symlink(tmp_path / "set", tmp_path / "set/again")
    os.symlink(tmp_path / "nowhere.mp4", tmp_path / "set/lost.mp4")
    assert list(find_videos(str(tmp_path / "set"))) == ["linked/one.mp4", "lost.mp4", "two.mp4"]


def test_names_come_in_the_order_of_their_paths(tmp_path):
    names = [
        "a/1.mp4",
        "a-b/1.mp4",
        "a.mp4",
        "a b/x/1.mp4",
        "a/b/1.mp4",
        "a/b.mp4",
        "A/1.mp4",
        "\u00e9/1.mp4",
        "ab.mp4",
    ]
    put(tmp_path, *names)
    assert list(find_videos(str(tmp_path))) == sorted(names)


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"the folder .*/gone.* cannot be read: No such file"):
        list(find_videos(str(tmp_path / "gone")))
