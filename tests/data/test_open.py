"""The contents of data.root are found, numbered and checked; mistakes give one sentence that says where."""

import pickle

import numpy as np
import pytest
from videos import encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data import open_source
from vidjax.data.sources.records import labels_path
from vidjax.errors import DataError

VIDEO = encode(moving_texture(4, 32, 32))


def put(root, *paths, content=VIDEO):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


@pytest.fixture
def folders(tmp_path):
    put(tmp_path, "train/cat/a.mp4", "train/cat/b.mp4", "train/ant/c.mp4", "val/cat/d.mp4")
    return tmp_path


def test_class_folders_are_numbered_alphabetically(folders):
    source = open_source(DataConfig(root=str(folders)), "train")
    assert (len(source), source.labels, source.num_classes) == (3, ("ant", "cat"), 2)
    assert [(source[i].id, source[i].label) for i in range(3)] == [
        ("train/ant/c.mp4", 0), ("train/cat/a.mp4", 1), ("train/cat/b.mp4", 1),
    ]  # fmt: skip
    assert source[1].video == str(folders / "train/cat/a.mp4")
    np.testing.assert_array_equal(source.rows_of_class(1), [1, 2])


def test_validation_takes_its_numbers_from_the_training_folders(folders):
    source = open_source(DataConfig(root=str(folders)), "val")
    assert source[0].label == 1
    assert source.labels == ("ant", "cat")


def test_hidden_files_and_notes_are_not_videos(folders):
    put(folders, "train/cat/.DS_Store", "train/cat/readme.txt", content=b"x")
    assert len(open_source(DataConfig(root=str(folders)), "train")) == 3


def test_a_list_is_read_with_spaces_in_paths_and_relative_to_the_root(tmp_path):
    put(tmp_path, "clips/one two.mp4", "clips/b.mp4")
    (tmp_path / "train.csv").write_text(f"clips/one two.mp4 1\n{tmp_path}/clips/b.mp4 0\n\n")
    (tmp_path / "labels.txt").write_text("ant\ncat\nowl\n")
    source = open_source(DataConfig(root=str(tmp_path)), "train")
    assert [(row.video, row.label) for row in (source[0], source[1])] == [
        (str(tmp_path / "clips/one two.mp4"), 1), (str(tmp_path / "clips/b.mp4"), 0),
    ]  # fmt: skip
    assert (len(source), source.labels, source.num_classes) == (2, ("ant", "cat", "owl"), 3)


def test_classes_of_a_list_are_counted_in_the_training_list(tmp_path):
    put(tmp_path, "a.mp4")
    (tmp_path / "train.csv").write_text("a.mp4 0\na.mp4 6\n")
    (tmp_path / "val.csv").write_text("a.mp4 2\n")
    assert open_source(DataConfig(root=str(tmp_path)), "val").num_classes == 7
    (tmp_path / "val.csv").write_text("a.mp4 2\na.mp4 7\n")
    with pytest.raises(DataError, match=r"val.csv, line 2: label 7 is not one of the 7 classes"):
        open_source(DataConfig(root=str(tmp_path)), "val")


def test_classes_that_training_never_sees_are_counted_and_the_first_is_named(tmp_path, caplog):
    put(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "train.csv").write_text("a.mp4 0\nb.mp4 3\n")
    (tmp_path / "val.csv").write_text("b.mp4 3\n")
    (tmp_path / "labels.txt").write_text("run\nsit\njump\nlie\n")
    open_source(DataConfig(root=str(tmp_path)), "val")
    assert caplog.text == ""
    open_source(DataConfig(root=str(tmp_path)), "train")
    assert "2 of 4 classes are never seen in training, the first of them 'sit'" in caplog.text


def test_content_id_follows_rows_labels_and_sizes_but_not_the_place(folders, tmp_path_factory):
    config = DataConfig(root=str(folders))
    before = open_source(config, "train").content_id
    moved = tmp_path_factory.mktemp("elsewhere") / "data"
    folders.rename(moved)
    assert open_source(DataConfig(root=str(moved)), "train").content_id == before
    seen = {before}
    put(moved, "train/cat/b.mp4", content=VIDEO + b"x")
    seen.add(open_source(DataConfig(root=str(moved)), "train").content_id)
    put(moved, "train/cat/e.mp4")
    seen.add(open_source(DataConfig(root=str(moved)), "train").content_id)
    (moved / "train/cat/e.mp4").rename(moved / "train/ant/e.mp4")
    seen.add(open_source(DataConfig(root=str(moved)), "train").content_id)
    assert len(seen) == 4


