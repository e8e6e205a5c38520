"""VideoMAE V2's recipes; its code extends VideoMAE's, so most flags are the same, but on other lines."""

from __future__ import annotations

import dataclasses

from vidjax.config.official import videomae
from vidjax.config.official.table import MIXED, Recipe, Row, Source, cited, command, with_rows
from vidjax.config.official.videomae_v2_scripts import FINETUNING, PRETRAINING

SOURCE = Source("VideoMAE V2", "https://github.com/OpenGVLab/VideoMAEv2", "29eab1e8a588d1b3ec0cdec7b03a86cca491b74b")

_NO_WARMUP_LR = "parsed and scaled, but not passed to the schedule: utils.py:438 warms up from 0, as here"
# fmt: off
_PRETRAIN_LINES = {
    "--batch_size": "37", "--epochs": "38", "--model": "43,44", "--decoder_depth": "53", "--mask_type": "56,57",
    "--mask_ratio": "69", "--input_size": "77,78", "--drop_path": "83,85", "--normlize_target": "90,91",
    "--opt": "97,98", "--opt_eps": "103,104", "--opt_betas[0]": "109,110", "--opt_betas[1]": "109,110",
    "--clip_grad": "116,118", "--weight_decay": "128,130", "--weight_decay_end": "133,135", "--lr": "142,144",
    "--min_lr": "154,156", "--warmup_lr": "148,150", "--warmup_epochs": "161,163", "--warmup_steps": "167,169",
    "--color_jitter": "175,177", "--train_interpolation": "181,183", "--num_frames": "206", "--sampling_rate": "207",
    "lr and min_lr per videos": "356,357", "moving average of weights": "34",
}
_FINETUNE_LINES = {
    "--batch_size": "51", "--epochs": "52", "--update_freq": "53", "--model": "58,59", "--tubelet_size": "63",
    "--input_size": "65", "--drop": "71,73", "--attn_drop_rate": "77,79", "--drop_path": "83,85", "--model_ema": "98",
    "--opt": "106,107", "--opt_eps": "112,113", "--opt_betas[0]": "118,119", "--opt_betas[1]": "118,119",
    "--clip_grad": "125,127", "--weight_decay": "137,139", "--weight_decay_end": "142,144", "--lr": "150,152",
    "--layer_decay": "155", "--min_lr": "164,166", "--warmup_lr": "158,160", "--warmup_epochs": "171,173",
    "--warmup_steps": "177,179", "--color_jitter": "186,188", "--num_sample": "192", "--aa": "194,196",
    "--train_interpolation": "207,209", "--smoothing": "202,204", "--reprob": "222,224", "--remode": "228,230",
    "--recount": "233,235", "--mixup": "245,247", "--cutmix": "250,252", "--cutmix_minmax": "255,258",
    "--mixup_prob": "261,263", "--mixup_switch_prob": "268,270", "--mixup_mode": "275,277", "--init_scale": "286",
    "--use_mean_pooling": "287", "--nb_classes": "306,307", "--data_set": "317,318", "--num_frames": "313",
    "--sampling_rate": "314", "--short_side_size": "216", "--test_num_segment": "217", "--test_num_crop": "218",
    "lr and min_lr per videos": "695,697", MIXED: "505", "tested epoch": "901",
}
# fmt: on
_DATASETS_LINES = {
    "training window": "311,313",
    "crop": "233",
    "crop area": "229",
    "flip": "240",
    "mean": "223",
    "std": "224",
    "crop aspect": "230",
}


