"""Miniature copies of the official layouts of Kinetics-400, SSv2 and UCF101, opened without preparing them."""

import json
import pathlib
import runpy

import pytest

from vidjax import config as config_lib
from vidjax.config import DataConfig
from vidjax.data.datasets import kinetics400, ssv2, ucf101
from vidjax.data.open import open_source
from vidjax.errors import DataError

CONFIGS = pathlib.Path(__file__).parents[3] / "configs"


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")


@pytest.fixture
def kinetics(tmp_path):
    """Annotations as distributed: names with spaces, times in whole seconds; one clip of each split is missing."""
    header = "label,youtube_id,time_start,time_end,split"
    train = [
        "zumba,aaaaaaaaaaa,5,15,train",
        '"air drumming",-bbbbbbbbb_,120,130,train',
        "abseiling,ccccccccccc,0,10,train",
    ]
    val = ["air drumming,ddddddddddd,7,17,val", "zumba,eeeeeeeeeee,8,18,val"]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.csv").write_text("\n".join([header, *train]) + "\n")
    (tmp_path / "annotations" / "val.csv").write_text("\n".join([header, *val]) + "\n")
    touch(tmp_path / "train" / "aaaaaaaaaaa_000005_000015.mp4")
    touch(tmp_path / "train" / "air_drumming" / "-bbbbbbbbb__000120_000130.mp4")
    touch(tmp_path / "val" / "ddddddddddd_000007_000017.mp4")
    return tmp_path


@pytest.fixture
def something(tmp_path):
    """labels.json whose numbers are not in alphabetical order, and templates with brackets, as distributed."""
    labels = {"Pushing something from left to right": "1", "Dropping something into something": "0"}
    train = [
        {"id": "11", "label": "pushing a cup from left to right", "template": "Pushing [something] from left to right"}
    ]
    val = [{"id": "22", "label": "dropping a pen", "template": "Dropping [something] into [something]"}]
    (tmp_path / "labels").mkdir()
    for name, tree in {"labels": labels, "train": train, "validation": val, "test": [{"id": "33"}]}.items():
        (tmp_path / "labels" / f"{name}.json").write_text(json.dumps(tree))
    (tmp_path / "labels" / "test-answers.csv").write_text("33;Pushing something from left to right\n")
    for name in ("11", "22", "33"):
        touch(tmp_path / "20bn-something-something-v2" / f"{name}.webm")
    return tmp_path


@pytest.fixture
def ucf(tmp_path):
    lists = {
        "classInd.txt": "1 ApplyEyeMakeup\n2 YoYo\n",
        "trainlist01.txt": "YoYo/v_YoYo_g08_c01.avi 2\nApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\n",
        "testlist01.txt": "YoYo/v_YoYo_g01_c01.avi\n",
        "trainlist02.txt": "YoYo/v_YoYo_g01_c01.avi 2\n",
    }
    (tmp_path / "ucfTrainTestlist").mkdir()
    for name, text in lists.items():
        (tmp_path / "ucfTrainTestlist" / name).write_text(text)
    for name in ("YoYo/v_YoYo_g08_c01", "YoYo/v_YoYo_g01_c01", "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01"):
        touch(tmp_path / "UCF-101" / f"{name}.avi")
    return tmp_path


def opened(name, root, split):
    source = open_source(DataConfig(name=name, root=str(root)), split)
    return [(source[i].id.replace("\\", "/"), source[i].label) for i in range(len(source))], source.labels


def test_kinetics_annotations_find_flat_and_foldered_clips_and_number_classes_alphabetically(kinetics, caplog):
    rows, labels = opened("kinetics400", kinetics, "train")
    assert labels == ("abseiling", "air drumming", "zumba")
    assert rows == [
        ("train/aaaaaaaaaaa_000005_000015.mp4", 2),
        ("train/air_drumming/-bbbbbbbbb__000120_000130.mp4", 1),
    ]
    assert "1 of the 3 videos listed for split 'train' are missing" in caplog.text


def test_kinetics_validation_keeps_missing_clips_so_that_they_count_as_wrong(kinetics):
    rows, labels = opened("kinetics400", kinetics, "val")
    assert labels == ("abseiling", "air drumming", "zumba")  # though no val clip is abseiling
    assert rows == [("val/ddddddddddd_000007_000017.mp4", 1), ("val/eeeeeeeeeee_000008_000018.mp4", 2)]


