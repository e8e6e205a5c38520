"""A miniature of Diving48 in its official layout."""

import json
import pathlib

import pytest
from miniatures import SMALL, put

from vidjax.config import DataConfig, EvalConfig
from vidjax.data import eval_batches, open_source
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import DataError

VOCABULARY = [["Back", "15som", "05Twis", "FREE"], ["Forward", "25som", "NoTwis", "PIKE"], ["Inward", "Dive", "NoTwis"]]


def listed(*rows):
    return json.dumps([{"vid_name": name, "label": label, "start_frame": 0, "end_frame": 8} for name, label in rows])


@pytest.fixture
def root(videos, tmp_path):
    """Names that begin with a dash or an underscore, as YouTube's; one test video is missing."""
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps(VOCABULARY))
    (tmp_path / "Diving48_V2_train.json").write_text(listed(("-mmq0PT-u8k_00155", 2), ("_8Vy3dlHg2w_00000", 0)))
    (tmp_path / "Diving48_V2_test.json").write_text(listed(("gone_00001", 1), ("2x00lRzlTVQ_00000", 1)))
    for number, name in enumerate(("-mmq0PT-u8k_00155", "_8Vy3dlHg2w_00000", "2x00lRzlTVQ_00000")):
        put(videos[f"train_{number:05d}"][0], tmp_path / "rgb" / f"{name}.mp4")
    return tmp_path


def test_labels_are_those_of_the_lists_and_classes_are_named_by_their_parts(root):
    data = DataConfig(name="diving48", root=str(root))
    train, val, test = (open_source(data, split) for split in ("train", "val", "test"))
    assert [(pathlib.Path(train[i].video).stem, train[i].label) for i in range(2)] == [
        ("-mmq0PT-u8k_00155", 2),
        ("_8Vy3dlHg2w_00000", 0),
    ]
    assert train.labels == ("Back 15som 05Twis FREE", "Forward 25som NoTwis PIKE", "Inward Dive NoTwis")
    assert [val[i].label for i in range(2)] == [test[i].label for i in range(2)] == [1, 1]


def test_a_missing_video_is_kept_to_be_scored_as_wrong(root):
    data = DataConfig(name="diving48", root=str(root), **SMALL)
    recipe = ClipRecipe.of(data, EvalConfig(clips=1, crops=1))
    batches = eval_batches(open_source(data, "val"), data, recipe, batch=2)
    assert next(batches)["decoded"].tolist() == [False, True]
    batches.close()


def test_annotations_in_a_folder_of_their_own_are_found(root):
    (root / "annotations").mkdir()
    for path in root.glob("*.json"):
        path.rename(root / "annotations" / path.name)
    assert len(open_source(DataConfig(name="diving48", root=str(root)), "train")) == 2


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("Diving48_V2_train.json", listed(("a", 3)), r"the label 3 of a is not among the 3 of .*Diving48_vocab.json"),
        ("Diving48_V2_train.json", listed(("a", -1)), r"the label -1 of a is not among the 3"),
        ("Diving48_V2_train.json", '[{"vid_name": "a"}]', r"Diving48_V2_train.json: .* has no vid_name and label"),
        ("Diving48_V2_train.json", "{}", r"should hold a JSON list, but holds dict"),
        ("Diving48_V2_train.json", "[", r"Diving48_V2_train.json is not JSON"),
        ("Diving48_vocab.json", '["Back"]', r"Diving48_vocab.json: 'Back' is not the list of a class's parts"),
    ],
)
def test_malformed_annotations_are_refused_with_the_offending_value(root, file, text, sentence):
    (root / file).write_text(text)
    with pytest.raises(DataError, match=sentence):
        open_source(DataConfig(name="diving48", root=str(root)), "train")


def test_a_root_without_the_vocabulary_says_what_was_looked_for(root):
    (root / "Diving48_vocab.json").unlink()
    with pytest.raises(DataError, match=r"no Diving48_vocab.json or no Diving48_V2_train.json under .*/annotations"):
        open_source(DataConfig(name="diving48", root=str(root)), "train")
