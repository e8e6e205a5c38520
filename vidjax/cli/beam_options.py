"""Options shared by verbs that can run on a cluster with Apache Beam."""

from __future__ import annotations

import argparse
import os

from vidjax.files import in_bucket

RUNNERS = "a Beam runner: DaskRunner, DataflowRunner, FlinkRunner, SparkRunner"


def add(parser: argparse.ArgumentParser) -> None:
    """Add --beam-option."""
    about = "an option for Beam, such as dask_client_address=HOST:8786 or project=NAME; may be repeated"
    parser.add_argument("--beam-option", action="append", default=[], metavar="KEY=VALUE", help=about)


def same_everywhere(path: str) -> str:
    """Return an absolute path, for workers with another working directory."""
    return path if in_bucket(path) else os.path.abspath(os.path.expanduser(path))


def flags(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the options as Beam flags."""
    return tuple(f"--{option}" for option in arguments.beam_option)
