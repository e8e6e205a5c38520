"""A miniature of EPIC-KITCHENS-100 in its official layout: segments of videos, each with a noun and a verb."""

import numpy as np
import pytest
from miniatures import SMALL, first, put

from vidjax.config import DataConfig
from vidjax.data import open_source
from vidjax.data.datasets import DATASETS
from vidjax.data.video.decode import read_frames
from vidjax.errors import DataError

HEAD = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
TRAIN = (
    "P01_01_0,P01,P01_01,00:00:00.100,00:00:00.14,00:00:00.90,8,54,open door,open,1,door,2,['door'],[2]",
    "P02_03_0,P02,P02_03,00:00:00.100,00:00:00.50,00:00:01.50,30,90,"
    """"take cup, and plate",take,0,cup,0,"['cup', 'plate']","[0, 1]\"""",
    "P01_01_1,P01,P01_01,00:00:01.000,00:00:01.00,00:00:02.00,60,120,take plate,take,0,plate,1,['plate'],[1]",
)
VAL = ("P02_04_0,P02,P02_04,00:00:00.100,00:00:00.00,00:00:01.00,0,60,open door,open,1,door,2,['door'],[2]",)


@pytest.fixture
def home(videos, tmp_path):
    lists = tmp_path / "epic-kitchens-100-annotations"
    lists.mkdir()
    for name, lines in (("train", TRAIN), ("validation", VAL)):
        (lists / f"EPIC_100_{name}.csv").write_text("\n".join((HEAD, *lines)) + "\n")
    (lists / "EPIC_100_noun_classes.csv").write_text(
        "id,key,instances,category\n0,cup,[],x\n1,plate,[],x\n2,door,[],x\n"
    )
    (lists / "EPIC_100_verb_classes.csv").write_text("id,key,instances,category\n0,take,[],x\n1,open,[],x\n")
    for number, name in enumerate(("P01_01", "P02_03", "P02_04")):
        folder = tmp_path / "EPIC-KITCHENS" / name[:3] / "videos"
        put(videos[f"train_{number:05d}"][0], folder / f"{name}.MP4")
    return tmp_path


def data_of(home):
    return DataConfig(name="epic_kitchens", root=str(home), **SMALL)


def test_rows_are_segments_with_noun_and_verb_video_by_video(home):
    source = open_source(data_of(home), "train", "action")
    rows = [source[index] for index in range(len(source))]
    assert [(row.id, row.action, row.window) for row in rows] == [
        ("P01_01_0", (2, 1), (0.14, 0.9)),
        ("P01_01_1", (1, 0), (1.0, 2.0)),
        ("P02_03_0", (0, 0), (0.5, 1.5)),
    ]
    assert source.labels == ("cup", "plate", "door", "take", "open")
    assert len(open_source(data_of(home), "val", "action")) == 1


def test_a_batch_has_both_labels_and_only_frames_of_the_segment(home):
    source = open_source(data_of(home), "train", "action")
    batch = first(source)
    assert batch["action"].shape == (4, 2)
    for row, action, clip in zip(batch["index"], batch["action"], batch["video"], strict=True):
        about = source[int(row)]
        assert tuple(action) == about.action
        start, stop = (round(10 * second) for second in about.window)  # the videos have 10 frames per second
        frames = read_frames(about.video, np.arange(start, stop))
        difference = np.abs(clip[:, None].astype(int) - frames[None].astype(int)).mean(axis=(2, 3, 4))
        assert difference.min(axis=1).max() < 1


def test_the_content_id_depends_on_the_segments(home):
    before = open_source(data_of(home), "train", "action").content_id
    path = home / "epic-kitchens-100-annotations" / "EPIC_100_train.csv"
    path.write_text(path.read_text().replace("00:00:00.90", "00:00:00.80"))
    assert open_source(data_of(home), "train", "action").content_id != before


def test_check_lists_each_video_once_with_all_its_nouns_and_verbs(home):
    (home / "EPIC-KITCHENS" / "P02" / "videos" / "P02_03.MP4").unlink()
    listed = DATASETS["epic_kitchens"].inventory(str(home), "train")
    assert [(video.id, video.there) for video in listed.videos] == [("P01_01", True), ("P02_03", False)]
    assert listed.class_counts() == {"cup": 0, "plate": 1, "door": 1, "take": 1, "open": 1}
    assert len(open_source(data_of(home), "train", "action")) == 2  # those of the video that exists


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("00:00:00.90", "0.9", r"EPIC_100_train.csv, line 2 \(P01_01_0\): '0.9' is not a time such as 00:01:02.34"),
        ("00:00:00.90", "00:00:00.10", r"line 2 \(P01_01_0\): the segment from 0.14 s to 0.1 s ends before it starts"),
        ("open,1,door,2", "open,1,door,3", r"line 2 \(P01_01_0\): noun class '3' is not one of the 3 classes"),
        ("open,1,door,2", "open,-1,door,2", r"line 2 \(P01_01_0\): verb class '-1' is not one of the 2 classes"),
        ("verb_class", "verbs", "has no column verb_class; it should be the official list"),
    ],
)
def test_the_fault_of_a_list_is_named(home, old, new, sentence):
    path = home / "epic-kitchens-100-annotations" / "EPIC_100_train.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=sentence):
        open_source(data_of(home), "train", "action")


def test_missing_files_are_named(home):
    (home / "epic-kitchens-100-annotations" / "EPIC_100_verb_classes.csv").unlink()
    with pytest.raises(DataError, match=r"no EPIC_100_train.csv, EPIC_100_noun_classes.csv or EPIC_100_verb_class"):
        open_source(data_of(home), "train", "action")
