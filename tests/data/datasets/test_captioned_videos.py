"""Miniatures of MSR-VTT, VATEX and ActivityNet Captions in their official layouts: captions, splits and faults."""

import json

import pytest

from vidjax.config import DataConfig
from vidjax.data.datasets import DATASETS
from vidjax.data.open import open_source
from vidjax.errors import DataError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")


def opened(name, root, split):
    source = open_source(DataConfig(name=name, root=str(root)), split, "captions")
    return {source[i].id: source[i].captions for i in range(len(source))}


@pytest.fixture
def msrvtt(tmp_path):
    """Six videos: 0 to 2 of the official training part, 3 of validation, 4 and 5 of the test; 1 and 5 have no file."""
    parts = ["train", "train", "train", "validate", "test", "test"]
    info = {
        "info": {},
        "videos": [{"video_id": f"video{n}", "split": part, "url": "u", "id": n} for n, part in enumerate(parts)],
        "sentences": [
            {"video_id": f"video{n}", "caption": f"thing {n} is seen {way}", "sen_id": 2 * n}
            for n in range(6)
            for way in ("once", "twice")
        ],
    }
    (tmp_path / "MSRVTT_data.json").write_text(json.dumps(info))
    (tmp_path / "MSRVTT_train.9k.csv").write_text("video_id\nvideo2\nvideo1\nvideo3\n")
    lines = ["key,vid_key,video_id,sentence", "ret0,msr5,video5,an unseen thing", 'ret1,msr4,video4,"cut, and dried"']
    (tmp_path / "MSRVTT_JSFUSION_test.csv").write_text("\n".join(lines) + "\n")
    for number in (0, 2, 3, 4):
        touch(tmp_path / "MSRVTT_Videos" / f"video{number}.mp4")
    return tmp_path


def test_msrvtt_trains_on_all_sentences_and_scores_the_one_of_the_test_list(msrvtt, caplog):
    train = opened("msrvtt", msrvtt, "train")
    assert list(train) == ["video2", "video3"]  # in the list's order, without the missing video1
    assert train["video2"] == ("thing 2 is seen once", "thing 2 is seen twice")
    assert "MSR-VTT: 1 of the 3 videos listed for split 'train' are missing" in caplog.text
    test = opened("msrvtt", msrvtt, "test")
    assert test == {"video5": ("an unseen thing",), "video4": ("cut, and dried",)}  # a missing video stays, as wrong
    assert opened("msrvtt", msrvtt, "val") == test
    assert {name: list(opened("msrvtt", msrvtt, name)) for name in ("train_official", "val_official")} == {
        "train_official": ["video0", "video2"],
        "val_official": ["video3"],
    }


def test_msrvtt_reads_the_challenges_two_files_too(msrvtt):
    whole = json.loads((msrvtt / "MSRVTT_data.json").read_text())
    for name, own in (("train_val", ("train", "validate")), ("test", ("test",))):
        videos = [video for video in whole["videos"] if video["split"] in own]
        ids = {video["video_id"] for video in videos}
        sentences = [sentence for sentence in whole["sentences"] if sentence["video_id"] in ids]
        (msrvtt / f"{name}_videodatainfo.json").write_text(json.dumps({"videos": videos, "sentences": sentences}))
    before = {split: opened("msrvtt", msrvtt, split) for split in ("train", "test_official")}
    (msrvtt / "MSRVTT_data.json").unlink()
    assert {split: opened("msrvtt", msrvtt, split) for split in before} == before


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("MSRVTT_train.9k.csv", "video2", "video9", r"MSRVTT_train.9k.csv lists video9, which has no sentence in"),
        ("MSRVTT_train.9k.csv", "video3", "video2", r"MSRVTT_train.9k.csv lists video2 twice"),
        ("MSRVTT_train.9k.csv", "video_id", "video", r"has no column video_id; it should be the shared list"),
        ("MSRVTT_data.json", "video_id", "id", r"is not the official file of MSR-VTT"),
        ("MSRVTT_data.json", "{", "", r"MSRVTT_data.json is not valid JSON"),
    ],
)
def test_faults_of_msrvtt_are_named(msrvtt, file, old, new, sentence):
    path = msrvtt / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=sentence):
        opened("msrvtt", msrvtt, "train")


