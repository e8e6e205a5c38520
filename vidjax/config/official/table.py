"""The form of a published recipe: each row cites one of the authors' values, and gives our key and value for it."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One hyperparameter.

    Attributes:
      name: the authors' name for it, such as "--lr"; or a description, if their code has no name for it.
      where: `file:line` in their repository; further lines of the same file after commas.
      official: the authors' value, as they write it.
      key: our key, such as "optim.base_lr" or the family's "model.spec.FIELD"; empty if there is none.
      place: if there is no key, the code of vidjax that has the same effect, as `module:NAME`.
      value: the equivalent value of `key`, in our units. None: `official` as a Python literal or else as a string.
      reason: why our value differs, or why there is no key; empty if the values are equal.
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
    """A public repository at the commit that was read; `title` is the authors' name for their model."""

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
      experiment: the experiment in configs/ with its size, such as "videomae_k400:base".
      source: the repository that `Row.where` refers to.
      published: the accuracy and its source: `file:line` in brackets, or a paper.
      rows: every hyperparameter, each once.
    """

    experiment: str
    source: Source
    published: str
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Script:
    """A command in one of the authors' scripts.

    Attributes:
      file: the script.
      launch: the lines that set the number of GPUs, separated by commas.
      gpus: number of GPUs.
      flags: line and value of each flag, by name; a flag with several values has one entry for each, such as
        "--opt_betas[0]".
    """

    file: str
    launch: str
    gpus: int
    flags: Mapping[str, tuple[int, str]]


def with_rows(rows: tuple[Row, ...], *others: Row) -> tuple[Row, ...]:
    """Replace rows by others of the same name, and append those with new names."""
    replaced = {row.name: row for row in rows} | {row.name: row for row in others}
    return tuple(replaced.values())


def cited(rows: tuple[Row, ...], file: str, lines: Mapping[str, str]) -> tuple[Row, ...]:
    """Change the citations of some rows.

    Args:
      file: the new file.
      lines: for the name of each row to change, its lines in `file`, separated by commas.
    """
    return tuple(
        dataclasses.replace(row, where=f"{file}:{lines[row.name]}") if row.name in lines else row for row in rows
    )


MIXED = "clips mixed together"  # name of the row for data.mix_group, in commands in which each GPU mixes its own clips


def command(defaults: tuple[Row, ...], script: Script, words: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a command: the defaults of its parser, overridden by the flags that it sets.

    Args:
      words: our value for theirs, such as "ssv2" for "SSV2", or for a flag with its value, such as "bfloat16" for
        "--bf16 True"; values not listed are equal in both.

    Raises:
      KeyError: for a flag without a row in `defaults`; that row would say what the flag means here.
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
    """The row of the number of videos per step: videos per GPU, times GPUs, times micro-batches."""
    row, micro = rows["--batch_size"], script.flags.get("--update_freq", (0, "1"))
    where, official = f"{row.where},{script.launch}", f"{row.official} x {script.gpus} GPUs"
    if micro != (0, "1"):
        where, official = f"{where},{micro[0]}", f"{official} x {micro[1]} micro-batches"
    return dataclasses.replace(
        row, where=where, official=official, value=int(row.official) * script.gpus * int(micro[1])
    )


def _mixed(rows: Mapping[str, Row]) -> Row:
    """The row of the number of clips that are mixed with each other: those of one GPU in one micro-batch."""
    where, sizes = rows["--batch_size"].where, rows["--batch_size"].official
    videos, clips = int(sizes.partition(" ")[0]), int(rows["--num_sample"].official)
    file, _, lines = where.partition(":")
    return dataclasses.replace(
        rows[MIXED],
        where=f"{file}:{lines.partition(',')[0]}",
        official=f"{videos} videos x {clips}",
        value=videos * clips,
    )
