"""The commands and Python blocks of README.md and docs/, with how each is tested, which a comment above it says:

    <!-- run -->                              by tests/test_documented.py, in the order of the page
    <!-- run; slow; with train.steps=20 -->   also: `exit 0 or 2`, `output as shown`
    <!-- run by tests/cli/test_quickstart.py -->
    <!-- not run: why -->

A comment before the first heading holds for all blocks of its page that have none. `python tests/helpers/documented.py`
prints the counts.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parents[2]
_FENCE = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>[^\n]+) -->\n)?^(?P<indent>[ ]*)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
# Pages that a program writes, whose comments would be lost.
_GENERATED = {
    "docs/configuration.md": "not run: a pattern",
    "docs/experiments.md": "not run: a pattern",
    "docs/plans.md": "not run: compiles for a TPU with libtpu; tests/aot compiles smaller steps",
    "docs/public-weights.md": "not run: a pattern, for data sets and public weights",
}
_COMMAND = re.compile(r"^(?:vidjax|python|make|pip|gcloud|git) ", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block that holds commands or Python.

    Attributes:
      page: path below the repository.
      line: of its fence.
      mark: what the comment above it, or that of its page, says; empty without one.
      kind: "python" or "commands".
      text: of the block.
    """

    page: str
    line: int
    mark: str
    kind: str
    text: str

    @property
    def how(self) -> str:
        """The first word or two of the mark: "run", "run by" or "not run"."""
        return next((how for how in ("not run", "run by", "run") if self.mark.startswith(how)), "")

    @property
    def detail(self) -> str:
        """The rest of the mark: the test, or the reason."""
        return self.mark.removeprefix(self.how).lstrip(":; ")

    @property
    def options(self) -> dict[str, str]:
        """What follows `run`, by the first word of each part."""
        return {word: rest for word, _, rest in (part.strip().partition(" ") for part in self.detail.split(";"))}

    def commands(self) -> list[tuple[str, str]]:
        """Each command of the block with the output that is shown for it."""
        found, shown = [], "$ " in self.text
        lines = iter(self.text.splitlines())
        for line in lines:
            if shown and not line.startswith("$ "):
                if found:
                    found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
                continue
            command = line.removeprefix("$ ") if shown else line.strip()
            while command.endswith("\\"):
                command = f"{command[:-1].rstrip()} {next(lines).strip()}"
            if "<< EOF" in command:
                while not command.endswith("\nEOF"):
                    command += f"\n{next(lines)}"
            if command and not command.startswith("#"):
                found.append((command, ""))
        return found

    def __len__(self):
        return 1 if self.kind == "python" else len(self.commands())


def blocks(page: pathlib.Path) -> list[Block]:
    """The blocks of a page, from top to bottom."""
    text, name = page.read_text(), page.relative_to(ROOT).as_posix()
    of_page = re.match(r"<!-- (run by .+|not run: .+) -->\n", text)
    found = []
    for match in _FENCE.finditer(text):
        kind, body = match["kind"], match["text"]
        if (
            kind == "python"
            or kind == "bash"
            or (not kind and (re.search(r"^\$ ", body, re.MULTILINE) or _COMMAND.match(body)))
        ):
            mark = match["mark"] or (of_page[1] if of_page else _GENERATED.get(name, ""))
            line = text[: match.start("kind")].count("\n") + 1
            found.append(Block(name, line, mark, "python" if kind == "python" else "commands", body))
    return found


def pages() -> dict[str, list[Block]]:
    """The blocks of every page that has any, by its path."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): found for path in paths if (found := blocks(path))}


def words(command: str) -> list[str] | None:
    """A command as words, without comments; None if it takes a shell: a pipe, a redirection, several commands."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    return None if any(set(word) <= set("();<>|&") for word in lexer) else shlex.split(command, comments=True)


def counts() -> str:
    """A table of all blocks: how many commands and Python blocks are tested, and why others are not."""
    every = [block for found in pages().values() for block in found]
    tally: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for block in every:
        slow = ", slow" if "slow" in block.options else ""
        how = f"{block.how}{slow}" if block.how == "run" else f"{block.how}: {block.detail}"
        tally[how][block.kind] += len(block)
    total = collections.Counter()
    for count in tally.values():
        total.update(count)
    return "\n".join(f"{how}: {_counted(count)}" for how, count in (*sorted(tally.items()), ("all", total)))


def _counted(count: collections.Counter) -> str:
    kinds = (("command", count["commands"]), ("Python block", count["python"]))
    return ", ".join(f"{number} {name}{'s' * (number != 1)}" for name, number in kinds if number)


if __name__ == "__main__":
    print(counts())
