"""Check the citations of docs/recipes.md against clones of the authors' repositories.

    python scripts/check_official.py CLONE...

Every file and line that a recipe cites must exist at its commit. The line of a flag must have its value (unless that is
True or False) and, if ours is equal, the flag's name. The line of a published accuracy must have its figures. The
script prints the citations that fail, and exits with code 1 if there are any.
"""

import functools
import re
import subprocess
import sys

from vidjax.config.official import RECIPES


@functools.cache
def lines_of(commit: str, file: str) -> tuple[str, ...]:
    """Return the lines of a file at a commit, from the first clone that has it; empty if no clone has."""
    for clone in sys.argv[1:]:
        shown = subprocess.run(["git", "-C", clone, "show", f"{commit}:{file}"], capture_output=True, text=True)
        if shown.returncode == 0:
            return tuple(shown.stdout.splitlines())
    return ()


def cited(commit: str, where: str) -> str | None:
    """Return the text of the cited lines; None if one of them does not exist or is blank."""
    file, _, numbers = where.partition(":")
    lines = lines_of(commit, file)
    found = [lines[int(number) - 1] if int(number) <= len(lines) else "" for number in numbers.split(",")]
    return "\n".join(found) if all(map(str.strip, found)) else None


def complaint(recipe, row) -> str:
    """Describe the error in the citation of a row; empty if there is none."""
    text = cited(recipe.source.commit, row.where)
    if text is None:
        return "no such line"
    flag = re.match(r"-*[\w.]+", row.name)
    if row.name.startswith("--") and flag and flag[0] not in text and not row.reason:
        return f"{row.name} is not in {text.strip()!r}"
    value = row.official.split(" x ")[0]
    if row.name.startswith("--") and value not in text and value not in ("True", "False"):
        return f"{value} is not in {text.strip()!r}"
    return ""


def wrong_figures(recipe) -> list[str]:
    """Describe the published figures that are not on the cited lines."""
    figures, _, place = recipe.published.partition(" (")
    where = place.partition(")")[0]
    if not re.fullmatch(r"\S+:\d+", where):
        return []  # from a paper
    text = cited(recipe.source.commit, where) or ""
    return [f"{number} is not at {where}" for number in re.findall(r"\d+\.\d", figures) if number not in text]


def main() -> int:
    """Check all recipes."""
    failed, checked = set(), set()
    for recipe in RECIPES:
        failed |= {f"{recipe.experiment}: {said}" for said in wrong_figures(recipe)}
        for row in recipe.rows:
            checked.add((row.name, row.where))
            if said := complaint(recipe, row):
                failed.add(f"{recipe.experiment}: {row.where}: {said}")
    print("\n".join(sorted(failed)) or f"{len(checked)} citations hold")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
