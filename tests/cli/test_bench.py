"""`vidjax bench`: what it refuses, and where its rows go."""

import json
import types

import pytest

from vidjax.bench.report import rates
from vidjax.cli import main
from vidjax.cli.verbs import bench


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["stp"], "there is no benchmark 'stp'; choose from step, scan, attention, loader"),
        (["--json", "step"], "--json step: name a file, or put --json last"),
        (["step", "--rounds", "0"], "--rounds, --videos, --step-clips and --step-ms must be above 0"),
        (["step", "--threads", "4096"], "--threads=4096 of a machine on which this process may use"),
    ],
)
def test_mistakes_are_one_sentence(words, sentence, capsys):
    assert main(["bench", *words]) == 2
    assert capsys.readouterr().err.startswith(f"vidjax: {sentence}")


@pytest.fixture
def instant(monkeypatch):
    """Benchmarks that take no time; the second fails."""

    imported = bench.importlib.import_module

    def load(name):
        if not name.startswith("vidjax.bench."):
            return imported(name)

        def measure(settings):
            if name.endswith("scan"):
                raise RuntimeError("out of memory")
            return rates(name, "clips/s", 2.0, {"them": 1.0})

        return types.SimpleNamespace(measure=measure, NOTE="how it was measured")

    monkeypatch.setattr(bench.importlib, "import_module", load)


def test_a_table_with_its_formulas_or_json_alone(instant, capsys):
    assert main(["bench", "step"]) == 0
    shown = capsys.readouterr().out
    assert "how it was measured" in shown
    assert "2" in shown
    assert main(["bench", "step", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["ratio"] == 2.0


def test_what_was_measured_before_a_failure_is_in_the_file(instant, tmp_path):
    path = tmp_path / "rows.json"
    with pytest.raises(RuntimeError, match="out of memory"):
        main(["bench", "step", "scan", "--json", str(path)])
    assert len(json.loads(path.read_text())) == 1
