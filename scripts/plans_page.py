"""Write docs/plans.md: how long published recipes take on a TPU slice, by the compiler's estimate.

    python scripts/plans_page.py [--compile videomae_k400:base ...] [--slice v5e:8x8 ...] [--no-flag] [--docs docs]

With --compile, the script plans the named recipes as `vidjax compile --plan` does, each on every slice that has no plan
yet. That needs the extra `aot` and takes minutes for each. With --no-flag, it compiles only the step of the recipe as
it is, without further settings. Plans are added to plans.json beside the page as they are found, and the page is
generated from that file.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import math
import os
import shutil
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vidjax.aot.topology import CHIPS
from vidjax.config import Config
from vidjax.config.official import RECIPES
from vidjax.errors import ConfigError, UserError, nearest
from vidjax.files import write_json, write_whole
from vidjax.main import read_config
from vidjax.models import family_of, preset
from vidjax.training.choices.platform import tokens_of

SLICES = ("v5e:4x4", "v5e:8x8", "v5e:16x16", "v5p:4x4x4")
NOT_PLANNED = "not compiled"
INDIVISIBLE = "-"
FAR = 4  # a compiled step with more than this many times the clips does not predict the time of a smaller one
SUPERVISED = (
    "classification",
    "multi_label",
    "least_squares",
    "regression",
    "action",
)  # differ in the head's loss only
ROWS = 8  # VideoMamba's kernels take multiples of this many clips
# Fields of a spec that change initial weights, or that a run replaces by its own keys.
START = ("num_frames", "image_size", "init_std", "resized_positions", "drop_path", "head_dropout", "remat", "unroll")
ASSUMED = 10_000  # training videos of data sets whose number is not published
# Rounded numbers of training videos, for data sets whose number depends on what can still be downloaded.
VIDEOS = {"kinetics400": 240_000, "kinetics600": 390_000, "kinetics710": 650_000}
_HEAD = """# Plans

Made by `python scripts/plans_page.py`; do not edit. The table gives the hours for all steps of a published recipe on
four slices and, in brackets, the share of the chips' peak. **All figures are the TPU compiler's estimates.** They may
be wrong by a factor of two, have not been checked on a TPU, and leave out evaluation, checkpoints and waiting for
videos. Bold figures are for the fastest of the plans that `vidjax compile --plan` tries or, where nothing else was
tried, for the recipe as it is ("no flag"). For Kinetics, the number of steps assumes {videos}.

"~" marks hours in proportion to a compiled step with the same work per clip on the same kind of chip: the same model,
clip size, optimiser and kind of task. Data sets, classes, strides and initial weights may differ, and so may the head's
loss in supervised tasks, and the decoder of a model that is fine-tuned. The recipe has at least a quarter of that
step's clips per chip. If the recipe has more clips per chip than that step, its clips count as several micro-batches of
that step's size. These hours ignore that a step with fewer clips uses a chip less well. VideoMamba's work grows with
the number of tokens, so its clips of other sizes count by their tokens. Its kernels take multiples of {rows} clips per
chip. A compiled step is therefore used only if each of its chips takes at least as many tokens as {rows} of the
recipe's clips have. Models with attention are not scaled to other clip sizes.

"≈" marks hours that assume the share of the peak of the most similar compiled step. That step is of the same model
family. Among the steps of a family, the kind of task counts first, then the model's width, the kind of chip, and the
operations per clip. The steps of these recipes were not compiled, so whether they fit in memory is not known. As a
check, each compiled step was predicted in this way from the steps of all other recipes{errors}.

"{indivisible}" marks slices whose number of chips does not evenly divide the clips of a step, or its groups of
optim.clip_group clips. {compiled} of {all} published recipes were compiled on at least one slice. To compile one:

```
pip install -e '.[aot]'
python scripts/plans_page.py --compile videomae_k400:base --slice v5e:8x8 --no-flag
```

Without `--no-flag`, the script tries all plans, each of which takes minutes.
"""
_REST = """
## Recipes of unknown length

We do not know how many training videos these recipes have. Hours for {videos:,} videos:

"""
_EACH = """
## The plans

