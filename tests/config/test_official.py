"""Every published recipe has its authors' values, as listed in `vidjax.config.official`, or says why not."""

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
    "afew_va", "charades", "charades_caption", "coin", "contrastive_msrvtt", "finetune", "motion_align",
    "motion_caption", "motion_contrastive", "motion_families", "motion_finetune", "motion_multi_label",
    "motion_pretrain", "motion_probe", "motion_regression", "motion_svt", "motion_vjepa", "one_film", "pretrain",
    "probe_afew_va", "probe_coin", "probe_motion", "zero_shot_k400",
}  # fmt: skip
# Keys that do not affect what is learned: they set how fast a recipe trains, what is written when, or the user's paths.
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
        assert not row.key or row.key in keys() or row.key.startswith(("model.spec.", "data.mixture.")), row


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
    """By hand: 2 videos on each of 32 GPUs, twice per step, are 128; the videos of a GPU have 4 clips."""
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


def test_the_page_holds_every_row_of_every_recipe(configs):
    """Parsed here: rows of a family belong to all its recipes, other rows to the sizes that they name."""
    for recipe, told in zip(sorted(RECIPES, key=lambda each: each.experiment), read_page(), strict=True):
        experiment, published, rows = told
        assert (experiment, published) == (recipe.experiment, recipe.published)
        expected = set()
        for row in recipe.rows:
            ours = f"`{row.place}`" if row.place else "-"
            if row.key:
                value = resolved(configs[recipe.experiment], row.key)
                ours = f"`{row.key}={value!r}`" if value == "" else f"`{row.key}={value}`"
            where = f"{recipe.source.repository}/blob/{recipe.source.commit}/{row.where}"
            expected.add((row.name, where, row.official, ours, row.reason or "equal"))
        assert rows == expected, recipe.experiment


def read_page():
    """(experiment, published, rows) of each recipe on the page, in the order of their names."""
    text = PAGE.read_text()
    addresses = dict(re.findall(r"^\[(\d+)\]: (\S+)$", text, re.MULTILINE))

    def place(cell, script):
        if cell.startswith("script:"):
            return f"{script}:{cell.removeprefix('script:')}"
        name, lines, number = re.fullmatch(r"\[([^:\]]+)(?::([\d,]+))?\]\[(\d+)\]", cell).groups()
        assert addresses[number].endswith(f"/{name}")
        return f"{addresses[number]}:{lines}" if lines else addresses[number]

    def tables(part):
        found = [table.splitlines() for table in re.findall(r"(?:^\|.*\n)+", part, re.MULTILINE)]
        return [[[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]] for lines in found]

    def named(words, sizes):
        but = set(words.removeprefix("all except ").split(", "))
        return sizes if words == "all" else sizes - but if words.startswith("all except ") else but

    recipes = []
    for family in text.split("\n## ")[2:]:  # after the head and the summary of what differs
        head, *experiments = family.split("\n### ")
        shared = {
            (name.strip("`"), place(where, ""), *cells) for table in tables(head) for name, where, *cells in table
        }
        for experiment in experiments:
            about, rows = tables(experiment)
            sizes = {name.strip("`").partition(":")[2] for name, *_ in about}
            for name, published, script in about:
                size, own = name.strip("`").partition(":")[2], set(shared)
                for row, of, wheres, *cells in rows:
                    if size in named(of, sizes):
                        usual, *others = wheres.split("; ")
                        others = [other.split(": ") for other in others]
                        where = next((where for words, where in others if size in named(words, sizes)), usual)
                        own.add((row.strip("`"), place(where, place(script, "")), *cells))
                recipes.append((name.strip("`"), published, own))
    return sorted(recipes)
