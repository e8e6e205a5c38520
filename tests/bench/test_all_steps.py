"""Every shipped step, unattended: the experiments' settings, one file of results, and a table to paste."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from vidjax.bench import all_steps, shipped_step
from vidjax.bench.all_steps import Found, Machine
from vidjax.bench.shipped import SHIPPED
from vidjax.config import get_key, keys
from vidjax.errors import ConfigError, DataError
from vidjax.main import read_config
from vidjax.models.videomae import VIDEOMAE_SPECS

V5E = {"device": "TPU v5 lite", "platform": "tpu", "jax": "0.10.2"}
TIMED = {
    "clips": 32, "ms": [90.0, 80.0], "flops_per_clip": 202e9, "compile_s": 171.4, "needed_gb": 4.123, "chosen": {},
}  # fmt: skip
# Keys of the loader, of evaluation and of whole runs, which do not affect a step on random clips.
UNSEEN = (
    "data.name", "data.sampling", "data.stride", "data.short_side", "data.crop", "data.crop_area",
    "data.crop_aspect", "data.interpolation", "data.fps", "data.flip", "data.rand_augment", "data.color_jitter",
    "data.color_jitter_prob", "data.grayscale", "train.epochs", "train.steps", "train.checkpoint_every",
    "train.eval_every",
)  # fmt: skip


@pytest.mark.parametrize("experiment", SHIPPED)
def test_a_step_matches_the_shipped_experiment(experiment):
    ours, shipped = SHIPPED[experiment].config(), read_config([f"--config={experiment}"])
    assert ours.model.spec == shipped.model.spec
    for key in keys():
        if key not in (*UNSEEN, "data.global_batch", "data.mix_group") and not key.startswith(("eval.", "model.spec")):
            assert get_key(ours, key) == get_key(shipped, key), key
    clips = ours.data.global_batch * ours.data.clips_per_decode
    assert ours.data.mix_group == min(shipped.data.mix_group, clips)


def test_clips_per_chip_match_the_table():
    config = {name: row.config().data for name, row in SHIPPED.items()}
    clips = {name: data.global_batch * data.clips_per_decode for name, data in config.items()}
    assert clips == {
        "videomae_k400:base": 32, "videomae_v2_k400:base": 32, "finetune_k400:base": 24, "timesformer_k400:base": 8,
        "svt_k400:base": 2, "vivit_k400:base": 8, "videomamba_k400:middle": 8,
        "vjepa2:large": 8,
    }  # fmt: skip


@pytest.mark.parametrize("experiment", SHIPPED)
def test_tiny_keeps_task_family_and_recipe(experiment):
    whole, tiny = SHIPPED[experiment].config(), SHIPPED[experiment].config(tiny=True)
    assert tiny.model.name == f"{whole.model.name.split('_')[0]}_tiny"
    assert (tiny.task, tiny.optim, tiny.data.mixup) == (whole.task, whole.optim, whole.data.mixup)
    assert shipped_step.build_objective(tiny).train_flops_per_clip > 0


def found(experiment="videomae_k400:base", timed=TIMED, machine=V5E, size="shipped"):
    return Found(experiment, size, Machine(**machine), timed)


def test_a_row_has_the_measured_and_estimated_time_their_factor_and_the_mfu():
    heading, empty, head, line, row = all_steps.markdown([found()], "2026-12-01").splitlines()
    assert (heading, empty) == ("One TPU v5 lite, jax 0.10.2, 2026-12-01, `vidjax bench step --all`:", "")
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    estimated = SHIPPED["videomae_k400:base"].estimated_ms["v5e"]
    # 32 clips of 202 GFLOP in 80 ms are 80.8 TFLOP/s, 41 % of the 197 of a v5e
    assert cells == [
        "VideoMAE-B pre-training, `videomae_k400:base`", "32", "80.0 ms (to 90.0)", f"{estimated:.1f} ms",
        f"{80 / estimated:.2f}", "41 %", "4.12 GB", "171 s",
    ]  # fmt: skip
    assert {text.count("|") for text in (head, line, row)} == {len(cells) + 1}


def test_a_chip_without_estimates_has_a_dash_and_one_without_a_peak_no_mfu():
    h100 = {"device": "NVIDIA H100 80GB HBM3", "platform": "gpu", "jax": "0.10.2"}
    row = all_steps.markdown([found(machine=h100)]).splitlines()[-1]
    assert row.split(" | ")[3:6] == ["-", "-", "8 %"]  # of 989 TFLOP/s
    row = all_steps.markdown([found(machine=h100 | {"device": "a toaster"}, timed=TIMED | {"needed_gb": None})])
    assert row.splitlines()[-1].split(" | ")[3:7] == ["-"] * 4


def test_the_row_of_a_failed_step_gives_the_reason():
    row = all_steps.markdown([found("svt_k400:base", {"error": "it needs 20.0 GB | of 16.9"})]).splitlines()[-1]
    assert row.startswith("| SVT, `svt_k400:base` | 2 | not measured: it needs 20.0 GB / of 16.9 | ")
    assert row.count("|") == 9


class Starts:
    """A stand-in for processes that records its calls and fails for SVT."""

    def __init__(self, machine=V5E):
        self.machine, self.asked = machine, []

    def __call__(self, words):
        if not words:
            return self.machine
        self.asked.append(words)
        return {"error": "it does not fit"} if words[0].startswith("svt") else TIMED


def measure(path, starts, only=(), size="shipped"):
    return all_steps.measure_all(path, size, only, 3, remark=lambda line: None, start=starts)


def test_every_step_runs_once_and_a_failure_stops_no_other(tmp_path):
    starts, path = Starts(), tmp_path / "folder" / "rows.jsonl"
    rows = measure(path, starts)
    assert [row.experiment for row in rows] == list(SHIPPED)
    assert [row.experiment for row in rows if row.failed] == ["svt_k400:base"]
    assert starts.asked == [(name, "shipped", "3") for name in SHIPPED]
    assert measure(path, starts) == rows
    assert len(starts.asked) == len(SHIPPED)


def test_an_interrupted_call_resumes_where_it_stopped(tmp_path):
    starts, path = Starts(), tmp_path / "rows.jsonl"

    def stopped(words):
        if words and words[0] == "finetune_k400:base":
            raise KeyboardInterrupt
        return starts(words)

    with pytest.raises(KeyboardInterrupt):
        measure(path, stopped)
    assert [name for name, *_ in starts.asked] == ["videomae_k400:base", "videomae_v2_k400:base"]
    measure(path, starts)
    assert [name for name, *_ in starts.asked] == list(SHIPPED)


@pytest.mark.parametrize("other", [{"device": "TPU v6 lite"}, {"jax": "0.11.0"}])
def test_another_device_or_version_of_jax_is_measured_separately(tmp_path, other):
    path, starts = tmp_path / "rows.jsonl", Starts(V5E | other)
    measure(path, Starts(), ["svt_k400:base"])
    (row,) = measure(path, starts, ["svt_k400:base"])
    assert row.machine == Machine(**V5E | other)
    assert len(starts.asked) == 1
    assert len(path.read_text().splitlines()) == 2


def test_mistakes_are_reported_before_anything_is_measured(tmp_path):
    path, cpu = tmp_path / "rows.jsonl", Starts({"device": "cpu", "platform": "cpu", "jax": "0.10.2"})
    with pytest.raises(ConfigError, match="--only=svt:base is not a shipped step; did you mean 'svt_k400:base'"):
        measure(path, cpu, ["svt:base"])
    with pytest.raises(ConfigError, match="jax finds none; try it out with --size=tiny"):
        measure(path, cpu)
    with pytest.raises(ConfigError, match="jax finds no device: the TPU is in use"):
        measure(path, lambda words: {"error": "the TPU is in use"})
    path.write_text('{"experiment": 1}\n')
    with pytest.raises(DataError, match="line 1 is not a result of vidjax bench step --all"):
        measure(path, cpu)
    assert cpu.asked == []


def test_a_process_without_an_answer_or_over_the_limit_gives_a_reason():
    broken = all_steps.start_process(("too", "few"))["error"]
    assert broken.startswith("its process ended with code 1: ValueError")
    assert all_steps.start_process((), limit=0.3) == {"error": "stopped after 0.005 minutes"}


def test_the_parent_process_leaves_the_device_to_its_children(tmp_path):
    code = (
        "import vidjax.cli.verbs.bench\n"
        "from jax._src import xla_bridge\n"
        "from vidjax.bench import all_steps\n"
        "from vidjax.bench.shipped import SHIPPED\n"
        "for row in SHIPPED.values():\n"
        "    row.config()\n"
        f"machine = {V5E!r}\n"
        f"start = lambda words: {TIMED!r} if words else machine\n"
        f"path = all_steps.pathlib.Path({str(tmp_path / 'rows.jsonl')!r})\n"
        "all_steps.markdown(all_steps.measure_all(path, 'shipped', (), 1, remark=print, start=start))\n"
        "assert not xla_bridge.backends_are_initialized()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_timed_step_is_a_run_of_the_experiment_on_one_device():
    timed = shipped_step.time_step(SHIPPED["videomae_v2_k400:base"].config(tiny=True), 2)
    spec = VIDEOMAE_SPECS["tiny"]
    assert timed.clips == 2 * 4
    assert len(timed.ms) == 2
    assert timed.flops_per_clip < 6 * spec.pretraining_macs(spec.num_tokens // 10, spec.num_tokens)
    choices = {"model.dtype": "float32", "model.remat": "none", "model.unroll": 4, "train.accumulate": 1}
    assert timed.chosen == choices


def test_a_step_that_raises_is_reported_in_one_line(monkeypatch, capsys):
    def full(config, rounds):
        raise MemoryError("it needs 20.0 GB of 16.9\nand a long trace")

    monkeypatch.setattr(shipped_step, "time_step", full)
    shipped_step.main(["svt_k400:base", "tiny", "1"])
    assert json.loads(capsys.readouterr().out) == {"error": "MemoryError: it needs 20.0 GB of 16.9"}


@pytest.mark.slow
def test_all_tiny_steps_run_unattended_without_the_data_libraries(tmp_path):
    blocked = tmp_path / "blocked"
    for name in ("grain", "tensorflow_datasets", "av", "cv2", "ml_collections", "array_record", "orbax", "sklearn"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('{name} is not installed')\n")
    root = pathlib.Path(all_steps.__file__).parents[2]
    environ = os.environ | {"PYTHONPATH": f"{blocked}{os.pathsep}{root}", "JAX_PLATFORMS": "cpu"}
    words = ["bench", "step", "--all", "--size", "tiny", "--rounds", "1", "--results", str(tmp_path / "rows.jsonl")]
    done = subprocess.run(
        [sys.executable, "-m", "vidjax.cli", *words],
        capture_output=True, text=True, timeout=1800, check=False, env=environ, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 2 + 2 + len(SHIPPED)
    assert "paste the table into docs/performance.md" in done.stderr
    rows = all_steps.read_results(tmp_path / "rows.jsonl")
    assert [row.experiment for row in rows] == list(SHIPPED)
    assert all(min(row.timed["ms"]) > 0 for row in rows)
