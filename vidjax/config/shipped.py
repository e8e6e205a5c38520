"""The experiments that vidjax ships, by name: configs/ of a clone, which a wheel carries as vidjax/configs."""

from __future__ import annotations

import difflib
from pathlib import Path

from vidjax.errors import ConfigError

_PACKAGE = Path(__file__).parents[1]


def shipped() -> dict[str, Path]:
    """The file of every shipped experiment by its name, such as "videomae_k400", in alphabetical order."""
    installed = _PACKAGE / "configs"
    folder = installed if installed.is_dir() else _PACKAGE.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def find_experiment(word: str) -> Path:
    """The experiment file that a word means.

    Args:
      word: a path, which wins if it exists; or the name of a shipped experiment, also with `.py` and as
        `configs/NAME.py`, which is what its path is in a clone.

    Raises:
      ConfigError: when it is neither; the nearest file or name is suggested.
    """
    path, experiments = Path(word), shipped()
    if path.is_file():
        return path
    name = word.removeprefix("configs/").removesuffix(".py")
    if name in experiments:
        return experiments[name]
    beside = [str(file) for file in path.parent.glob("*.py")]
    near = difflib.get_close_matches(word, beside, 1) or difflib.get_close_matches(path.stem, experiments, 1)
    hint = f"did you mean {near[0]}?" if near else "`vidjax configs` lists those that are shipped"
    raise ConfigError(f"no experiment file {word!r}; {hint}")
