"""VideoMamba's masked pre-training; its code derives from VideoMAE's, has most of its flags, and adds a teacher."""

from __future__ import annotations

import dataclasses

from vidjax.config.official import videomae
from vidjax.config.official.table import Recipe, Row, cited, command, with_rows
from vidjax.config.official.videomamba import SOURCE
from vidjax.config.official.videomamba_pretrain_scripts import PRETRAINING

_HERE = "videomamba/video_sm"
_RUN = f"{_HERE}/run_videomamba_pretraining.py"
_ALIGNS = "vidjax.objectives:FeatureAlignment"
_FOR_PIXELS = "for predicting pixels, which this recipe does not do"
# fmt: off
_LINES = {
    "--batch_size": "25", "--epochs": "26", "--model": "30", "--decoder_depth": "32", "--mask_type": "34,35",
    "--mask_ratio": "38", "--input_size": "40", "--drop_path": "42", "--normlize_target": "44", "--opt": "80",
    "--opt_eps": "82", "--opt_betas[0]": "84", "--opt_betas[1]": "84", "--clip_grad": "86", "--weight_decay": "90",
    "--weight_decay_end": "92", "--lr": "96", "--min_lr": "100", "--warmup_lr": "98", "--warmup_epochs": "103",
    "--warmup_steps": "105", "--color_jitter": "113", "--train_interpolation": "115", "--num_frames": "129",
    "--sampling_rate": "130", "lr and min_lr per videos": "264,265",
}
# fmt: on
_LEFT_OUT = {
    "loss",
    "target",
    "block initialisation",
    "mask token initialisation",
    "precision",
    "flip",
    "clips per video",
    "window",
    "hidden cubes per slice",
    "moving average of weights",
}  # fmt: skip


