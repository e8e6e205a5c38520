"""docs/plans.md: hours follow from each plan's figures, and cells are empty where nothing was compiled."""

import functools
import importlib.util
import json
import pathlib
import sys

import pytest

from vidjax.errors import ConfigError

ROOT = pathlib.Path(__file__).parents[1]
FITS = {
    "tried": "all", "kernel_ms": 20.0, "waited_ms": 4.0,
    "settings": {"mesh.fsdp": 8}, "chosen": {}, "clips": 2048, "chips": 64, "ms": 100.0, "peak": 0.45, "gb": 4.12,
    "hours": 50.0, "day": "2026-11-23",
}  # fmt: skip


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("plans_page", ROOT / "scripts" / "plans_page.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["plans_page"] = module  # dataclasses look up the types of their fields here
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_documentation_is_up_to_date(script, tmp_path):
    (tmp_path / "plans.json").write_text((ROOT / "docs" / "plans.json").read_text())
    assert script.main(["--docs", str(tmp_path)]) == 0
    page = (tmp_path / "plans.md").read_text()
    assert page == (ROOT / "docs" / "plans.md").read_text(), "run: python scripts/plans_page.py"


def test_each_recipe_lists_its_hours_where_it_was_compiled(script):
    plans = {"one": {"v5e:8x8": FITS, "v5e:4x4": {"nothing": "no plan fits"}, "v5p:4x4x4": FITS | {"hours": None}}}
    recipes = {
        "one": script.Recipe("a", 2048, 1, 1_800_000),
        "two": script.Recipe("b", 96, 1, 1_800_000, family="another"),
        "three": script.Recipe("a", 1024, 1, 1_800_000, known=False),
    }
    page, of_unknown_length = script.page(recipes, plans).split("## Recipes of unknown length")
    lines = page.splitlines()
    hours, each, unknown = (line for line in lines if line.startswith("| `one`"))
    assert hours == "| `one` | nothing fits | **50** (45%) | not compiled | fits; time unknown |"
    # 2048 clips in 100 ms are 20,480 per second; 50 hours on 64 chips are 3,200
    whole = "| `one` | v5e:8x8 | `mesh.fsdp=8` | 2048 | 100.0 | 45% | 20,480 | 4.1 | 50 | 3,200 | 2026-11-23 |"
    assert each == whole
    assert unknown.split(" | ")[-3:-1] == ["?", "?"]
    assert "1 of 3 published recipes were compiled" in page
    # 96 clips are 6 on each of 16 chips, and cannot be divided over 64 or 256
    assert [line for line in lines if "`two`" in line] == ["| `two` | not compiled | - | - | - |"]
    assert "`three`" not in page
    assert "\n| `three` | not compiled |" in of_unknown_length


def test_hours_of_a_similar_recipe_are_proportional_to_its_clips(script):
    recipes = {
        "one": script.Recipe("a", 2048, 1, 1_800_000),
        "half as long": script.Recipe("a", 1024, 1, 1_800_000),
        "other": script.Recipe("b", 2048, 1, 1_800_000),
        "clipped in groups": script.Recipe("a", 2048, 16, 1_800_000),
    }
    plans = {"one": {"v5e:8x8": FITS | {"settings": {}}}}  # 32 clips per chip in 100 ms

    def hours(name):
        return [script.in_proportion(name, slice_, recipes, plans) for slice_ in script.SLICES]

    # 128 clips per chip take 400 ms, so 1.8 million steps take 200 hours; 8 are a quarter of 32; v5p has no plan
    assert hours("one") == ["~200", "~50", "~12.5", ""]
    # 64 and 16 clips per chip; 4 are too few to extrapolate to from 32
    assert hours("half as long") == ["~100", "~25", "", ""]
    assert hours("clipped in groups") == ["~200", "~50", "", ""]  # 256 chips would have half a group each
    assert hours("other") == ["", "", "", ""]


def test_where_work_is_proportional_to_tokens_hours_follow_from_tokens(script):
    recipes = {
        "one": script.Recipe("a", 512, 8, 1_800_000, size=100),
        "half as long": script.Recipe("a", 512, 8, 1_800_000, size=50),
        "twice as long": script.Recipe("a", 512, 8, 1_800_000, size=200),
    }
    plans = {"one": {"v5e:8x8": FITS | {"settings": {}, "clips": 512}}}  # 8 clips of 100 tokens per chip in 100 ms
    assert script.in_proportion("half as long", "v5e:8x8", recipes, plans) == "~25"  # 50 ms per step
    assert script.in_proportion("half as long", "v5e:4x4", recipes, plans) == "~100"
    assert script.in_proportion("half as long", "v5e:16x16", recipes, plans) == ""  # 2 clips per chip
    # 8 clips of 200 tokens cannot be micro-batches of 800 tokens, because the kernels take 8 clips
    assert script.in_proportion("twice as long", "v5e:4x4", recipes, plans) == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("finetune_k400:huge", "finetune_k400:huge_v2", True),  # their decoders differ, which fine-tuning does not use
        ("timesformer_k400:base", "svt_finetune:k400", True),  # initial weights
        ("videomamba_breakfast:ti", "videomamba_lvu:like_ratio", True),  # classes and a number
        ("videomamba_k400:ti_f64", "videomamba_ssv2:ti_288", True),  # clip size
        ("videomae_k400:huge", "videomae_v2_k400:huge", False),  # decoders
        ("videomae_k400:base", "videomae_ucf101:base", False),  # share of hidden cubes
        ("timesformer_k400:base", "timesformer_k400:joint", False),  # attention
        ("svt_k400:base", "svt_k400:slow_fast", False),  # frames of the views
        ("videomamba_pretrain:middle", "videomamba_pretrain:middle_whole", False),
    ],
)
def test_recipes_are_of_one_kind_if_their_clips_cost_the_same(script, one, other, same):
    assert (script.recipe(one).kind == script.recipe(other).kind) is same