def _elsewhere(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Cite V2's code in the rows that pre-training and fine-tuning share."""
    rows = cited(rows, "utils.py", {"schedule": "446,450"})
    rows = cited(rows, "optim_factory.py", {"undecayed": "67", "layer ids of the decay": "30,41"})
    renamed = {"--warmup_lr": _NO_WARMUP_LR}
    return tuple(dataclasses.replace(row, reason=renamed.get(row.name, row.reason)) for row in rows)


def _default(rows: tuple[Row, ...], **values: str) -> tuple[Row, ...]:
    return tuple(dataclasses.replace(row, official=values.get(row.name.lstrip("-"), row.official)) for row in rows)


def _pretrain() -> tuple[Row, ...]:
    rows = _elsewhere(cited(videomae.PRETRAIN, "run_mae_pretraining.py", _PRETRAIN_LINES))
    data = {"crop": "30", "crop scales": "31", "flip": "32", "RandAugment": "32", "mean": "25", "std": "26"}
    rows = cited(rows, "dataset/pretrain_datasets.py", data | {"window": "290"})
    rows = cited(rows, "dataset/transforms.py", {"crop resize": "408"})
    rows = cited(rows, "dataset/masking_generator.py", {"hidden cubes per slice": "62"})
    rows = cited(rows, "engine_for_pretraining.py", {"target": "80,83", "precision": "107"})
    rows = cited(
        rows, "models/modeling_pretrain.py", {"block initialisation": "102", "mask token initialisation": "322"}
    )
    rows = tuple(row for row in rows if row.name not in ("clips per video", "loss"))
    return with_rows(
        _default(rows, epochs="300", mask_ratio="0.9"),
        Row("--tubelet_size", "run_mae_pretraining.py:48", "2", "model.spec.tubelet_size"),
        Row("--num_sample", "run_mae_pretraining.py:208", "1", "data.clips_per_decode"),
        Row("--decoder_mask_type", "run_mae_pretraining.py:62,63", "run_cell", "model.decoder_mask"),
        Row("--decoder_mask_ratio", "run_mae_pretraining.py:71,72", "0.0", "model.decoder_mask_ratio"),
        Row(
            "the cell", "dataset/masking_generator.py:91,98,112", "2 x 2, one per slice, random start",
            place="vidjax.ops.masking:running_cell_mask",
        ),
        Row(
            "loss", "engine_for_pretraining.py:109,113", "MSE of cubes hidden from the encoder",
            place="vidjax.objectives:MaskedAutoencoding",
        ),
        Row(
            "DATA_PATH", "scripts/pretrain/vit_g_hybrid_pt.sh:8", "hybrid_train.csv", "data.name",
            reason="their 1.35 M videos from many sources are not public; data.name=folder takes any videos",
        ),
    )  # fmt: skip


def _finetune() -> tuple[Row, ...]:
    rows = _elsewhere(cited(videomae.FINETUNE, "run_class_finetuning.py", _FINETUNE_LINES))
    rows = cited(rows, "dataset/datasets.py", _DATASETS_LINES)
    rows = cited(rows, "dataset/video_transforms.py", {"crop resize": "559"})
    rows = cited(rows, "dataset/random_erasing.py", {"tries per box": "132"})
    rows = cited(rows, "engine_for_finetuning.py", {"merged views": "300,324"})
    rows = cited(rows, "utils.py", {"precision": "584"})
    rows = tuple(row for row in rows if row.name != "--fc_drop_rate")
    return with_rows(
        _default(rows, warmup_lr="1e-8", test_num_segment="10"),
        Row("--head_drop_rate", "run_class_finetuning.py:89,91", "0.0", "model.head_dropout"),
        Row(
            "--sparse_sample",
            "run_class_finetuning.py:315",
            "False",
            reason="off: only Something-Something's frames are spread over the video, as here",
        ),
    )


_SSV2_LINES = {
    "training window": "585,598",
    "crop": "535",
    "crop area": "531",
    "flip": "541",
    "mean": "525",
    "std": "526",
    "crop aspect": "532",
}
_WORDS = {
    "SSV2": "ssv2", "UCF101": "ucf101", "HMDB51": "hmdb51", "Kinetics-600": "kinetics600",
    "Kinetics-400": "kinetics400", "Kinetics-710": "kinetics710", "run_cell": "running_cell",
    "vit_base_patch16_224": "videomae_base", "vit_large_patch16_224": "videomae_large",
    "vit_huge_patch16_224": "videomae_huge_v2", "vit_giant_patch14_224": "videomae_giant",
}  # fmt: skip
_WORDS |= {f"pretrain_{theirs.replace('vit', 'videomae')}": ours for theirs, ours in _WORDS.items() if "vit" in theirs}

_PUBLISHED = {
    "videomae_v2_k400:giant": "87.2 / 97.4 (docs/MODEL_ZOO.md:21), after fine-tuning on Kinetics-400",
    "finetune_k400:giant": "88.4 / 98.0 (docs/MODEL_ZOO.md:22)",
    "finetune_k400:giant_direct": "87.2 / 97.4 (docs/MODEL_ZOO.md:21)",
    "finetune_k600:giant": "88.8 / 98.2 (docs/MODEL_ZOO.md:23)",
    "finetune_ssv2:giant": "77.0 / 95.9 (docs/MODEL_ZOO.md:24)",
    "finetune_ucf101:giant": "99.6 / 100.0 (docs/MODEL_ZOO.md:25)",
    "finetune_hmdb51:giant": "88.1 / 98.5 (docs/MODEL_ZOO.md:26)",
    "finetune_k710:giant": "83.8 / 96.4 (docs/MODEL_ZOO.md:20)",
}


_MAPPED = {  # the row for the head, in experiments that start from a classifier of Kinetics-710
    "finetune_k400:giant": Row("head", "run_class_finetuning.py:570,577", "misc/label_710to400.json", "init_label_map"),
    "finetune_k600:giant": Row("head", "run_class_finetuning.py:572,577", "misc/label_710to600.json", "init_label_map"),
}


def _recipe(experiment: str) -> Recipe:
    if experiment in PRETRAINING:
        rows = command(_pretrain(), PRETRAINING[experiment], _WORDS)
    else:
        rows = command(_finetune(), FINETUNING[experiment], _WORDS)
    if experiment.startswith("finetune_ssv2"):
        rows = videomae.over_segments(rows, cited(videomae.SSV2_FRAMES, "dataset/datasets.py", _SSV2_LINES))
    if experiment == "finetune_k600:huge_v2":
        said = "4 x 32 GPUs, as for Kinetics-400; this script's default is one GPU"
        batch = Row("--batch_size", f"{FINETUNING[experiment].file}:38,14", said, "data.global_batch", value=128)
        rows = with_rows(rows, batch)
    if experiment in _MAPPED:
        rows = with_rows(rows, _MAPPED[experiment])
    return Recipe(experiment, SOURCE, _PUBLISHED.get(experiment, "no accuracy for this size"), rows)


_STUDENTS = {"small": ("35", "ViT-small", "83.7"), "base": ("37", "ViT-base", "86.6")}
_ON_710 = "they distil on Kinetics-710; to do the same, set data.name=kinetics710 and use their teacher"


def _distilled(size: str) -> Recipe:
    """Distillation: only its models and data are published; the other rows are those of fine-tuning on Kinetics-710."""
    line, model, top1 = _STUDENTS[size]
    zoo = f"docs/MODEL_ZOO.md:{line}"
    rows = with_rows(
        command(_finetune(), FINETUNING["finetune_k710:base_v2"], _WORDS),
        Row("--model", zoo, model, "model.name", value=f"videomae_{size}"),
        Row("--data_set", zoo, "K710", "data.name", value="kinetics710", reason=_ON_710),
        Row("--nb_classes", "scripts/finetune/vit_b_k710_ft.sh:33", "710", "data.num_classes", reason=_ON_710),
        Row("teacher", zoo, "vit_g", "teacher.name", value="videomae_giant"),
        Row("teacher's weights", zoo, "vit_g_hybrid_pt_1200e_k710_ft", "teacher.weights", reason=_ON_710,
            value="vit_g_hybrid_pt_1200e_k710_ft.pth"),
        Row("student's first weights", "docs/MODEL_ZOO.md:40", "after post-pre-training", "init_from",
            value="PRETRAINED", reason="the user names the weights"),
    )  # fmt: skip
    published = f"{top1} (docs/MODEL_ZOO.md:{line}) on Kinetics-400, after distillation on Kinetics-710"
    return Recipe(f"distil_k400:{size}", SOURCE, published, rows)


RECIPES = (*map(_recipe, (*PRETRAINING, *FINETUNING)), *map(_distilled, _STUDENTS))
