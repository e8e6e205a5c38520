"""A search with the quickstart's classifier finds the same motion, as the search tutorial and docs/results.md say."""

import importlib.util
import json
import pathlib

import pytest

from vidjax.cli import main
from vidjax.data import motion_videos
from vidjax.main import read_config
from vidjax.training import train

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "search_motion.py"


@pytest.mark.slow
def test_nine_of_the_ten_best_videos_show_the_motion_of_the_query(tmp_path, capsys):
    """The model trains as in `vidjax quickstart`; each of the 512 test videos searches among the others."""
    videos = motion_videos.prepare()
    train(read_config(["--config=motion_pretrain"]), tmp_path / "pretrain")
    start = f"--config.init_from={tmp_path / 'pretrain'}"
    train(read_config(["--config=motion_finetune", start]), tmp_path / "finetune")
    index, words = tmp_path / "index", ["--every", "0.4", "--model", str(tmp_path / "finetune"), "--json"]
    capsys.readouterr()
    assert main(["index", str(pathlib.Path(videos) / "test"), *words, "--out", str(index)]) == 0
    assert json.loads(capsys.readouterr().out)["videos"] == 512
    spec = importlib.util.spec_from_file_location("search_motion", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    found = script.precision(str(index))
    print(found)
    assert found["videos"] == 512
    assert found["precision@5"] >= 0.9
