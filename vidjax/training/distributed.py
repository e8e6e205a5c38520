"""Several processes, one run: starts `jax.distributed` where there is more than one, and nothing where there is one."""

from __future__ import annotations

import glob
import os

import jax

from vidjax.errors import ConfigError

_OURS = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def initialize(coordinator: str = "", num_processes: int = 0, process_id: int = 0) -> None:
    """Join the other processes of this run; must come before any other use of JAX's devices.

    Four ways, in this order: the arguments; the environment variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
    JAX_PROCESS_ID; a SLURM or Open MPI job with several tasks; a TPU slice, whose hosts JAX finds by itself.

    Args:
      coordinator: host:port of process 0; empty to find out.
      num_processes, process_id: how many there are, and which this is, with `coordinator`.

    Raises:
      ConfigError: when only some of the three variables are set.
    """
    if jax.distributed.is_initialized():
        return
    if coordinator:
        _join(coordinator, num_processes, process_id)
        return
    given = {name: os.environ[name] for name in _OURS if os.environ.get(name)}
    if given and len(given) < len(_OURS):
        missing = ", ".join(name for name in _OURS if name not in given)
        raise ConfigError(f"{', '.join(given)} is set but {missing} is not; set all three, or none")
    if given:
        address, count, index = (given[name] for name in _OURS)
        _join(address, int(count), int(index))
    elif tasks_of_job() > 1:
        jax.distributed.initialize()
    elif _on_cloud_tpu():
        _join_slice()


def _join(coordinator: str, num_processes: int, process_id: int) -> None:
    if not 0 <= process_id < num_processes:
        raise ConfigError(f"process_id={process_id} must be at least 0 and below num_processes={num_processes}")
    if num_processes > 1:
        jax.distributed.initialize(coordinator, num_processes, process_id)


def tasks_of_job() -> int:
    """How many processes a scheduler, or the hosts list of a TPU slice, says there are; 1 when none says."""
    in_slurm_task = "SLURM_JOB_ID" in os.environ and "SLURM_PROCID" in os.environ
    hosts = os.environ.get("TPU_PROCESS_ADDRESSES") or os.environ.get("TPU_WORKER_HOSTNAMES") or ""
    return max(
        int(os.environ.get("SLURM_NTASKS", 1)) if in_slurm_task else 1,
        int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)),
        int(os.environ.get("MEGASCALE_NUM_SLICES", 1)),
        len(hosts.split(",")),
    )


def _on_cloud_tpu() -> bool:
    """A machine with TPU chips that is to ask Google Cloud's metadata for the hosts of its slice (Colab is not)."""
    chips = glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")
    told = "TPU_SKIP_MDS_QUERY" in os.environ or "TPU_WORKER_HOSTNAMES" in os.environ
    return bool(chips) and not told and os.environ.get("JAX_PLATFORMS", "tpu").startswith("tpu")


def _join_slice() -> None:
    try:
        jax.distributed.initialize()
    except (ValueError, OSError) as error:  # no such cluster, or no metadata server
        print(f"warning: this machine has TPU chips but names no slice ({error}); going on as one process")
