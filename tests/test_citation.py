"""CITATION.cff names the papers of the models, and the version that is installed."""

import re
from pathlib import Path

import yaml

import vidjax

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_every_paper_that_the_readme_names_for_a_family_is_cited():
    readme = (ROOT / "README.md").read_text()
    [families] = re.findall(r"^- \*\*Eight families.*?(?=^- )", readme, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"arxiv\.org/abs/(\d{4}\.\d{5})", families))
    cited = {paper["identifiers"][0]["value"].removeprefix("arXiv:") for paper in CITATION["references"]}
    assert len(named) == 9  # VideoMAE V2 has a paper of its own
    assert named <= cited


def test_the_version_is_that_of_the_package():
    assert CITATION["version"] == vidjax.__version__


def test_each_reference_has_a_title_a_year_and_authors():
    for paper in CITATION["references"]:
        assert paper["title"]
        assert 2017 < paper["year"] < 2030
        assert all(set(author) == {"family-names", "given-names"} for author in paper["authors"])
