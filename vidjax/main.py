"""Train, evaluate or probe: flags -> configuration -> run.

    python -m vidjax.main --config=FILE[:ARG,ARG] --workdir=DIR [--config.KEY=VALUE ...]

FILE is a path, or the name of a shipped experiment (`vidjax configs` lists them).
Loader workers import this module again, so everything heavy is imported inside `run`.
Exit codes: 0 success; 2 a mistake that the message explains; 3 an evaluation could not score every video; 4 a loader or
another process gave no sign of life, and starting again may help; 143 stopped by SIGTERM and 130 by Ctrl-C, both after
saving a checkpoint if there was a step to save.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from typing import Any

from vidjax.training.stop_signal import leave, leave_on_signal, stoppable

if __name__ == "__main__":
    leave_on_signal()  # the imports that follow take a moment

from absl import flags
from ml_collections import config_flags

from vidjax import config as config_lib
from vidjax.errors import ConfigError, StalledError, UserError, printable
from vidjax.files import absolute, of_disk
from vidjax.training.peers import together

EXIT_MISSING_VIDEOS = 3
_OF_SPEC = re.compile(r"config\.(model|teacher)\.spec\.\w+$")  # checked by the family; see vidjax.models.spec_keys
_OF_SOURCE = re.compile(r"--?config\.data\.mixture\.(?P<name>[^.=]+)\.(?P<key>\w+)(=(?P<value>.*))?", re.DOTALL)


def read_flags(argv: list[str]) -> tuple[config_lib.Config, flags.FlagValues]:
    """Read the run's configuration and the other flags from the command line.

    Raises:
      ConfigError: for anything on the command line or in the experiment file that cannot be used.
    """
    values = _define_flags()
    config = _parse(argv, values)
    if not values.workdir:
        raise ConfigError("--workdir is missing; name a folder for checkpoints, logs and the report")
    return config, values


def with_model(argv: list[str], config: config_lib.Config, workdir: str) -> config_lib.Config:
    """Add a model, its clips and the recipe for its size to a configuration that leaves the model open.

    Keys set on the command line are kept.
    """
    from vidjax.training.choices.model import choose_model
    from vidjax.training.telemetry import say

    choice = choose_model(config.init_from, workdir)
    say(f"model: the recipe for {choice.size} models, {choice.reason}; name another as --config=FILE:SIZE")
    sized = _parse([_with_size(word, choice.size) for word in argv], _define_flags())
    return _with_keys(argv, sized, choice.keys)


def with_weights(argv: list[str], config: config_lib.Config) -> config_lib.Config:
    """Add the model and protocol of public weights (config.init_from) to a configuration that evaluates them.

    Keys set on the command line are kept.
    """
    from vidjax.tasks import TASKS
    from vidjax.training.choices.model import keys_of_weights, published_protocol

    named_by_texts = TASKS.find(config.task).head_from_texts
    keys = keys_of_weights(config.init_from) if named_by_texts else published_protocol(config.init_from)
    return _with_keys(argv, config, keys)


def _with_keys(argv: list[str], config: config_lib.Config, keys: dict[str, Any]) -> config_lib.Config:
    """Set these keys in a configuration, except the keys that the command line sets."""
    users = {name.removeprefix("config.") for name in _set_keys(argv)}
    ours = {key: value for key, value in keys.items() if key not in users}
    if "model.spec" in ours:
        fields = {name: value for name, value in config.model.spec.items() if f"model.spec.{name}" in users}
        ours["model.spec"] = {**ours["model.spec"], **fields}
    return config_lib.with_keys(config, ours)


def read_config(words: list[str]) -> config_lib.Config:
    """Read the configuration alone, from `--config=FILE[:ARG,ARG]` and any `--config.KEY=VALUE`.

    Raises:
      ConfigError: as `read_flags`.
    """
    return _parse(["vidjax", *words], flags.FlagValues())


def _define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string(
        "workdir", None, "Folder or bucket (gs://, s3://) of the run: checkpoints, logs, report.", values
    )
    flags.DEFINE_string("coordinator", "", "host:port of process 0; needed only if JAX cannot discover it.", values)
    flags.DEFINE_integer("num_processes", 0, "Number of processes, with --coordinator.", flag_values=values)
    flags.DEFINE_integer("process_id", 0, "Index of this process, with --coordinator.", flag_values=values)
    return values


def _set_keys(argv: list[str]) -> set[str]:
    """Return the names of the flags on a command line."""
    return {word.lstrip("-").partition("=")[0] for word in argv[1:] if word.startswith("-")}


def _with_size(word: str, size: str) -> str:
    """Add a size to the arguments of `--config=FILE:ARGS`; other words stay as they are."""
    name, equals, value = word.partition("=")
    if name.lstrip("-") != "config" or not equals:
        return word
    path, _, args = value.partition(":")
    return f"{name}={path}:{','.join(filter(None, (size, args)))}"


def _parse(argv: list[str], values: flags.FlagValues) -> config_lib.Config:
    argv, sources = _take_sources(_with_path(argv))
    _check_keys(argv)
    about = "Experiment file, and its arguments after a colon."
    config_flags.DEFINE_config_file(
        "config", None, about, flag_values=values, sys_argv=argv,
        lock_config=False, accept_new_attributes=True,  # for the specs, which the experiment file leaves unlocked
    )  # fmt: skip
    try:
        rest = values(argv)
    except flags.Error as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    except AttributeError as error:  # a locked ConfigDict raises this for an unknown key
        raise ConfigError(f"the experiment file sets an unknown key: {str(error).splitlines()[-1]}") from error
    if len(rest) > 1:
        raise ConfigError(f"{rest[1]!r} on the command line is neither --config.KEY=VALUE nor another flag")
    tree = values.config.to_dict()
    for name, key, value in sources:
        tree["data"]["mixture"].setdefault(name, {})[key] = value
    return config_lib.from_dict(tree)


def _take_sources(argv: list[str]) -> tuple[list[str], list[tuple[str, str, str | float]]]:
    """Take each `--config.data.mixture.NAME.KEY=VALUE` off a command line; return the rest and (NAME, KEY, VALUE)s.

    Unlike other keys, these need not be in the experiment file.
    """
    rest, found, words = [], list[tuple[str, str, str | float]](), iter(argv)
    hints = config_lib.hints_of(config_lib.SourceConfig)
    for word in words:
        if not word.lstrip("-").startswith("config.data.mixture") or not word.startswith("-"):
            rest.append(word)
            continue
        setting = _OF_SOURCE.fullmatch(word)
        if setting is None:
            raise ConfigError(
                f"{word} is not a key of a source; a mixture is given as --config.data.mixture.NAME.root=DIR "
                "--config.data.mixture.NAME.weight=1 for each source, under names of your own"
            )
        name, key, value = setting["name"], setting["key"], setting["value"]
        if key not in hints:
            source, near = f"config.data.mixture.{name}", difflib.get_close_matches(key, hints, 1, 0.0)[0]
            raise ConfigError(f"{source}.{key} is unknown; did you mean {source}.{near}?")
        value = next(words, "") if value is None else value
        twice = next((other for other in found if other[:2] == (name, key) and other[2] != value), None)
        if twice and key in ("name", "root"):
            source, values = f"config.data.mixture.{name}", f"{twice[2]} and {value}"
            raise ConfigError(f"{source}.{key} is set twice, to {values}; give every source its own name")
        found.append((name, key, _number(value) if key == "weight" else value))
    return rest, found


def _number(text: str) -> str | float:
    """Parse a number; return other text unchanged, for the configuration to refuse."""
    try:
        return float(text)
    except ValueError:
        return text


def _with_path(argv: list[str]) -> list[str]:
    """Replace the name of the experiment on a command line by its path."""
    places = [place for place, word in enumerate(argv) if re.match("--?config=", word)]
    if not places:
        raise ConfigError("--config=FILE is missing; for example --config=videomae_k400:smoke")
    file, *arguments = argv[places[-1]].split("=", 1)[1].split(":", 1)
    path = str(config_lib.find_experiment(file))
    return [*argv[: places[-1]], f"--config={':'.join((path, *arguments))}", *argv[places[-1] + 1 :]]


def _check_keys(argv: list[str]) -> None:
    """Refuse `--config.KEY`s that do not exist, naming the nearest."""
    known = config_lib.keys()
    for name in (word.lstrip("-").split("=", 1)[0] for word in argv[1:] if word.startswith("-")):
        if name.startswith("config.") and name.removeprefix("config.") not in known and not _OF_SPEC.match(name):
            near = difflib.get_close_matches(name.removeprefix("config."), known, 1, 0.0)
            raise ConfigError(f"{name} is unknown; did you mean config.{near[0]}?")


def run(argv: list[str]) -> int:
    """Train, evaluate or probe according to a command line; return the exit code."""
    config, values = read_flags(argv)
    from vidjax.training import config_checks, distributed
    from vidjax.training.choices.teacher import name_teacher
    from vidjax.weights.run_files import is_run

    workdir = os.fspath(absolute(os.path.expanduser(values.workdir)))
    config = name_teacher(config)
    if config.model.name:
        config_checks.check_config(config)
    distributed.initialize(
        values.coordinator,
        values.num_processes,
        values.process_id,
        start_seconds=config.train.start_seconds,
        peer_seconds=config.train.peer_seconds,
    )
    if not config.model.name:
        config = name_teacher(with_model(argv, config, workdir))
        config_checks.check_config(config)
    if config.mode == "evaluate" and config.init_from and not (is_run(workdir) or is_run(config.init_from)):
        config = with_weights(argv, config)
    results = _act(config.mode)(config, workdir)
    unscored = results.get("eval/num_expected", 0) - results.get("eval/num_scored", 0)
    if unscored and not config.eval.allow_missing:
        print(
            f"vidjax: {unscored} of {results['eval/num_expected']} videos could not be scored and count as wrong; "
            f"see {workdir}/predictions.jsonl, or accept this with --config.eval.allow_missing=True",
            file=sys.stderr,
        )
        return EXIT_MISSING_VIDEOS
    return 0


def _act(mode: str):
    """Return the function that a mode calls; only probes need scikit-learn."""
    if mode == "probe":
        from vidjax.training.probing import probe

        return probe
    from vidjax.training import loop

    return {"train": loop.train, "evaluate": loop.evaluate}[mode]


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = sys.argv if argv is None else argv
    if not {"-h", "--help"}.isdisjoint(words):
        print(__doc__)
        return 0
    with stoppable(program=argv is None):
        try:
            with together():
                return run(words)
        except UserError as error:
            print(f"vidjax: {printable(str(error))}", file=sys.stderr)
            if isinstance(error, StalledError) and argv is None:
                leave(error.exit_code)  # does not wait for threads that hang
            return error.exit_code
        except OSError as error:
            if not (sentence := of_disk(error)):
                raise
            print(f"vidjax: {printable(sentence)}", file=sys.stderr)
            return UserError.exit_code


if __name__ == "__main__":
    sys.exit(main())
