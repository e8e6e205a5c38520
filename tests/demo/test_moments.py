"""The search tab of `vidjax demo`: what it draws for a video and for a text, and which index it refuses."""

import json
import re
import shutil

import pytest
from random_runs import write_run
from videos import encode, moving_texture

from vidjax.cli import main
from vidjax.cli.verbs.demo import load_index
from vidjax.data import motion_videos, probe_video
from vidjax.demo.uploads import Upload
from vidjax.errors import DataError, WeightsError
from vidjax.main import read_config

NAME = "<b>2.mp4"  # shown as it is


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def searched(root):
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


def test_an_index_whose_model_has_moved_is_served_after_the_command_that_the_message_names(searched, root, tmp_path):
    shutil.copytree(root / "films", tmp_path / "films")
    shutil.copytree(root / "run", tmp_path / "moved")
    header = json.loads((tmp_path / "films" / "index.json").read_text())
    header["backbone"]["source"] = str(tmp_path / "gone")
    (tmp_path / "films" / "index.json").write_text(json.dumps(header))
    with pytest.raises(WeightsError, match="has moved, run its `vidjax index` command again with the new --model"):
        load_index(str(tmp_path / "films"))
    again = ["index", f"{root}/*.mp4", "--model", str(tmp_path / "moved"), "--every", "1"]
    assert main([*again, "--out", str(tmp_path / "films")]) == 0
    assert load_index(str(tmp_path / "films")).about == searched.about


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not an index, since it has no"):
        load_index(str(tmp_path))
