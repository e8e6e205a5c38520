"""LVU's like_ratio and view_count in their official layout: a number for each video."""

import pathlib

import numpy as np
import pytest
from miniatures import put

from vidjax.config import DataConfig
from vidjax.data import open_source
from vidjax.data.datasets import lvu
from vidjax.data.open import open_videos
from vidjax.data.prepare.builder import prepare_records
from vidjax.data.sources.annotations import LABEL, NOTHING, TARGET
from vidjax.errors import DataError

# The first lines of the published lists, and one of a video without votes.
LISTS = {
    "like_ratio": ("like_count dislike_count youtube_id imdb_id", "100061 3801 29VjYkPPY2s tt0451279",
                   "100638 51273 CxQ4aL5IXZw tt0164052"),
    "view_count": ("view_count youtube_id imdb_id", "100124 29VjYkPPY2s tt0138524", "1009922 PAcLQ7fRJlo tt0443489"),
}  # fmt: skip


@pytest.fixture
def root(videos, tmp_path):
    """The lists of both tasks; each lists two videos, and the second is missing."""
    for task, lines in LISTS.items():
        (tmp_path / "lvu_1.0" / task).mkdir(parents=True)
        for part in ("train", "val", "test"):
            (tmp_path / "lvu_1.0" / task / f"{part}.csv").write_text("\n".join(lines) + "\n")
    put(videos["train_00000"][0], tmp_path / "mc_videos" / "29VjYkPPY2s.mp4")
    return tmp_path


def targets(root, split):
    source = open_source(DataConfig(name="lvu", root=str(root)), split, TARGET)
    return [source[row].target for row in range(len(source))]


def test_numbers_equal_the_authors(root):
    """Their src/data/video_data_helper.py:89 and 96: a logarithm, and likes out of ten, minus the mean of each."""
    ratios = [
        likes / (likes + dislikes) * 10.0 - 9.138220535629456 for likes, dislikes in ((100061, 3801), (100638, 51273))
    ]
    logs = np.log([100124.0, 1009922.0]) - 11.76425435683139
    np.testing.assert_allclose(targets(root, "val_like_ratio"), np.array(ratios)[:, None], rtol=1e-12)
    np.testing.assert_allclose(targets(root, "test_view_count"), logs[:, None], rtol=1e-12)
    source = open_source(DataConfig(name="lvu", root=str(root)), "train_view_count", TARGET)
    assert (len(source), source.labels, source.num_classes) == (
        1,
        ("view_count",),
        1,
    )  # training leaves out the missing
    assert pathlib.Path(source[0].video).stem == "29VjYkPPY2s"


def test_a_split_carries_a_number_or_a_class_but_never_both(root):
    data = DataConfig(name="lvu", root=str(root))
    with pytest.raises(DataError, match=r"data.name=lvu, split 'train_like_ratio', carry target, not label"):
        open_source(data, "train_like_ratio", LABEL)
    assert open_source(data, "train_like_ratio", NOTHING).annotation == NOTHING  # videos alone, to pre-train on
    (root / "lvu_1.0" / "scene").mkdir()
    (root / "lvu_1.0" / "scene" / "train.csv").write_text(
        "class_id class_name youtube_id imdb_id\n3 office 29VjYkPPY2s tt0451279\n"
    )
    with pytest.raises(DataError, match=r"data.name=lvu, split 'train_scene', carry label, not target"):
        open_source(data, "train_scene", TARGET)
    assert open_source(data, "train_scene", LABEL)[0].label == 3


def test_records_hold_the_numbers(root, tmp_path_factory):
    data, splits = DataConfig(name="lvu", root=str(root)), ("train_like_ratio", "val_view_count")
    folder, failures = prepare_records(
        "lvu", {split: open_videos(data, split) for split in splits}, tmp_path_factory.mktemp("records")
    )
    assert [failure["id"] for failure in failures] == ["PAcLQ7fRJlo"]  # the missing video
    for split in splits:
        assert targets(folder, split) == targets(root, split)[:1]
    assert open_source(DataConfig(name="lvu", root=str(folder)), splits[1], TARGET).labels == ("view_count",)


def test_a_check_lists_the_videos_and_the_spread_of_the_numbers(root):
    found = lvu.inventory(str(root), "val_view_count")
    assert [video.there for video in found.videos] == [True, False]
    assert found.notes == ["view_count ranges from -0.250 to 2.061, mean 0.906"]


@pytest.mark.parametrize(("lines", "words"), [(LISTS["view_count"][0], "lists no videos"), ("", "does not begin with")])
def test_a_list_without_videos_is_refused_by_name(root, lines, words):
    path = root / "lvu_1.0" / "view_count" / "val.csv"
    path.write_text(lines)
    with pytest.raises(DataError, match=rf"val.csv {words}.*; restore the authors' list"):
        lvu.inventory(str(root), "val_view_count")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0 29VjYkPPY2s tt1", "not all 0"),
        ("x 1 29VjYkPPY2s tt1", "whole numbers"),
        ("1 29VjYkPPY2s tt1", "expected 'like_count"),
    ],
)
def test_a_malformed_line_is_named(root, line, words):
    path = root / "lvu_1.0" / "like_ratio" / "train.csv"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"train.csv, line 4: .*{words}"):
        open_source(DataConfig(name="lvu", root=str(root)), "train_like_ratio", TARGET)
