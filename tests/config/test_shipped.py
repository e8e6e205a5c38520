"""Experiments are found by name from any folder, with or without configs/ in it; a user's own path comes first."""

import pathlib

import pytest

from vidjax.config import find_experiment, shipped
from vidjax.errors import ConfigError

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("word", ["videomae_k400", "videomae_k400.py", "configs/videomae_k400.py"])
def test_a_shipped_experiment_is_found_by_name_from_an_empty_folder(word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_experiment(word) == CONFIGS / "videomae_k400.py"


@pytest.mark.parametrize("word", ["videomae_k400.py", "configs/videomae_k400.py"])
def test_an_existing_path_takes_precedence(word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / word
    own.parent.mkdir(exist_ok=True)
    own.touch()
    assert find_experiment(word).resolve() == own


def test_every_file_of_configs_is_an_experiment_and_nothing_else_is():
    assert shipped() == {path.stem: path for path in CONFIGS.iterdir() if path.suffix == ".py"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("videomae_k40", "no experiment file 'videomae_k40'; did you mean videomae_k400?"),
        ("videomae-k400.py", "did you mean videomae_k400?"),
        ("mine/first_try.py", "did you mean mine/first_tries.py?"),
        ("zzz", "`vidjax configs` lists the shipped experiments"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(word, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "first_tries.py").touch()
    with pytest.raises(ConfigError) as refused:
        find_experiment(word)
    assert said in str(refused.value)
