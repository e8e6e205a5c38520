"""Metrics and pictures, where they are written; throughput; and discovering the number of processes."""

import io
import json
import math
import os
import sys
import time
import types

import numpy as np
import pytest
import toy
from PIL import Image
from toy_runs import events_of

from vidjax.errors import ConfigError
from vidjax.training import distributed
from vidjax.training.goodput import Goodput
from vidjax.training.telemetry import Telemetry
from vidjax.training.throughput import Meter, peak_flops


def opened(workdir, step=0, **changes):
    return Telemetry(workdir, toy.toy_config(**changes), step=step, total_steps=10)


def test_every_line_is_json_though_a_loss_is_not_finite(tmp_path):
    telemetry = opened(tmp_path)
    telemetry.log(1, {"train/loss": math.nan, "train/lr": 0.5})
    telemetry.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "train/loss": None, "train/lr": 0.5}


def moving_picture(folder):
    """A GIF of 3 frames of 20 x 10 pixels, like those that a task draws."""
    folder.mkdir(exist_ok=True)
    first, *others = (Image.new("RGB", (20, 10), (80 * number, 0, 0)) for number in range(3))
    first.save(folder / "r.gif", save_all=True, append_images=others)
    return folder / "r.gif"


def test_tensorboard_gets_the_same_numbers(tmp_path):
    telemetry = opened(tmp_path)
    telemetry.log(3, {"train/loss": 0.25, "train/lr": 0.5})
    telemetry.close()
    found = {(step, value.tag): value.simple_value for step, value in events_of(tmp_path)}
    assert found == {(3, "train/loss"): 0.25, (3, "train/lr"): 0.5}


def test_tensorboard_gets_reconstructions_as_an_animation(tmp_path):
    telemetry = opened(tmp_path)
    gif = moving_picture(tmp_path / "pictures")
    telemetry.show(4, gif)
    telemetry.show(5, None)
    telemetry.close()
    [(step, value)] = events_of(tmp_path)
    assert (step, value.tag, value.image.width, value.image.height) == (4, "reconstruction", 20, 10)
    assert value.image.encoded_image_string == gif.read_bytes()
    assert Image.open(io.BytesIO(value.image.encoded_image_string)).n_frames == 3


def test_lines_tell_the_step_the_loss_and_the_time_left(tmp_path, capsys):
    telemetry = opened(tmp_path)
    telemetry.advance(1)
    telemetry.advance(2)
    telemetry.log(2, {"train/loss": 0.25})
    telemetry.close()
    assert "step 2/10  loss 0.25  0:00:00 left\n" in capsys.readouterr().err


def test_without_a_terminal_lines_are_occasional_but_scores_and_the_last_step_always_print(
    tmp_path, capsys, monkeypatch
):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    telemetry = Telemetry(tmp_path, toy.toy_config(), step=0, total_steps=7200, main="top1")
    for step in range(1, 7201):  # two hours, at one step per second
        clock[0] += 1
        telemetry.advance(step)
        telemetry.log(step, {"train/loss": 1 / step, "train/lr": 0.1, "perf/data_wait": 0.01 * (step == 7200)})
        if step == 3003:
            telemetry.log(step, {"val/top1": 0.5})
    telemetry.close()
    said = [line.split("  ") for line in capsys.readouterr().err.splitlines()]
    steps = [int(words[0].split()[1].split("/")[0]) for words in said]
    assert steps[:4] == [1, 6, 11, 16]  # frequent at first
    assert said[steps.index(3003)][:2] == ["step 3003/7200", "val/top1 0.5"]
    assert set(np.diff(steps[-50:-1])) == {60}
    assert said[-1] == ["step 7200/7200", "loss 0.0001389", "lr 0.1"]
    assert len(said) < 200
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 7201


def test_wandb_is_used_when_configured(tmp_path, monkeypatch):
    logged, started = [], {}
    run = types.SimpleNamespace(log=lambda metrics, step: logged.append((step, metrics)), finish=lambda: None)
    fake = types.SimpleNamespace(
        init=lambda **kwargs: started.update(kwargs) or run,
        Video=lambda file, format: ("video", format, file.read()),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    telemetry = opened(tmp_path, train__wandb="videos")
    telemetry.log(1, {"train/loss": 0.5})
    telemetry.show(2, moving_picture(tmp_path / "pictures"))
    telemetry.close()
    assert started["project"] == "videos"
    assert started["config"]["data"]["global_batch"] == 16
    assert logged[0] == (1, {"train/loss": 0.5})
    assert logged[1] == (2, {"reconstruction": ("video", "gif", (tmp_path / "pictures" / "r.gif").read_bytes())})


def test_missing_wandb_is_reported_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match="needs the package wandb"):
        opened(tmp_path, train__wandb="videos")


def test_speed_is_clips_over_time_and_waiting_a_share_of_it(tmp_path):
    meter = Meter(6, None, Goodput(tmp_path, 0, time.monotonic()))
    for waited in (0.0, 0.05, 0.0, 0.0):
        meter.fed(waited)
    time.sleep(0.2)
    found = meter.read()
    assert 0.05 <= found["perf/step_s"] < 0.1
    assert found["perf/clips_per_s"] == pytest.approx(6 / found["perf/step_s"])
    assert found["perf/data_wait"] == pytest.approx(0.05 / (4 * found["perf/step_s"]))
    assert "perf/mfu" not in found
    assert not any(name.startswith("perf/") for name in meter.read())


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("TPU v4", 275e12),
        ("TPU v5 lite", 197e12),  # v5e as JAX calls it
        ("TPU v5p", 459e12),
        ("TPU v6 lite", 918e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("cpu", None),
    ],
)
def test_peaks_are_found_by_device_kind(kind, peak):
    assert peak_flops(kind) == peak


def test_utilisation_is_the_share_of_the_peak_of_all_devices(tmp_path, monkeypatch):
    monkeypatch.setattr("vidjax.training.throughput.peak_flops", lambda kind: 1e9)
    meter = Meter(8, 1e8, Goodput(tmp_path, 0, time.monotonic()))
    meter.fed(0.0)
    time.sleep(0.1)
    found = meter.read()
    assert found["perf/mfu"] == pytest.approx(found["perf/clips_per_s"] * 1e8 / (8 * 1e9))  # 8 devices


def test_half_an_address_is_refused(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1234")
    monkeypatch.delenv("JAX_NUM_PROCESSES", raising=False)
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    with pytest.raises(ConfigError, match="but not JAX_NUM_PROCESSES"):
        distributed.initialize()
    with pytest.raises(ConfigError, match="process_id=2 must be at least 0 and below num_processes=2"):
        distributed.initialize("localhost:1234", 2, 2)


@pytest.mark.parametrize(
    ("environment", "tasks"),
    [
        ({}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, 4),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, 1),  # a shell within an allocation, not a task of it
        ({"OMPI_COMM_WORLD_SIZE": "3"}, 3),
        ({"TPU_WORKER_HOSTNAMES": "a,b,c,d"}, 4),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, 1),  # Colab
    ],
)
def test_the_scheduler_gives_the_number_of_processes(monkeypatch, environment, tasks):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "TPU_", "MEGASCALE_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert distributed.tasks_of_job() == tasks
