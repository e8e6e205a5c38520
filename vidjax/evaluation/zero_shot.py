"""Zero-shot evaluation: classes are given in words and scored by the protocol of classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidjax.config import Config
from vidjax.data.class_texts import check_templates, read_lines, texts_of_classes
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.sources.base import VideoSource
from vidjax.evaluation.classification import ClassificationEvaluator
from vidjax.evaluation.result_files import VideoScores
from vidjax.files import write_json


class ZeroShotEvaluator(ClassificationEvaluator):
    """Score the best class of each video, and record the words that stood for each class."""

    def prepare(self) -> None:
        """Find the words for each class.

        Raises:
          ConfigError: if a class has none, or a template is invalid.
        """
        self.texts, self.templates = words(self.config, self.source)

    def summarise(self, found: VideoScores, recipe: ClipRecipe) -> dict[str, Any]:
        """Return the metrics of classification, and the number of templates."""
        return super().summarise(found, recipe) | {"eval/templates": len(self.templates)}

    def write(self, results: Mapping[str, Any], found: VideoScores) -> None:
        """Also write zero_shot.json, with the templates and the words for each class."""
        super().write(results, found)
        names = self._names(len(self.texts))
        classes = dict(zip(names, self.texts, strict=True))
        write_json(self.workdir / "zero_shot.json", {"templates": list(self.templates), "classes": classes})


def words(config: Config, source: VideoSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words for each class of a split, and the templates, as config.zero_shot says.

    Raises:
      ConfigError: if a class has no words, or a template is invalid.
    """
    asked, number = config.zero_shot, config.data.num_classes or source.num_classes
    return texts_of_classes(source.labels, asked.class_names, number), check_templates(read_lines(asked.templates))
