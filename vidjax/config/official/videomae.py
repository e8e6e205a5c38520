"""VideoMAE's recipes: its authors' scripts on top of the defaults of their parsers."""

from __future__ import annotations

import dataclasses

from vidjax.config.official.table import MIXED, Recipe, Row, Source, command, with_rows
from vidjax.config.official.videomae_scripts import FINETUNING, PRETRAINING

SOURCE = Source("VideoMAE", "https://github.com/MCG-NJU/VideoMAE", "14ef8d856287c94ef1f985fe30f958eb4ec2c55d")

_PARSED_ONLY = "parsed, but nothing reads it"
_NO_WARMUP_LR = "parsed and scaled, but not passed to the schedule: utils.py:386 warms up from 0, as here"
_MICRO_BATCHES = "included in data.global_batch; train.accumulate takes as many micro-batches as memory requires"
BFLOAT16 = "bfloat16 has float32's range, so the loss needs no scaling"

PRETRAIN = (
    Row("--batch_size", "run_mae_pretraining.py:21", "64", "data.global_batch"),
    Row("--epochs", "run_mae_pretraining.py:22", "800", "train.epochs"),
    Row("--model", "run_mae_pretraining.py:26", "pretrain_videomae_base_patch16_224", "model.name"),
    Row("--decoder_depth", "run_mae_pretraining.py:29", "4", "model.spec.decoder_depth"),
    Row("--mask_type", "run_mae_pretraining.py:32", "tube", "model.mask"),
    Row("--mask_ratio", "run_mae_pretraining.py:35", "0.75", "model.mask_ratio"),
    Row("--input_size", "run_mae_pretraining.py:38", "224", "data.image_size"),
    Row("--drop_path", "run_mae_pretraining.py:41", "0.0", "model.drop_path"),
    Row("--normlize_target", "run_mae_pretraining.py:44", "True", "model.normalize_target"),
    Row("--opt", "run_mae_pretraining.py:48", "adamw", "optim.name"),
    Row("--opt_eps", "run_mae_pretraining.py:50", "1e-8", "optim.eps"),
    Row("--opt_betas[0]", "run_mae_pretraining.py:52", "None", "optim.beta1", value=0.9),
    Row("--opt_betas[1]", "run_mae_pretraining.py:52", "None", "optim.beta2", value=0.999),
    Row("--clip_grad", "run_mae_pretraining.py:54", "None", "optim.clip_norm", value=0.0),
    Row("--weight_decay", "run_mae_pretraining.py:58", "0.05", "optim.weight_decay"),
    Row("--weight_decay_end", "run_mae_pretraining.py:60", "None", "optim.final_weight_decay", value=0.0),
    Row("--lr", "run_mae_pretraining.py:64", "1.5e-4", "optim.base_lr"),
    Row("--min_lr", "run_mae_pretraining.py:68", "1e-5", "optim.min_lr"),
    Row("lr and min_lr per videos", "run_mae_pretraining.py:193,194", "256", "optim.reference_batch"),
    Row("--warmup_lr", "run_mae_pretraining.py:66", "1e-6", reason=_NO_WARMUP_LR),
    Row("--warmup_epochs", "run_mae_pretraining.py:71", "40", "optim.warmup_epochs"),
    Row("--warmup_steps", "run_mae_pretraining.py:73", "-1", "optim.warmup_steps", value=0),
    Row("schedule", "utils.py:393,397", "linear from 0, then cosine", "optim.schedule", value="cosine"),
    Row("undecayed", "optim_factory.py:56", "rank 1, .bias, tokens", "optim.decayed", value="kernels"),
    Row("--color_jitter", "run_mae_pretraining.py:79", "0.0", reason=_PARSED_ONLY),
    Row("--train_interpolation", "run_mae_pretraining.py:81", "bicubic", reason=_PARSED_ONLY),
    Row("crop", "datasets.py:14", "GroupMultiScaleCrop", "data.crop", value="multi_scale"),
    Row("crop scales", "datasets.py:14", "[1, .875, .75, .66]", "data.crop_scales", value=(1.0, 0.875, 0.75, 0.66)),
    Row("crop resize", "transforms.py:99", "Image.BILINEAR", "data.interpolation", value="bilinear_antialias"),
    Row("flip", "datasets.py:15", "none", "data.flip", value=0.0),
    Row("RandAugment", "datasets.py:15", "none", "data.rand_augment", value=""),
    Row("mean", "datasets.py:11", "(0.485, 0.456, 0.406)", "data.mean"),
    Row("std", "datasets.py:12", "(0.229, 0.224, 0.225)", "data.std"),
    Row("--num_frames", "run_mae_pretraining.py:88", "16", "data.num_frames"),
    Row("--sampling_rate", "run_mae_pretraining.py:89", "4", "data.stride"),
    Row("window", "kinetics.py:515", "random start, every stride-th frame", "data.sampling", value="dense"),
    Row("clips per video", "kinetics.py:488", "1", "data.clips_per_decode"),
    Row(
        "hidden cubes per slice", "masking_generator.py:8", "int(ratio * places)",
        place="vidjax.ops.masking:num_masked",
    ),
    Row(
        "target", "engine_for_pretraining.py:45,46", "(x - mean) / (std + 1e-6)",
        place="vidjax.ops.patches:patch_statistics",
    ),
    Row("loss", "engine_for_pretraining.py:21,53", "MSE of hidden cubes", place="vidjax.objectives:MaskedAutoencoding"),
    Row(
        "block initialisation", "modeling_pretrain.py:67", "xavier_uniform_",
        place="vidjax.models.layers:xavier_uniform",
    ),
    Row(
        "mask token initialisation", "modeling_pretrain.py:252", "std .02, cut at 1 std",
        place="vidjax.models.videomae:VideoMAEPretraining",
    ),
    Row("precision", "engine_for_pretraining.py:55", "float16", "model.dtype", reason=BFLOAT16),
    Row("moving average of weights", "run_mae_pretraining.py:19", "none", "optim.ema", value=0.0),
)  # fmt: skip

