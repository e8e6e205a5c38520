"""The base class of evaluators: an evaluator holds the evaluation split and is called with parameters."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import jax
from jax.sharding import Mesh
from rich.console import Console

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.loader import eval_batches
from vidjax.data.sources.base import VideoSource
from vidjax.errors import printable
from vidjax.evaluation import result_files
from vidjax.evaluation.multiview import Scoring, counted, eval_batch_size, make_eval_step, score_videos
from vidjax.evaluation.result_files import VideoScores
from vidjax.evaluation.shown_clips import Judged, show_best_and_worst
from vidjax.files import Place, write_json, write_json_lines
from vidjax.objectives.base import Params
from vidjax.progress import progress as show_progress

Learned = TypeVar("Learned")  # the objective, or the protocol that it must satisfy
Found = TypeVar("Found")  # the result of a pass over the split


class Evaluator(abc.ABC, Generic[Learned, Found]):
    """The evaluation split of a run, and the scoring of its task.

    A subclass defines how the split is scored, which metrics result, and what is written for each video.

    Attributes:
      main: the metric that ranks checkpoints, without its prefix; higher is better.
      quick: the metrics that one-view validations report during training; metrics that a pass lacks are left out.
    """

    main: ClassVar[str]
    quick: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        config: Config,
        objective: Learned,
        source: VideoSource,
        mesh: Mesh,
        workdir: Place,
        process: tuple[int, int] = (0, 1),
    ):
        """Check that the split can be scored, before any training; nothing is compiled yet.

        Args:
          config: the run's configuration.
          objective: the objective whose outputs are scored.
          source: the evaluation split.
          mesh: the mesh that the parameters are placed on.
          workdir: the folder for the files of an evaluation.
          process: (p, P) if this process loads block p of the P blocks of rows into which the sharding divides a batch.
        """
        self.check(config)
        eval_batch_size(config, mesh)
        self.config, self.objective, self.source, self.mesh, self.workdir = config, objective, source, mesh, workdir
        self.recipe = self.clip_recipe(config)
        self._process, self._step = process, self.make_step()
        self.prepare()

    @classmethod
    def check(cls, config: Config) -> None:
        """Reject a configuration with which the task cannot be scored.

        Raises:
          ConfigError: for such a configuration; the message names the setting and the remedy.
        """
        del config

    def prepare(self) -> None:
        """Read the parts of the split that scoring needs; called once."""

    @property
    def validated(self) -> VideoSource:
        """The videos on which `validate` ranks checkpoints."""
        return self.source

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes or targets; None if the data has none."""
        return self.source.labels

    @classmethod
    def clip_recipe(cls, config: Config) -> ClipRecipe:
        """Return the clip recipe of a run's model, for its evaluation and for every later use of the model."""
        return ClipRecipe.of(config.data, config.eval)

    def __call__(self, params: Params, *, progress: bool = True, of: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Score every video as configured by `config.eval`; the first process writes the files of the evaluation.

        Args:
          progress: whether to show a progress bar.
          of: facts about the parameters to add to the results, such as their step.

        Returns:
          the flat results eval/..., also written to results.json.
        """
        found = self.score(params, self.recipe, progress=progress)
        results = self.summarise(found, self.recipe) | dict(of or {})
        if jax.process_index() == 0:
            self.write(results, found)
            if (judged := self.judged(found)) is not None:
                show_best_and_worst(judged, self.source, self.recipe, self.workdir / "pictures")
        return results

    def validate(self, params: Params) -> dict[str, Any]:
        """Score the central view of every video or window; return the flat results val/... and write nothing."""
        recipe = self.recipe.one_view()
        results = self.summarise(self.score(params, recipe, progress=False), recipe)
        return {f"val/{name}": results[f"eval/{name}"] for name in self.quick if f"eval/{name}" in results}

    def write(self, results: Mapping[str, Any], found: Found) -> None:
        """Write results.json, the results of each video and quarantine.jsonl; print the main metrics in one line."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        write_json(self.workdir / "results.json", dict(results))
        for name, lines in self.lines(found).items():
            write_json_lines(self.workdir / name, lines)
        split = self.config.data.eval_split
        result_files.write_quarantine(self.workdir / "quarantine.jsonl", self.reasons(found), self.source, split)
        Console().print(printable(self.sentence(results, found)), highlight=False, markup=False)

    def score_rows(
        self,
        params: Params,
        source: VideoSource,
        recipe: ClipRecipe,
        *,
        progress: bool,
        step: Callable[[Any, dict], dict] | None = None,
    ) -> VideoScores:
        """Score every row of a source once, with the compiled step.

        Args:
          params: parameters placed on the mesh.
          source: the split, or a source derived from its rows.
          recipe: how the views of a row are taken; they are merged by the evaluator's own recipe.
          progress: whether to show a progress bar after two seconds; False inside a run that shows its own.
          step: the compiled step; None for the step of `make_step`.
        """
        size = eval_batch_size(self.config, self.mesh)
        batches = eval_batches(source, self.config.data, recipe, batch=size, process=self._process)
        visible = progress and jax.process_index() == 0
        here = -(-len(source) // self._process[1])  # number of videos of this process
        with contextlib.closing(batches), show_progress("evaluating", here, visible=visible) as advance:
            return score_videos(step or self._step, params, counted(batches, advance), len(source), self.mesh)

    @abc.abstractmethod
    def make_step(self) -> Callable[[Any, dict], dict]:
        """Make the compiled step that scores a batch, for example with `vidjax.evaluation.multiview.make_eval_step`."""

    @abc.abstractmethod
    def score(self, params: Params, recipe: ClipRecipe, *, progress: bool) -> Found:
        """Score the split with the views of `recipe`."""

    @abc.abstractmethod
    def summarise(self, found: Found, recipe: ClipRecipe) -> dict[str, Any]:
        """Return the flat results eval/... of a pass."""

    @abc.abstractmethod
    def lines(self, found: Found) -> Mapping[str, Iterable[dict]]:
        """Return the lines of each JSONL file to write, by file name; one line per video or window."""

    def judged(self, found: Found) -> Judged | None:
        """Return how well each video was answered, so that the best and the worst are shown; None to show none."""
        del found

    @abc.abstractmethod
    def reasons(self, found: Found) -> Sequence[str]:
        """Return why each row of the split was not scored; an empty string for a scored row."""

    @abc.abstractmethod
    def sentence(self, results: Mapping[str, Any], found: Found) -> str:
        """Return the main metrics in one line."""


class VideoEvaluator(Evaluator[Scoring, VideoScores]):
    """An evaluator of tasks with one vector of scores per video, merged over its views."""

    def make_step(self) -> Callable[[Any, dict], dict]:
        """Make the compiled step that scores the views of a batch of videos."""
        return make_eval_step(self.objective, self.recipe.merge, self.mesh)

    def score(self, params: Params, recipe: ClipRecipe, *, progress: bool) -> VideoScores:
        """Score every video by its merged views."""
        return self.score_rows(params, self.source, recipe, progress=progress)

    def reasons(self, found: VideoScores) -> Sequence[str]:
        """Return why each video was not scored; an empty string for a scored video."""
        return found.reasons
