"""A run that changes its devices or its number of processes resumes, and learns the same up to rounding."""

import signal

import jax
import numpy as np
from forge import wait_until
from tiny_runs import finish, free_port, losses

from vidjax.weights.read_run import read_params

STEPS = 40
CHANGES = (f"train__steps={STEPS}", "train__checkpoint_every=5", "data__global_batch=16")
MESHES = {
    "8": (8, ("mesh__data=8",)),
    "2x2x2": (8, ("mesh__data=2", "mesh__fsdp=2", "mesh__tensor=2")),
    "1": (1, ()),
}


def toy_run(forge, workdir, *changes, processes=1, devices=1, seconds=0.05, of_last=()):
    """Start a toy run of some processes.

    Args:
      of_last: changes to the last process only.
    """
    started, port = [], free_port()
    for number in range(processes):
        words = [str(workdir), str(seconds), *CHANGES, *changes, *(of_last if number == processes - 1 else ())]
        job = {"COORDINATOR_ADDRESS": f"localhost:{port}", "NUM_PROCESSES": str(processes), "PROCESS_ID": str(number)}
        environment = {f"JAX_{name}": value for name, value in job.items()} if processes > 1 else {}
        started.append(forge.start("runner:main", *words, devices=devices, environment=environment))
    return started


def stop_at(workdir, processes, step):
    """Kill all processes of a run once a step is logged."""
    wait_until(lambda: max(dict(losses(workdir)), default=0) >= step, processes[0])
    for process in processes:
        process.signal(signal.SIGKILL)
        process.wait()


def largest_difference(workdir, whole):
    """The largest difference in losses and parameters, relative to the largest value; each step must occur once."""
    ours, theirs = losses(workdir), losses(whole)
    assert [step for step, _ in ours] == [step for step, _ in theirs] == list(range(1, STEPS + 1))
    pairs = [(np.array([loss for _, loss in ours]), np.array([loss for _, loss in theirs]))]
    pairs += zip(*(jax.tree.leaves(read_params(place)[1]) for place in (workdir, whole)), strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def test_a_run_resumes_with_another_mesh(forge, tmp_path, drill):
    assert finish(*toy_run(forge, tmp_path / "whole", *MESHES["8"][1], devices=8, seconds=0)) == [0]
    for step, name in ((13, "8"), (26, "2x2x2")):
        devices, mesh = MESHES[name]
        stop_at(tmp_path / "run", toy_run(forge, tmp_path / "run", *mesh, devices=devices), step)
    assert finish(*toy_run(forge, tmp_path / "run", *MESHES["1"][1])) == [0]
    difference = largest_difference(tmp_path / "run", tmp_path / "whole")
    assert difference < 1e-5
    drill.found(f"mesh 8 to 2x2x2 to 1, killed between: differs by {difference:.1e}", steps=STEPS)


def test_a_run_resumes_with_another_number_of_processes(forge, tmp_path, drill):
    assert finish(*toy_run(forge, tmp_path / "whole", devices=4, seconds=0)) == [0]
    for step, processes in ((10, 2), (20, 1), (30, 2)):
        running = toy_run(forge, tmp_path / "run", processes=processes, devices=4 // processes)
        stop_at(tmp_path / "run", running, step)
    assert finish(*toy_run(forge, tmp_path / "run", processes=4, devices=1)) == [0] * 4
    difference = largest_difference(tmp_path / "run", tmp_path / "whole")
    assert difference < 1e-5
    drill.found(f"processes 2 to 1 to 2 to 4, killed between: differs by {difference:.1e}", steps=STEPS)
