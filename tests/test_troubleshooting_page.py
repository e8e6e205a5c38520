"""docs/troubleshooting.md: each symptom is a message of the code, with a cause and a remedy."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
ENTRIES = re.findall(r"^### `(.+)`$\n\n\*\*Cause\.\*\* .+\n(?:.+\n)*\n\*\*Remedy\.\*\* .+$", PAGE, re.MULTILINE)


def messages() -> str:
    """Every string of the package, one per line, with a mark in place of each filled-in value."""
    found = []
    for path in (ROOT / "vidjax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


@pytest.fixture(scope="module")
def said():
    return messages()


def test_every_symptom_has_a_cause_and_a_remedy():
    assert len(ENTRIES) == PAGE.count("\n### ") >= 30


@pytest.mark.parametrize("symptom", ENTRIES)
def test_the_code_says_it(symptom, said):
    parts = [re.escape(part) for part in symptom.split("...")]
    assert re.search("[^\n]*".join(parts), said), "no message of vidjax has these words in this order"
