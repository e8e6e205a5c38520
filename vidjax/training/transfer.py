"""Parameters taken over from an earlier run: pre-training to fine-tuning, or one data set to the next."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import numpy as np

from vidjax.errors import ConfigError, ResumeError
from vidjax.weights.runs import read_params

_MUST_FIT = re.compile(r"^encoder/(?!norm/)")  # the trunk; heads, decoders and final norms may be new


def take_over(params, init_from: str) -> tuple[object, str]:
    """Replace parameters by those of the same name and shape in a run's latest checkpoint.

    Args:
      params: of the new model, with their shardings.
      init_from: the run's folder; its raw parameters are taken, not their moving average.

    Returns:
      the parameters, each where it was; a sentence that says what was taken and what is new.

    Raises:
      ConfigError: when `init_from` is no run, or a parameter of the encoder is not in it with the same shape.
    """
    if not (Path(init_from) / "checkpoints").is_dir():
        raise ConfigError(
            f"config.init_from={init_from!r} is not the folder of a vidjax run; there is no checkpoints/ in it"
        )
    try:
        step, source = read_params(init_from)
    except ResumeError as error:
        raise ConfigError(f"config.init_from: {error}") from error
    found = {_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(source)[0]}
    named = {_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}
    fitting = {name for name, leaf in named.items() if name in found and found[name].shape == leaf.shape}
    for name in sorted(set(named) - fitting):
        if _MUST_FIT.match(name):
            there = f"has shape {found[name].shape} there" if name in found else "is not there"
            raise ConfigError(
                f"config.init_from={init_from!r} does not fit model.name: {name} {named[name].shape} {there}; "
                "use the size and the patches that the run was trained with"
            )

    def place(path, leaf):
        if _name(path) not in fitting:
            return leaf
        values = np.asarray(found[_name(path)], leaf.dtype)
        return jax.make_array_from_callback(leaf.shape, leaf.sharding, lambda index: values[index])

    new, unused = _groups(set(named) - fitting), _groups(set(found) - fitting)
    sentence = f"parameters of {init_from} at step {step}; new: {new or 'none'}; not used: {unused or 'none'}"
    return jax.tree_util.tree_map_with_path(place, params), sentence


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _groups(names: set[str]) -> str:
    return ", ".join(
        sorted({name.rsplit("/", 1)[0] if name.startswith("encoder") else name.split("/")[0] for name in names})
    )
