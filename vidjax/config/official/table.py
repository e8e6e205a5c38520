"""What a published recipe is made of: rows that say where the authors set a value, and what our key must then hold."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One hyper-parameter.

    Attributes:
      name: what the authors call it, such as "--lr"; or what their code does, where it has no name.
      where: `file:line` in their repository; further lines of the same file after commas.
      official: their value, as they write it.
      key: ours, such as "optim.base_lr", or "model.spec.FIELD" of the model's family; empty where we have none.
      place: the code of vidjax that does it, as `module:NAME`, where there is no key.
      value: what `key` has to hold to be equal, in our units. None: `official`, read as Python or else as a word.
      reason: why ours differs; empty: it is equal.
    """

    name: str
    where: str
    official: str
    key: str = ""
    place: str = ""
    value: Any = None
    reason: str = ""

    @property
    def expected(self) -> Any:
        """The authors' value in our units."""
        if self.value is not None:
            return self.value
        try:
            return ast.literal_eval(self.official)
        except (ValueError, SyntaxError):
            return self.official


@dataclasses.dataclass(frozen=True)
class Source:
    """A public repository as it was read; `title` is what its authors call their model."""

    title: str
    repository: str
    commit: str

    def file_url(self, file: str) -> str:
        """The address of a file at the commit."""
        return f"{self.repository}/blob/{self.commit}/{file}"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One published recipe.

    Attributes:
      experiment: of configs/ with its size, such as "videomae_k400:base".
      source: what `Row.where` are files of.
      published: the accuracy, and in brackets `file:line` of its source, or a paper.
      rows: every hyper-parameter, each once.
    """

    experiment: str
    source: Source
    published: str
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Script:
    """A command of the authors'.

    Attributes:
      file: that it is in.
      launch: the lines that say on how many GPUs it runs, with commas.
      gpus: how many.
      flags: by the name of a flag, the line and the value; a flag of several values has one for each, such as
        "--opt_betas[0]".
    """

    file: str
    launch: str
    gpus: int
    flags: Mapping[str, tuple[int, str]]


def with_rows(rows: tuple[Row, ...], *others: Row) -> tuple[Row, ...]:
    """Rows of which some are replaced, by their names, by others; what is new is added at the end."""
    replaced = {row.name: row for row in rows} | {row.name: row for row in others}
    return tuple(replaced.values())


def cited(rows: tuple[Row, ...], file: str, lines: Mapping[str, str]) -> tuple[Row, ...]:
    """Rows of which some are found elsewhere.

    Args:
      lines: of `file`, with commas, by the names of rows.
    """
    return tuple(
        dataclasses.replace(row, where=f"{file}:{lines[row.name]}") if row.name in lines else row for row in rows
    )


MIXED = "clips that are mixed"  # the row of data.mix_group, where a command's GPUs each mix their own


def command(defaults: tuple[Row, ...], script: Script, words: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a command: the defaults of its parser, except for the flags that it sets.

    Args:
      words: ours for theirs, such as "ssv2" for "SSV2", or for a flag and its value, such as "bfloat16" for
        "--bf16 True"; others mean the same.

    Raises:
      KeyError: for a flag that has no default row, which says what it means here.
    """
    rows = {row.name: row for row in defaults}
    for name, (line, text) in script.flags.items():
        value = words.get(f"{name} {text}", words.get(text))
        rows[name] = dataclasses.replace(rows[name], where=f"{script.file}:{line}", official=text, value=value)
    rows["--batch_size"] = _batch(rows, script)
    if MIXED in rows:
        rows[MIXED] = _mixed(rows)
    return tuple(rows.values())


def _batch(rows: Mapping[str, Row], script: Script) -> Row:
    """The videos of a step: those of a GPU, times the GPUs, times the micro-batches."""
    row, micro = rows["--batch_size"], script.flags.get("--update_freq", (0, "1"))
    where, official = f"{row.where},{script.launch}", f"{row.official} x {script.gpus} GPUs"
    if micro != (0, "1"):
        where, official = f"{where},{micro[0]}", f"{official} x {micro[1]} micro-batches"
    return dataclasses.replace(
        row, where=where, official=official, value=int(row.official) * script.gpus * int(micro[1])
    )


def _mixed(rows: Mapping[str, Row]) -> Row:
    """The clips of one GPU in one micro-batch."""
    where, sizes = rows["--batch_size"].where, rows["--batch_size"].official
    videos, clips = int(sizes.partition(" ")[0]), int(rows["--num_sample"].official)
    file, _, lines = where.partition(":")
    return dataclasses.replace(
        rows[MIXED],
        where=f"{file}:{lines.partition(',')[0]}",
        official=f"{videos} videos x {clips}",
        value=videos * clips,
    )