FINETUNE = (
    Row("--batch_size", "run_class_finetuning.py:29", "64", "data.global_batch"),
    Row(MIXED, "run_class_finetuning.py:298", "those of one GPU", "data.mix_group"),
    Row("--epochs", "run_class_finetuning.py:30", "30", "train.epochs"),
    Row("--update_freq", "run_class_finetuning.py:31", "1", reason=_MICRO_BATCHES),
    Row("--model", "run_class_finetuning.py:35", "vit_base_patch16_224", "model.name"),
    Row("--tubelet_size", "run_class_finetuning.py:37", "2", "model.spec.tubelet_size"),
    Row("--input_size", "run_class_finetuning.py:38", "224", "data.image_size"),
    Row("--fc_drop_rate", "run_class_finetuning.py:41", "0.0", "model.head_dropout"),
    Row("--drop", "run_class_finetuning.py:43", "0.0", place="vidjax.models.layers:Block"),
    Row("--attn_drop_rate", "run_class_finetuning.py:45", "0.0", place="vidjax.models.layers:Attention"),
    Row("--drop_path", "run_class_finetuning.py:47", "0.1", "model.drop_path"),
    Row("--model_ema", "run_class_finetuning.py:51", "False", "optim.ema", value=0.0),
    Row("--opt", "run_class_finetuning.py:56", "adamw", "optim.name"),
    Row("--opt_eps", "run_class_finetuning.py:58", "1e-8", "optim.eps"),
    Row("--opt_betas[0]", "run_class_finetuning.py:60", "None", "optim.beta1", value=0.9),
    Row("--opt_betas[1]", "run_class_finetuning.py:60", "None", "optim.beta2", value=0.999),
    Row("--clip_grad", "run_class_finetuning.py:62", "None", "optim.clip_norm", value=0.0),
    Row("--weight_decay", "run_class_finetuning.py:66", "0.05", "optim.weight_decay"),
    Row("--weight_decay_end", "run_class_finetuning.py:68", "None", "optim.final_weight_decay", value=0.0),
    Row("--lr", "run_class_finetuning.py:72", "1e-3", "optim.base_lr"),
    Row("--layer_decay", "run_class_finetuning.py:74", "0.75", "optim.layer_decay"),
    Row("--min_lr", "run_class_finetuning.py:78", "1e-6", "optim.min_lr"),
    Row("lr and min_lr per videos", "run_class_finetuning.py:406,407", "256", "optim.reference_batch"),
    Row("--warmup_lr", "run_class_finetuning.py:76", "1e-6", reason=_NO_WARMUP_LR),
    Row("--warmup_epochs", "run_class_finetuning.py:81", "5", "optim.warmup_epochs"),
    Row("--warmup_steps", "run_class_finetuning.py:83", "-1", "optim.warmup_steps", value=0),
    Row("schedule", "utils.py:393,397", "linear from 0, then cosine", "optim.schedule", value="cosine"),
    Row("undecayed", "optim_factory.py:56", "rank 1, .bias, positions", "optim.decayed", value="kernels"),
    Row(
        "layer ids of the decay", "optim_factory.py:24,35", "embeddings: 0, block i: i + 1, rest: last",
        place="vidjax.training.optim.layer_decay:layer_scales",
    ),
    Row("--color_jitter", "run_class_finetuning.py:87", "0.4", reason=_PARSED_ONLY),
    Row("--num_sample", "run_class_finetuning.py:89", "2", "data.clips_per_decode"),
    Row("--aa", "run_class_finetuning.py:91", "rand-m7-n4-mstd0.5-inc1", "data.rand_augment"),
    Row("--train_interpolation", "run_class_finetuning.py:95", "bicubic", "data.rand_augment_interpolation"),
    Row("--smoothing", "run_class_finetuning.py:93", "0.1", "optim.label_smoothing"),
    Row("--reprob", "run_class_finetuning.py:105", "0.25", "data.erase"),
    Row("--remode", "run_class_finetuning.py:107", "pixel", place="vidjax.objectives.mixing:random_erase"),
    Row("--recount", "run_class_finetuning.py:109", "1", place="vidjax.objectives.mixing:random_erase"),
    Row("tries per box", "random_erasing.py:128", "100", place="vidjax.objectives.mixing:ERASE_ATTEMPTS"),
    Row("--mixup", "run_class_finetuning.py:115", "0.8", "data.mixup"),
    Row("--cutmix", "run_class_finetuning.py:117", "1.0", "data.cutmix"),
    Row("--cutmix_minmax", "run_class_finetuning.py:119", "None", place="vidjax.objectives.mixing:cutmix_weights"),
    Row("--mixup_prob", "run_class_finetuning.py:121", "1.0", "data.mix_prob"),
    Row("--mixup_switch_prob", "run_class_finetuning.py:123", "0.5", "data.mix_switch_prob"),
    Row("--mixup_mode", "run_class_finetuning.py:125", "batch", place="vidjax.objectives.mixing:mix"),
    Row("--init_scale", "run_class_finetuning.py:132", "0.001", place="vidjax.models.videomae:VideoMAEClassifier"),
    Row("--use_mean_pooling", "run_class_finetuning.py:135", "True", "model.spec.pooling", value="mean"),
    Row("--nb_classes", "run_class_finetuning.py:144", "400", "data.num_classes"),
    Row("--data_set", "run_class_finetuning.py:150", "Kinetics-400", "data.name", value="kinetics400"),
    Row("--num_frames", "run_class_finetuning.py:148", "16", "data.num_frames"),
    Row("--sampling_rate", "run_class_finetuning.py:149", "4", "data.stride"),
    Row("training window", "kinetics.py:262,264", "random end, linspaced", "data.sampling", value="dense_span"),
    Row("crop", "kinetics.py:194", "random_resized_crop", "data.crop", value="random_resized"),
    Row("crop area", "kinetics.py:190", "(0.08, 1.0)", "data.crop_area"),
    Row(
        "crop aspect", "kinetics.py:191", "(0.75, 1.3333)", "data.crop_aspect",
        reason="exactly 4/3; theirs is rounded to four decimals",
    ),
    Row("crop resize", "video_transforms.py:571", "bilinear", "data.interpolation"),
    Row("flip", "kinetics.py:200", "True", "data.flip", value=0.5),
    Row("mean", "kinetics.py:184", "(0.485, 0.456, 0.406)", "data.mean"),
    Row("std", "kinetics.py:184", "(0.229, 0.224, 0.225)", "data.std"),
    Row("--short_side_size", "run_class_finetuning.py:100", "224", place="vidjax.data.clips.augment:eval_places"),
    Row("--test_num_segment", "run_class_finetuning.py:101", "5", "eval.clips"),
    Row("--test_num_crop", "run_class_finetuning.py:102", "3", "eval.crops"),
    Row("merged views", "engine_for_finetuning.py:249,278", "mean of softmax", "eval.merge", value="mean_softmax"),
    Row("tested epoch", "run_class_finetuning.py:541", "the last", "eval.checkpoint", value="last"),
    Row("precision", "utils.py:503", "float16", "model.dtype", reason=BFLOAT16),
)  # fmt: skip