The table gives the keys to set in addition to the recipe, and the cost of the step with them. "No flag" means that
only the unchanged recipe was tried. Memory (GB) is the most that a chip holds at once.
"""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The facts about a recipe that determine its hours.

    Attributes:
      kind: equal for recipes whose steps differ only in the number of clips, and in `size`.
      clips: clips per step, over all chips.
      group: the number of clips per chip must be a multiple of this.
      steps: steps of the whole recipe.
      size: the work of a clip in units that all recipes of the kind share: its tokens if the model's work is
        proportional to them, else 1.
      clip_group: optim.clip_group, which divides the number of clips per chip; 1 without it.
      family, task, width: the model's family and width, and the kind of task; all supervised tasks are of one kind.
      flops: floating-point operations of a clip, forward and backward.
      known: whether the number of steps is known; if not, it is for `ASSUMED` videos.
    """

    kind: str
    clips: int
    group: int
    steps: int
    size: int = 1
    clip_group: int = 1
    family: str = ""
    task: str = ""
    width: int = 1
    flops: float = 1.0
    known: bool = True


def page(recipes: Mapping[str, Recipe], plans: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the whole page.

    Args:
      recipes: all published recipes by experiment, such as "videomae_k400:base".
      plans: results of `plan` by experiment and slice.
    """
    planned = [name for name in recipes if plans.get(name)]
    videos = ", ".join(f"{count:,} videos of {name}" for name, count in VIDEOS.items())
    head = _HEAD.format(
        indivisible=INDIVISIBLE, videos=videos, compiled=len(planned), all=len(recipes), rows=ROWS,
        errors=_errors(recipes, plans),
    )  # fmt: skip

    def hours(known: bool) -> list[tuple[str, ...]]:
        chosen = [name for name in recipes if recipes[name].known == known]
        return [(f"`{name}`", *(_cell(name, slice_, recipes, plans) for slice_ in SLICES)) for name in chosen]

    heading = [("recipe", *SLICES), ("---",) * (1 + len(SLICES))]
    headings = ("recipe", "slice", "set in addition", "clips", "ms per step", "peak", "clips/s", "GB", "hours")
    each = [(*headings, "chip-hours", "compiled"), ("---",) * (2 + len(headings))]
    for name in planned:
        found = plans[name]
        each += [
            _line(name, slice_, found[slice_])
            for slice_ in dict.fromkeys((*SLICES, *found))
            if "ms" in found.get(slice_, ())
        ]
    page = f"{head}\n{_table(heading + hours(known=True))}{_EACH}\n{_table(each)}"
    return page + _REST.format(videos=ASSUMED) + _table(heading + hours(known=False))


def _cell(name: str, topology: str, recipes: Mapping[str, Recipe], plans: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the hours of a recipe on a slice, from the best source that there is."""
    return (
        _hours(plans.get(name, {}).get(topology))
        or in_proportion(name, topology, recipes, plans)
        or by_share_of_peak(name, topology, recipes, plans)
        or (INDIVISIBLE if not _divides(recipes[name], topology) else NOT_PLANNED)
    )


def _divides(recipe: Recipe, topology: str) -> bool:
    return recipe.clips % (_chips(topology) * recipe.group) == 0


def _chips(topology: str) -> int:
    return math.prod(map(int, topology.partition(":")[2].split("x")))


def recipe(experiment: str) -> Recipe:
    """Return the facts about a published recipe that determine its hours."""
    from vidjax.aot.compile_step import num_outputs
    from vidjax.tasks import build_objective
    from vidjax.training.plan import num_train_steps

    config = read_config([f"--config={experiment}"])
    clips = config.data.global_batch * config.data.clips_per_decode
    videos, group = num_videos(config), max(config.optim.clip_group, 1)
    family, _ = family_of(config.model.name)
    facts = {
        "clips": clips,
        "clip_group": group,
        "steps": num_train_steps(config, videos or ASSUMED),
        "known": bool(videos or config.train.steps),
        "family": family,
        "task": SUPERVISED[0] if config.task in SUPERVISED else config.task,
        "width": config.model.spec.get("width", preset(config.model.name).width),
        "flops": build_objective(config, num_outputs(config), total_steps=1000).train_flops_per_clip,
    }
    if config.task in SUPERVISED and family == "videomamba":
        return Recipe(json.dumps(_work(config)), group=math.lcm(group, ROWS), size=tokens_of(config), **facts)
    shape = [config.data.num_frames, config.data.image_size]
    return Recipe(json.dumps([*_work(config), *shape]), group=group, **facts)


def _work(config: Config) -> list[Any]:
    """Return what determines the work of a step, except for the number, length and size of its clips."""
    model = dataclasses.asdict(dataclasses.replace(config.model, drop_path=0.0, head_dropout=0.0))
    supervised = config.task in SUPERVISED
    spec = dataclasses.asdict(preset(model.pop("name"))) | model.pop("spec")
    spec = {
        key: value
        for key, value in spec.items()
        if key not in START and not (supervised and key.startswith("decoder_"))
    }
    views = [config.distill, config.data.global_views, config.data.local_views, config.data.local_size]
    of_task = {"self_distillation": views, "feature_alignment": [config.align], "distillation": [config.teacher]}
    of_task |= {"feature_prediction": [config.jepa], "attentive_probe": [config.probe]}
    others = [dataclasses.asdict(x) if dataclasses.is_dataclass(x) else x for x in of_task.get(config.task, ())]
    family, _ = family_of(config.model.name)
    return [SUPERVISED[0] if supervised else config.task, family, spec, model, others, config.optim.name]


def num_videos(config: Config) -> int | None:
    """Return the number of training videos of a recipe's data set, or None if it is not known."""
    from vidjax.data.datasets import DATASETS

    return DATASETS.find(config.data.name).videos.get(config.data.train_split, VIDEOS.get(config.data.name))


def in_proportion(
    name: str, topology: str, recipes: Mapping[str, Recipe], plans: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the hours of a recipe in proportion to the nearest compiled step of its kind; empty if none is near."""
    chip, chips, recipe = _chip(topology), _chips(topology), recipes[name]
    if not _divides(recipe, topology):
        return ""
    work = recipe.clips / chips * recipe.size
    like = [
        (found["clips"] / found["chips"] * recipes[other].size, found["ms"])
        for other, slices in plans.items()
        for slice_, found in slices.items()
        if other in recipes and recipes[other].kind == recipe.kind
        if slice_.startswith(f"{chip}:") and found.get("ms") and not found["settings"]
    ]
    # A micro-batch has at least one group of clips, so the compiled step must have as many.
    near = [
        (abs(math.log(work / size)), ms / size)
        for size, ms in like
        if work >= size / FAR and recipe.group * recipe.size <= size
    ]
    if not near:
        return ""
    _, ms_per_unit = min(near)
    return f"~{_figure(recipe.steps * work * ms_per_unit / 3.6e6)}"


def by_share_of_peak(
    name: str, topology: str, recipes: Mapping[str, Recipe], plans: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the hours of a recipe if it reached the same share of the peak as the most similar compiled step.

    The result is empty if its clips cannot be divided over the slice, or if no step of its family was compiled.
    """
    recipe = recipes[name]
    share = similar_share(recipe, topology, recipes, plans)
    if recipe.clips % (_chips(topology) * recipe.clip_group) or not share:
        return ""
    return f"≈{_figure(recipe.steps * step_ms(recipe, topology, share) / 3.6e6)}"


def step_ms(recipe: Recipe, topology: str, share: float) -> float:
    """Return the time of a step at a share of the chips' peak."""
    return 1e3 * recipe.flops * recipe.clips / (_chips(topology) * CHIPS[_chip(topology)].peak * share)


def similar_share(
    recipe: Recipe, topology: str, recipes: Mapping[str, Recipe], plans: Mapping[str, Mapping[str, Any]]
) -> float | None:
    """Return the share of the peak that the most similar compiled step of the recipe's family reaches."""

    def distance(other: Recipe, slice_: str) -> tuple[bool, float, bool, float]:
        """Compare the kind of task first, then the model's width, the kind of chip, and the work of a clip."""
        wider, harder = (abs(math.log(a / b)) for a, b in ((other.width, recipe.width), (other.flops, recipe.flops)))
        return other.task != recipe.task, wider, _chip(slice_) != _chip(topology), harder

    like = [
        (distance(recipes[other], slice_), found["peak"])
        for other, slices in plans.items()
        for slice_, found in slices.items()
        if other in recipes and recipes[other].family == recipe.family and found.get("peak") and not found["settings"]
    ]
    return min(like)[1] if like else None


def _errors(recipes: Mapping[str, Recipe], plans: Mapping[str, Mapping[str, Any]]) -> str:
    """Say how far compiled steps are from the times that the other recipes' shares of the peak predict for them."""
    ratios = []
    for name, slices in plans.items():
        others = {other: found for other, found in plans.items() if other != name}
        for slice_, found in slices.items():
            share = similar_share(recipes[name], slice_, recipes, others) if name in recipes else None
            if share and found.get("ms") and not found["settings"]:
                ratios.append(found["ms"] / step_ms(recipes[name], slice_, share))
    if not ratios:
        return ""
    low, typical, high = min(ratios), statistics.median(ratios), max(ratios)
    return (
        f": compared with this prediction, the compiler's estimate is {low:.2f} to {high:.2f} times as long, in the "
        f"median {typical:.2f}"
    )


def _chip(topology: str) -> str:
    return topology.partition(":")[0]


def plan(experiment: str, topology: str, *, no_flag: bool = False) -> dict[str, Any]:
    """Return the fastest plan of a recipe on a slice, or the plan without further settings; if nothing fits, why."""
    from datetime import UTC, datetime

    from vidjax.aot import llo_dump
    from vidjax.aot.compile_step import compile_step
    from vidjax.aot.planner import Plan, find_plans
    from vidjax.training.plan import num_train_steps

    config = read_config([f"--config={experiment}"])
    videos = num_videos(config)
    if not videos:
        raise ConfigError(f"the number of videos of {config.data.name} is not known; add it to VIDEOS in {__file__}")
    with contextlib.ExitStack() as stack:
        dump = llo_dump.ask()
        if dump:
            stack.callback(shutil.rmtree, dump, ignore_errors=True)
        if no_flag:
            best = Plan({}, compile_step(config, topology, dump=dump), num_train_steps(config, videos))
            if not best.step.fits:
                return {"nothing": f"{best.step.needed_gb:.1f} GB per chip without a flag; nothing else was tried"}
        else:
            try:
                best, *_ = find_plans(
                    config, topology, videos, lambda slice_: functools.partial(compile_step, topology=slice_, dump=dump)
                )
            except ConfigError as error:
                return {"nothing": str(error)}
    step, ms = best.step, best.step_ms
    return {
        "tried": "no flag" if no_flag else "all", "kernel_ms": step.kernel_ms, "waited_ms": step.waited_ms,
        "settings": best.settings, "chosen": step.chosen, "clips": step.clips, "chips": step.chips, "ms": ms,
        "peak": None if ms is None else step.ideal_ms / ms, "gb": step.needed_gb, "hours": best.hours,
        "day": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip


def _hours(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    if "nothing" in found:
        return "nothing fits"
    if found["hours"] is None:
        return "fits; time unknown"
    return f"**{_figure(found['hours'])}** ({found['peak']:.0%})"


def _line(name: str, topology: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    settings = " ".join(f"`{key}={value}`" for key, value in found["settings"].items())
    settings = settings or ("no flag" if found["tried"] == "no flag" else "nothing")
    ms, hours = found["ms"], found["hours"]
    timed = ("?",) * 3 if ms is None else (f"{ms:.1f}", f"{found['peak']:.0%}", f"{1e3 * found['clips'] / ms:,.0f}")
    spent = ("?", "?") if hours is None else (_figure(hours), f"{hours * found['chips']:,.0f}")
    return (f"`{name}`", topology, settings, str(found["clips"]), *timed, f"{found['gb']:.1f}", *spent, found["day"])


def _figure(hours: float) -> str:
    """Format hours with more decimals for smaller values, from none (20 or more) to three (below 0.01)."""
    digits = 0 if hours >= 20 else 1 if hours >= 1 else 2 if hours >= 0.01 else 3
    return f"{hours:,.{digits}f}"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile", nargs="+", default=[], metavar="RECIPE", help="recipes to plan, or all")
    parser.add_argument("--slice", nargs="+", default=SLICES, metavar="SLICE", help=f"among {' '.join(SLICES)}")
    parser.add_argument("--no-flag", action="store_true", help="compile only the recipe as it is")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of the page")
    args = parser.parse_args(words)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    experiments, results = [recipe.experiment for recipe in RECIPES], args.docs / "plans.json"
    asked = experiments if args.compile == ["all"] else args.compile
    for kind, names, known in (("recipe", asked, experiments), ("slice", args.slice, SLICES)):
        for name in names:
            if name not in known:
                raise ConfigError(f"{kind} {name!r} is not on the page; {nearest(name, known)}")
    plans = json.loads(results.read_text()) if results.is_file() else {}
    for name in asked:
        for topology in args.slice:
            if topology not in plans.setdefault(name, {}):
                plans[name][topology] = plan(name, topology, no_flag=args.no_flag)
                write_json(results, plans)
                print(f"{name} on {topology}: {_hours(plans[name][topology])}", flush=True)
    write_whole(args.docs / "plans.md", page({name: recipe(name) for name in experiments}, plans))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
