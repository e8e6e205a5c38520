"""`vidjax check --config=EXPERIMENT`: check every source of an experiment's mixture, and print their shares."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vidjax.cli.check_page import SHOWN_FAILURES
from vidjax.cli.terminal import print_json
from vidjax.errors import ConfigError, DataError, printable
from vidjax.progress import progress

if TYPE_CHECKING:
    from vidjax.config import DataConfig
    from vidjax.data.audit import Opening, SplitAudit

SAMPLED = 1000  # videos of a source that are opened, if it is a folder, unless asked otherwise


@dataclasses.dataclass(frozen=True)
class Checked:
    """A source of a mixture and the findings for it.

    Attributes:
      data: the name of its data set.
      share: share of the training videos.
    """

    name: str
    data: str
    root: str
    share: float
    audit: SplitAudit


def check_mixture_of(arguments: argparse.Namespace) -> int:
    """Check the mixture and print the findings; return 0 if nothing is missing or damaged, else 1.

    Raises:
      ConfigError: for an experiment without a mixture, or options that are for a single data set.
      DataError: for a source whose root is missing.
    """
    from vidjax.data.mixtures import check_mixture, used_sources
    from vidjax.main import read_config

    for option in ("dataset", "root", "splits", "write_checksums", "checksums", "charts", "val_fraction", "split_by"):
        if getattr(arguments, option):
            name = "a data set" if option == "dataset" else f"--{option.replace('_', '-')}"
            raise ConfigError(f"{name} and --config exclude each other; check each source of the mixture on its own")
    data = read_config([f"--config={arguments.config}", *arguments.settings]).data
    if not data.mixture:
        raise ConfigError(
            f"{arguments.config} has no data.mixture; check its videos with `vidjax check DIR`, or `vidjax check "
            f"{data.name} --root DIR`"
        )
    check_mixture(data)
    total = sum(source.weight for source in used_sources(data).values())
    found = []
    for name, source in used_sources(data).items():
        audit = _audit(data, name, arguments.read, max(1, arguments.threads))
        if audit is not None:
            found.append(Checked(name, source.name, source.root, source.weight / total, audit))
    videos = sum(checked.audit.listed - len(checked.audit.missing) for checked in found)
    complete = not any(checked.audit.problems for checked in found)
    if arguments.json:
        sources = [_as_json(checked, videos) for checked in found]
        print_json({"complete": complete, "videos": videos, "sources": sources})
    else:
        _print(found, videos, complete)
    return 0 if complete else 1


def _audit(data: DataConfig, name: str, read: str, threads: int) -> SplitAudit | None:
    """Check the training split of one source; None if vidjax generates its videos."""
    from vidjax.data.audit import Opening, audit
    from vidjax.data.datasets import DATASETS
    from vidjax.data.mixtures import of_source, source_data

    source, own = data.mixture[name], source_data(data, name)
    if not DATASETS.find(source.name).needs_root:
        return None
    if not source.root:
        raise DataError(f"data.mixture.{name}.root is empty; set --config.data.mixture.{name}.root=DIR")
    folder = source.name == "folder"
    opening: Opening = Opening(read or "index" * folder, SAMPLED if folder and not read else 0, threads)
    with progress(f"checking {name}") as advance:
        try:
            opening = dataclasses.replace(opening, on_video=advance)
            return audit(source.name, source.root, (source.split or data.train_split,), opening, own)[0]
        except DataError as error:
            raise DataError(of_source(str(error), name)) from error


def _times(checked: Checked, videos: int) -> float:
    """How often an epoch shows each video of a source, on average."""
    there = checked.audit.listed - len(checked.audit.missing)
    return checked.share * videos / there if there else 0.0


def _as_json(checked: Checked, videos: int) -> dict[str, Any]:
    about = {"name": checked.name, "data": checked.data, "root": checked.root, "share": checked.share}
    return about | {"times_per_epoch": _times(checked, videos)} | checked.audit.as_json()


def _print(found: Sequence[Checked], videos: int, complete: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table("source", "data set", "split", "found as", box=box.SIMPLE, pad_edge=False)
    for heading in ("share", "listed", "missing", "unreadable", "times per epoch"):
        table.add_column(heading, justify="right")
    for checked in found:
        about = checked.audit
        table.add_row(
            checked.name, checked.data, about.split, about.layout or "-", f"{checked.share:.3g}", str(about.listed),
            str(len(about.missing)), str(len(about.unreadable)), f"{_times(checked, videos):.3g}",
        )  # fmt: skip
    if not console.is_terminal:
        console.width = Measurement.get(console, console.options.update(width=400), table).maximum
    console.print(table)
    for checked in found:
        for problem in checked.audit.problems:
            console.print(printable(f"{checked.name}: {problem}"), highlight=False, markup=False)
        for failure in checked.audit.unreadable[:SHOWN_FAILURES]:
            console.print(printable(f"  {failure['reason']}: {failure['detail']}"), highlight=False, markup=False)
        for note in checked.audit.notes:
            console.print(printable(f"{checked.name}: note: {note}"), highlight=False, markup=False)
    console.print(f"an epoch has {videos} videos", highlight=False)
    if complete:
        console.print("nothing is missing")
