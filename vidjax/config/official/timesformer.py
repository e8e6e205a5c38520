"""TimeSformer's recipes: the YAML files of its authors, over the defaults of their configuration."""

from __future__ import annotations

from vidjax.config.official.table import Recipe, Row, Source

SOURCE = Source(
    "TimeSformer", "https://github.com/facebookresearch/TimeSformer", "a5ef29a7b7264baff199a30b3306ac27de901133"
)

_DEFAULTS = "timesformer/config/defaults.py"
FLOAT32 = "bfloat16 takes less memory and time; parameters and losses are float32, and model.dtype=float32 is theirs"

SHARED = (
    Row("MIXUP.ENABLED", f"{_DEFAULTS}:263", "False", "data.mixup", value=0.0),
    Row("its CUTMIX_ALPHA", f"{_DEFAULTS}:263", "False", "data.cutmix", value=0.0),
    Row("EMA.ENABLED", f"{_DEFAULTS}:272", "False", "optim.ema", value=0.0),
    Row("DATA.MEAN", f"{_DEFAULTS}:298", "[0.45, 0.45, 0.45]", "data.mean", value=(0.45, 0.45, 0.45)),
    Row("DATA.STD", f"{_DEFAULTS}:304", "[0.225, 0.225, 0.225]", "data.std", value=(0.225, 0.225, 0.225)),
    Row("DATA.RANDOM_FLIP", f"{_DEFAULTS}:328", "True", "data.flip", value=0.5),
    Row("DATA.INV_UNIFORM_SAMPLE", f"{_DEFAULTS}:325", "False", place="vidjax.data.clips.augment:CROPS"),
    Row("DATA.ENSEMBLE_METHOD", f"{_DEFAULTS}:334", "sum", "eval.merge", value="sum_logits"),
    Row("DATA.COLOR_JITTER", f"{_DEFAULTS}:342", "0.", "data.color_jitter", value=(0.0, 0.0, 0.0, 0.0)),
    Row("DATA.AUTO_AUGMENT", f"{_DEFAULTS}:343", "''", "data.rand_augment"),
    Row("DATA.RE_PROB", f"{_DEFAULTS}:344", "0.0", "data.erase"),
    Row("SOLVER.DAMPENING", f"{_DEFAULTS}:379", "0.0", place="vidjax.training.optim.optimizer:OPTIMIZERS"),
    Row("SOLVER.NESTEROV", f"{_DEFAULTS}:382", "True", "optim.nesterov"),
    Row("SOLVER.WARMUP_EPOCHS", f"{_DEFAULTS}:391", "0.0", "optim.warmup_epochs"),
    Row("GLOBAL_BATCH_SIZE", f"{_DEFAULTS}:432", "64", "data.global_batch"),
    Row("lr per videos", f"{_DEFAULTS}:400", "as it is", "optim.reference_batch", value=64),
    Row("decayed", "timesformer/models/optimizer.py:40", "all but batch norms", "optim.decayed", value="all"),
    Row("clipping", "tools/train_net.py:107", "none", "optim.clip_norm", value=0.0),
    Row("drop_path_rate", "timesformer/models/vit.py:324", "0.1", "model.drop_path"),
    Row("drop_rate", "timesformer/models/vit.py:324", "0.", "model.head_dropout", value=0.0),
    Row(
        "temporal_fc begins", "timesformer/models/vit.py:225,226", "0",
        place="vidjax.models.timesformer:DividedBlock",
    ),
    Row(
        "temporal attention begins", "timesformer/models/helpers.py:190", "a copy of the image model's",
        place="vidjax.weights.families.timesformer_image:image_rules",
    ),
    Row("label smoothing", "timesformer/models/losses.py:8", "none", "optim.label_smoothing", value=0.0),
    Row("clips of a video", "timesformer/datasets/kinetics.py:65", "1", "data.clips_per_decode"),
    Row("resize", "timesformer/datasets/transform.py:58", "bilinear", "data.interpolation"),
    Row("tested epoch", "timesformer/utils/checkpoint.py:523", "the last", "eval.checkpoint", value="last"),
    Row("precision", "tools/train_net.py:96", "float32", "model.dtype", reason=FLOAT32),
)  # fmt: skip

