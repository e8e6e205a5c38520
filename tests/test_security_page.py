"""docs/security.md: the tests that it names exist, and its figures are those of the code."""

import ast
import pathlib
import re

import pytest

from vidjax.cli.verbs import demo
from vidjax.data.video import checked_file, container, packet_index, pictures, strangers
from vidjax.demo import limits, serving, uploads
from vidjax.training import quarantine

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", PAGE)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_that_the_page_names_exists(path, name):
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_of_what_never_runs_and_of_limits_names_a_test():
    for title in ("What never runs", "Limits"):
        table = PAGE.split(f"## {title}")[1].split("## ")[0]
        rows = [line for line in table.splitlines() if line.startswith("|")][2:]
        assert len(rows) > 4
        assert [row for row in rows if "::test_" not in row] == []


def test_the_limits_are_those_of_the_code():
    assert "8192 x 8192 pixels" in PAGE
    assert container.MAX_PIXELS == 8192 * 8192
    assert "8 GiB" in PAGE
    assert pictures.MAX_READ_BYTES == 8 << 30
    assert "128 MiB" in PAGE
    assert packet_index.KEEP_BYTES == checked_file.IN_MEMORY == 128 << 20
    assert f"| {quarantine.LIMIT}, or {100 * quarantine.SHARE:.0f} % of all videos if that is more" in PAGE
    assert f"{limits.Limits.megabytes} MiB and {limits.Limits.seconds} seconds per video" in PAGE
    assert "3840 x 2160 pixels, one video at a time, 16 waiting" in PAGE
    assert "an hour after" in PAGE
    assert (strangers.PIXELS, serving.WAITING, uploads.KEPT) == (3840 * 2160, 16, 3600)
    assert f"at least {demo.SHORTEST} characters from the environment variable `{demo.PASSWORD}`" in PAGE


def test_the_readme_and_contributing_lead_to_the_page():
    assert "docs/security.md" in (ROOT / "README.md").read_text()
    assert "docs/security.md" in (ROOT / "CONTRIBUTING.md").read_text()
