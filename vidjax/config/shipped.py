"""Find the experiments that vidjax ships: configs/ in a clone, vidjax/configs in a wheel."""

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
    """Find the experiment file for a path or name.

    Args:
      word: a path, which takes precedence if it exists; or the name of a shipped experiment, also as NAME.py or
        configs/NAME.py, its path in a clone.

    Raises:
      ConfigError: when `word` is neither; the message suggests the nearest file or name.
    """
    path, experiments = Path(word), shipped()
    if path.is_file():
        return path
    name = word.removeprefix("configs/").removesuffix(".py")
    if name in experiments:
        return experiments[name]
    beside = [str(file) for file in path.parent.glob("*.py")]
    near = difflib.get_close_matches(word, beside, 1) or difflib.get_close_matches(path.stem, experiments, 1)
    hint = f"did you mean {near[0]}?" if near else "`vidjax configs` lists the shipped experiments"
    raise ConfigError(f"no experiment file {word!r}; {hint}")
