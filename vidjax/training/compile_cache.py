"""XLA's persistent compilation cache, kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import sys

from vidjax.files import in_bucket

OFF = "off"
VARIABLE = "VIDJAX_COMPILE_CACHE"
_JAXS_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
_SHORTEST, _JAXS_SHORTEST = 0.1, 1.0  # seconds; programs that compile faster are not cached
_LARGEST = 4 * 2**30  # bytes; the least recently used entries are removed first


def use_compile_cache(setting: str = "") -> None:
    """Keep XLA's compiled programs in a folder on disk; if the folder cannot be written to, only print a warning.

    Call this before anything is compiled, and preferably before jax is imported. The variable JAX_COMPILATION_CACHE_DIR
    takes precedence over everything else, and a folder already set in jax takes precedence over the default.

    Args:
      setting: a folder, which may be in a bucket that the hosts of a pod share, or `off`. If it is empty, the variable
        VIDJAX_COMPILE_CACHE, which takes the same values, applies; if that is empty too, `default_folder`.
    """
    wanted = setting or os.environ.get(VARIABLE, "")
    if wanted == OFF or os.environ.get(_JAXS_VARIABLE):
        return
    imported = sys.modules.get("jax")
    if imported and not wanted and imported.config.jax_compilation_cache_dir:
        return
    if in_bucket(wanted):
        _keep_in(wanted)
        return
    folder = pathlib.Path(wanted).expanduser().absolute() if wanted else default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # whoever can write there can run code here
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "no permission to write")
    except OSError as error:
        print(f"vidjax: compiled programs are not cached: {folder} cannot be used: {error.strerror}", file=sys.stderr)
        return
    _make_room(folder)
    _keep_in(str(folder))


def _keep_in(folder: str) -> None:
    """Set jax's cache folder."""
    import jax  # imported late, so that a command that fails before this point does so quickly

    jax.config.update("jax_compilation_cache_dir", folder)
    shortest = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    if shortest == _JAXS_SHORTEST:  # still the default
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)


def default_folder() -> pathlib.Path:
    """The folder vidjax/jax/<kind of processor> in the user's cache folder.

    Machines with different processors may share a home folder. XLA compiles for the instruction set of the processor it
    runs on, but its cache does not distinguish processors.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = pathlib.Path(cache) if os.path.isabs(cache) else pathlib.Path("~/.cache").expanduser()
    return root / "vidjax" / "jax" / f"{platform.machine()}-{hashlib.sha256(_instructions().encode()).hexdigest()[:8]}"


def _instructions() -> str:
    """A string that identifies the processor: the instruction sets that Linux lists, or a name elsewhere."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return " ".join(sorted(value.split()))
    return platform.processor()


def _make_room(folder: pathlib.Path) -> None:
    """Remove the least recently used files until the rest fits the limit; other processes may do so concurrently."""
    with contextlib.suppress(OSError):
        files = sorted((entry.stat().st_atime, entry.stat().st_size, entry.path) for entry in os.scandir(folder))
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= _LARGEST:
                return
            pathlib.Path(path).unlink(missing_ok=True)
            total -= size
