"""V-JEPA 2's recipes: its authors' YAML files, and the defaults of their training loop."""

from __future__ import annotations

from vidjax.config.official.table import Recipe, Row, Source, with_rows

SOURCE = Source("V-JEPA 2", "https://github.com/facebookresearch/vjepa2", "c2963a47433ecca0ad4f06ec28bcfa8cb5b5cefb")

_LOOP, _OPTIM, _CLIPS = "app/vjepa/train.py", "app/vjepa/utils.py", "src/datasets/video_dataset.py"
_VIEWS, _CROPS, _MASKS = (
    "app/vjepa/transforms.py", "src/datasets/utils/video/transforms.py", "src/masks/multiseq_multiblock3d.py",
)  # fmt: skip
_LOSS = "vidjax.objectives:FeaturePrediction"
_MIXTURE = {"k710": (10, 14, "0.335"), "ssv2": (11, 15, "0.100"), "howto": (12, 16, "0.565")}  # lines, weight
_STEPS = (
    "this file's 10 epochs of 300 steps end within the warm-up; ours has 240,000 steps, like giant's file and the paper"
)
_SHORT = "this file has 4 epochs of 30 steps; ours has 12,000 steps, like the other files and the paper"
_OPTIMIZER = "no key: they also load the state of the optimiser; a run here starts with moments of zero"

_CODE = (
    Row("betas", f"{_LOOP}:147", "(0.9, 0.999)", "optim.beta2", value=0.999),
    Row("beta1", f"{_LOOP}:147", "(0.9, 0.999)", "optim.beta1", value=0.9),
    Row("eps", f"{_LOOP}:148", "1.0e-8", "optim.eps"),
    Row("optimiser", f"{_OPTIM}:243", "AdamW", "optim.name", value="adamw"),
    Row("decayed", f"{_OPTIM}:229,230", "all except biases and rank 1", "optim.decayed", value="matrices"),
    Row("clipping", f"{_LOOP}:460,461,468", "none", "optim.clip_norm", value=0.0),
    Row("norm of targets", f"{_LOOP}:432", "layer_norm", place=_LOSS),
    Row("teacher's update", f"{_LOOP}:479,480", "after the optimiser's step", place=_LOSS),
    Row("mean over masks", f"{_LOOP}:447,448,449", "loss / n", place=_LOSS),
    Row("mask token", "src/utils/wrappers.py:41", "mask_index=i, the index of the clip length", place=_LOSS),
    Row("size of blocks", f"{_MASKS}:148,149", "round(sqrt(area * aspect))", place="vidjax.ops:block_mask"),
    Row("kept tokens", f"{_MASKS}:206,207,214,215", "the batch's minimum", place="vidjax.ops:num_block_tokens"),
    Row("drop_path_rate", "src/models/vision_transformer.py:37", "0.0", "model.drop_path"),
    Row("window", f"{_CLIPS}:326,328,337", "linspace over fpc * step", "data.sampling", value="dense_span"),
    Row("crop", f"{_VIEWS}:72", "random_resized_crop", "data.crop", value="random_resized"),
    Row("crop resize", f"{_CROPS}:540", "bilinear", "data.interpolation"),
    Row("flip", f"{_VIEWS}:108", "0.5", "data.flip"),
    Row("mean", f"{_VIEWS}:48", "(0.485, 0.456, 0.406)", "data.mean"),
    Row("std", f"{_VIEWS}:48", "(0.229, 0.224, 0.225)", "data.std"),
)


