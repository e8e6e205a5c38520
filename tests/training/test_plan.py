"""A start is never silent for long: slow steps are announced before they end."""

import saved_runs

from vidjax import progress
from vidjax.training import train


def test_a_slow_start_says_that_it_compiles(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)  # as if everything took long
    train(saved_runs.make_config(), tmp_path)
    said = capsys.readouterr().err
    assert said.count("compiling the training step ...") == 1
    assert said.index("compiling the training step") < said.index("parameters on")


def test_a_quick_start_does_not_mention_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_PATIENCE", 1000.0)
    train(saved_runs.make_config(), tmp_path)
    said = capsys.readouterr().err
    assert "..." not in said
    assert "time: about" in said
    assert "1 checkpoint and a final evaluation of one view" in said
