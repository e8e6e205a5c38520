"""XLA's persistent cache, in the user's cache folder: what was compiled once is read the next time."""

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
_SHORTEST, _JAXS_SHORTEST = 0.1, 1.0  # seconds; what compiles faster is compiled again
_LARGEST = 4 * 2**30  # bytes; what was not used for longest goes first


def use_compile_cache(setting: str = "") -> None:
    """Keep what XLA compiles, and use what was kept; a folder that cannot be written to costs a warning.

    It should come before jax is imported, and must come before anything is compiled. The variable
    JAX_COMPILATION_CACHE_DIR wins over everything else, and a folder that this process has given to jax before over the
    default.

    Args:
      setting: a folder, also of a bucket that the hosts of a pod share, or `off`. Empty: the variable
        VIDJAX_COMPILE_CACHE, which is either, or else `default_folder`.
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
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # who can write there can run code here
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "no permission to write")
    except OSError as error:
        print(f"vidjax: nothing compiled is kept: {folder} cannot be used: {error.strerror}", file=sys.stderr)
        return
    _make_room(folder)
    _keep_in(str(folder))


def _keep_in(folder: str) -> None:
    """Tell jax where it keeps what is compiled."""
    import jax  # after the checks: most verbs that fail do so without it

    jax.config.update("jax_compilation_cache_dir", folder)
    shortest = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    if shortest == _JAXS_SHORTEST:  # nobody has set it
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)


def default_folder() -> pathlib.Path:
    """vidjax/jax in the user's cache folder, by the kind of processor: a home may be shared by different machines.

    XLA compiles for the instructions of the processor that it runs on, and its cache does not tell them apart.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = pathlib.Path(cache) if os.path.isabs(cache) else pathlib.Path("~/.cache").expanduser()
    return root / "vidjax" / "jax" / f"{platform.machine()}-{hashlib.sha256(_instructions().encode()).hexdigest()[:8]}"


def _instructions() -> str:
    """What tells processors apart: the instructions that Linux lists, elsewhere a name."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return " ".join(sorted(value.split()))
    return platform.processor()


def _make_room(folder: pathlib.Path) -> None:
    """Remove what was not used for longest until the rest is small enough; other processes may do so too."""
    with contextlib.suppress(OSError):
        files = sorted((entry.stat().st_atime, entry.stat().st_size, entry.path) for entry in os.scandir(folder))
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= _LARGEST:
                return
            pathlib.Path(path).unlink(missing_ok=True)
            total -= size