SSV2_FRAMES = (
    Row("training window", "ssv2.py:251,254", "one frame per N // 16", "data.sampling", value="segment_integer"),
    Row("crop", "ssv2.py:189", "random_resized_crop", "data.crop", value="random_resized"),
    Row("crop area", "ssv2.py:185", "(0.08, 1.0)", "data.crop_area"),
    Row(
        "crop aspect", "ssv2.py:186", "(0.75, 1.3333)", "data.crop_aspect",
        reason="exactly 4/3; theirs is rounded to four decimals",
    ),
    Row("flip", "ssv2.py:195", "False", "data.flip", value=0.0),
    Row("mean", "ssv2.py:179", "(0.485, 0.456, 0.406)", "data.mean"),
    Row("std", "ssv2.py:179", "(0.229, 0.224, 0.225)", "data.std"),
)  # fmt: skip


_WORDS = {"Kinetics-400": "kinetics400", "SSV2": "ssv2", "UCF101": "ucf101"}
_WORDS |= {f"vit_{size}_patch16_224": f"videomae_{size}" for size in ("small", "base", "large", "huge")}
_WORDS |= {f"pretrain_{theirs.replace('vit', 'videomae')}": ours for theirs, ours in _WORDS.items() if "vit" in theirs}

_PUBLISHED = {  # after fine-tuning
    "k400:small": "79.0 / 93.8 (MODEL_ZOO.md:7)",
    "k400:base": "81.5 / 95.1 (MODEL_ZOO.md:10)",
    "k400:base_800": "80.0 / 94.4 (MODEL_ZOO.md:8)",
    "k400:large": "85.2 / 96.8 (MODEL_ZOO.md:11)",
    "k400:huge": "86.6 / 97.1 (MODEL_ZOO.md:12)",
    "ssv2:small": "66.8 / 90.3 (MODEL_ZOO.md:18)",
    "ssv2:base": "70.8 / 92.4 (MODEL_ZOO.md:20)",
    "ssv2:base_800": "69.6 / 92.0 (MODEL_ZOO.md:19)",
    "ucf101:base": "91.3 / 98.5 (MODEL_ZOO.md:26)",
}
_DATA = {"k400": "kinetics400", "ssv2": "ssv2", "ucf101": "ucf101"}