def _file(file: str, lines: dict[str, str]) -> tuple[Row, ...]:
    """Return the rows that all files share.

    Args:
      file: path of one of the files.
      lines: for the name of each row, its lines in that file.
    """
    rows = (
        *(Row(f"weight of {name}", "", said[2], f"data.mixture.{name}.weight") for name, said in _MIXTURE.items()),
        Row("fps", "", "4", "data.fps"),
        Row("random_resize_aspect_ratio", "", "(0.75, 1.35)", "data.crop_aspect"),
        Row("random_resize_scale", "", "(0.3, 1.0)", "data.crop_area"),
        Row("auto_augment", "", "false", "data.rand_augment", value=""),
        Row("reprob", "", "0.0", "data.erase"),
        Row("motion_shift", "", "false", reason="off: one crop for all frames, as here"),
        Row("loss_exp", "", "1.0", place=_LOSS),
        Row("num_blocks", "", "(8, 2)", "jepa.blocks"),
        Row("spatial_scale", "", "(0.15, 0.7)", "jepa.block_area"),
        Row("aspect_ratio", "", "(0.75, 1.5)", "jepa.block_aspect"),
        Row("temporal_scale", "", "1.0", place="vidjax.ops:block_mask"),
        Row("dtype", "", "bfloat16", "model.dtype"),
        Row("pred_depth", "", "12", "model.spec.predictor_depth"),
        Row("pred_embed_dim", "", "384", "model.spec.predictor_width"),
        Row("pred_num_heads", "", "12", "model.spec.predictor_heads"),
        Row("tubelet_size", "", "2", "model.spec.tubelet_size"),
        Row("patch_size", "", "16", "model.spec.patch_size"),
        Row(
            "mask tokens", "", "2 masks x 3 data sets", "model.spec.num_mask_tokens", value=6,
            reason="10, as in the published weights; one of them is trained",
        ),
        Row("zero_init_mask_tokens", "", "true", place="vidjax.models.vjepa2:VJEPA2Predictor"),
        Row("ema", "", "0.99925 to 0.99925", "jepa.teacher_momentum", value=0.99925),
        Row("lr", "", "0.000525", "optim.base_lr"),
        Row("weight_decay", "", "0.04", "optim.weight_decay"),
        Row("final_weight_decay", "", "0.04", "optim.final_weight_decay", value=0.0),  # 0: weight_decay throughout
    )  # fmt: skip
    return tuple(
        Row(row.name, f"{file}:{lines[row.name]}", row.official, row.key, row.place, row.value, row.reason)
        for row in rows
    )


_PRETRAIN_LINES = {
    **{f"weight of {name}": f"{root},{weight}" for name, (root, weight, _) in _MIXTURE.items()},
    "fps": "25", "random_resize_aspect_ratio": "33,34",
    "random_resize_scale": "36,37", "auto_augment": "30", "reprob": "38", "motion_shift": "31", "loss_exp": "40",
    "num_blocks": "48,61", "spatial_scale": "50,51,63,64", "aspect_ratio": "43,44,56,57",
    "temporal_scale": "53,54,66,67", "dtype": "69", "pred_depth": "78", "pred_embed_dim": "79",
    "pred_num_heads": "80", "tubelet_size": "24", "patch_size": "19", "mask tokens": "10,11,12,42,55",
    "zero_init_mask_tokens": "85", "ema": "88,89", "lr": "95", "weight_decay": "98", "final_weight_decay": "92",
}  # fmt: skip
_COOLDOWN_LINES = _PRETRAIN_LINES | {
    "fps": "23", "tubelet_size": "26", "patch_size": "25", "ema": "89,90", "lr": "97", "weight_decay": "101",
    "final_weight_decay": "93",
}  # fmt: skip
_LINEAR = Row("schedule", f"{_OPTIM}:254", "LinearDecaySchedule", "optim.schedule", value="linear")
_THEIRS = {"large": "vitl16", "huge": "vith16", "giant": "vitg16"}
_NAMES = {"large": "vit_large", "huge": "vit_huge", "giant": "vit_giant_xformers"}


