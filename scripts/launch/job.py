"""A job to launch: a vidjax command, the TPU slices that it needs, if any, and the engines' names for them."""

from __future__ import annotations

import dataclasses
import math
import shlex


class LaunchError(Exception):
    """A job that cannot be launched; the message says what to change."""


@dataclasses.dataclass(frozen=True)
class Chip:
    """A kind of TPU chip.

    Attributes:
      accelerator: its name in an accelerator type of Cloud TPU, before the number of units.
      units: units per chip; for v4 and v5p, units are cores.
      runtime: software version of a Cloud TPU machine.
      podslice: its name on GKE (cloud.google.com/gke-tpu-accelerator).
      host: chips per machine in a slice of several machines.
    """

    accelerator: str
    units: int
    runtime: str
    podslice: str
    host: int = 4


CHIPS = {
    "v4": Chip("v4", 2, "tpu-ubuntu2204-base", "tpu-v4-podslice"),
    "v5e": Chip("v5litepod", 1, "v2-alpha-tpuv5-lite", "tpu-v5-lite-podslice"),
    "v5p": Chip("v5p", 2, "v2-alpha-tpuv5", "tpu-v5p-slice"),
    "v6e": Chip("v6e", 1, "v2-alpha-tpuv6e", "tpu-v6e-slice"),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """A command to run on every host of one or more TPU slices, or on the nodes of a Slurm job.

    Attributes:
      name: name of the job, in lower-case letters, digits and hyphens.
      words: arguments of `python -m vidjax.main`.
      topology: such as v5e:8x8, as for `vidjax compile`; empty for an engine without TPUs.
      slices: number of slices of that topology, joined by the data-centre network.
      spot: whether to use cheaper chips that may be taken away at any time.
      install: argument of `pip install`; empty for vidjax with the extras that the engine's machines need.
      engine: settings of the engine, such as zone and project.
    """

    name: str
    words: tuple[str, ...]
    topology: str = ""
    slices: int = 1
    spot: bool = False
    install: str = ""
    engine: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def chip(self) -> Chip:
        """The kind of chip of the topology."""
        kind = self.topology.partition(":")[0]
        if kind not in CHIPS:
            raise LaunchError(f"--topology={self.topology}: use one of {', '.join(f'{name}:...' for name in CHIPS)}")
        return CHIPS[kind]

    @property
    def shape(self) -> str:
        """Chips along each side of a slice, such as 8x8."""
        return self.topology.partition(":")[2]

    @property
    def chips(self) -> int:
        """The number of chips in one slice."""
        try:
            return math.prod(int(side) for side in self.shape.split("x"))
        except ValueError:
            raise LaunchError(f"--topology={self.topology} is not of the form v5e:8x8") from None

    @property
    def hosts(self) -> int:
        """The number of machines in one slice."""
        return max(1, self.chips // self.chip.host)

    @property
    def accelerator_type(self) -> str:
        """Cloud TPU's name for a slice, such as v5litepod-64."""
        return f"{self.chip.accelerator}-{self.chips * self.chip.units}"

    @property
    def command(self) -> str:
        """The command as typed in a shell."""
        return shlex.join(["python", "-m", "vidjax.main", *self.words])

    def check(self, *, bucket: bool) -> None:
        """Reject a job with an invalid name, without a workdir, or with one that would be lost.

        Args:
          bucket: whether the run must be in a bucket, because disks vanish with their machines.
        """
        if not self.name or not all(sign.isdigit() or sign.islower() or sign == "-" for sign in self.name):
            raise LaunchError(f"--name={self.name}: use lower-case letters, digits and hyphens")
        folders = [word.partition("=")[2] for word in self.words if word.lstrip("-").startswith("workdir=")]
        if not folders:
            raise LaunchError("after -- come the arguments of vidjax.main; --workdir=DIR is missing among them")
        if bucket and not folders[-1].startswith("gs://"):
            raise LaunchError(f"--workdir={folders[-1]} is lost with its machine; name a bucket: --workdir=gs://...")


@dataclasses.dataclass(frozen=True)
class Launch:
    """The files and commands with which an engine launches a job.

    Attributes:
      files: contents by file name.
      commands: commands to run one after the other; a file's name is a word of its own, or follows an equals sign.
      then: commands with which the user watches the job and ends it.
    """

    files: dict[str, str]
    commands: tuple[tuple[str, ...], ...]
    then: str