def test_a_missing_list_and_an_unknown_split_are_reported_with_the_splits(msrvtt):
    (msrvtt / "MSRVTT_JSFUSION_test.csv").unlink()
    with pytest.raises(DataError, match=r"MSR-VTT: no MSRVTT_JSFUSION_test.csv for split 'test' under"):
        opened("msrvtt", msrvtt, "test")
    with pytest.raises(DataError, match=r"for split 'dev' under .*; splits are train, train_7k, val, test, train_off"):
        opened("msrvtt", msrvtt, "dev")


def test_vatex_reads_ten_english_sentences_per_clip_and_hgrs_division(tmp_path):
    names = [f"clip_{number}_000001_000011" for number in range(3)]
    about = [
        {"videoID": name, "enCap": [f"{name} in way {way}" for way in range(10)], "chCap": ["x"]} for name in names
    ]
    (tmp_path / "vatex_validation_v1.0.json").write_text(json.dumps(about))
    for name in names:
        touch(tmp_path / "videos" / f"{name}.mp4")
    found = opened("vatex", tmp_path, "val")
    assert list(found) == names
    assert found[names[1]][9] == f"{names[1]} in way 9"
    with pytest.raises(DataError, match=r"VATEX: no hgr_test.txt under .*; put the identifiers of HGR's split there"):
        opened("vatex", tmp_path, "hgr_test")
    (tmp_path / "hgr_test.txt").write_text(f"{names[2]}\n{names[0]}\n")
    assert list(opened("vatex", tmp_path, "hgr_test")) == [names[2], names[0]]
    (tmp_path / "vatex_validation_v1.0.json").write_text(json.dumps([{"videoID": names[0], "enCap": "one"}]))
    with pytest.raises(DataError, match=rf"enCap of {names[0]}: 'one' is not a list of sentences"):
        opened("vatex", tmp_path, "val")


def test_activitynet_joins_the_sentences_of_a_video_into_one_paragraph(tmp_path, caplog):
    about = {
        "v_aaa": {"duration": 80.5, "timestamps": [[0, 9], [5, 80]], "sentences": ["A man sits. ", " He stands up."]},
        "v_bbb": {"duration": 10, "timestamps": [[0, 9]], "sentences": ["A dog runs."]},
        "v_ccc": {"duration": 10, "timestamps": [], "sentences": [" "]},
    }
    (tmp_path / "val_1.json").write_text(json.dumps(about))
    touch(tmp_path / "videos" / "v_aaa.mp4")
    touch(tmp_path / "videos" / "bbb.mkv")
    assert opened("activitynet_captions", tmp_path, "val") == {
        "v_aaa": ("A man sits. He stands up.",),
        "bbb": ("A dog runs.",),
    }
    assert "1 of 3 videos have no description and are left out, the first of them v_ccc" in caplog.text
    about["v_bbb"]["duration"] = "long"
    (tmp_path / "val_1.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"val_1.json, v_bbb: duration 'long' is not a number of seconds above 0"):
        opened("activitynet_captions", tmp_path, "val")


def test_the_inventory_lists_missing_videos_and_records_keep_captions(msrvtt):
    spec = DATASETS["msrvtt"]
    videos = {video.id: video.there for video in spec.inventory(str(msrvtt), "test").videos}
    assert videos == {"video5": False, "video4": True}
    whole = spec.open_videos(str(msrvtt), "train")
    assert whole.videos[0].about == {"captions": ["thing 2 is seen once", "thing 2 is seen twice"], "duration": 0.0}
