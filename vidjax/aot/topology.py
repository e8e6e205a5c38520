"""TPU chips that the compiler supports, and the devices of a pod to compile for, which need not be attached."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from typing import Any

from vidjax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Chip:
    """One device of a topology: a chip or, on v4, one of its two cores.

    Attributes:
      memory: bytes that a program may use.
      peak: bf16 FLOP/s, from the manufacturer's data sheets.
      bandwidth: bytes/s between the device and its memory, from the data sheets.
      link: bytes/s between chips in one direction, half of a chip's figure in the data sheets.
      network: bytes/s that a chip can send to other slices, from the data sheets (a pod's figure is divided by its
        chips); 0 if they do not say.
      clock: Hz, inferred from the peak and the sizes of the matrix units.
    """

    memory: float
    peak: float
    bandwidth: float
    link: float
    network: float
    clock: float


CHIPS = {
    "v4": Chip(15.75 * 2**30, 137.5e12, 614e9, 150e9, 0.0, 1.05e9),
    "v5e": Chip(15.75 * 2**30, 197e12, 819e9, 100e9, 3.125e9, 1.5e9),
    "v5p": Chip(95.0 * 2**30, 459e12, 2765e9, 300e9, 6.25e9, 1.75e9),
    "v6e": Chip(31.25 * 2**30, 918e12, 1640e9, 224e9, 12.5e9, 1.75e9),
}


def topology_devices(topology: str, slices: int = 1) -> list:
    """Return the devices of a topology, such as v5e:16x16, to compile for.

    Args:
      slices: number of such slices, joined by the data-centre network.

    Raises:
      ConfigError: if the compiler is not installed or knows no such topology, or if the bandwidth between such
        slices is not published.
    """
    quiet = {"TPU_ACCELERATOR_TYPE": "v5litepod-4", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}
    for name, value in quiet.items() if not os.path.exists("/dev/accel0") else ():  # keeps libtpu from warning
        os.environ.setdefault(name, value)
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # two compilations at once do no harm
    from jax.experimental import topologies

    chip, _, shape = topology.partition(":")
    if importlib.util.find_spec("libtpu") is None:
        raise ConfigError("the TPU compiler is not installed; pip install 'vidjax[aot]' adds it (0.7 GB)")
    if chip not in CHIPS or not re.fullmatch(r"\d+x\d+(x\d+)?", shape):
        raise ConfigError(f"topology {topology!r} is not CHIP:SHAPE with CHIP in {', '.join(CHIPS)}, such as v5e:16x16")
    if slices > 1 and not CHIPS[chip].network:
        raise ConfigError(f"mesh.slices={slices}: the bandwidth between {chip} slices is not published; use 1")
    options: dict[str, Any] = {"chips_per_host_bounds": (1, 1, 1)} if shape in ("1x1", "1x1x1") else {}
    options |= {"num_slices": slices} if slices > 1 else {}
    try:
        return list(topologies.get_topology_desc(topology, "tpu", **options).devices)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"topology {topology!r}: {str(error).splitlines()[0]}") from error
