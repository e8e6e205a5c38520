"""`vidjax bench`: invalid options, and where its rows are written."""

import json
import os
import subprocess
import sys
import types

import pytest

from vidjax.bench import all_steps
from vidjax.bench.report import rates
from vidjax.cli import main
from vidjax.cli.verbs import bench


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["stp"], "there is no benchmark 'stp'; choose from step, forward, scan, attention, loader, predict, embed"),
        (["--json", "step"], "--json step: name a file, or put --json last"),
        (["step", "--rounds", "0"], "--rounds=0 must be above 0"),
        (["loader", "--step-ms", "-2.5"], "--step-ms=-2.5 must be above 0"),
        (["embed", "--videos", "-1"], "--videos=-1 must be at least 0; 0 means the default"),
        (["scan", "--all"], "--all measures the training steps: vidjax bench step --all"),
        (["step", "--only", "svt_k400:base"], "--only and --results are for vidjax bench step --all"),
        (["step", "--all", "--size", "large"], "--all measures the shipped sizes; only --size=tiny"),
        (["step", "--all", "--remat", "full"], "--remat is not for --all"),
        (["step", "--all", "--compile-peer"], "--compile-peer is not for --all"),
        (["step", "--all", "--dtype", "float32"], "--dtype is not for --all, which measures the shipped steps as"),
        (["step", "--threads", "4096"], "--threads=4096 must be from 1 to "),
    ],
)
def test_mistakes_are_one_sentence(words, sentence, capsys):
    assert main(["bench", *words]) == 2
    assert capsys.readouterr().err.startswith(f"vidjax: {sentence}")


@pytest.fixture
def instant(monkeypatch):
    """Instant benchmarks; the second fails."""

    imported = bench.importlib.import_module

    def load(name):
        if not name.startswith("vidjax.bench."):
            return imported(name)

        def measure(settings):
            if name.endswith("scan"):
                raise RuntimeError("out of memory")
            return rates(name, "clips/s", [2.0], {"them": [1.0]})

        return types.SimpleNamespace(measure=measure, NOTE="how it was measured")

    monkeypatch.setattr(bench.importlib, "import_module", load)


def test_a_table_with_its_formulas_or_json_alone(instant, capsys):
    assert main(["bench", "step"]) == 0
    shown = capsys.readouterr().out
    assert "how it was measured" in shown
    assert "2" in shown
    assert main(["bench", "step", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["ratio"] == 2.0


def test_rows_measured_before_a_failure_are_in_the_file(instant, tmp_path):
    path = tmp_path / "rows.json"
    with pytest.raises(RuntimeError, match="out of memory"):
        main(["bench", "step", "scan", "--json", str(path)])
    assert len(json.loads(path.read_text())) == 1


@pytest.mark.parametrize(("failed", "code"), [(False, 0), (True, 1)])
def test_all_prints_the_table_where_to_paste_it_and_what_has_no_figure(failed, code, monkeypatch, capsys, tmp_path):
    machine = {"device": "TPU v5 lite", "platform": "tpu", "jax": "0.10.2"}
    timed = {"clips": 2, "ms": [2.0], "flops_per_clip": 1e9, "compile_s": 3.0, "needed_gb": None, "chosen": {}}
    answer = {"error": "it does not fit"} if failed else timed
    monkeypatch.setattr(all_steps, "start_process", lambda words: answer if words else machine)
    path = tmp_path / "rows.jsonl"
    assert main(["bench", "step", "--all", "--only", "svt_k400:base", "--results", str(path)]) == code
    out, err = capsys.readouterr()
    assert len([line for line in out.splitlines() if line.startswith("|")]) == 3
    assert "paste the table into docs/performance.md" in err
    assert (f"no figure for svt_k400:base; to retry, remove their lines from {path}" in err) == failed


def test_avx2_limits_both_sides_and_is_reported(instant, monkeypatch, capsys):
    for name in ("XLA_FLAGS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=somewhere")
    assert main(["bench", "step"]) == 0
    assert "ATEN_CPU_CAPABILITY" not in os.environ
    assert "AVX2" not in capsys.readouterr().out
    assert main(["bench", "step", "--avx2"]) == 0
    held = "--xla_cpu_max_isa=AVX2 --xla_cpu_experimental_ynn_fusion_type="
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_to=somewhere {held}"
    assert (os.environ["ATEN_CPU_CAPABILITY"], os.environ["ONEDNN_MAX_CPU_ISA"]) == ("avx2", "AVX2")
    assert "held to AVX2" in capsys.readouterr().out


@pytest.mark.slow
def test_avx2_reaches_pytorch_and_the_code_that_xla_makes(tmp_path):
    """Checked by PyTorch's reported capability and the options that XLA dumps with each compiled program."""
    pytest.importorskip("torch", reason="it is the peer (extra: test)")
    code = (
        "import sys, torch\n"
        "from vidjax.cli import main\n"
        "words = 'attention --size tiny --batch 1 --rounds 1 --avx2'.split()\n"
        "sys.exit(main(['bench', *words]) or torch.backends.cpu.get_cpu_capability() != 'AVX2')\n"
    )
    environ = os.environ | {"XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600, env=environ)
    options = [path.read_text() for path in tmp_path.glob("*debug_options")]
    assert options
    assert all('xla_cpu_max_isa: "AVX2"' in text for text in options)