_KINETICS = (
    Row("window", "timesformer/datasets/decoder.py:383", "frames * rate / 30 * fps", "data.sampling", value="seconds"),
    Row(
        "test short side", "timesformer/datasets/kinetics.py:176", "TEST_CROP_SIZE",
        place="vidjax.data.clips.augment:eval_places",
    ),
)  # fmt: skip


def _yaml(file: str, frames: int, rate: int, scales: tuple[int, int], side: int) -> tuple[Row, ...]:
    """The lines of a Kinetics file, which all have the same order; clips alone differ."""
    return (
        Row("TRAIN.DATASET", f"{file}:3", "kinetics", "data.name", value="kinetics400"),
        Row("DATA.NUM_FRAMES", f"{file}:10", str(frames), "data.num_frames"),
        Row("DATA.SAMPLING_RATE", f"{file}:11", str(rate), "data.stride"),
        Row("TRAIN_JITTER_SCALES", f"{file}:12", str(list(scales)), "data.short_side", value=scales),
        Row("their crop", f"{file}:12", "random, of the short side", "data.crop", value="short_side"),
        Row("TRAIN_CROP_SIZE", f"{file}:13", str(side), "data.image_size"),
        Row("TEST_CROP_SIZE", f"{file}:14", str(side), "data.image_size"),
        Row("ATTENTION_TYPE", f"{file}:17", "divided_space_time", "model.spec.attention_type", value="divided"),
        Row("BASE_LR", f"{file}:19", "0.005", "optim.base_lr"),
        Row("LR_POLICY", f"{file}:20", "steps_with_relative_lrs", "optim.schedule", value="steps"),
        Row("STEPS", f"{file}:21", "[0, 11, 14]", "optim.step_epochs", value=(11.0, 14.0)),
        Row("LRS", f"{file}:22", "[1, 0.1, 0.01]", "optim.step_factors", value=(0.1, 0.01)),
        Row("MAX_EPOCH", f"{file}:23", "15", "train.epochs"),
        Row("MOMENTUM", f"{file}:24", "0.9", "optim.momentum"),
        Row("WEIGHT_DECAY", f"{file}:25", "1e-4", "optim.weight_decay"),
        Row("OPTIMIZING_METHOD", f"{file}:26", "sgd", "optim.name"),
        Row("NUM_CLASSES", f"{file}:29", "400", "data.num_classes"),
        Row("DROPOUT_RATE", f"{file}:32", "0.5", reason="the ViT never reads it: vit.py:324 has drop_rate=0."),
        Row("NUM_ENSEMBLE_VIEWS", f"{file}:37", "1", "eval.clips"),
        Row("NUM_SPATIAL_CROPS", f"{file}:38", "3", "eval.crops"),
    )


_K400 = "configs/Kinetics/TimeSformer_divST_{}.yaml"
_POSITIONS = Row(
    "other positions", "timesformer/models/helpers.py:174", "nearest along the flattened table",
    "model.spec.resized_positions", value="flattened",
    reason="a mistake of theirs: most places get another's position. The public weights began so; to begin alike: "
    "--config.model.spec.resized_positions=flattened",
)  # fmt: skip
_SIZES = {
    "base": ("77.9 / 93.2 (README.md:23)", _yaml(_K400.format("8x32_224"), 8, 32, (256, 320), 224)),
    "hr": ("79.6 / 94.0 (README.md:24)", (*_yaml(_K400.format("16x16_448"), 16, 16, (448, 512), 448), _POSITIONS)),
    "large": ("80.6 / 94.7 (README.md:25)", _yaml(_K400.format("96x4_224"), 96, 4, (256, 320), 224)),
}


def _model(size: str, rows: tuple[Row, ...]) -> Row:
    where = next(row.where for row in rows if row.name == "NUM_CLASSES").replace(":29", ":28")
    return Row("MODEL_NAME", where, "vit_base_patch16_224", "model.name", value=f"timesformer_{size}")


RECIPES = tuple(
    Recipe(f"timesformer_k400:{size}", SOURCE, published, (*SHARED, *_KINETICS, _model(size, rows), *rows))
    for size, (published, rows) in _SIZES.items()
)
