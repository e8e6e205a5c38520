"""docs/configuration.md: every key of a run with its type, range, default and meaning, as in the schema."""

import dataclasses
import importlib.util
import pathlib
from typing import Annotated, Literal

import pytest

from vidjax import config as config_lib
from vidjax.config.types import AtLeast, Auto, Changeable

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("configuration_page", ROOT / "scripts" / "configuration_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclasses.dataclass(frozen=True)
class Miniature:
    """A section."""

    # Above the key,
    # on two lines.
    above: Annotated[int, AtLeast(2), Auto(0)] = 5
    beside: tuple[float, ...] = ()  # beside it | with a bar
    choice: Annotated[Literal["", "one"], Changeable("it is seen")] = "one"  # one: the only one


def test_the_page_of_the_documentation_is_up_to_date(script):
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert script.page() == page, "run: python scripts/configuration_page.py"


def test_every_key_has_a_row_with_a_meaning(script):
    rows = [line.split(" | ") for line in script.page().splitlines() if line.startswith("| `")]
    meanings = {row[0].strip("| `"): row[3] for row in rows}
    mixed = dataclasses.replace(config_lib.DataConfig(), mixture={"NAME": config_lib.SourceConfig()})
    config = dataclasses.replace(config_lib.Config(), data=mixed)
    keys = {key for key, _ in config_lib.flatten(dataclasses.asdict(config))}
    assert set(meanings) == keys | {"model.spec", "teacher.spec", "data.mixture"}
    assert not [key for key, meaning in meanings.items() if len(meaning.split()) < 2]


def test_a_row_holds_what_type_and_comment_say(script, monkeypatch):
    monkeypatch.setattr(script, "choices", lambda key: {"own.choice": ("", "one")}.get(key, ()))
    assert script.table(Miniature, "own.", None)[2:] == [
        "| `own.above` | integer, at least 2 | `5`; `0`: *chosen* | Above the key, on two lines. |  |",
        "| `own.beside` | numbers | empty | Beside it \\| with a bar. |  |",
        "| `own.choice` | empty, `one` | `one` | one: the only one. When it changes on resume, it is seen. | yes |",
    ]


def test_a_section_that_may_change_lets_its_keys_change(script):
    rows = script.table(config_lib.EvalConfig, "eval.", Annotated[config_lib.EvalConfig, Changeable()])
    assert all(row.endswith("| yes |") for row in rows[2:])
    assert len(rows) > 2
