"""Damaged files of a run, a feature store or records: the damage is found, or the content is unchanged."""

import collections
import json
import shutil

import jax
import numpy as np
import pytest
from damage import WAYS, cut, damage, flip, grow, zero
from feature_files import write_store
from toy import ToyBatches, first_of
from toy_runs import losses, run
from videos import encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data import open_source
from vidjax.data.prepare import builder
from vidjax.data.prepare.codec import open_whole_index
from vidjax.errors import UserError, VideoError
from vidjax.evaluation.features.store import FeatureStore
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.mesh import make_mesh


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_damaged_checkpoint_is_noticed_and_the_previous_one_is_used(tmp_path, drill):
    """Damage any file of the newest checkpoint in any way."""
    run(tmp_path / "whole", optim__ema=0.9)  # checkpoints 4 and 8
    states = {}

    def restored(workdir):
        checkpoints, said = Checkpoints(workdir), []
        try:
            return *checkpoints.restore(SHAPES, lambda meta: None, said.append), said
        finally:
            checkpoints.close()

    SHAPES = shapes_of_run(tmp_path / "whole")
    for step in (8, 4):
        found, state, said = restored(tmp_path / "whole")
        assert (found, said) == (step, [])
        states[step] = first_of(state)
        if step == 8:
            (tmp_path / "whole" / "checkpoints" / "8").rename(tmp_path / "8")
    (tmp_path / "8").rename(tmp_path / "whole" / "checkpoints" / "8")
    outcomes = collections.Counter()
    for number in range(drill.tries(200)):
        workdir = shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
        there = files_of(workdir / "checkpoints" / "8")
        victim = there[drill.rng.integers(len(there))]
        done = f"{number}: {victim.relative_to(workdir)} {damage(victim, drill.rng)}"
        step, state, said = restored(workdir)
        assert jax.tree.all(jax.tree.map(np.array_equal, first_of(state), states[step])), done
        assert bool(said) == (step == 4), done
        outcomes["found" if said else "harmless"] += 1
        shutil.rmtree(workdir)
    drill.found("damaged checkpoint files", **outcomes, wrong=0)


def shapes_of_run(workdir):
    """The shapes and shardings of a toy run's state."""
    import toy

    from vidjax.training.optim import RunLength
    from vidjax.training.run_step import build_step

    config = toy.toy_config(optim__ema=0.9)
    mesh = make_mesh(config.mesh)
    with jax.set_mesh(mesh):
        return build_step(config, toy.ToyObjective(), RunLength(8), mesh).shapes


@pytest.mark.parametrize("ways", [(flip,), WAYS], ids=["flips", "any"])
def test_a_damaged_store_of_features_is_refused(tmp_path, drill, ways):
    rng = np.random.default_rng(0)
    arrays = {"pooled": rng.normal(size=(30, 8)), "token_mean": rng.normal(size=(30, 8))}
    whole = write_store(tmp_path / "whole", "train", arrays, names=["cat"])
    wanted = contents(whole)
    outcomes = collections.Counter()
    for number in range(drill.tries(100 if ways == (flip,) else 50)):
        folder = shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
        there = files_of(folder)
        victim = there[drill.rng.integers(len(there))]
        done = f"{number}: {victim.name} {damage(victim, drill.rng, ways)}"
        try:
            found = contents(FeatureStore.open(folder))
        except UserError:
            outcomes["found"] += 1
        else:
            assert found == wanted, done
            outcomes["harmless"] += 1
        shutil.rmtree(folder)
    drill.found(f"feature stores: {'flipped bits' if ways == (flip,) else 'any damage'}", **outcomes, wrong=0)


def contents(store):
    """The whole content of a store."""
    arrays = [store.array(name).tobytes() for name in store.header.arrays]
    return store.header.data, store.ids, store.reasons, store.labels.tolist(), store.groups.tolist(), arrays


def test_a_damaged_record_affects_only_its_own_video(tmp_path, drill):
    for number in range(12):
        path = tmp_path / f"videos/train/{'ab'[number % 2]}/{number:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(8, 32, 48, seed=number)))
    source = open_source(DataConfig(root=str(tmp_path / "videos")), "train")
    whole, _ = builder.prepare_records("folder", {"train": source}, tmp_path / "out")
    wanted = rows_of(whole)
    outcomes = collections.Counter()
    for number in range(drill.tries(100)):
        folder = shutil.copytree(whole, tmp_path / "damaged")
        shards = sorted(folder.glob("*.array_record*"))
        done = f"{number}: {flip(shards[drill.rng.integers(len(shards))], drill.rng)}"
        try:
            found = rows_of(folder)
        except UserError:
            outcomes["split_refused"] += 1
        else:
            wrong = [ours for ours, theirs in zip(found, wanted, strict=True) if ours and ours != theirs]
            assert not wrong, done
            outcomes["videos_refused" if None in found else "harmless"] += 1
        shutil.rmtree(folder)
    drill.found("prepared records: flipped bits", **outcomes, wrong=0)


def rows_of(folder):
    """The label, name and bytes of every record; None for a refused record."""
    source, found = open_source(DataConfig(root=str(folder)), "train"), []
    for index in range(len(source)):
        row = source[index]
        try:
            open_whole_index(row.video)
        except VideoError:
            found.append(None)
        else:
            found.append((row.label, row.id, bytes(row.video)))
    return found


STATE_FILES = (
    "checkpoints/scores.json", "metrics.jsonl", "quarantine.jsonl", "labels.json", "config.json", "results.json",
    "data.json", "history.jsonl", "report.md",
)  # fmt: skip


def test_a_run_with_damaged_small_files_resumes_or_says_what_to_do(tmp_path, drill):
    class Broken(ToyBatches):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs, broken=(3, 17))

    run(tmp_path / "whole", batches=Broken, train__steps=8)
    (tmp_path / "whole" / "checkpoints" / "scores.json").write_text('{"4": 0.5, "8": 0.25}')
    (tmp_path / "whole" / "labels.json").write_text('["a", "b", "c", "d"]')
    run(tmp_path / "longer", batches=Broken, train__steps=8)
    run(tmp_path / "longer", batches=Broken, train__steps=10)
    outcomes = collections.Counter()
    for number in range(drill.tries(100)):
        workdir = shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
        there = [workdir / name for name in STATE_FILES if (workdir / name).exists()]
        victim = there[drill.rng.integers(len(there))]
        done = f"{number}: {victim.relative_to(workdir)} {damage(victim, drill.rng, (flip, cut, zero, grow))}"
        print(done)  # shows the last damage if another error is raised
        try:
            run(workdir, batches=Broken, train__steps=10)
        except UserError:
            outcomes["refused_with_a_message"] += 1
        else:
            assert losses(workdir)[10] == losses(tmp_path / "longer")[10], done
            assert json.loads((workdir / "results.json").read_text())["train/steps"] == 10, done
            outcomes["continued"] += 1
        shutil.rmtree(workdir)
    drill.found("small files of a run: any damage", **outcomes, tracebacks=0)
