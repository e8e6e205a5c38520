"""The smoke run of every published experiment learns: on sixteen videos, its loss falls within thirty steps."""

import json

import numpy as np
import pytest
from shipped import read

from vidjax.config.official import RECIPES
from vidjax.data import motion_videos
from vidjax.training import loop

ENDS = 5  # steps whose losses are averaged, at each end of the run
FALL = 0.02  # of the first loss: a classifier starts at log(8), within 0.3 %, and all classes are equally frequent
# Sizes whose smoke runs differ from the others: another attention, a teacher's layers, another loss.
VARIANTS = {
    "timesformer_k400:joint", "timesformer_k400:space_only", "videomamba_lvu:like_ratio",
    "videomamba_pretrain:middle_whole",
}  # fmt: skip
ANNOTATED = ("vivit_epic_kitchens", "videomamba_lvu:like_ratio")  # need actions and velocities, which only motion has
# The loss of self-distillation rises first, because its centre moves; test_svt_recipes.py tests the learned features.
UNFIT = "svt_k400:base"


def runs():
    """The first size of each experiment and repository, plus the variants."""
    first = {(each.experiment.partition(":")[0], each.source.title): each.experiment for each in reversed(RECIPES)}
    return sorted({*first.values(), *VARIANTS} - {UNFIT})


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "motion"
    return motion_videos.prepare(str(folder), motion_videos.MotionSpec(train_videos=16, val_videos=8, test_videos=0))


@pytest.mark.slow
@pytest.mark.parametrize("experiment", runs())
def test_the_smoke_run_learns(experiment, videos, tmp_path, monkeypatch):
    name, _, size = experiment.partition(":")
    data = "motion" if experiment.startswith(ANNOTATED) else "folder"
    monkeypatch.setattr("vidjax.data.datasets.motion.write_videos", lambda root, split: root)
    changes = {"data__name": data, "data__root": videos, "train__log_every": 1, "train__checkpoint_every": 1000}
    loop.train(read(name, ",".join(filter(None, (size, "smoke"))), **changes), tmp_path)
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    losses = [line["train/loss"] for line in lines if "train/loss" in line]
    begins, ends = np.mean(losses[:ENDS]), np.mean(losses[-ENDS:])
    print(f"{experiment}: {begins:.3f} to {ends:.3f} in {len(losses)} steps")
    assert ends < begins * (1 - FALL)