def over_segments(rows: tuple[Row, ...], frames: tuple[Row, ...]) -> tuple[Row, ...]:
    """The fine-tuning rows for Something-Something v2, whose frames are spread over the video."""
    reason = "neither their code nor vidjax reads it: segments cover the video"
    unread = [dataclasses.replace(row, key="", reason=reason) for row in rows if row.name == "--sampling_rate"]
    return with_rows(rows, *unread, *frames)


def _pretraining(experiment: str) -> Recipe:
    script = PRETRAINING[experiment]
    data = experiment.removeprefix("videomae_")
    listed = Row("DATA_PATH", f"{script.file}:4", "its training list", "data.name", value=_DATA[data.split(":")[0]])
    rows = with_rows(command(PRETRAIN, script, _WORDS), listed)
    if experiment == "videomae_ssv2:small":
        said = "32 x 64 GPUs; a comment in the script says 32 GPUs"
        rows = with_rows(rows, Row("--batch_size", f"{script.file}:16,8,7", said, "data.global_batch", value=2048))
    return Recipe(experiment, SOURCE, f"{_PUBLISHED[data]}, after fine-tuning", rows)


def _finetuning(experiment: str) -> Recipe:
    data = experiment.removeprefix("finetune_")
    rows = command(FINETUNE, FINETUNING[experiment], _WORDS)
    if data.startswith("ssv2"):
        rows = over_segments(rows, SSV2_FRAMES)
    return Recipe(experiment, SOURCE, _PUBLISHED[data], rows)


RECIPES = (*map(_pretraining, PRETRAINING), *map(_finetuning, FINETUNING))
