"""The videos that a word of the command line stands for: a file, a folder, a quoted pattern, a list."""

import json

import pytest

from vidjax.cli import main
from vidjax.cli.paths import find_videos, names_of
from vidjax.errors import DataError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder of four videos, two of them below it, and other files."""
    monkeypatch.chdir(tmp_path)
    for name in ("clips/b.mp4", "clips/a b.MOV", "clips/more/c.avi", "clips/more/d.mp4", "clips/notes.md", "none/x.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_a_folder_means_all_videos_in_it_and_below(tree):
    assert find_videos(["clips"]) == ["clips/a b.MOV", "clips/b.mp4", "clips/more/c.avi", "clips/more/d.mp4"]


def test_a_pattern_that_the_shell_left_alone_is_expanded(tree):
    assert find_videos(["clips/*.mp4"]) == ["clips/b.mp4"]
    assert find_videos(["clips/**/*.mp4"]) == ["clips/b.mp4", "clips/more/d.mp4"]
    assert find_videos(["clips/mor?"]) == ["clips/more/c.avi", "clips/more/d.mp4"]
    (tree / "take[1].mp4").touch()
    assert find_videos(["take[1].mp4"]) == ["take[1].mp4"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "clips/b.mp4\nclips/a b.MOV\n"),
        ("clips/list.txt", "b.mp4\na b.MOV\n"),
        ("list.csv", 'label,path\nrun,clips/b.mp4\njump,"clips/a b.MOV"\n'),
        ("list.jsonl", '{"video": "clips/b.mp4"}\n{"video": "clips/a b.MOV"}\n'),
    ],
)
def test_a_list_means_the_videos_it_names_from_its_folder_or_this_one(tree, name, text):
    (tree / name).write_text(text)
    assert find_videos([name]) == ["clips/b.mp4", "clips/a b.MOV"]


def test_words_keep_their_order_and_a_missing_file_stays_to_be_reported(tree):
    assert find_videos(["clips/more", "gone.mp4", "clips/b.mp4"]) == [
        "clips/more/c.avi", "clips/more/d.mp4", "gone.mp4", "clips/b.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("none", "none holds no videos, nor do the folders below it; name video files, folders"),
        ("*.mp4", "nothing matches the pattern *.mp4; name video files, folders"),
        ("gone.mp4", "gone.mp4 cannot be found; name video files, folders"),
        ("clip/b.mp4", "clip/b.mp4 cannot be found; did you mean clips/b.mp4?"),
        ("https://a.example/b.mp4", "https://a.example/b.mp4 is an address; download the video, or follow a stream"),
    ],
)
def test_a_word_that_means_no_video_is_refused(tree, word, said):
    with pytest.raises(DataError) as refused:
        find_videos([word])
    assert str(refused.value).startswith(said)


def test_videos_of_one_name_are_called_by_their_folders_too():
    assert names_of(["x/a.mp4", "x/b.mov", "x/a.mp4"]) == {"x/a.mp4": "a", "x/b.mov": "b"}
    assert names_of(["x/a.mp4", "x/y/a.mp4"]) == {"x/a.mp4": "a.mp4", "x/y/a.mp4": "y/a.mp4"}
    assert names_of(["x/a.mp4", "x/a.mov"]) == {"x/a.mp4": "a.mp4", "x/a.mov": "a.mov"}


def test_predict_answers_for_a_folder_a_quoted_pattern_and_a_list_alike(classifier, videos, tmp_path, capsys):
    folder = videos[0].rsplit("/", 2)[0]
    (tmp_path / "list.txt").write_text("\n".join(sorted(videos)))

    def answered(word):
        assert main(["predict", word, "--model", classifier, "--stride", "2", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    found = answered(folder)
    assert [entry["video"] for entry in found] == sorted(videos)
    assert answered(f"{folder}/*/*.mp4") == answered(str(tmp_path / "list.txt")) == found
