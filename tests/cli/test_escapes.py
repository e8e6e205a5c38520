"""Names of classes and files that would steer the terminal are shown escaped."""

import json
import shutil
import time

import pytest

from vidjax import progress
from vidjax.cli import main
from vidjax.cli.terminal import json_line
from vidjax.data import motion_videos
from vidjax.errors import printable

RED = "\x1b[31mred\x9b2J\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (RED, r"\x1b[31mred\x9b2J\x07"),
        ("a\rb\x00", r"a\rb\x00"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        (b"f\xff.mp4".decode(errors="surrogateescape"), r"f\udcff.mp4"),
        ("käse 猫 👩\u200d🚀\tüber\n[bold]", "käse 猫 👩\u200d🚀\tüber\n[bold]"),
    ],
)
def test_what_steers_a_terminal_is_escaped_and_all_other_text_stays(text, shown):
    assert printable(text) == shown


def test_a_prediction_shows_class_names_escaped_and_json_keeps_them(classifier, videos, tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(classifier, model)
    config = json.loads((model / "config.json").read_text())
    config["id2label"] = {str(number): f"{RED} {number}" for number in range(len(motion_videos.CLASSES))}
    (model / "config.json").write_text(json.dumps(config | {"label2id": None}))
    assert main(["predict", videos[0], f"--model={model}"]) == 0
    said = "".join(capsys.readouterr())
    assert r"\x1b[31mred\x9b2J\x07" in said
    assert not {"\x1b", "\x9b", "\x07"} & set(said)
    assert main(["predict", videos[0], f"--model={model}", "--json", "--every=1"]) == 0
    said = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\x07"} & set(said)
    assert json.loads(said)[0]["top"][0]["label"].startswith(RED)


def test_json_has_null_where_a_number_is_none():
    line = json_line({"loss": float("nan"), "of": [1.5, float("-inf"), (float("inf"), 2)]})
    assert json.loads(line, parse_constant=pytest.fail) == {"loss": None, "of": [1.5, None, [None, 2]]}


def test_progress_shows_names_escaped(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_PATIENCE", 0.01)
    with progress.progress(f"writing {RED}"):
        time.sleep(0.1)
    assert capsys.readouterr().err == "writing \\x1b[31mred\\x9b2J\\x07 ...\n"


def test_check_shows_names_of_folders_escaped(videos, tmp_path, capsys):
    for name in (RED, "green"):
        (tmp_path / name).mkdir()
        for number, video in enumerate(videos):
            shutil.copy(video, tmp_path / name / f"{number}.mp4")
    main(["check", "folder", f"--root={tmp_path}"])
    said = "".join(capsys.readouterr())
    assert r"\x1b[31mred\x9b2J\x07" in said
    assert not {"\x1b", "\x9b", "\x07"} & set(said)


def test_a_mistake_names_a_path_escaped(tmp_path, capsys):
    assert main(["check", "folder", f"--root={tmp_path}/{RED}"]) == 2
    said = capsys.readouterr().err
    assert r"\x1b[31mred" in said
    assert "\x1b" not in said
