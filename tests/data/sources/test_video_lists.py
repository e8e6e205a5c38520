"""Lists of videos as people write them: any separator, header and naming is read, or refused in one sentence."""

import json
import math

import numpy as np
import pytest

from vidjax.config import DataConfig
from vidjax.data import open_source, train_batches
from vidjax.data.sources.annotations import CAPTIONS, INTERVALS, LABEL, NOTHING
from vidjax.errors import DataError


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def root(tmp_path):
    put(tmp_path, "a.mp4", "b c.mp4", "d, e.mp4", "sub/f.mov")
    return tmp_path


def opened(root, split="all", annotation=LABEL, **data):
    return open_source(DataConfig(root=str(root), **data), split, annotation)


def labels(root, split="all", **data):
    """The class of each video, as a name where classes have names."""
    source = opened(root, split, **data)
    rows = (source[index] for index in range(len(source)))
    return {row.id: source.labels[row.label] if source.labels else row.label for row in rows}


def refusal(root, annotation=LABEL, split="all", **data):
    with pytest.raises(DataError) as caught:
        opened(root, split, annotation, **data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


NAMED = {"a.mp4": "run", "b c.mp4": "sit down", "d, e.mp4": "run", "sub/f.mov": "jump"}


@pytest.mark.parametrize(
    "text",
    [
        'a.mp4,run\n"b c.mp4",sit down\n"d, e.mp4",run\nsub/f.mov,jump\n',
        'path,label\na.mp4,run\nb c.mp4, sit down\n"d, e.mp4",run\nsub/f.mov,"jump"\n',
        'label,file\nrun,a.mp4\nsit down,b c.mp4\nrun,"d, e.mp4"\njump,sub/f.mov\n',
        'run,a.mp4\nsit down,b c.mp4\nrun,"d, e.mp4"\njump,sub/f.mov\n',
        'id,Video Path,fps,Class Name\n1,a.mp4,25,run\n2,b c.mp4,30,sit down\n'
        '3,"d, e.mp4",25,run\n4,sub/f.mov,25,jump\n',
        "clip_uri,label\n./a.mp4,run\n./b c.mp4,sit down\n\"d, e.mp4\",run\nsub/f.mov,jump\n",
        "a.mp4\trun\nb c.mp4\tsit down\nd, e.mp4\trun\nsub/f.mov\tjump\n",
        "video\tcategory\na.mp4\trun\nb c.mp4\tsit down\nd, e.mp4\trun\nsub/f.mov\tjump\n",
        "path;class\na.mp4;run\nb c.mp4;sit down\nd, e.mp4;run\nsub/f.mov;jump\n",
        '\ufeff"path","label"\r\n"a.mp4","run"\r\n"b c.mp4","sit down"\r\n'
        '"d, e.mp4","run"\r\n\r\n"sub/f.mov","jump"\r\n',
    ],
)  # fmt: skip
def test_class_names_are_read_for_any_separator_and_column_names(root, text):
    (root / "list.csv").write_text(text, encoding="utf-8")
    assert labels(root) == NAMED
    assert opened(root).labels == ("jump", "run", "sit down")


@pytest.mark.parametrize(
    "text",
    [
        "a.mp4 1\nb c.mp4 2\nd, e.mp4 1\nsub/f.mov 0\n",  # as the official repositories write them
        'a.mp4 1\n"b c.mp4" 2\n"d, e.mp4" 1\nsub/f.mov 0\n',
        'path,label\na.mp4,1\nb c.mp4,2\n"d, e.mp4",1.0\nsub/f.mov,0\n',
    ],
)
def test_class_numbers_are_kept(root, text):
    (root / "list.txt").write_text(text)
    assert labels(root) == {"a.mp4": 1, "b c.mp4": 2, "d, e.mp4": 1, "sub/f.mov": 0}
    assert (opened(root).labels, opened(root).num_classes) == (None, 3)
    (root / "labels.txt").write_text("jump\nrun\nsit down\n")
    assert labels(root) == NAMED


def test_a_class_of_several_words_follows_a_path_and_a_space(root):
    (root / "list.txt").write_text("a.mp4 run\nb c.mp4 sit down\nsub/f.mov jump\n")
    assert labels(root) == {"a.mp4": "run", "b c.mp4": "sit down", "sub/f.mov": "jump"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "a.mp4\nb c.mp4\nd, e.mp4\nsub/f.mov\n"),
        ("list.csv", 'path\na.mp4\nb c.mp4\n"d, e.mp4"\nsub/f.mov\n'),
        ("list.jsonl", '{"path": "a.mp4"}\n{"path": "b c.mp4"}\n{"path": "d, e.mp4"}\n{"path": "sub/f.mov"}\n'),
        ("list.jsonl", '"a.mp4"\n"b c.mp4"\n"d, e.mp4"\n"sub/f.mov"\n'),
    ],
)
def test_a_list_of_only_paths_can_be_pre_trained_on_but_not_classified(root, name, text):
    (root / name).write_text(text)
    source = opened(root, annotation=NOTHING)
    assert {source[index].id for index in range(len(source))} == set(NAMED)
    assert source.annotation == NOTHING
    assert refusal(root).startswith(f"{root}/{name}: ")
    assert "there are no classes to learn. Sort the videos" in refusal(root)


