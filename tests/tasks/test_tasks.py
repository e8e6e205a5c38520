"""Properties of all tasks, and the settings that each refuses from the configuration alone."""

import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.data.sources.annotations import ANNOTATIONS, NOTHING
from vidjax.errors import ConfigError, DataError
from vidjax.tasks import TASKS, build_objective, check, open_train
from vidjax.training.state import annotation_shapes, batch_shapes

UNSUPERVISED = ("masked_autoencoding", "self_distillation", "feature_alignment", "feature_prediction")
SMALL = {"data.name": "motion", "data.num_frames": 8, "data.image_size": 24, "data.workers": 0, "data.crop": "center"}


def make_config(**changes):
    config = config_lib.defaults()
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


def test_a_task_is_chosen_by_the_name_of_its_file():
    assert config_lib.choices("task") == tuple(TASKS)
    with pytest.raises(ConfigError, match=r"config.task='captoning' is unknown; did you mean 'captioning'"):
        make_config(task="captoning")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_with_an_evaluator_ranks_checkpoints_by_a_figure_that_its_report_draws(name):
    task = TASKS[name]
    assert task.annotation in (*ANNOTATIONS, NOTHING)
    if name in UNSUPERVISED:
        assert task.annotation == NOTHING
        assert task.evaluator is None
        assert task.answer is None
        return
    assert task.evaluator.main in task.evaluator.quick
    assert f"val/{task.evaluator.main}" in {curve.metric for curve in task.curves}


@pytest.mark.parametrize("name", [name for name in TASKS if name != "classification"])
def test_class_weights_are_for_classification_only(name):
    needed = {
        "self_distillation": {"data__global_views": (8, 8), "model__name": "timesformer_tiny"},
        "distillation": {"teacher__weights": "random", "teacher__name": "videomae_tiny"},
        "zero_shot": {"mode": "evaluate"},
    }.get(name, {})
    check(make_config(task=name, **needed))
    with pytest.raises(ConfigError, match=f"class_weights=balanced is for task=classification; .* for task={name}"):
        check(make_config(task=name, optim__class_weights="balanced", **needed))


def test_classes_are_weighted_by_the_training_split_they_are_learned_from():
    class Rows:
        labels = ("run", "jump", "walk", "swim")

        def rows_of_class(self, label):
            return np.arange([1, 2, 5, 0][label])

    config = make_config(task="classification", model__name="videomae_tiny", optim__class_weights="balanced")
    objective = build_objective(config, 3, source=Rows())
    np.testing.assert_allclose(objective.class_weights, [8 / 3, 8 / 6, 8 / 15])
    assert build_objective(config, 3).class_weights == ()  # nothing is trained
    with pytest.raises(DataError, match="class 'swim' has no training video"):
        build_objective(config, 4, source=Rows())


def test_settings_that_cannot_be_scored_are_refused_without_data():
    with pytest.raises(ConfigError, match=r"eval.clips=5 and eval.crops=3: a caption describes one view"):
        TASKS["captioning"].evaluator.check(make_config(task="captioning"))
    with pytest.raises(ConfigError, match=r"config.eval.window_stride=-1\.0 must be at least 0"):
        TASKS["multi_label"].evaluator.check(make_config(task="multi_label", eval__window_stride=-1.0))


@pytest.mark.parametrize(
    "name", ["classification", "regression", "least_squares", "action", "multi_label", "captioning", "contrastive"]
)
def test_a_batch_has_the_arrays_that_are_compiled_for(name):
    """The shapes that `vidjax compile` assumes are those of the loader, for the rows that the task opens."""
    from vidjax.data.loader import train_batches

    small = {key.replace(".", "__"): value for key, value in SMALL.items()}
    split = "long_train" if name == "multi_label" else "train"
    config = make_config(task=name, data__train_split=split, data__global_batch=2, caption__num_tokens=12, **small)
    source = open_train(config)
    batches = train_batches(source, config.data, seed=0, start_step=0, process=(0, 1))
    try:
        batch = next(iter(batches))
    finally:
        batches.close()
    rows = batch_shapes(config.data)
    assert {key: batch[key].shape for key in rows} == {key: leaf.shape for key, leaf in rows.items()}
    for key, leaf in annotation_shapes(config, 2, source.num_classes).items():
        assert (batch[key].shape, batch[key].dtype) == (leaf.shape, leaf.dtype), key
