"""Join the processes of a run: start `jax.distributed` if there are several, and do nothing if there is one."""

from __future__ import annotations

import contextlib
import glob
import os
import socket
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any

import jax
from jax._src import distributed as runtime  # its key-value store has no public name

from vidjax.errors import ConfigError, StalledError
from vidjax.progress import progress
from vidjax.training import peers
from vidjax.training.stop_signal import leave

_OURS = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_LATER = 60  # seconds by which JAX's own time limits, at which it aborts the process, exceed ours
Join = Callable[..., None]


def initialize(
    coordinator: str = "",
    num_processes: int = 0,
    process_id: int = 0,
    *,
    start_seconds: float = 60.0,
    peer_seconds: float = 60.0,
) -> None:
    """Join the other processes of this run, and watch them; call this before any other use of JAX's devices.

    The processes are found from, in this order: the arguments; the environment variables JAX_COORDINATOR_ADDRESS,
    JAX_NUM_PROCESSES and JAX_PROCESS_ID; a SLURM or Open MPI job with several tasks; a TPU slice, whose hosts JAX
    discovers.

    Args:
      coordinator: host:port of process 0; empty to discover it.
      num_processes, process_id: number of processes and index of this one; used with `coordinator`.
      start_seconds: time limit for all processes to join; after it, this process exits with the code of a
        `StalledError`.
      peer_seconds: a process that gives no sign of life for this long counts as dead; see `vidjax.training.peers`.

    Raises:
      ConfigError: when only some of the three variables are set, or `process_id` is out of range.
    """
    if jax.distributed.is_initialized():
        return

    def join(*known: Any) -> None:
        limits = {"initialization_timeout": int(start_seconds), "heartbeat_timeout_seconds": int(peer_seconds)}
        later: Any = {name: seconds + _LATER for name, seconds in limits.items()}
        with _within(start_seconds), progress("waiting for the other processes of this run"):
            jax.distributed.initialize(*known, **later)

    _find_others(coordinator, num_processes, process_id, join)
    state = runtime.global_state
    if state.client is not None and state.num_processes > 1:
        peers.watch(state.client, state.process_id, state.num_processes, peer_seconds, state.coordinator_address or "")


def _find_others(coordinator: str, num_processes: int, process_id: int, join: Join) -> None:
    if coordinator:
        _join(coordinator, num_processes, process_id, join)
        return
    given = {name: os.environ[name] for name in _OURS if os.environ.get(name)}
    if given and len(given) < len(_OURS):
        missing = ", ".join(name for name in _OURS if name not in given)
        raise ConfigError(f"the environment sets {', '.join(given)} but not {missing}; set all three, or none")
    if given:
        address, count, index = (given[name] for name in _OURS)
        _join(address, int(count), int(index), join)
    elif tasks_of_job() > 1:
        join()
    elif _on_cloud_tpu():
        _join_slice(join)


@contextlib.contextmanager
def _within(seconds: float) -> Generator[None]:
    """End this process with a message when the others do not join in time; JAX would abort it."""
    over = threading.Event()

    def wait():
        if not over.wait(seconds):
            print(f"vidjax: {_absence(seconds)} (train.start_seconds={seconds:g})", file=sys.stderr, flush=True)
            leave(StalledError.exit_code)

    threading.Thread(target=wait, daemon=True, name="start").start()
    try:
        yield
    finally:
        over.set()


def _absence(seconds: float) -> str:
    """A message that says which process waits for which, and names the remedy."""
    state, host = runtime.global_state, socket.gethostname()
    address = state.coordinator_address or ""
    if not address:
        return f"{host} has not found process 0 in {seconds:g} s; name its address with --coordinator=HOST:PORT"
    me = f"{peers.process_name(state.process_id, host)} has waited {seconds:g} s"
    everywhere = f"all {state.num_processes} processes must start within that time, with the same command"
    if state.process_id == 0:
        return f"{me} at {address} for the others: {everywhere}"
    if peers.answers(address):
        return f"{me} for the others; process 0, which answers at {address}, is waiting too: {everywhere}"
    return (
        f"{me} for process 0, which does not answer at {address}: check that it is running, that the address is "
        "correct, and that no firewall blocks the port"
    )


def _join(coordinator: str, num_processes: int, process_id: int, join: Join) -> None:
    if not 0 <= process_id < num_processes:
        raise ConfigError(f"process_id={process_id} must be at least 0 and below num_processes={num_processes}")
    if num_processes > 1:
        join(coordinator, num_processes, process_id)


def tasks_of_job() -> int:
    """The number of processes according to a scheduler or a TPU slice's list of hosts; 1 if there is neither."""
    in_slurm_task = "SLURM_JOB_ID" in os.environ and "SLURM_PROCID" in os.environ
    hosts = os.environ.get("TPU_PROCESS_ADDRESSES") or os.environ.get("TPU_WORKER_HOSTNAMES") or ""
    return max(
        int(os.environ.get("SLURM_NTASKS", 1)) if in_slurm_task else 1,
        int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)),
        int(os.environ.get("MEGASCALE_NUM_SLICES", 1)),
        len(hosts.split(",")),
    )


def _on_cloud_tpu() -> bool:
    """Return whether this machine has TPUs and should query Google Cloud's metadata for its slice (not on Colab)."""
    chips = glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")
    told = "TPU_SKIP_MDS_QUERY" in os.environ or "TPU_WORKER_HOSTNAMES" in os.environ
    return bool(chips) and not told and os.environ.get("JAX_PLATFORMS", "tpu").startswith("tpu")


def _join_slice(join: Join) -> None:
    try:
        join()
    except (ValueError, OSError) as error:  # no such cluster, or no metadata server
        print(f"warning: this machine has TPU chips but belongs to no slice ({error}); continuing as one process")
