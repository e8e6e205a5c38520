"""Start a run on every host of a slice with one of five engines; the same command starts it again.

    python scripts/launch/launch.py ENGINE --name=NAME --topology=v5e:8x8 [...] -- --config=... --workdir=gs://...

ENGINE is tpu (queued resources of Cloud TPU), gke (a JobSet), xpk, skypilot or slurm. --dry-run prints the files and
commands instead. The engine's own program (gcloud, kubectl, xpk, sky, sbatch) must be installed, and logged in if it
needs an account.
"""

from __future__ import annotations

import argparse
import pathlib
import shlex
import subprocess
import sys
import tempfile

from engines import ENGINES
from job import Job, Launch, LaunchError

_OF_ENGINES = (
    "project", "zone", "cluster", "runtime-version", "image", "service-account", "restarts", "nodes", "gpus",
    "partition", "account", "time",
)  # fmt: skip


def main(words: list[str] | None = None) -> int:
    """Launch a job as the command line asks; return the exit code."""
    words = sys.argv[1:] if words is None else words
    ours, theirs = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    arguments = _parser().parse_args(ours)
    settings = {name.replace("-", "_"): getattr(arguments, name.replace("-", "_")) for name in _OF_ENGINES}
    job = Job(
        arguments.name, tuple(theirs), arguments.topology, arguments.slices, arguments.spot, arguments.install, settings
    )
    try:
        launch = ENGINES[arguments.engine](job)
    except LaunchError as error:
        print(f"launch: {error}", file=sys.stderr)
        return 2
    if arguments.dry_run:
        print(shown(launch), end="")
        return 0
    return _run(launch)


def shown(launch: Launch) -> str:
    """Return the files and commands of a launch as text for a reader."""
    parts = [f"# {name}\n{content}" for name, content in launch.files.items()]
    parts += ["# commands\n" + "".join(f"{shlex.join(command)}\n" for command in launch.commands)]
    parts += [f"# then\n{launch.then}\n"]
    return "\n".join(parts)


def _run(launch: Launch) -> int:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in launch.files.items():
            pathlib.Path(folder, name).write_text(content)
        for words in launch.commands:
            command = [_with_folder(word, launch, folder) for word in words]
            print(shlex.join(command), flush=True)
            try:
                code = subprocess.run(command).returncode
            except FileNotFoundError:
                print(f"launch: {command[0]} is not installed", file=sys.stderr)
                return 2
            if code:
                return code
    print(launch.then)
    return 0


def _with_folder(word: str, launch: Launch, folder: str) -> str:
    """Replace the name of a file in a word of a command by the file's path."""
    for name in launch.files:
        if word == name or word.endswith(f"={name}"):
            return word.removesuffix(name) + str(pathlib.Path(folder, name))
    return word


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("engine", choices=ENGINES)
    add("--name", required=True, help="name of the job: lower-case letters, digits and hyphens")
    add("--topology", default="", help="slice, as for vidjax compile, such as v5e:8x8")
    add("--slices", type=int, default=1, help="number of slices, joined by the data-centre network")
    add("--spot", action="store_true", help="use cheaper chips that may be taken away")
    add("--install", default="", help="what pip installs on every host; default vidjax[tpu,gcs], vidjax[cuda] on Slurm")
    add("--dry-run", action="store_true", help="only print the files and commands")
    for name in _OF_ENGINES:
        add(f"--{name}", default="", help="setting of the engine, if it has one of this name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
