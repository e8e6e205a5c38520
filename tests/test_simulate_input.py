"""The input simulator predicts what the loader does on a deliberately slow store."""

import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from videos import encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data import train_batches
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.rows import Row

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "simulate_input.py"
STEPS = 60


def load_script():
    spec = importlib.util.spec_from_file_location("simulate_input", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate_input"] = module  # dataclasses look up the types of their fields here
    spec.loader.exec_module(module)
    return module


simulator = load_script()
Setting, data_wait = simulator.Setting, simulator.data_wait


class SlowStore(InMemorySource):
    """Rows that a store returns after a delay, drawn for each row from a log-normal distribution.

    Args:
      latency: median and 99th percentile, in seconds.
      log: a file to which the delays are written as they were, in seconds; on a busy machine, sleeps end late.
    """

    def __init__(self, latency, log):
        video = encode(moving_texture(8, 48, 64))
        super().__init__("slow", [Row(video, 0, str(number)) for number in range(1000)])
        self.num_classes = 1
        spread = np.log(latency[1] / latency[0]) / 2.326
        self._latencies = latency[0] * np.exp(spread * np.random.default_rng(7).standard_normal(1000))
        self._log = str(log)

    def __getitem__(self, index):
        began = time.perf_counter()
        time.sleep(self._latencies[int(index)])
        with open(self._log, "ab", buffering=0) as log:
            log.write(np.float64(time.perf_counter() - began).tobytes())
        return super().__getitem__(index)

    def delays(self):
        """Median and 99th percentile of a log-normal distribution like the delays so far."""
        logarithms = np.log(np.fromfile(self._log))
        return np.exp(logarithms.mean()), np.exp(logarithms.mean() + 2.326 * logarithms.std())


def measured_wait(source, data, step):
    """Mean seconds that steps of `step` seconds wait, if each takes the next batch while it runs."""
    batches = train_batches(source, data, seed=0)
    next(batches)
    waits = []
    for _ in range(STEPS):
        began = time.perf_counter()
        next(batches)
        took = time.perf_counter() - began
        waits.append(max(0.0, took - step))
        time.sleep(max(0.0, step - took))
    batches.close()
    return float(np.mean(waits))


def seconds_per_video(data, log):
    """The loader's time for a video without delay, read by threads of this process, under the machine's current load.

    Worker processes would add the time that they need to start.
    """
    data = dataclasses.replace(data, workers=0)
    batches = train_batches(SlowStore((1e-6, 1e-6), log), data, seed=1)
    for _ in range(3):
        next(batches)
    since = time.perf_counter()
    for _ in range(10):
        next(batches)
    batches.close()
    return (time.perf_counter() - since) / (10 * data.global_batch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "workers", "threads", "latency", "step"),
    [
        (8, 0, 2, (0.15, 0.151), 0.2),  # nothing varies: by hand, 8 * (0.15 + decode) / 2 - 0.2
        (8, 0, 2, (0.15, 0.45), 0.2),
        (16, 0, 8, (0.2, 0.6), 0.2),
        (8, 2, 2, (0.15, 0.45), 0.1),
        (16, 2, 4, (0.2, 0.6), 0.2),
    ],
)
def test_the_data_wait_is_that_of_the_real_loader_within_a_fifth(batch, workers, threads, latency, step, tmp_path):
    """The simulator is given the latencies and the decode rate that were measured, as docs/scale.md asks of users."""
    source = SlowStore(latency, tmp_path / "delays")
    data = DataConfig(
        name="synthetic", num_frames=2, stride=1, image_size=32, global_batch=batch, threads=threads, workers=workers
    )
    before = seconds_per_video(data, tmp_path / "none")
    found = measured_wait(source, data, step)
    decode = before + seconds_per_video(data, tmp_path / "none")  # twice their mean: on two cores
    median, p99 = source.delays()
    setting = Setting(
        batch=batch, step=step, decode=decode, latency=median, latency_p99=p99,
        workers=workers, threads=threads, cores=2,
    )  # fmt: skip
    predicted = np.mean([data_wait(setting, STEPS, seed).mean() for seed in range(20)])
    print(f"waited {found:.3f} s, predicted {predicted:.3f}; latencies {median:.3f}, {p99:.3f}; decoding {decode:.4f}")
    assert found == pytest.approx(predicted, rel=0.2)


def test_waits_match_a_calculation_by_hand():
    one_reader = Setting(batch=4, threads=1, latency=0.05, latency_p99=0.05, decode=0.01, step=0.1)
    np.testing.assert_allclose(data_wait(one_reader), 4 * 0.06 - 0.1)
    np.testing.assert_allclose(data_wait(dataclasses.replace(one_reader, threads=4, cores=1)), 0)
    decoding = Setting(batch=12, threads=8, decode=0.05, step=0.1, cores=2)
    np.testing.assert_allclose(data_wait(decoding)[5:], 12 * 0.05 / 2 - 0.1)
    network = Setting(batch=12, threads=8, decode=0.001, step=0.1, transfer=0.02)
    np.testing.assert_allclose(data_wait(network)[5:], 12 * 0.02 - 0.1, rtol=0.02)


def test_a_job_waits_for_the_slowest_of_its_hosts():
    one = Setting(batch=8, threads=8, latency=0.1, latency_p99=1.0, decode=0.001, step=0.3)
    many = dataclasses.replace(one, hosts=100, batch=800)
    assert data_wait(many).mean() > 2 * data_wait(one).mean()


def test_the_same_seed_gives_the_same_waits_and_another_gives_others():
    setting = Setting(hosts=3, batch=12, latency=0.1, latency_p99=0.5)
    np.testing.assert_array_equal(data_wait(setting, 20, 1), data_wait(setting, 20, 1))
    assert not np.array_equal(data_wait(setting, 20, 1), data_wait(setting, 20, 2))


def test_the_script_prints_one_answer_and_refuses_a_batch_that_cannot_be_shared():
    def run(*words):
        return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)

    answer = json.loads(run("--hosts=10", "--batch=80", "--latency-ms=50", "--latency-p99-ms=400").stdout)
    assert answer["videos_per_second"] == pytest.approx(80 / (0.3 + answer["data_wait_ms"] / 1000), rel=1e-3)
    refused = run("--hosts=3", "--batch=80")
    assert refused.returncode == 2
    assert "a batch of 80 cannot be shared equally by 3 hosts; use a multiple" in refused.stderr
