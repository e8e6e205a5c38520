"""Contrastive learning: embed videos and captions in one space, so that each retrieves the other."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile

from vidjax.config import Config
from vidjax.data.sources.annotations import CAPTIONS
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.embedded_texts import EncodedCaptions
from vidjax.errors import ConfigError
from vidjax.evaluation.retrieval import RetrievalEvaluator
from vidjax.files import Place, write_whole
from vidjax.models.clip import CLIPVisionSpec
from vidjax.models.video_text import VideoTextModel, build_video_text
from vidjax.objectives import Contrastive
from vidjax.objectives.configured import spec_options
from vidjax.tasks._refuse import OF_CLASSIFICATION, refuse
from vidjax.tasks._task import Task
from vidjax.viz.curves import Curve


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> Contrastive:
    """Build contrastive learning with the video tower of config.model and the text tower of config.contrastive."""
    del num_classes, total_steps, source
    data, contrastive = config.data, config.contrastive
    module = build_video_text(
        config.model.name,
        text=contrastive.text,
        projection=contrastive.projection,
        text_options={"vocab_size": contrastive.vocab_size, "context": contrastive.num_tokens},
        **spec_options(config),
    )
    video = module.spec.video
    if isinstance(video, CLIPVisionSpec):  # its projection into the shared space is beside the tower
        module = VideoTextModel(dataclasses.replace(module.spec, video=dataclasses.replace(video, projection=0)))
    same, train_text = contrastive.same_caption, contrastive.train_text
    return Contrastive(module, data.mean, data.std, contrastive.loss, same, train_text)


def check(config: Config) -> None:
    """Refuse classification settings, a text tower without the weights or LoRA rank it needs, and clipping in groups.

    Raises:
      ConfigError: naming the key and the remedy.
    """
    refuse(
        config, *OF_CLASSIFICATION, "optim.class_weights", "model.head_dropout", "model.pooling", "model.head_widths"
    )
    contrastive = config.contrastive
    if contrastive.train_text != "all" and config.mode == "train" and not (contrastive.text_from or config.init_from):
        raise ConfigError(
            f"config.contrastive.train_text={contrastive.train_text} keeps the text tower's initial weights, but "
            "neither config.contrastive.text_from nor config.init_from names any; name a model with a text tower, or "
            "set contrastive.train_text=all"
        )
    if contrastive.train_text == "lora" and not config.model.lora.rank:
        raise ConfigError(
            "config.contrastive.train_text=lora adapts the text tower by config.model.lora, whose rank is 0; set "
            "config.model.lora.rank above 0, for example to 8, or set contrastive.train_text to all or none"
        )
    if config.optim.clip_group:
        raise ConfigError(
            f"config.optim.clip_group={config.optim.clip_group} clips gradients per part of a batch, but the loss "
            "of task=contrastive compares the whole batch; set it to 0"
        )


def training_rows(source: VideoSource, config: Config) -> EncodedCaptions:
    """Tokenize the rows' captions for the text tower."""
    return EncodedCaptions(source, config)


def save_files(source: VideoSource, workdir: Place) -> None:
    """Write the vocabulary, so that the run can embed texts without the captions or folder that it came from."""
    if isinstance(source, EncodedCaptions):
        with tempfile.TemporaryDirectory() as folder:  # the run may be in a bucket
            source.encoder.save(folder)
            for file in pathlib.Path(folder).iterdir():
                write_whole(workdir / file.name, file.read_bytes())


CURVES = (
    Curve("val/t2v_r1", "text to video, recall@1", fraction=True),
    Curve("val/v2t_r1", "video to text, recall@1", fraction=True),
    Curve("val/t2v_r5", "text to video, recall@5", fraction=True),
)
TASK = Task(
    build=build,
    annotation=CAPTIONS,
    num_tokens=lambda config: config.contrastive.num_tokens,
    check=check,
    training_rows=training_rows,
    save_files=save_files,
    evaluator=RetrievalEvaluator,
    curves=CURVES,
)
