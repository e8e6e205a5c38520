"""`vidjax models` lists every preset, for people, programs and the documentation."""

import json
import pathlib

import pytest

from vidjax.cli import main
from vidjax.models import FAMILIES, model_names

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs" / "models.md").read_text()


@pytest.mark.parametrize(
    "family", [*(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES if name != "vivit"), "vivit"]
)
def test_the_json_has_an_object_for_every_preset_of_a_family(family, capsys):
    assert main(["models", "--family", family, "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert [card["name"] for card in cards] == [name for name in model_names() if name.startswith(f"{family}_")]
    for card in cards:
        assert isinstance(card["params"], int)
        assert card["gmacs"] > 0
        for result in card["results"]:
            assert {"data", "top1", "top5", "clips", "crops", "stride", "num_frames", "source", "weights"} <= set(
                result
            )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_alone_is_listed_with_its_weights(family, capsys):
    assert main(["models", "--family", family]) == 0
    shown = capsys.readouterr().out
    for name in model_names():
        assert (name in shown) == name.startswith(f"{family}_")


def test_the_table_has_published_figures_and_hub_ids(capsys):
    assert main(["models", "--family", "videomae"]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.strip().startswith("videomae_small"))
    assert row.split() == ["videomae_small", "22.0M", "56.9", "16x4", "K400", "5x3", "79.0", "93.8"]
    assert "MCG-NJU/videomae-base-finetuned-kinetics" in shown


def test_a_family_with_texts_has_its_published_recalls(capsys):
    assert main(["models", "--family", "videoprism"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "MSR-VTT" in line]
    assert rows == [
        [f"videoprism_{size}", "MSR-VTT,", "1k-A", "50.1", back] for size, back in (("base", "49.8"), ("large", "50.6"))
    ]


def test_the_table_fits_a_terminal_of_80_columns_with_a_line_for_each_result(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["models", "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    table = shown.split("\n\n")[0].splitlines()[2:]
    published = [{json.dumps(result | {"weights": ""}) for result in card["results"]} for card in cards]
    assert len(table) == sum(max(1, len(results)) for results in published)


def test_the_page_of_the_documentation_is_up_to_date(page, capsys):
    assert main(["models", "--markdown"]) == 0
    assert capsys.readouterr().out == page, "run: vidjax models --markdown > docs/models.md"


def test_an_unknown_family_names_those_there_are(capsys):
    assert main(["models", "--family", "vit"]) == 2
    assert "--family='vit' is unknown; choose one of clip, timesformer, videomae" in capsys.readouterr().err