def _parser() -> tuple[Row, ...]:
    rows = cited(videomae.PRETRAIN, _RUN, _LINES)
    rows = cited(rows, f"{_HERE}/utils.py", {"schedule": "455,459"})
    rows = cited(rows, f"{_HERE}/optim_factory.py", {"undecayed": "69"})
    data = {"crop": "21", "crop scales": "21", "RandAugment": "32", "mean": "18", "std": "19"}
    rows = cited(rows, f"{_HERE}/datasets/build.py", data)
    rows = cited(rows, f"{_HERE}/datasets/transforms.py", {"crop resize": "124"})
    reasons = {
        "--decoder_depth": _FOR_PIXELS,
        "--normlize_target": _FOR_PIXELS,
        "--warmup_lr": "parsed and scaled, but not passed to the schedule",
        "--sampling_rate": "1: one frame per segment, as data.sampling states",
    }
    rows = tuple(
        dataclasses.replace(row, key="", reason=reasons[row.name]) if row.name in reasons else row
        for row in rows
        if row.name not in _LEFT_OUT
    )
    return with_rows(
        rows,
        Row("--flip", f"{_RUN}:117", "False", "data.flip"),
        Row("--color_jitter", f"{_RUN}:113", "0.0", "data.color_jitter", value=(0.0, 0.0, 0.0, 0.0)),
        Row("--num_sample", f"{_RUN}:112", "1", "data.clips_per_decode"),
        Row("--tubelet_size", f"{_RUN}:46", "2", "model.spec.tubelet_size"),
        Row("--num_segments", f"{_RUN}:128", "1", "data.num_frames"),
        Row("window", f"{_HERE}/datasets/mae.py:228,232", "one frame per N // 8", "data.sampling",
            value="segment_integer"),
        Row("--clip_teacher", f"{_RUN}:52", "clip_b16", "align.teacher", value="clip_base"),
        Row("--clip_input_resolution", f"{_RUN}:54", "224", place=_ALIGNS),
        Row("--clip_loss_ratio", f"{_RUN}:56", "1.0", place=_ALIGNS),
        Row("--clip_loss_type", f"{_RUN}:58", "l2", "align.loss"),
        Row("--clip_decoder_type", f"{_RUN}:60", "SA_Decoder",
            reason="not passed to the model: its decoder is linear (videomamba_pretrain.py:190), like align.decoder"),
        Row("--clip_decoder_embed_dim", f"{_RUN}:62", "512", "model.spec.width"),
        Row("--clip_output_dim", f"{_RUN}:64", "768", place="vidjax.models.clip:FAMILY"),
        Row("--clip_norm_type", f"{_RUN}:66", "l2", "align.unit_length", value=True),
        Row("--clip_return_attn", f"{_RUN}:68", "False", "model.mask", value="tube"),
        Row("--clip_return_layer", f"{_RUN}:70", "1", "align.teacher_layers", value=(-1,)),
        Row("--clip_return_interval", f"{_RUN}:72", "1", reason="for several layers; this recipe aligns one"),
        Row("--clip_student_return_interval", f"{_RUN}:74", "1", reason="for several layers; this recipe aligns one"),
        Row("--clip_return_cls", f"{_RUN}:76", "False", "align.class_token"),
        Row("--bf16", f"{_RUN}:155", "False", "model.dtype", value="float16"),
        Row("the decoder", f"{_HERE}/models/videomamba_pretrain.py:190", "linear", "align.decoder"),
        Row("the teacher's final norm", f"{_HERE}/models/clip.py:160", "not with the class token",
            "align.teacher_norm", value=False),
        Row("the student's layer", f"{_HERE}/models/videomamba_pretrain.py:425", "the stream before the last block",
            "align.student_layers", value=(-2,)),
        Row("the student's norm", f"{_HERE}/models/videomamba_pretrain.py:425", "before the norm", "align.student_norm",
            value=False),
        Row("hidden tokens", f"{_HERE}/engines/engine_for_pretraining_videomamba.py:75,76",
            "those drawn last by the teacher's attention", place="vidjax.ops.masking:attention_mask"),
        Row("loss", f"{_HERE}/engines/engine_for_pretraining_videomamba.py:100", "2 - 2 cos, the mean", place=_ALIGNS),
        Row("the teacher's weights", f"{_RUN}:52", "OpenAI's, read from a folder", "align.teacher_from",
            value="openai/clip-vit-base-patch16"),
    )  # fmt: skip


_WORDS = {
    "videomamba_middle_pretrain": "videomamba_middle", "clip_b16": "clip_base", "--flip True": 0.5,
    "--bf16 True": "bfloat16", "--clip_norm_type l2": True, "--clip_return_layer 1": (-1,),
    "--clip_return_attn True": "attention",
}  # fmt: skip
_WHOLE = "middle_whole aligns the last block's output after the norm, as in the paper; middle follows the authors' code"
_PUBLISHED = {
    "middle": "82.0 (videomamba/video_sm/MODEL_ZOO.md:41), after fine-tuning with 8 frames",
    "middle_ssv2": "70.2 (videomamba/video_sm/MODEL_ZOO.md:62), after fine-tuning with 8 frames",
    "middle_whole": "none for this variant",
}


def _recipe(size: str) -> Recipe:
    script = PRETRAINING["videomamba_pretrain:middle_ssv2" if size == "middle_ssv2" else "videomamba_pretrain:middle"]
    data = "ssv2" if size == "middle_ssv2" else "kinetics400"
    rows = command(_parser(), script, _WORDS)
    rows = with_rows(rows, Row("DATA_PATH", f"{script.file}:8", "its training list", "data.name", value=data))
    if size == "middle_whole":
        rows = tuple(
            dataclasses.replace(row, reason=_WHOLE) if row.name.startswith("the student's") else row for row in rows
        )
    return Recipe(f"videomamba_pretrain:{size}", SOURCE, _PUBLISHED[size], rows)


RECIPES = tuple(map(_recipe, _PUBLISHED))
