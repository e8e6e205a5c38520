"""Every published recipe holds its authors' values, or says why not; `vidjax.config.official` has them."""

import importlib
import json
import math
import pathlib
import re

import pytest

from vidjax.cli import main
from vidjax.cli.recipes_page import read, resolved
from vidjax.config import defaults, flatten, keys
from vidjax.config.official import RECIPES, Row
from vidjax.config.official.table import MIXED, Script, command

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "recipes.md"
# Our own experiments, and those published by others than a model's authors; each file names its sources.
OURS = {
    "afew_va", "charades", "charades_caption", "coin", "finetune", "motion_align", "motion_caption", "motion_families",
    "motion_finetune", "motion_multi_label", "motion_pretrain", "motion_regression", "motion_svt", "pretrain",
    "probe_afew_va", "probe_coin", "probe_motion",
}  # fmt: skip
# Keys that change how fast a recipe trains or what is written when, or name what the user chooses, but not what is
# learned.
NOT_LEARNED = {
    "task", "model.remat", "model.unroll", "data.cubes", "train.checkpoint_every", "train.eval_every",
}  # fmt: skip
NAMES = [recipe.experiment for recipe in RECIPES]


@pytest.fixture(scope="module")
def configs():
    """The configurations, read once."""
    return {recipe.experiment: read(recipe) for recipe in RECIPES}


def same(ours, theirs):
    if isinstance(theirs, tuple) and isinstance(ours, tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, int | float) and isinstance(ours, int | float) and not isinstance(theirs, bool):
        return math.isclose(ours, theirs, rel_tol=1e-9)
    return type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_a_recipe_holds_its_authors_values_or_says_why_not(recipe, configs):
    broken, stale = {}, {}
    for row in recipe.rows:
        if row.key:
            value = resolved(configs[recipe.experiment], row.key)
            if same(value, row.expected) and row.reason:
                stale[row.key] = row.reason
            if not same(value, row.expected) and not row.reason:
                broken[row.key] = f"{value!r}, but {row.where} has {row.expected!r}"
    assert not broken, "mend the configuration, or give the row a reason"
    assert not stale, "the values are equal: the reason goes"


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_a_recipe_sets_nothing_that_its_authors_are_not_cited_for(recipe, configs):
    cited = {row.key for row in recipe.rows}
    plain = dict(flatten(defaults().to_dict()))
    values = {key: resolved(configs[recipe.experiment], key) for key in plain if not key.startswith("model.spec")}
    spec = {f"model.spec.{field}" for field in configs[recipe.experiment].model.spec}
    changed = {key for key, value in values.items() if value != plain[key]} | spec
    assert changed - cited <= NOT_LEARNED


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_every_row_cites_a_line_and_names_a_key_or_the_code_or_a_reason(recipe):
    names = [row.name for row in recipe.rows]
    assert len(set(names)) == len(names)
    for row in recipe.rows:
        assert re.fullmatch(r"[\w./-]+:\d+(,\d+)*", row.where), row
        assert row.official, row
        assert row.key or row.place or row.reason, row
        assert not (row.key and row.place), row
        assert not row.key or row.key in keys() or row.key.startswith("model.spec."), row


def test_the_code_that_rows_name_exists():
    for place in {row.place for recipe in RECIPES for row in recipe.rows if row.place}:
        module, _, name = place.partition(":")
        assert hasattr(importlib.import_module(module), name), place


def test_every_size_of_every_published_experiment_has_a_recipe(capsys):
    assert main(["configs", "--json"]) == 0
    listed = [about for about in json.loads(capsys.readouterr().out) if about["name"] not in OURS]
    published = {f"{about['name']}:{size}" for about in listed for size in about["sizes"]}
    of_one_size = {about["name"] for about in listed if not about["sizes"]}
    there = {name for name in NAMES if name.partition(":")[0] not in of_one_size}
    assert published == there, "write its authors' values into vidjax/config/official, or name it in OURS"
    assert of_one_size <= {name.partition(":")[0] for name in NAMES}, "likewise"


def test_a_command_counts_gpus_and_micro_batches_and_mixes_within_a_gpu():
    """By hand: 2 videos on each of 32 GPUs, twice before a step, are 128; those of a GPU have 4 clips."""
    defaults = (
        Row("--batch_size", "run.py:1", "64", "data.global_batch"),
        Row("--update_freq", "run.py:2", "1", reason="counted"),
        Row("--num_sample", "run.py:3", "1", "data.clips_per_decode"),
        Row(MIXED, "run.py:4", "a GPU's", "data.mix_group"),
        Row("--lr", "run.py:5", "1e-3", "optim.base_lr"),
    )
    flags = {"--batch_size": (12, "2"), "--update_freq": (13, "2"), "--num_sample": (14, "2")}
    rows = {row.name: row for row in command(defaults, Script("go.sh", "11", 32, flags), {})}
    assert rows["--batch_size"].expected == 2 * 32 * 2
    assert rows["--batch_size"].where == "go.sh:12,11,13"
    assert (rows[MIXED].expected, rows[MIXED].where) == (4, "go.sh:12")
    assert (rows["--lr"].expected, rows["--lr"].where) == (1e-3, "run.py:5")
    with pytest.raises(KeyError, match="--unknown"):
        command(defaults, Script("go.sh", "11", 32, flags | {"--unknown": (15, "1")}), {})


def test_the_page_is_up_to_date(capsys):
    assert main(["configs", "--markdown"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(), "run: vidjax configs --markdown > docs/recipes.md"


def test_the_page_has_a_row_for_each_hyper_parameter_and_a_verdict_in_each():
    sections = PAGE.read_text().split("\n## ")[2:]  # after the head and the summary of what differs
    rows = [line.split("|")[1:-1] for section in sections for line in section.splitlines() if line.startswith("| ")]
    assert all(len(row) == 5 and row[4].strip() for row in rows)
    assert {row.name for recipe in RECIPES for row in recipe.rows} <= {row[0].strip(" `") for row in rows}
