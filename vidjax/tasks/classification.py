"""Classification: one class per video."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.sources.base import VideoSource
from vidjax.evaluation.classification import ClassificationEvaluator
from vidjax.objectives import Classification, configured
from vidjax.objectives.classification import balanced_weights
from vidjax.tasks._task import Answer, Task
from vidjax.viz.curves import Curve


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> Classification:
    """Build classification by cross-entropy, with mixing, erasing and label smoothing as configured."""
    del total_steps
    weights = () if source is None else class_weights(config, num_classes, source)
    return configured.classification(config, num_classes, weights)


def class_weights(config: Config, num_classes: int, source: VideoSource) -> tuple[float, ...]:
    """The weight of each class in the loss according to optim.class_weights; () for none.

    Raises:
      DataError: for a class without videos.
    """
    if config.optim.class_weights == "none":
        return ()
    return balanced_weights([len(source.rows_of_class(label)) for label in range(num_classes)], source.labels)


CURVES = (
    Curve("val/top1", "top-1 accuracy, one view", fraction=True),
    Curve("val/f1_macro", "macro F1, one view", fraction=True),
    Curve("eval/top1", "top-1 accuracy, all videos", fraction=True),
)
TASK = Task(
    build=build,
    sized_by_data=True,
    evaluator=ClassificationEvaluator,
    curves=CURVES,
    answer=Answer("classes", "softmax"),
)