def test_json_lines_give_names_numbers_or_several_classes(root):
    rows = [{"video": name, "label": label, "seconds": 3} for name, label in zip(NAMED, (1, 2, 1, 0), strict=True)]
    path = root / "list.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert labels(root) == {"a.mp4": 1, "b c.mp4": 2, "d, e.mp4": 1, "sub/f.mov": 0}
    path.write_text("".join(json.dumps({"video": name, "labels": [label]}) + "\n" for name, label in NAMED.items()))
    assert labels(root) == NAMED
    path.write_text('{"video": "a.mp4", "label": "run"}\n{"video": "b c.mp4"\n')
    assert "list.jsonl, line 2: it is not JSON" in refusal(path)
    path.write_text('{"video": "a.mp4", "label": "run"}\n[1, 2]\n')
    assert "list.jsonl, line 2: '[1, 2]' is not an object" in refusal(path)


def test_a_list_may_lie_anywhere_and_its_paths_start_at_its_own_folder_or_are_absolute(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("lists") / "mine.csv"
    elsewhere.write_text(f"path,label\n{root}/a.mp4,run\n{root}/sub/f.mov,jump\n")
    source = opened(elsewhere)
    assert {source[index].video for index in range(2)} == {
        str(elsewhere.parent / source[index].id) for index in range(2)
    }
    assert sorted(source[index].label for index in range(2)) == [0, 1]
    (root / "sub" / "list.csv").write_text("path,label\nf.mov,jump\n../a.mp4,run\n")
    assert labels(root / "sub" / "list.csv") == {"f.mov": "jump", "../a.mp4": "run"}


def test_one_list_is_divided_by_its_column_or_by_a_hash(root):
    names = [f"{number}.mp4" for number in range(30)]
    put(root, *names)
    lines = [
        f"{name},{'ab'[number % 2]},{'train' if number < 20 else 'Validation'}" for number, name in enumerate(names)
    ]
    (root / "all.csv").write_text("path,label,split\n" + "\n".join(lines))
    assert list(labels(root, "train")) == names[:20]
    assert list(labels(root, "val")) == names[20:]
    reading = opened(root, "train").reading
    assert reading.record["columns"] == {"path": "path", "label": "label", "split": "split"}
    assert "path in column 'path', label in column 'label'" in reading.sentence
    assert "has train, Validation, not test; set data.train_split and data.eval_split" in refusal(root, split="test")
    (root / "all.csv").write_text("path,label\n" + "\n".join(line.rsplit(",", 1)[0] for line in lines))
    train, val = labels(root, "train"), labels(root, "val")
    assert set(train) | set(val) == set(names)
    assert not set(train) & set(val)
    assert set(val.values()) == {"a", "b"}
    assert "30 videos of 2 classes" in opened(root, "train").reading.sentence


def test_classes_are_numbered_over_the_lists_of_all_splits(root):
    (root / "train.csv").write_text("a.mp4,run\nb c.mp4,sit\n")
    (root / "val.txt").write_text("sub/f.mov jump\na.mp4 run\n")
    assert opened(root, "train").labels == opened(root, "val").labels == ("jump", "run", "sit")
    assert labels(root, "val") == {"sub/f.mov": "jump", "a.mp4": "run"}
    (root / "labels.txt").write_text("sit\nrun\njump\n")
    assert opened(root, "val").labels == ("sit", "run", "jump")
    (root / "labels.txt").write_text("sit\nrun\n")
    assert "val.txt, line 1: labels.txt has no class 'jump'; add it or correct the line" in refusal(root, split="val")


def test_several_labels_of_a_video_are_learned_together_and_apply_to_all_of_it(root):
    from test_own_videos import SMALL, VIDEO

    for name in NAMED:
        (root / name).write_bytes(VIDEO)
    (root / "list.csv").write_text('path,labels\na.mp4,run;jump\nb c.mp4,sit\n"d, e.mp4",jump\nsub/f.mov,\n')
    source = opened(root, annotation=INTERVALS)
    assert source.labels == ("jump", "run", "sit")
    assert [row.intervals for row in (source[0], source[3])] == [((0, math.inf, 1), (0, math.inf, 0)), ()]
    batches = train_batches(source, DataConfig(**SMALL), seed=0)
    batch = next(batches)
    batches.close()
    wanted = {"a.mp4": [1, 1, 0], "b c.mp4": [0, 0, 1], "d, e.mp4": [1, 0, 0], "sub/f.mov": [0, 0, 0]}
    for index, found in zip(batch["index"], batch["labels"], strict=True):
        np.testing.assert_array_equal(found, wanted[source[int(index)].id])
    assert refusal(root) == (
        f"{root}/list.csv, line 2: a.mp4 has 2 classes, run and jump; set config.task=multi_label to learn several"
    )
    assert len(opened(root, annotation=NOTHING)) == 4


def test_captions_of_a_video_may_be_on_several_lines(root, caplog):
    (root / "list.csv").write_text('path,caption\na.mp4,"He runs, fast."\na.mp4,A man runs.\nb c.mp4,She sits.\n')
    source = opened(root, annotation=CAPTIONS)
    assert {source[index].id: source[index].captions for index in range(len(source))} == {
        "a.mp4": ("He runs, fast.", "A man runs."), "b c.mp4": ("She sits.",),
    }  # fmt: skip
    (root / "list.csv").write_text("path,caption\na.mp4,A man runs.\nb c.mp4,\n")
    assert [opened(root, annotation=CAPTIONS)[0].id] == ["a.mp4"]
    assert "1 of 2 videos have no caption and are left out, such as b c.mp4" in caplog.text
    (root / "list.csv").write_text("a.mp4,1\n")
    assert "has no captions; write a list with the columns path and caption" in refusal(root, CAPTIONS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "path,verb,noun\na.mp4,take,cup\nb c.mp4,put,cup\n",
            "its columns are 'path', 'verb', 'noun', none called 'label' (or 'class', 'category'); call "
            "the column of classes 'label'",
        ),
        ("a.mp4,1,2\nb c.mp4,2,2\n", "it has 3 columns without names, none called 'label'"),
        ("path,label\na.mp4,run\nb c.mp4,\n", "line 3: b c.mp4 has no class; give it one"),
        ("path,label\na.mp4,run\nb c.mp4,3\n", "line 3: '3' is a class number, but 'run' before it is not"),
        ("path,label\na.mp4,run\nb c.mp4,sit,down\n", "line 3: it has 3 columns, but line 1 has 2"),
        ("path,label\na.mp4,run\n,sit\n", "line 3: the path of the video is missing"),
        ('path,label\na.mp4,run\n"b c.mp4"x,sit\n', "line 3: '\"b c.mp4\"x,sit' cannot be split into columns"),
        ("path,label\n", "lists no videos below its header"),
        ("\n", "lists no videos; write one `path label` per line"),
        (
            "label,who\nrun,me\n",
            "none of the columns 'label', 'who' is known to hold the paths of videos; call the column of paths 'path'",
        ),
    ],
)
def test_a_malformed_list_is_refused_with_its_line_or_its_columns(root, text, words):
    (root / "list.csv").write_text(text)
    assert words in refusal(root / "list.csv")


def test_a_folder_with_several_lists_is_not_guessed_at(root):
    (root / "one.csv").write_text("a.mp4,run\nb c.mp4,sit\n")
    (root / "two.txt").write_text("a.mp4 1\nb c.mp4 2\n")
    (root / "notes.txt").write_text("filmed in May\n")
    assert "has several lists of videos: one.csv, two.txt; set --config.data.root to one of them" in refusal(root)
    assert labels(root / "one.csv") == {"a.mp4": "run", "b c.mp4": "sit"}
    (root / "one.csv").unlink()
    assert labels(root) == {"a.mp4": 1, "b c.mp4": 2}
