"""docs/public-weights.md: a row for every public checkpoint, and figures only where somebody has measured them."""

import importlib.util
import json
import pathlib

import pytest

from vidjax.cli.verbs.models import describe_all
from vidjax.data.datasets import DATASETS

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("public_weights_page", ROOT / "scripts" / "public_weights_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row_of(folder, weights):
    lines = (folder / "public-weights.md").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"| `{weights}` |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_of_the_documentation_is_up_to_date(script, tmp_path):
    if (ROOT / "docs" / "public-weights.json").is_file():
        (tmp_path / "public-weights.json").write_text((ROOT / "docs" / "public-weights.json").read_text())
    assert script.main(["--docs", str(tmp_path)]) == 0
    page = (tmp_path / "public-weights.md").read_text()
    assert page == (ROOT / "docs" / "public-weights.md").read_text(), "run: python scripts/public_weights_page.py"


def test_every_checkpoint_that_is_named_has_a_row_and_its_data_set_can_be_read(script, tmp_path):
    assert script.main(["--docs", str(tmp_path)]) == 0
    page = (tmp_path / "public-weights.md").read_text()
    for card in describe_all():
        for found in (*card["results"], *card["pretrained"]):
            assert not found["weights"] or f"| `{found['weights']}` |" in page
    assert set(script.DATA.values()) <= set(DATASETS)


def test_an_evaluation_and_a_comparison_fill_their_cells_and_stay(script, tmp_path):
    weights = "facebook/timesformer-base-finetuned-ssv2"
    scored, compared, docs = tmp_path / "scored", tmp_path / "compared", tmp_path / "docs"
    for folder in (scored, compared, docs):
        folder.mkdir()
    found = {"eval/top1": 0.5912, "eval/top5": 0.8561, "eval/num_scored": 24777, "eval/weights": weights}
    (scored / "results.json").write_text(json.dumps(found))
    rows = [
        {"name": weights, "compared": "all 174 logits", "largest": 1.2e-6, "limit": 2e-4, "verdict": "equal"},
        {"name": "MCG-NJU/videomae-base", "compared": "no such model", "largest": None, "verdict": "not had"},
    ]
    (compared / "table.json").write_text(json.dumps(rows))
    assert script.main([str(scored), str(compared), "--docs", str(docs)]) == 0
    assert script.main(["--docs", str(docs)]) == 0
    row = row_of(docs, weights)
    assert row[1:3] == ["Something-Something v2", "`ssv2`"]
    assert row[4:7] == ["1x3", "segment_middle, bilinear, BGR, last epoch", "59.1 / 85.6"]
    assert row[8:] == ["59.12 / 85.61, 24777 videos", "equal (all 174 logits: 1.2e-06)"]
    assert row_of(docs, "MCG-NJU/videomae-base")[-2:] == ["-", "not had (no such model)"]
    assert row_of(docs, "google/vivit-b-16x2-kinetics400")[-2:] == ["not run by us"] * 2


def test_a_users_own_run_is_refused(script, tmp_path, capsys):
    (tmp_path / "results.json").write_text(json.dumps({"eval/top1": 0.9}))
    assert script.main([str(tmp_path), "--docs", str(tmp_path)]) == 2
    assert "the page has only those of public weights" in capsys.readouterr().err
    assert script.main([str(tmp_path / "gone"), "--docs", str(tmp_path)]) == 2
