"""A miniature of Charades in its official layout: overlapping intervals past the end, and training on windows."""

import pytest
from miniatures import SMALL, first, put, run

from vidjax.config import DataConfig
from vidjax.data import open_source
from vidjax.data.datasets import motion
from vidjax.errors import DataError


@pytest.fixture
def home(videos, tmp_path):
    folder = tmp_path / "Charades"
    folder.mkdir()
    (folder / "Charades_v1_classes.txt").write_text(
        "".join(f"c{number:03d} Doing {name}\n" for number, name in enumerate(motion.CLASSES))
    )
    header = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
    lines = {"train": [header], "test": [header]}
    for number in range(3):
        video, about = videos[f"long_{number:05d}"]
        name = f"AB{number:03d}"
        put(video, tmp_path / "Charades_v1_480" / f"{name}.mp4")
        parts = [(p["start"], p["end"], motion.CLASSES.index(p["class"])) for p in about["intervals"]]
        parts[-1] = (parts[-1][0], 9.5, parts[-1][2])  # runs past the end, at 8 s
        actions = ";".join(f"c{number:03d} {start:.2f} {end:.2f}" for start, end, number in parts)
        text = f'"{about["caption"]}, slowly.;Another one, of {name}"'
        split = "test" if number == 2 else "train"
        lines[split].append(f"{name},XYZ,Kitchen,6,7,Yes,A script.,cup,{text},{actions if number else ''},8.00")
    for split, rows in lines.items():
        (folder / f"Charades_v1_{split}.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_charades_reads_intervals_and_says_which_run_past_the_end(home, videos, caplog):
    data = DataConfig(name="charades", root=str(home), **SMALL)
    train, val = (open_source(data, split, "intervals") for split in ("train", "val"))
    assert [len(train), len(val), val.num_classes] == [2, 1, 8]
    assert train[0].intervals == ()  # a video without actions stays, as a negative of every class
    shown = [motion.CLASSES.index(part["class"]) for part in videos["long_00002"][1]["intervals"]]
    assert [number for _, _, number in val[0].intervals] == shown
    assert (val[0].intervals[-1][1], val[0].duration) == (9.5, 8.0)
    assert "Charades: of 4 intervals 1 run past the end, the first in AB002" in caplog.text
    seen = {number for _, _, number in train[1].intervals}
    absent = min(set(range(8)) - seen)
    assert f"{8 - len(seen)} of 8 classes are never seen in training, the first of them 'Doing" in caplog.text
    assert f"'Doing {motion.CLASSES[absent]}'" in caplog.text
    assert first(train)["labels"].shape == (4, 8)


def test_charades_reads_descriptions(home):
    source = open_source(DataConfig(name="charades", root=str(home), **SMALL), "train", "captions")
    assert source[0].captions[1] == "Another one, of AB000"
    assert len(source[0].captions) == 2


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("c0", "c9", r"line 2 \(AB002\): class c9\d\d is not one of the 8 classes"),
        (" 9.50", "", r"line 2 \(AB002\): 'c00\d 6.00' is not an action such as"),
        ("8.00", "long", r"line 2 \(AB002\): length 'long' is not a number of seconds"),
    ],
)
def test_what_is_wrong_with_charades_is_named(home, old, new, sentence):
    path = home / "Charades" / "Charades_v1_test.csv"
    body, _, line = path.read_text().rstrip("\n").partition("\n")
    head, _, tail = line.rpartition(old)
    path.write_text(f"{body}\n{head}{new}{tail}\n")
    with pytest.raises(DataError, match=sentence):
        open_source(DataConfig(name="charades", root=str(home), **SMALL), "val", "intervals")


def test_charades_is_not_a_classification(home):
    with pytest.raises(DataError, match=r"charades has no single class a video; set config.task=multi_label or cap"):
        open_source(DataConfig(name="charades", root=str(home), **SMALL), "train")


@pytest.mark.slow
def test_charades_is_trained_on_windows_and_scored_at_25_moments(home, tmp_path):
    results = run("charades.py", "svt,smoke", home, tmp_path / "run", **{"data.stride": 2})
    assert (results["eval/num_scored"], results["eval/num_expected"]) == (1, 1)
    assert results["eval/num_intervals_past_the_end"] == 1
    assert results["eval/num_windows"] == 9  # 80 frames at 10 a second: 16 of them every 0.8 s
    assert 0 < results["eval/map_localised"] <= 1
    assert results["eval/map"] == 1.0  # one video: every class that it has is ranked first
