"""The output of `vidjax check`: a table of splits and, for a user's own videos, classes, lengths and training steps."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from vidjax.config import DataConfig
from vidjax.errors import printable

if TYPE_CHECKING:
    from vidjax.data.audit import SplitAudit

SHOWN_CLASSES, SHOWN_FAILURES, SHOWN_KINDS = 20, 5, 3


def print_audits(audits: Sequence[SplitAudit]) -> None:
    """Print the findings of each split and every problem."""
    console = Console(soft_wrap=True)
    own = next((about.reading for about in audits if about.reading), "")
    if own:
        console.print(printable(own), highlight=False, markup=False)
    if any(about.layout for about in audits):
        _print_table(console, _splits(audits))
    if own:
        _print_own(console, audits)
    shared = [text for text in audits[0].problems if len(audits) > 1 and all(text in a.problems for a in audits)]
    for problem in shared:
        console.print(printable(problem), highlight=False, markup=False)
    for about in audits:
        for problem in about.problems:
            if problem not in shared:
                console.print(printable(f"{about.split}: {problem}"), highlight=False, markup=False)
        for failure in about.unreadable[:SHOWN_FAILURES] if own else ():
            console.print(printable(f"  {failure['reason']}: {failure['detail']}"), highlight=False, markup=False)
        for note in about.notes:
            console.print(printable(f"{about.split}: note: {note}"), highlight=False, markup=False)
    if not any(about.problems for about in audits):
        console.print("nothing is missing")


def steps_sentence(videos: int, experiment: str) -> str:
    """State the steps that configs/pretrain.py or configs/finetune.py takes for this many videos on one device."""
    from vidjax.main import read_config
    from vidjax.training.choices.length import choose_length
    from vidjax.training.plan import num_train_steps

    runs = [choose_length(read_config([f"--config={experiment}:{size}"]), videos, 1) for size in ("tiny", "base")]
    tiny, larger = (
        f"{num_train_steps(run, videos)} steps of {run.data.global_batch} videos, or {run.train.epochs:g} epochs of "
        f"{videos}"
        for run in runs
    )
    return f"configs/{experiment}.py: {tiny}, for a tiny model (as on a CPU); {larger}, for a larger one"


def division_sentence(audits: Sequence[SplitAudit]) -> str:
    """Describe how unevenly the hash splits the classes; empty if the split is even, or without classes or a hash."""
    from vidjax.data.audit import training_split

    training, other = training_split(audits)
    if training is None or other is None or not all(about.hashed and about.class_counts for about in audits):
        return ""
    train, val = training.class_counts, other.class_counts
    shares = {name: val[name] / count for name in train if (count := train[name] + val[name])}
    if len({*shares.values()}) < 2:
        return ""
    extremes = (min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__))
    held = [f"{val[name]} of the {train[name] + val[name]} videos of {name!r}" for name in extremes]
    return (
        f"the hash assigns each video independently, so that adding videos moves none: it holds out {held[0]} and "
        f"{held[1]}. To choose the split yourself, use lists or folders train/ and val/"
    )


def _print_own(console: Console, audits: Sequence[SplitAudit]) -> None:
    from vidjax.data.audit import training_split

    if any(about.class_counts for about in audits):
        _print_table(console, _classes(audits))
    if said := division_sentence(audits):
        console.print(printable(said), highlight=False, markup=False)
    if any(about.measured for about in audits):
        _print_table(console, _lengths(audits))
    train, _ = training_split(audits)
    if train and train.listed:
        for experiment in ("pretrain", "finetune") if train.class_counts else ("pretrain",):
            console.print(steps_sentence(train.listed, experiment), highlight=False, markup=False)
    measured = [info for about in audits for info in about.measured]
    span = (DataConfig().num_frames - 1) * DataConfig().stride + 1
    short = sum(info.frames < span for info in measured)
    if short:
        clip = f"a clip, which spans {span} frames ({DataConfig().num_frames} frames, every {DataConfig().stride}th)"
        said = f"{short} of {len(measured)} videos are shorter than {clip}; a smaller data.stride shortens the clip"
        console.print(printable(said), highlight=False)


def _print_table(console: Console, table: Table) -> None:
    """Print a table, at full width unless on a terminal."""
    if not console.is_terminal:
        console.width = Measurement.get(console, console.options.update(width=400), table).maximum
    console.print(table)


def _splits(audits: Sequence[SplitAudit]) -> Table:
    table = Table("split", "found as", box=box.SIMPLE, pad_edge=False)
    for column in ("listed", "missing", "classes", "unreadable"):
        table.add_column(column, justify="right")
    for about in audits:
        classes = f"{about.classes} of {about.num_classes}" if about.num_classes else "-"
        counts = (about.listed, len(about.missing), classes, len(about.unreadable))
        table.add_row(about.split, about.layout or "-", *map(str, counts))
    return table


def _classes(audits: Sequence[SplitAudit]) -> Table:
    table = Table("class", box=box.SIMPLE, pad_edge=False)
    for about in audits:
        table.add_column(about.split, justify="right")
    names = list(dict.fromkeys(name for about in audits for name in about.class_counts))
    for name in names[:SHOWN_CLASSES]:
        table.add_row(Text(printable(name)), *(str(about.class_counts.get(name, 0)) for about in audits))
    if len(names) > SHOWN_CLASSES:
        table.add_row(f"and {len(names) - SHOWN_CLASSES} more", *("" for _ in audits))
    return table


def _lengths(audits: Sequence[SplitAudit]) -> Table:
    table = Table("split", "seconds", "frames", "frames/s", "pixels", box=box.SIMPLE, pad_edge=False)
    for about in audits:
        table.add_row(
            about.split,
            _range([info.duration for info in about.measured], ".3g"),
            _range([info.frames for info in about.measured], "g"),
            _kinds(f"{info.fps:.4g}" for info in about.measured),
            _kinds(f"{info.width}x{info.height}" for info in about.measured),
        )
    return table


def _range(values: Sequence[float], form: str) -> str:
    if not values:
        return "-"
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}, median {middle:{form}}"


def _kinds(values) -> str:
    """List the most frequent values with their counts."""
    counts = Counter(values).most_common()
    shown = ", ".join(f"{value} ({count})" if len(counts) > 1 else value for value, count in counts[:SHOWN_KINDS])
    return shown + (f" and {len(counts) - SHOWN_KINDS} others" if len(counts) > SHOWN_KINDS else "") or "-"