def test_sources_survive_pickling_and_have_a_stable_repr(folders):
    for config in (DataConfig(root=str(folders)), DataConfig(name="synthetic", num_classes=7)):
        source = open_source(config, "train")
        copy = pickle.loads(pickle.dumps(source))
        assert repr(copy) == repr(source) == repr(open_source(config, "train"))
        assert copy[1] == source[1]


def test_synthetic_rows_need_no_root_and_cover_all_classes():
    source = open_source(DataConfig(name="synthetic", num_classes=7), "train")
    assert {source[i].label for i in range(len(source))} == set(range(7))
    assert all(source[int(i)].label == 3 for i in source.rows_of_class(3))


def message(root, split="train", **data):
    with pytest.raises(DataError) as caught:
        open_source(DataConfig(root=str(root) if root else "", **data), split)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_missing_and_empty_roots_are_reported(tmp_path):
    assert "data.root is empty" in message("")
    assert "nowhere is not a folder" in message(tmp_path / "nowhere")
    assert "is an empty folder" in message(tmp_path)
    put(tmp_path, "pictures/a.jpg")
    assert "holds no videos: neither a folder train/ nor a list train.csv" in message(tmp_path)
    assert "it has pictures" in message(tmp_path)
    assert "read with --config.data.name=folder" in message(tmp_path, name="kinetics400")


def test_empty_and_foreign_classes_are_named(folders):
    (folders / "train/bee").mkdir()
    assert str(folders / "train/bee") in message(folders)
    (folders / "train/bee").rmdir()
    put(folders, "val/dog/x.mp4")
    assert str(folders / "val/dog") in message(folders, "val")
    (folders / "test").mkdir()
    assert "has no class folders" in message(folders, "test")
    assert "data.num_classes=1" in message(folders, num_classes=1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.mp4 cat", "line 2: 'cat' is a class name, but '1' before it is not"),
        ("a.mp4,0", "line 2"),
        ("a.mp4 -1", "line 2: '-1' is a class name"),
        ("a.mp4 9", "line 2: label 9 is not one of the 5 classes"),
    ],
)
def test_malformed_lines_of_a_list_are_numbered(tmp_path, line, words):
    put(tmp_path, "a.mp4")
    (tmp_path / "train.csv").write_text(f"a.mp4 1\n{line}\n")
    assert words in message(tmp_path, num_classes=5)


def test_a_list_without_lines_is_refused(tmp_path):
    (tmp_path / "train.csv").write_text("\n")
    assert "lists no videos" in message(tmp_path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Five records written by TFDS, without TensorFlow."""
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "video": tfds.features.Scalar(np.object_),
                "label": tfds.features.ClassLabel(names=["ant", "cat"]),
                "id": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for row in range(5):
                yield row, {"video": VIDEO, "label": row % 2, "id": f"clip {row}"}

    root = tmp_path_factory.mktemp("prepared")
    Tiny(data_dir=root, file_format="array_record").download_and_prepare()
    return root


def test_prepared_records_are_found_and_read(prepared):
    source = open_source(DataConfig(root=str(prepared)), "train")
    assert (len(source), source.labels, source.num_classes) == (5, ("ant", "cat"), 2)
    rows = [source[i] for i in range(5)]
    assert sorted(row.id for row in rows) == [f"clip {i}" for i in range(5)]
    assert all(row.video == VIDEO and row.label == int(row.id[-1]) % 2 for row in rows)
    np.testing.assert_array_equal(source.rows_of_class(1), [i for i in range(5) if rows[i].label == 1])
    copy = pickle.loads(pickle.dumps(source))
    assert (copy[2], repr(copy)) == (source[2], repr(source))


def test_the_label_file_of_prepared_records_is_used_and_checked(prepared):
    folder = next(prepared.glob("*/1.0.0"))
    path = labels_path(str(folder), "train")
    np.save(path, np.array([0, 0, 0, 1, 0]))
    source = open_source(DataConfig(root=str(folder)), "train")
    np.testing.assert_array_equal(source.rows_of_class(1), [3])
    np.save(path, np.array([0, 1]))
    with pytest.raises(DataError, match="2 labels for 5 records"):
        open_source(DataConfig(root=str(folder)), "train").rows_of_class(0)


def test_a_split_that_was_not_prepared_is_refused(prepared):
    assert "no split 'val'; it has train" in message(prepared, "val")
