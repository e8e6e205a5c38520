"""Turn a model with a text tower into a classifier whose classes are described in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from vidjax.data.class_texts import TEMPLATES, check_classes, check_templates, prompts
from vidjax.models.video_text import VideoTextModel
from vidjax.models.zero_shot import CLASSES, ZeroShotClassifier
from vidjax.objectives import Classification
from vidjax.tasks import Answer

if TYPE_CHECKING:
    from vidjax.weights.model import Pretrained

_TEXT = ("text", "text_projection")  # parameters that only the text tower uses


def with_classes(
    model: Pretrained, classes: Sequence[str], templates: Sequence[str] = TEMPLATES, *, labels: Sequence[str] = ()
) -> Pretrained:
    """Return a classifier whose head consists of text embeddings; the video tower and its recipe stay as they are.

    Args:
      model: a model with a text tower.
      classes: the text that describes each class.
      templates: prompts, each with one {} in place of the class; a class is embedded in each of them.
      labels: names of the classes in answers; by default `classes`.

    Raises:
      ConfigError: if the model has no text tower, fewer than two classes are given, one is empty or given twice, a
        template is invalid, or a text is longer than the tower reads.
      WeightsError: if there is no vocabulary beside the weights.
    """
    classes, templates = check_classes(classes), check_templates(templates)
    head = class_embeddings(model, classes, templates)
    assert isinstance(model.module, VideoTextModel)  # otherwise there would be no embeddings
    module = ZeroShotClassifier(model.module, len(classes))
    objective = Classification(module, model.mean, model.std)
    return dataclasses.replace(
        model, module=module, params=_params(model.params, head), objective=objective,
        answer=Answer("classes", "softmax"), labels=tuple(labels) or classes, text_encoder=None,
    )  # fmt: skip


def class_embeddings(model: Pretrained, classes: Sequence[str], templates: Sequence[str]) -> Float[np.ndarray, "k e"]:
    """Embed each class in each template; return the means over templates, scaled to unit length.

    This is CLIP's prompt ensemble (arXiv:2103.00020, section 3.1.4): the mean of unit-length embeddings.
    """
    found = model.embed_text(prompts(classes, templates))
    means = found.reshape(len(classes), len(templates), -1).mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def _params(params: Any, head: Float[np.ndarray, "k e"]) -> dict[str, Any]:
    return {name: part for name, part in params.items() if name not in _TEXT} | {CLASSES: head}
