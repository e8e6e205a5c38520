"""The cores and the memory available to a loader."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_host_memory() -> int | None:
    """Free memory in bytes, of the machine or of this process's control group if that has less; None if unknown."""
    free = []
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free.append(1024 * int(lines["MemAvailable"].split()[0]))
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            idle = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            used = int((group / "memory.current").read_text()) - int(idle.get("inactive_file", 0))
            free.append(int(limit) - used)
    except (OSError, KeyError, ValueError):  # another system, or another version of control groups
        pass
    return min(free) if free else None
