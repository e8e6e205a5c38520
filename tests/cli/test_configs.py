"""`vidjax configs` lists the experiments as --config takes them, shows one, and copies one to edit."""

import json
import pathlib

import pytest

from vidjax.cli import main
from vidjax.errors import ConfigError
from vidjax.main import read_config

CONFIGS, DOCS = (pathlib.Path(__file__).parents[2] / name for name in ("configs", "docs"))


def test_the_list_has_every_experiment_with_sizes_that_it_takes(capsys):
    assert main(["configs", "--json"]) == 0
    listed = {about["name"]: about for about in json.loads(capsys.readouterr().out)}
    assert set(listed) == {path.stem for path in CONFIGS.glob("*.py")}
    for name, about in listed.items():
        assert (CONFIGS / f"{name}.py").read_text().startswith(f'"""{about["about"]}')
        for size in about["sizes"]:
            assert read_config([f"--config={name}:{size}"])
        with pytest.raises(ConfigError, match=", ".join((*about["sizes"], "smoke"))):
            read_config([f"--config={name}:nosuchsize"])


def test_the_page_of_experiments_is_up_to_date_and_holds_every_docstring(capsys):
    assert main(["configs", "--markdown", "experiments"]) == 0
    page = capsys.readouterr().out
    command = "vidjax configs --markdown experiments > docs/experiments.md"
    assert page == (DOCS / "experiments.md").read_text(), f"run: {command}"
    for path in CONFIGS.glob("*.py"):
        for line in path.read_text().split('"""')[1].splitlines():
            assert line in page, path


def test_the_table_names_sizes_and_how_to_use_them(capsys):
    assert main(["configs"]) == 0
    shown = capsys.readouterr()
    assert "vivit_ssv2" in shown.out
    assert "small base large huge" in shown.out
    assert "--config=NAME" in shown.err


def test_an_experiment_is_shown_as_it_is(capsys):
    assert main(["configs", "coin"]) == 0
    assert capsys.readouterr().out == (CONFIGS / "coin.py").read_text()


def test_a_copy_can_be_edited_and_used_in_its_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["configs", "motion_pretrain", "--copy"]) == 0
    assert main(["configs", "motion_pretrain", "--copy", "mine.py"]) == 0
    assert capsys.readouterr().out.split() == ["motion_pretrain.py", "mine.py"]
    mine = tmp_path / "mine.py"
    mine.write_text(mine.read_text().replace("steps = 2400", "steps = 7"))
    assert read_config(["--config=mine.py"]).train.steps == 7
    assert read_config(["--config=motion_pretrain.py"]).train.steps == 2400


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["coin", "--copy", "there.py"], "there.py exists; name another file"),
        (["coin", "--copy", "nowhere/mine.py"], "must be a .py file in a folder that exists"),
        (["coin", "--copy", "mine.txt"], "must be a .py file in a folder that exists"),
        (["--copy"], "--copy needs the experiment's name"),
        (["coi"], "no experiment file 'coi'; did you mean coin?"),
    ],
)
def test_mistakes_are_one_sentence_and_write_nothing(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.py").write_text("mine")
    assert main(["configs", *words]) == 2
    assert said in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
