"""scripts/pretraining_motion.py: its table and its options; tests/training/test_vjepa_learns.py runs it."""

import importlib.util
import pathlib
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "pretraining_motion.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pretraining_motion", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(**motion):
    """Rows of runs with these accuracies, the same for random weights."""
    return [
        {"run": run.replace("_", "-"), "weights": weights, "motion": value, "digit": 0.1, "rank": 4.0}
        for run, value in motion.items()
        for weights in ("trained", "random")
    ]


def test_seeds_of_a_method_share_a_row_and_other_runs_have_their_own(script):
    table = script.summary(rows(vjepa_0=0.5, vjepa_1=0.7, vjepa=0.9, svt=0.2, svt_long=0.3), "val")
    names, _, motion, *_ = (list(column.cells)[::2] for column in table.columns)
    shown = [cell.partition(" ")[0] for cell in motion]
    assert names == ["vjepa", "svt", "svt-long"]
    assert shown == ["70.0", "20.0", "30.0"]


def test_the_title_names_the_split_that_was_scored(script):
    assert str(script.summary(rows(vjepa_0=0.5), "val").title).endswith("scored on the videos of val")


def test_an_unknown_method_is_refused_with_the_names(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pretraining_motion.py", "--methods=V-JEPA"])
    with pytest.raises(SystemExit):
        script.main()
    assert "'V-JEPA', which is unknown; choose from V-JEPA 2, VideoMAE, SVT" in capsys.readouterr().err
