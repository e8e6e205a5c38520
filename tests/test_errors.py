"""Mistyped names and paths are answered with the nearest existing one."""

import pytest

from vidjax.errors import nearest_path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("runs/finetune", "runs/pretrain", "videos/.hidden"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("runs/finetun", "runs/finetune"),
        ("run/pretrian", "runs/pretrain"),
        ("Runs/Pretrain", "runs/pretrain"),
        ("video/", "videos"),
        ("gone", ""),
        ("runs/gone", ""),
        ("videos/hidden", ""),
        ("google/vivit-b", ""),
        ("runs/finetune", "runs/finetune"),
    ],
)
def test_a_path_similar_to_an_existing_one_is_found(folder, path, near):
    assert nearest_path(path) == near
    assert nearest_path(str(folder / path)) == (str(folder / near) if near else "")


def test_a_path_through_a_file_has_no_similar_path(folder):
    (folder / "notes").touch()
    assert nearest_path("notes/more") == ""
