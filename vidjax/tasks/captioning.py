"""Captioning: a sentence per video, written by a GPT-2 that attends to a video backbone."""

from __future__ import annotations

import dataclasses

from vidjax.config import Config
from vidjax.data.sources.annotations import CAPTIONS
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.tokenized import TokenSource, find_tokenizer
from vidjax.errors import ConfigError
from vidjax.evaluation.captioning import CaptioningEvaluator
from vidjax.files import Place
from vidjax.models import FAMILIES, ClipSpec, build_model
from vidjax.models.captioner import Captioner, CaptionerSpec
from vidjax.models.gpt2 import GPT2, GPT2_SPECS
from vidjax.objectives import Captioning
from vidjax.objectives.configured import spec_options
from vidjax.tasks._refuse import OF_CLASSIFICATION, refuse
from vidjax.tasks._task import Answer, Task
from vidjax.viz.curves import Curve

_TIME = "encoder/time_embed"


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> Captioning:
    """Build captioning by teacher forcing, with the backbone of config.model and the decoder of config.caption."""
    del num_classes, total_steps, source
    model, data, caption = config.model, config.data, config.caption
    options = spec_options(config) | {"num_frames": data.num_frames // caption.num_clips}
    backbone = build_model(model.name, num_classes=0, **options)
    if caption.train_encoder == "time_embed":
        _check_time(model.name, backbone.spec)
    spec = dataclasses.replace(
        GPT2_SPECS[caption.decoder],
        vocab_size=caption.vocab_size, cross_attention=True, dropout=caption.dropout, dtype=options["dtype"],
        remat=options["remat"], unroll=options["unroll"], attention=model.attention or None,
    )  # fmt: skip
    spec.check_length(caption.num_tokens + 1)  # decoding begins with an extra token
    joined = CaptionerSpec(
        encoder_features=caption.encoder_features, mapper=caption.mapper, num_clips=caption.num_clips,
        encoder_dropout=caption.train_encoder != "none",
    )  # fmt: skip
    module = Captioner(backbone, GPT2(spec), joined)
    return Captioning(module, data.mean, data.std, caption.end_token, caption.num_tokens, caption.train_encoder)


def check(config: Config) -> None:
    """Refuse classification settings, clips that do not divide the frames, and an invalid end token."""
    refuse(config, *OF_CLASSIFICATION, "optim.class_weights", "model.head_dropout")
    data, caption = config.data, config.caption
    if data.num_frames % caption.num_clips:
        raise ConfigError(
            f"data.num_frames={data.num_frames} is not a multiple of caption.num_clips={caption.num_clips}; change one"
        )
    if not 0 <= caption.end_token < caption.vocab_size:
        raise ConfigError(
            f"caption.end_token={caption.end_token} must be from 0 to {caption.vocab_size - 1}, since "
            f"caption.vocab_size={caption.vocab_size}; change one"
        )


def training_rows(source: VideoSource, config: Config) -> TokenSource:
    """Tokenize the rows' captions."""
    return TokenSource(source, find_tokenizer(config.caption), config.caption.num_tokens)


def save_files(source: VideoSource, workdir: Place) -> None:
    """Write the vocabulary, so that the run can write captions without the tokenizer's original files."""
    if isinstance(source, TokenSource):
        source.tokenizer.save(workdir)


def _check_time(name: str, spec: ClipSpec) -> None:
    """Refuse a backbone without a learned time embedding."""
    if _TIME not in spec.learned_positions:
        able = [other for other, family in FAMILIES.items() if _TIME in family.specs["tiny"].learned_positions]
        raise ConfigError(
            f"caption.train_encoder=time_embed needs a learned time embedding, which {name} does not have; "
            f"use caption.train_encoder=none or all, or a model of one of these families: {', '.join(able)}"
        )


CURVES = (Curve("val/bleu4", "BLEU-4", fraction=True), Curve("val/cider", "CIDEr-D"))
TASK = Task(
    build=build,
    annotation=CAPTIONS,
    num_tokens=lambda config: config.caption.num_tokens,
    check=check,
    training_rows=training_rows,
    save_files=save_files,
    evaluator=CaptioningEvaluator,
    curves=CURVES,
    answer=Answer("caption"),
)
