"""The teacher of a distillation: read from a run, complete, in half precision, and never written again."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest
import random_runs
import small_steps
from small_steps import CLASSES, batch_of

import vidjax
import vidjax.main
from vidjax.config import MeshConfig
from vidjax.errors import ConfigError, DataError
from vidjax.models.param_paths import flatten
from vidjax.objectives.base import FIXED
from vidjax.tasks import build_objective
from vidjax.training import loop
from vidjax.training.choices.teacher import check_classes, name_teacher
from vidjax.training.init.parts import init_parts
from vidjax.training.mesh import batch_sharding, global_batch, make_mesh
from vidjax.training.optim import RunLength
from vidjax.training.run_step import build_step
from vidjax.training.state import init_state

NAMES = ("fly", "run", "sit")


def of_teacher(**changes):
    keys = {"model.name": "timesformer_tiny", "model.spec.tubelet_size": 2}
    return small_steps.config_of(keys, **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return random_runs.write_run(tmp_path_factory.mktemp("teacher") / "run", of_teacher(), CLASSES, NAMES)


def of_student(weights, **changes):
    keys = {"task": "distillation", "model.name": "videomae_tiny", "teacher.weights": str(weights)}
    return small_steps.config_of(keys, **changes)


def initial(config):
    """The teacher as a run starts with it, and what is said of it."""
    config = name_teacher(config)
    objective = build_objective(config, CLASSES)
    drawn = jax.jit(lambda: objective.init(jax.random.key(0), {})[1][FIXED])()
    return *init_parts(drawn, config, objective.fixed_parts), objective


def test_the_model_of_a_run_needs_no_name_and_answers_as_for_its_users(run):
    fixed, [said], objective = initial(of_student(run))
    model = vidjax.from_pretrained(run)
    assert objective.teacher.spec.differences(model.spec) == {}
    clips = batch_of(0)["video"]
    ours = objective.teacher.apply({"params": fixed["teacher"]}, objective.normalized(clips))["logits"]
    np.testing.assert_allclose(ours, model(clips)["logits"], atol=1e-5)  # both in float32, compiled differently
    assert said.startswith(f"teacher: parameters of {run}; checkpoint 0 of ")


def test_an_experiment_that_leaves_the_model_open_finds_the_teacher_too(run, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(loop, "train", lambda config, workdir: seen.append(config) or {})
    words = ["--config=finetune", f"--config.init_from={run}", "--config.task=distillation"]
    words += [f"--config.teacher.weights={run}", f"--workdir={tmp_path / 'student'}"]
    assert vidjax.main.run(["vidjax", *words]) == 0
    assert (seen[0].model.name, seen[0].teacher.name) == ("timesformer_tiny", "timesformer_tiny")
    assert seen[0].teacher.spec == of_teacher().model.spec


def test_a_backbone_teaches_tokens_without_its_head(run):
    changes = {"teacher__logit_weight": 0.0, "teacher__label_weight": 1.0, "teacher__token_weight": 1.0}
    fixed, _, _ = initial(of_student(run, **changes))
    assert set(fixed["teacher"]) == {"encoder"}


@pytest.mark.parametrize(
    ("of_run", "changes", "sentence"),
    [
        ({}, {"data__num_frames": 4}, "takes clips of 2 frames of 16 x 16 pixels, but would get 4 frames of 16 x 16; "
         "set data.num_frames=2 and teacher.image_size=16"),
        ({}, {"teacher__name": "videomamba_tiny"}, "holds a TimeSformer, but config.teacher.name='videomamba_tiny' is"),
        ({}, {"teacher__name": "timesformer_base"}, "does not fit config.teacher.name='timesformer_base': encoder/"),
        ({"classes": 5}, {}, "has 5 classes, but the data has 3; name a teacher with these classes, or learn from its "
         "tokens with teacher.logit_weight=0"),
        ({"classes": 0}, {}, "has no classes, but the data has 3"),
    ],
)  # fmt: skip
def test_another_teacher_is_refused_in_one_sentence(run, tmp_path, of_run, changes, sentence):
    if of_run:
        run = random_runs.write_run(tmp_path / "run", of_teacher(), of_run["classes"])
    with pytest.raises(ConfigError, match=re.escape(sentence)) as caught:
        initial(of_student(run, **changes))
    assert str(caught.value).startswith("config.teacher.weights=")
    assert "\n" not in str(caught.value)


def test_a_missing_teacher_is_refused_before_anything_is_built(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.teacher\.weights: .*no-such-run"):
        name_teacher(of_student(tmp_path / "no-such-run"))
    scored = dataclasses.replace(of_student(tmp_path / "no-such-run"), mode="evaluate")
    assert name_teacher(scored) == scored  # scoring needs no teacher


def test_classes_with_other_names_are_refused(run):
    check_classes(of_student(run), NAMES)
    check_classes(of_student(run), None)  # data without names
    with pytest.raises(DataError, match=r"class 1 is 'run' in .*labels.json and 'sit' in the data; the teacher's"):
        check_classes(of_student(run), ("fly", "sit", "run"))
    check_classes(of_student(run, teacher__logit_weight=0.0), ("fly", "sit", "run"))


# On several devices of a CPU, XLA cannot compile sums in bfloat16 (AllReducePromotion aborts).
@pytest.mark.parametrize(("devices", "dtype"), [(1, "bfloat16"), pytest.param(4, "float32", marks=pytest.mark.slow)])
def test_the_optimiser_holds_nothing_of_the_teacher_and_steps_leave_it_as_it_is(devices, dtype):
    config = of_student("random", teacher__name="timesformer_tiny", model__dtype=dtype, train__accumulate=2)
    config = dataclasses.replace(config, mesh=MeshConfig(fsdp=devices, fsdp_min_size=1))
    config = dataclasses.replace(config, teacher=dataclasses.replace(config.teacher, spec=of_teacher().model.spec))
    objective, mesh = build_objective(config, CLASSES), make_mesh(config.mesh, jax.devices()[:devices])
    with jax.set_mesh(mesh):
        step = build_step(config, objective, RunLength(2), mesh)
        places = jax.tree.map(lambda leaf: leaf.sharding, step.shapes)
        init = lambda: init_state(objective, step.optimizer.tx, config.data, 0.0, 0)  # noqa: E731
        state = jax.jit(init, out_shardings=places)()
        before = jax.device_get(state)
        for number in range(2):
            state, _ = step.call(state, global_batch(batch_of(number), batch_sharding(mesh)))
    after = jax.device_get(state)
    student = sum(leaf.size for leaf in jax.tree.leaves(after.params))
    moments = sum(leaf.size for leaf in jax.tree.leaves(after.opt_state) if leaf.ndim)
    assert moments == 2 * student
    teacher = flatten(after.extra[FIXED]["teacher"])
    assert all(leaf.dtype == dtype for path, leaf in teacher.items() if "blocks" in path and "kernel" in path)
    jax.tree.map(np.testing.assert_array_equal, after.extra, before.extra)
    assert not np.array_equal(after.params["head"]["kernel"], before.params["head"]["kernel"])


@pytest.mark.slow
def test_a_run_is_distilled_killed_resumed_and_used_without_its_teacher(tmp_path, capsys):
    """The checkpoints leave the teacher out, and the student is a run like any other."""
    data = {"data.name": "synthetic", "data.num_classes": CLASSES, "data.crop": "center", "data.threads": 1}
    data |= {"eval.clips": 1, "eval.crops": 1, "train.log_every": 1}
    keys = {key.replace(".", "__"): value for key, value in data.items()}
    teacher = random_runs.write_run(tmp_path / "teacher", of_teacher(), CLASSES)
    config = of_student(teacher, teacher__token_weight=0.5, **keys)

    def train(steps, folder):
        length = dataclasses.replace(config.train, steps=steps, checkpoint_every=2)
        return loop.train(dataclasses.replace(config, train=length), folder)

    train(4, tmp_path / "whole")
    train(2, tmp_path / "parts")
    capsys.readouterr()
    train(4, tmp_path / "parts")
    assert f"teacher: parameters of {teacher}" in capsys.readouterr().err
    saved = json.loads((tmp_path / "parts" / "config.json").read_text())["teacher"]
    assert saved["name"] == "timesformer_tiny"
    for step in (tmp_path / "whole" / "checkpoints").glob("[0-9]*"):
        stored = sum(path.stat().st_size for path in step.rglob("*") if path.is_file())
        student = sum(leaf.size for leaf in jax.tree.leaves(vidjax.from_pretrained(tmp_path / "whole").params))
        assert stored < 4 * 3.2 * student  # parameters and two moments in float32, and a tenth for the projection
    teacher.rename(tmp_path / "elsewhere")
    model = vidjax.from_pretrained(tmp_path / "parts")
    assert "projection" not in model.params
    assert model(batch_of(0)["video"])["logits"].shape == (8, CLASSES)
    scored = loop.evaluate(dataclasses.replace(config, mode="evaluate"), tmp_path / "parts")
    assert scored["eval/num_scored"] == scored["eval/num_expected"] > 0
