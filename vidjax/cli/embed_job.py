"""The work of `vidjax embed` in a form that can be sent to the machines of a cluster."""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import TYPE_CHECKING

from vidjax.cli import beam_options, paths
from vidjax.cli.terminal import say
from vidjax.progress import progress
from vidjax.training.compile_cache import use_compile_cache

if TYPE_CHECKING:
    from vidjax.evaluation.features.writer import Split
    from vidjax.weights import Pretrained


@dataclasses.dataclass(frozen=True)
class EmbedJob:
    """A backbone and the videos to embed with it; picklable.

    Attributes:
      model, num_frames, image_size, stride: the backbone and its clips.
      every, window: seconds, for a feature per window; None for one per video.
      data_set: name and root; workers: loader processes.
      split, task: as on the command line.
      words: command-line words that name videos, if no data set does; videos: the paths of these videos.
    """

    model: str
    num_frames: int | None
    image_size: int | None
    stride: int | None
    every: float | None
    window: float | None
    data_set: tuple[str, str]
    workers: int
    split: str
    task: str
    words: tuple[str, ...]
    videos: tuple[str, ...]

    @classmethod
    def of(cls, arguments: argparse.Namespace, name: str, root: str, words: list[str]) -> EmbedJob:
        """Build the job of a command line."""
        videos = tuple(paths.find_videos(words)) if words else ()
        asked = (arguments.model, arguments.num_frames, arguments.image_size, arguments.stride)
        asked += (arguments.every, arguments.window)
        return cls(*asked, (name, root), arguments.workers, arguments.split or "", arguments.task, tuple(words), videos)

    def for_other_machines(self) -> EmbedJob:
        """Return the job with absolute paths."""
        name, root = self.data_set
        model = beam_options.same_everywhere(self.model) if os.path.exists(self.model) else self.model
        videos = tuple(beam_options.same_everywhere(video) for video in self.videos)
        return dataclasses.replace(
            self, model=model, data_set=(name, root and beam_options.same_everywhere(root)), videos=videos
        )

    def __call__(self) -> tuple[Pretrained, Split]:
        """Open the model and the videos."""
        from vidjax import tasks
        from vidjax.config import DataConfig
        from vidjax.data.open import open_source, usual_split
        from vidjax.data.sources.annotations import NOTHING
        from vidjax.data.sources.own_videos import ALL
        from vidjax.data.sources.video_files import Files, FileSource
        from vidjax.evaluation.features.writer import Split

        backbone, (name, root) = _backbone(self), self.data_set
        data = DataConfig(name=name, root=root, workers=self.workers, threads=os.cpu_count() or 1)
        data = backbone.clips.sample(data)
        windows = backbone.clips.windows if self.every or self.window else None
        if self.words:
            return backbone, Split(FileSource(ALL, Files.of(root, self.videos)), data, ALL, self.words, windows)
        split = self.split or usual_split(data)
        wanted = tasks.TASKS[self.task].annotation if self.task else NOTHING
        return backbone, Split(open_source(data, split, wanted), data, split, windows=windows)


def _backbone(job: EmbedJob) -> Pretrained:
    """Load the model and apply the job's clip options."""
    from vidjax.weights.backbones import load_backbone
    from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

    use_compile_cache()
    with progress(f"reading {job.model}"):
        backbone = load_backbone(job.model, num_frames=job.num_frames, image_size=job.image_size)
    for note in backbone.notes:
        say(f"note: {note}")
    asked = RecipeChanges(stride=job.stride, every=job.every, window=job.window)
    recipe = change_recipe(backbone.clips, asked)
    return dataclasses.replace(backbone, clip_recipe=recipe)
