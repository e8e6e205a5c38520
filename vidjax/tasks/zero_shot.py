"""Zero-shot classification: score a model with a text tower on classes that it was not trained on."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.class_texts import check_templates, read_lines
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.evaluation.zero_shot import ZeroShotEvaluator
from vidjax.objectives import Classification, configured
from vidjax.tasks._refuse import OF_CLASSIFICATION, refuse
from vidjax.tasks._task import Answer, Task
from vidjax.viz.curves import Curve


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> Classification:
    """Build the video tower with a head, for a plan or a compilation.

    An evaluation takes both towers from its weights instead (`vidjax.training.zero_shot`).
    """
    del total_steps, source
    return configured.classification(config, num_classes)


def check(config: Config) -> None:
    """Refuse training, invalid templates and classification settings.

    Raises:
      ConfigError: naming the key and the remedy.
    """
    if config.mode == "train":
        raise ConfigError("task=zero_shot does not train; set config.mode=evaluate, or train with task=contrastive")
    refuse(config, *OF_CLASSIFICATION, "optim.class_weights", "model.pooling", "model.head_widths")
    check_templates(read_lines(config.zero_shot.templates))


TASK = Task(
    build=build,
    check=check,
    sized_by_data=True,
    evaluator=ZeroShotEvaluator,
    curves=(Curve("val/top1", "top-1 accuracy, one view", fraction=True),),
    answer=Answer("classes", "softmax"),
    head_from_texts=True,
)
