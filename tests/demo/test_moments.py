"""The search tab of `vidjax demo`: what it draws for a video and for a text, and which index it refuses."""

import re

import pytest
from random_runs import write_run
from videos import encode, moving_texture

from vidjax.cli import main
from vidjax.cli.verbs.demo import load_index
from vidjax.data import motion_videos, probe_video
from vidjax.demo.uploads import Upload
from vidjax.errors import DataError
from vidjax.main import read_config

NAME = "<b>2.mp4"  # shown as it is


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    root = tmp_path_factory.mktemp("private")
    for number, name in enumerate(("0.mp4", "1.mp4", NAME)):
        (root / name).write_bytes(encode(moving_texture(20, 48, 64, seed=number), rate=10))
    write_run(root / "run", read_config(["--config=motion_finetune"]), 8, motion_videos.CLASSES)
    command = ["index", f"{root}/*.mp4", "--model", str(root / "run"), "--every", "1", "--out", str(root / "films")]
    assert main(command) == 0
    return load_index(str(root / "films"))


def test_moments_like_a_video_are_drawn_with_names_and_without_folders(searched, tmp_path):
    path = tmp_path / "mine.mp4"
    path.write_bytes(encode(moving_texture(20, 48, 64, seed=1), rate=10))
    told = []
    drawn = searched.like(
        Upload(str(path), "mine.mp4", probe_video(path), str(path)), lambda *words: told.append(words)
    )
    names = re.findall(r"<figcaption>[-\d.]+<br>([^<]+)<br>0:00\.\d - 0:0[12]\.\d</figcaption>", drawn)
    assert names[0] == "1.mp4"  # the same pictures
    assert set(names) == {"0.mp4", "1.mp4", "&lt;b&gt;2.mp4"}
    assert drawn.count("data:image/webp;base64,") == len(names)
    assert "private" not in drawn
    assert (searched.name, searched.takes_text) == ("films", False)
    assert searched.about == "6 windows of 3 videos, by a videomae"


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not an index, since it has no"):
        load_index(str(tmp_path))