def test_kinetics_class_folders_open_under_the_same_name(tmp_path):
    for split in ("train", "val"):
        touch(tmp_path / split / "abseiling" / "x.mp4")
    assert opened("kinetics400", tmp_path, "val") == ([("val/abseiling/x.mp4", 0)], ("abseiling",))


def test_something_labels_are_the_numbers_of_the_official_map(something):
    assert opened("ssv2", something, "train")[0] == [("20bn-something-something-v2/11.webm", 1)]
    assert opened("ssv2", something, "val")[0] == [("20bn-something-something-v2/22.webm", 0)]
    assert opened("ssv2", something, "test")[0] == [("20bn-something-something-v2/33.webm", 1)]
    assert opened("ssv2", something, "val")[1][1] == "Pushing something from left to right"


def test_ucf_splits_are_the_official_lists_and_labels_start_at_zero(ucf):
    train, labels = opened("ucf101", ucf, "train")
    assert labels == ("ApplyEyeMakeup", "YoYo")
    assert [label for _, label in train] == [1, 0]
    assert opened("ucf101", ucf, "val")[0] == opened("ucf101", ucf, "test")[0]
    assert opened("ucf101", ucf, "train02")[0] == [("UCF-101/YoYo/v_YoYo_g01_c01.avi", 1)]


@pytest.mark.parametrize(
    ("module", "file", "text", "message"),
    [
        (ssv2, "labels/labels.json", '{"A": "0", "B": "2"}', "0 to 1"),
        (ssv2, "labels/labels.json", "{", "not JSON"),
        (ssv2, "labels/labels.json", '["A"]', "not a JSON object of templates and their numbers"),
        (ssv2, "labels/labels.json", '{"A": "first"}', "not a JSON object of templates and their numbers: .*first"),
        (ssv2, "labels/train.json", '["11"]', "the label of 11 cannot be determined: TypeError"),
        (ssv2, "labels/train.json", '[{"id": "1", "template": null}]', "the label of .* cannot be determined"),
        (ssv2, "labels/train.json", '[{"id": "1", "template": "Unknown [thing]"}]', "Unknown thing"),
        (ucf101, "ucfTrainTestlist/classInd.txt", "1 A\n3 B\n", "1 to 2"),
        (ucf101, "ucfTrainTestlist/trainlist01.txt", "Jogging/v.avi 1\n", "Jogging"),
        (ucf101, "ucfTrainTestlist/trainlist01.txt", "YoYo/gone.avi 2\n", "none of the 1 videos"),
        (ucf101, "ucfTrainTestlist/trainlist01.txt", "\n", "no video"),
        (kinetics400, "annotations/train.csv", "label,youtube_id,time_start,time_end\nzumba,a,x,1\n", "not numbers"),
    ],
)
def test_malformed_annotations_are_refused_with_the_offending_value(request, module, file, text, message):
    fixture = {ssv2: "something", ucf101: "ucf", kinetics400: "kinetics"}[module]
    root = request.getfixturevalue(fixture)
    (root / file).write_text(text)
    with pytest.raises(DataError, match=message):
        module.DATASET.listing(str(root), "train").index()


@pytest.mark.parametrize("module", [kinetics400, ssv2, ucf101])
def test_a_root_without_annotations_is_refused_with_what_was_looked_for(module, tmp_path):
    with pytest.raises(DataError, match=r"labels.json|annotations/val.csv|classInd.txt"):
        module.DATASET.listing(str(tmp_path), "val").index()


@pytest.mark.parametrize(
    ("module", "config"), [(kinetics400, "finetune_k400"), (ssv2, "finetune_ssv2"), (ucf101, "finetune_ucf101")]
)
def test_fine_tuning_experiments_follow_the_protocol_of_their_data_set(module, config):
    experiment = runpy.run_path(str(CONFIGS / f"{config}.py"))
    tree = config_lib.from_dict(experiment["get_config"]().to_dict())
    assert tree.data.num_classes == module.DATASET.num_classes
    for section, values in module.DATASET.protocol.items():
        assert {key: getattr(getattr(tree, section), key) for key in values} == values
