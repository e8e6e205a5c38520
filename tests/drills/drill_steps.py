"""Thousands of steps use no more memory than hundreds; a non-finite row on one device skips the step on all of them."""

import signal

import jax
import numpy as np
import pytest
import runner
from drill_meshes import toy_run
from forge import wait_until
from tiny_runs import finish, losses, start
from toy import ToyObjective
from toy_runs import run
from video_reader import held

from vidjax.weights.read_run import read_params


def test_thousands_of_steps_leak_neither_memory_nor_descriptors(forge, tmp_path, videos, drill):
    steps = drill.tries(2000)
    keys = {"train.steps": steps, "train.checkpoint_every": 100, "train.eval_every": 250, "train.log_every": 10}
    (process,) = start(forge, tmp_path, videos, keys=keys)
    sizes = [held_between_saves(tmp_path, process, step) for step in (steps // 4, steps * 19 // 20)]
    assert finish(process) == [0]
    early, late = sizes
    assert late["descriptors"] <= early["descriptors"] + 5, sizes  # a checkpoint that is being written has open files
    assert late["memory"] - early["memory"] < 24 << 20, sizes
    grown = (late["memory"] - early["memory"]) >> 10
    drill.found("steps, with checkpoints and validations", steps=steps, KiB_of_growth=grown)


def held_between_saves(workdir, process, step):
    """What a run holds after a step while it writes no checkpoint, whose files would count."""

    def is_between():
        return max(dict(losses(workdir)), default=0) >= step and not any((workdir / "checkpoints").glob("*-tmp*"))

    while True:
        assert wait_until(is_between, process, 0.05)
        process.signal(signal.SIGSTOP)
        try:
            if is_between():
                return held(process.pid)
        finally:
            process.signal(signal.SIGCONT)


@pytest.mark.parametrize("mesh", [{"data": 8}, {"data": 2, "fsdp": 2, "tensor": 2}], ids=["8", "2x2x2"])
def test_a_non_finite_row_on_one_device_skips_the_step_on_all_devices(tmp_path, drill, mesh):
    changes = {f"mesh__{axis}": size for axis, size in mesh.items()} | {"train__steps": 4}
    run(tmp_path / "all", ToyObjective(poison=(2,)), **changes)
    tries = drill.tries(8)
    for row in range(0, 2 * tries, 2):
        run(tmp_path / str(row), runner.OneRow(row=row, at=2), **changes)
        ours, theirs = (read_params(tmp_path / name)[1] for name in (str(row), "all"))
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    drill.found(f"NaN in a row of one device, mesh {'x'.join(map(str, mesh.values()))}", devices=tries, wrong=0)


def test_a_non_finite_row_on_one_host_skips_the_step_on_all_hosts(forge, tmp_path, drill):
    tries = drill.tries(4)
    for row in range(0, 4 * tries, 4):
        changes = ("train__steps=4", f"objective__row={row}", "objective__at=2")
        processes = toy_run(forge, tmp_path / str(row), *changes, processes=2, devices=2, seconds=0)
        assert finish(*processes) == [0, 0]
        found = dict(losses(tmp_path / str(row)))
        assert [step for step, loss in found.items() if loss is None] == [3]
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(read_params(tmp_path / str(row))[1]))
    drill.found("NaN in a row of one device, two processes", devices=tries, wrong=0)
