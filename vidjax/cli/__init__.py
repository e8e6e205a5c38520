"""The command line, `vidjax VERB ...`; each verb is a file of `vidjax/cli/verbs`, a thin layer over the library.

Exit codes: 0 done; 1 `check`, `compile` or `bench` found a problem; 2 a mistake that the message explains; 3 some
videos could not be processed; 4 a loader, another process or the source of `watch` stopped responding; 130 stopped by
Ctrl-C; 143 by SIGTERM.
Verbs import heavy modules only when they run, so that `vidjax --help` is fast.
"""

from __future__ import annotations

import argparse
import atexit
import difflib
import gc
import sys
from collections.abc import Mapping

from vidjax import __version__
from vidjax.cli.verbs import VERBS
from vidjax.errors import ConfigError, StalledError, UserError, printable
from vidjax.files import of_disk
from vidjax.training.peers import together
from vidjax.training.stop_signal import leave, stoppable

_OF_MAIN = ("train", "pretrain", "finetune", "fit", "evaluate", "eval", "test")  # verbs that new users try


class _Parser(argparse.ArgumentParser):
    """A parser that raises a ConfigError instead of printing its usage and exiting."""

    def error(self, message: str):
        raise ConfigError(f"{message}; see {self.prog} --help")


def build_parser() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """Return the parser of the command and the parsers of its verbs."""
    parser = _Parser(prog="vidjax", description="Use, convert and list video models.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"vidjax {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        options = verbs.add_parser(
            name, help=verb.summary, description=verb.summary, epilog=f"example:\n  {verb.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        )  # fmt: skip
        verb.add_arguments(options)
    return parser, verbs.choices


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the arguments of one call.

    Raises:
      ConfigError: for invalid arguments; for an unknown verb or option, it suggests the closest name.
    """
    if argv and argv[0] in _OF_MAIN:
        raise ConfigError(
            f"vidjax has no verb {argv[0]!r}; train or evaluate with python -m vidjax.main --config=finetune "
            "--config.data.root=DIR --workdir=RUN (see its --help; vidjax configs lists experiments)"
        )
    if argv and not argv[0].startswith("-") and argv[0] not in VERBS:
        near = difflib.get_close_matches(argv[0], VERBS, 1, 0.0)[0]
        raise ConfigError(f"there is no verb {argv[0]!r}; did you mean {near!r}? The verbs: {', '.join(VERBS)}")
    parser, verbs = build_parser()
    settings = []
    if argv and argv[0] in verbs:
        if VERBS[argv[0]].takes_config:  # any key of the configuration is an option
            settings = [word for word in argv if word.startswith("--config.")]
            argv = [word for word in argv if word not in settings]
        _check_options(argv[0], argv[1:], verbs[argv[0]])
    return argparse.Namespace(**vars(parser.parse_args(argv)), settings=settings)


def _check_options(verb: str, words: list[str], parser: argparse.ArgumentParser) -> None:
    """Reject unknown options first: argparse would report a missing argument instead."""
    known = [option for action in parser._actions for option in action.option_strings]
    for word in words:
        name = word.split("=")[0]
        if name == "--":
            return
        if name.startswith("--") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"see vidjax {verb} --help"
            raise ConfigError(f"{verb} has no option {name}; {hint}")


def _collect_rarely() -> None:
    """Skip most of Python's garbage collection, which takes half a second of a small `predict`.

    Importing and tracing create hundreds of thousands of long-lived objects, and interpreter exit scans them all.
    """
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    if argv is None:
        _collect_rarely()
    with stoppable(program=argv is None):
        try:
            arguments = parse(sys.argv[1:] if argv is None else argv)
            with together():
                return VERBS[arguments.verb].run(arguments)
        except UserError as error:
            print(f"vidjax: {printable(str(error))}", file=sys.stderr)
            if isinstance(error, StalledError) and argv is None:
                leave(error.exit_code)  # do not wait for hung threads
            return error.exit_code
        except BrokenPipeError:  # the reader of a pipe, such as head, has closed it
            sys.stderr.close()
            return 0
        except OSError as error:
            if not (sentence := of_disk(error)):
                raise
            print(f"vidjax: {printable(sentence)}", file=sys.stderr)
            return UserError.exit_code
