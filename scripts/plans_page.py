"""docs/plans.md: how long published recipes take on a TPU slice, by the compiler's estimate.

    python scripts/plans_page.py [--compile videomae_k400:base ...] [--slice v5e:8x8 ...] [--no-flag] [--docs docs]

With --compile it plans these recipes as `vidjax compile --plan` does, each on every slice that it was not planned for
yet; that needs the extra `aot` and minutes for each. With --no-flag it compiles only the step that a run takes without
a flag. Plans go to plans.json beside the page as they are found and stay there; the page is made of them.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vidjax.config.official import RECIPES
from vidjax.errors import ConfigError, UserError, nearest
from vidjax.files import write_json, write_whole
from vidjax.main import read_config

SLICES = ("v5e:4x4", "v5e:8x8", "v5e:16x16", "v5p:4x4x4")
NOT_PLANNED = "not compiled"
# Training videos, rounded, of data sets whose number depends on what can still be downloaded.
VIDEOS = {"kinetics400": 240_000, "kinetics600": 390_000, "kinetics710": 650_000}
_HEAD = """# Plans

Made by `python scripts/plans_page.py`; do not edit. The hours of all steps of a published recipe on four slices, and
the share of the chips' peak in brackets, **by the TPU compiler's estimate**: good to a factor of two, measured on no
TPU, without evaluation, checkpoints and waiting for videos. Each is the fastest of the plans that
`vidjax compile --plan` tries, or the only one tried, without a flag; for {videos}.

What nobody has compiled yet says "{not_planned}", and {missing} of {all} published recipes have no row. To fill one:

```
pip install -e '.[aot]'
python scripts/plans_page.py --compile videomae_k400:base --slice v5e:8x8
```
"""
_EACH = """
## The plans

What to set beside the recipe, and what the step then costs. "No flag": nothing else was tried. Memory is the most that
a chip holds at once.
"""


def page(experiments: Iterable[str], plans: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page.

    Args:
      experiments: all published recipes, such as "videomae_k400:base".
      plans: by experiment and slice, what `plan` returns.
    """
    experiments = list(experiments)
    planned = [name for name in experiments if plans.get(name)]
    videos = ", ".join(f"{count:,} videos of {name}" for name, count in VIDEOS.items())
    head = _HEAD.format(
        not_planned=NOT_PLANNED, videos=videos, missing=len(experiments) - len(planned), all=len(experiments)
    )
    hours = [("recipe", *SLICES), ("---",) * (1 + len(SLICES))]
    hours += [(f"`{name}`", *(_hours(plans.get(name, {}).get(slice_)) for slice_ in SLICES)) for name in planned]
    headings = ("recipe", "slice", "set beside the recipe", "clips", "ms a step", "peak", "clips/s", "GB", "hours")
    each = [(*headings, "chip-hours", "compiled"), ("---",) * (2 + len(headings))]
    for name in planned:
        found = plans[name]
        each += [_line(name, slice_, found[slice_]) for slice_ in SLICES if "ms" in found.get(slice_, ())]
    return f"{head}\n{_table(hours)}{_EACH}\n{_table(each)}"


def plan(experiment: str, topology: str, *, no_flag: bool = False) -> dict[str, Any]:
    """The fastest plan of a recipe on a slice, or the one without a flag; why there is none, if nothing fits."""
    from datetime import UTC, datetime

    from vidjax.aot import llo_dump
    from vidjax.aot.compile_step import compile_step
    from vidjax.aot.planner import Plan, find_plans
    from vidjax.data.datasets import DATASETS
    from vidjax.training.plan import num_train_steps

    config = read_config([f"--config={experiment}"])
    videos = DATASETS.find(config.data.name).videos.get(config.data.train_split, VIDEOS.get(config.data.name))
    if not videos:
        raise ConfigError(f"how many videos {config.data.name} has is not known: add it to VIDEOS in {__file__}")
    with contextlib.ExitStack() as stack:
        dump = llo_dump.ask()
        if dump:
            stack.callback(shutil.rmtree, dump, ignore_errors=True)
        if no_flag:
            best = Plan({}, compile_step(config, topology, dump=dump), num_train_steps(config, videos))
            if not best.step.fits:
                return {"nothing": f"{best.step.needed_gb:.1f} GB a chip without a flag; nothing else was tried"}
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
        return NOT_PLANNED
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
    """Two or three digits."""
    return f"{hours:,.0f}" if hours >= 20 else f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile", nargs="+", default=[], metavar="RECIPE", help="recipes to plan; all: every one")
    parser.add_argument("--slice", nargs="+", default=SLICES, metavar="SLICE", help=f"of {' '.join(SLICES)}")
    parser.add_argument("--no-flag", action="store_true", help="compile the step without a flag, and no other plan")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of the page")
    args = parser.parse_args(words)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    experiments, results = [recipe.experiment for recipe in RECIPES], args.docs / "plans.json"
    asked = experiments if args.compile == ["all"] else args.compile
    for kind, names, known in (("recipe", asked, experiments), ("slice", args.slice, SLICES)):
        for name in names:
            if name not in known:
                raise ConfigError(f"{kind} {name!r} has no place on the page; {nearest(name, known)}")
    plans = json.loads(results.read_text()) if results.is_file() else {}
    for name in asked:
        for topology in args.slice:
            if topology not in plans.setdefault(name, {}):
                plans[name][topology] = plan(name, topology, no_flag=args.no_flag)
                write_json(results, plans)
                print(f"{name} on {topology}: {_hours(plans[name][topology])}", flush=True)
    write_whole(args.docs / "plans.md", page(experiments, plans))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