def test_hours_of_other_steps_follow_from_the_most_similar_share_of_the_peak(script):
    vit = functools.partial(script.Recipe, family="videomae", task="classification")
    recipes = {
        "compiled": vit("a", 640, 1, 3_600_000, width=768, flops=1e12),
        "wide": vit("b", 640, 1, 3_600_000, width=1024, flops=1e12),
        "other task": vit("c", 640, 1, 3_600_000, width=900, flops=1e12, task="masked_autoencoding"),
        "new": vit("d", 640, 1, 3_600_000, width=900, flops=2e12),
        "of another family": vit("e", 640, 1, 3_600_000, family="vivit", width=900, flops=1e12),
        "uneven": vit("f", 650, 1, 3_600_000, width=900, flops=1e12),
        "in groups": vit("g", 640, 1, 3_600_000, width=900, flops=2e12, clip_group=4),
    }
    found = {"settings": {}, "clips": 640, "chips": 64, "ms": 100.0}
    plans = {
        "compiled": {"v5e:8x8": FITS | found | {"peak": 0.25}},
        "wide": {"v5e:8x8": FITS | found | {"peak": 0.5}, "v5p:4x4x4": FITS | found | {"peak": 0.4}},
        "other task": {"v5e:8x8": FITS | found | {"peak": 0.1}},
    }

    def hours(name):
        return [script.by_share_of_peak(name, slice_, recipes, plans) for slice_ in script.SLICES]

    # 10 clips of 2e12 operations on each of 64 chips of 197e12 per second take 101.5 ms at the peak. The width 1024 is
    # nearer to 900 than 768 is, so the share is a half: 3.6 million steps take 203.0 hours. On a v5p of 459e12, a step
    # takes 43.6 ms at the peak and 108.9 at 40 % of it.
    assert hours("new") == ["≈812", "≈203", "", "≈109"]  # 640 clips are 2.5 on each of 256 chips
    assert hours("in groups") == ["≈812", "", "", ""]  # 10 clips per chip are no groups of 4; 40 are
    assert hours("of another family") == hours("uneven") == ["", "", "", ""]


def test_the_page_says_how_far_off_predictions_from_other_recipes_are(script):
    recipes = {
        "one": script.Recipe("a", 640, 1, 1000, family="videomae", width=768, flops=1e12),
        "two": script.Recipe("b", 640, 1, 1000, family="videomae", width=768, flops=1e12),
    }
    plans = {
        "one": {"v5e:8x8": FITS | {"settings": {}, "clips": 640, "ms": 100.0, "peak": 0.5}},
        "two": {"v5e:8x8": FITS | {"settings": {}, "clips": 640, "ms": 200.0, "peak": 0.25}},
    }
    # At the peak, 10 clips of 1e12 operations take 50.8 ms: "one" is predicted to take 203.0 ms, "two" 101.5 ms.
    assert "0.49 to 1.97 times as long, in the median 1.23" in script.page(recipes, plans)


def test_hours_are_not_taken_from_plans_with_other_settings(script):
    recipes = {"one": script.Recipe("a", 2048, 1, 1_800_000)}
    assert script.in_proportion("one", "v5e:4x4", recipes, {"one": {"v5e:8x8": FITS}}) == ""


def test_a_step_that_was_compiled_without_a_flag_is_not_called_the_best_of_several(script):
    settings = {"tried": "no flag", "settings": {}}
    recipes = {"one": script.Recipe("a", 2048, 1, 1_800_000)}
    page = script.page(recipes, {"one": {"v5e:4x4": FITS | settings, "v5e:8x8": FITS | {"settings": {}}}})
    assert [line.split(" | ")[2] for line in page.splitlines() if line.startswith("| `one` | v5e")] == [
        "no flag",
        "nothing",
    ]


def test_existing_plans_are_not_compiled_again(script, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(script, "plan", lambda *which, no_flag: asked.append((*which, no_flag)) or FITS)
    words = ["--docs", str(tmp_path), "--compile", "videomae_k400:base", "--slice"]
    assert script.main([*words, "v5e:8x8"]) == 0
    assert script.main([*words, "v5e:4x4", "v5e:8x8", "--no-flag"]) == 0
    assert asked == [("videomae_k400:base", "v5e:8x8", False), ("videomae_k400:base", "v5e:4x4", True)]
    assert set(json.loads((tmp_path / "plans.json").read_text())["videomae_k400:base"]) == {"v5e:8x8", "v5e:4x4"}


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["--compile", "videomae_k400:bas"], "did you mean 'videomae_k400:base'"), (["--slice", "v5e:8x9"], "'v5e:8x8'")],
)
def test_an_unknown_recipe_or_slice_is_answered_with_the_nearest(script, tmp_path, words, hint):
    with pytest.raises(ConfigError, match=hint):
        script.main(["--docs", str(tmp_path), *words])
