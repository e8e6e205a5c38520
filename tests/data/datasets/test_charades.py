"""A miniature of Charades in its official layout: overlapping intervals past the end, and training on windows."""

import pytest
from miniatures import SMALL, first, run, write_charades

from vidjax.config import DataConfig
from vidjax.data import motion_videos, open_source
from vidjax.errors import DataError


@pytest.fixture
def home(videos, tmp_path):
    return write_charades(videos, tmp_path)


def test_charades_reads_intervals_and_reports_which_run_past_the_end(home, videos, caplog):
    data = DataConfig(name="charades", root=str(home), **SMALL)
    train, val = (open_source(data, split, "intervals") for split in ("train", "val"))
    assert [len(train), len(val), val.num_classes] == [2, 1, 8]
    assert train[0].intervals == ()  # a video without actions is kept, as a negative for every class
    shown = [motion_videos.CLASSES.index(part["class"]) for part in videos["long_00002"][1]["intervals"]]
    assert [number for _, _, number in val[0].intervals] == shown
    assert (val[0].intervals[-1][1], val[0].duration) == (9.5, 8.0)
    assert "Charades: of 4 intervals, 1 run past the end, the first in AB002" in caplog.text
    seen = {number for _, _, number in train[1].intervals}
    absent = min(set(range(8)) - seen)
    assert f"{8 - len(seen)} of 8 classes are never seen in training, the first of them 'Doing" in caplog.text
    assert f"'Doing {motion_videos.CLASSES[absent]}'" in caplog.text
    assert first(train)["labels"].shape == (4, 8)


def test_charades_reads_descriptions(home):
    source = open_source(DataConfig(name="charades", root=str(home), **SMALL), "train", "captions")
    assert source[0].captions[1] == "Another one, of AB000"
    assert len(source[0].captions) == 2


def test_impossible_intervals_are_counted_with_their_row_and_kept(home, caplog):
    path = home / "Charades" / "Charades_v1_test.csv"
    path.write_text(path.read_text().replace(" 9.50", " 5.00;c003 20.00 30.00"))  # the last one begins at 6 s
    source = open_source(DataConfig(name="charades", root=str(home), **SMALL), "val", "intervals")
    assert [part[:2] for part in source[0].intervals[-2:]] == [(6.0, 5.0), (20.0, 30.0)]
    assert "Charades: of 5 intervals, 1 end before they start, the first in AB002" in caplog.text
    assert "Charades: of 5 intervals, 1 lie outside, the first in AB002" in caplog.text


def test_empty_descriptions_are_counted_with_their_video_and_left_out(home, caplog):
    path = home / "Charades" / "Charades_v1_train.csv"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace(", slowly.;Another one, of AB000", ", slowly.; ;")
    before, _, after = lines[2].split('"')
    path.write_text("\n".join([lines[0], lines[1], f'{before}" ;"{after}']) + "\n")
    data = DataConfig(name="charades", root=str(home), **SMALL)
    source = open_source(data, "train", "captions")
    assert [source[index].id for index in range(len(source))] == ["AB000"]
    assert len(source[0].captions) == 1
    assert "Charades: 2 of 3 descriptions are empty and left out, the first in AB000" in caplog.text
    assert "Charades: 1 of 2 videos have no description and are left out, the first of them AB001" in caplog.text
    assert len(open_source(data, "train", "intervals")) == 2  # their actions are still learned


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("c0", "c9", r"line 2 \(AB002\): class c9\d\d is not one of the 8 classes"),
        (" 9.50", "", r"line 2 \(AB002\): 'c00\d 6.00' is not an action such as"),
        ("8.00", "long", r"line 2 \(AB002\): length 'long' is not a number of seconds"),
        ("8.00", "0", r"line 2 \(AB002\): length '0' is not a number of seconds above 0"),
        (" 9.50", " nan", r"line 2 \(AB002\): 'c00\d 6.00 nan' has a time that is not a number of seconds"),
    ],
)
def test_faults_of_charades_are_named(home, old, new, sentence):
    path = home / "Charades" / "Charades_v1_test.csv"
    body, _, line = path.read_text().rstrip("\n").partition("\n")
    head, _, tail = line.rpartition(old)
    path.write_text(f"{body}\n{head}{new}{tail}\n")
    with pytest.raises(DataError, match=sentence):
        open_source(DataConfig(name="charades", root=str(home), **SMALL), "val", "intervals")


def test_charades_is_not_a_classification_data_set(home):
    with pytest.raises(
        DataError, match=r"charades has intervals or captions instead of one class per video; set config.task"
    ):
        open_source(DataConfig(name="charades", root=str(home), **SMALL), "train")


@pytest.mark.slow
def test_charades_is_trained_on_windows_and_scored_at_25_moments(home, tmp_path):
    results = run("charades.py", "svt,smoke", home, tmp_path / "run", **{"data.stride": 2})
    assert (results["eval/num_scored"], results["eval/num_expected"]) == (1, 1)
    assert results["eval/num_intervals_past_the_end"] == 1
    assert results["eval/num_windows"] == 9  # 80 frames at 10 per second: 16 of them every 0.8 s
    assert 0 < results["eval/map_localised"] <= 1
    assert results["eval/map"] == 1.0  # one video, so all of its classes are ranked first