def _pretrain(size: str) -> Recipe:
    file = f"configs/train/{_THEIRS[size]}/pretrain-256px-16f.yaml"
    epochs = "800" if size == "giant" else "10"
    rows = with_rows(
        (*_file(file, _PRETRAIN_LINES), *_CODE),
        Row("model_name", f"{file}:77", _NAMES[size], "model.name", value=f"vjepa2_{size}"),
        Row("batch_size", f"{file}:17,2,3", "24 x 128 GPUs", "data.global_batch", value=3072),
        Row("clips of a GPU", f"{file}:17", "24", "jepa.mask_group"),
        Row("lr per clips", f"{file}:17,2,3", "not scaled", "optim.reference_batch", value=3072),
        Row("dataset_fpcs", f"{file}:21,22,23", "16", "data.num_frames"),
        Row("crop_size", f"{file}:18", "256", "data.image_size"),
        Row("start_lr", f"{file}:96", "0.0001", "optim.warmup_lr"),
        Row("warmup", f"{file}:97,93", "40 epochs of 300 steps", "optim.warmup_steps", value=12_000),
        Row("final_lr", f"{file}:91", "0.000525", "optim.min_lr"),
        Row("schedule", f"{_OPTIM}:245", "WarmupCosineSchedule", "optim.schedule", value="cosine"),
        Row(
            "epochs", f"{file}:90,93", f"{epochs} of 300 steps", "train.steps", value=int(epochs) * 300,
            reason="" if size == "giant" else _STEPS,
        ),
    )  # fmt: skip
    return Recipe(f"vjepa2:{size}", SOURCE, "before the cool-down: not published", rows)


_PUBLISHED = {
    "large_cooldown": "SSv2 73.7 (README.md:228), Diving48 89.0 (README.md:232), by attentive probes",
    "huge_cooldown": "no accuracy for this size",
    "giant_cooldown": "no accuracy for this size",
    "giant_384_cooldown": "SSv2 77.3 (README.md:243), Diving48 90.2 (README.md:247), by attentive probes",
}


def _cooldown(size: str) -> Recipe:
    model, side = size.partition("_")[0], 384 if "384" in size else 256
    file = f"configs/train/{_THEIRS[model]}/cooldown-{side}px-64f.yaml"
    clips, gpus = (6, 512) if model == "giant" else (12, 256)
    short = size == "giant_cooldown"
    rows = with_rows(
        (*_file(file, _COOLDOWN_LINES), *_CODE),
        Row("model_name", f"{file}:77", _NAMES[model], "model.name", value=f"vjepa2_{size.removesuffix('_cooldown')}"),
        Row("batch_size", f"{file}:17,5,6", f"{clips} x {gpus} GPUs", "data.global_batch", value=3072),
        Row("clips of a GPU", f"{file}:17", str(clips), "jepa.mask_group"),
        Row("lr per clips", f"{file}:17,5,6", "not scaled", "optim.reference_batch", value=3072),
        Row("dataset_fpcs", f"{file}:20,21,22", "64", "data.num_frames"),
        Row("crop_size", f"{file}:18", str(side), "data.image_size"),
        Row("warmup", f"{file}:100", "0", "optim.warmup_steps"),
        Row("final_lr", f"{file}:92,95", "1.0e-06 after 1.25 times the steps", "optim.min_lr",
            value=5.25e-4 + 0.8 * (1e-6 - 5.25e-4)),
        _LINEAR,
        Row("anneal_ckpt", f"{file}:87", "encoder, predictor, target_encoder", place=_LOSS),
        Row("optimiser of anneal_ckpt", f"{_OPTIM}:124", "loaded", reason=_OPTIMIZER),
        Row(
            "epochs", f"{file}:91,94", "4 of 30 steps" if short else "40 of 300 steps", "train.steps",
            value=120 if short else 12_000, reason=_SHORT if short else "",
        ),
    )  # fmt: skip
    return Recipe(f"vjepa2:{size}", SOURCE, _PUBLISHED[size], rows)


RECIPES = (*map(_pretrain, _THEIRS), *map(_cooldown, _PUBLISHED))
