"""TimeSformer's recipes: the authors' YAML files on top of the defaults of their configuration."""

from __future__ import annotations

import dataclasses

from vidjax.config.official.table import Recipe, Row, Source, with_rows

SOURCE = Source(
    "TimeSformer", "https://github.com/facebookresearch/TimeSformer", "a5ef29a7b7264baff199a30b3306ac27de901133"
)

_DEFAULTS = "timesformer/config/defaults.py"
FLOAT32 = "bfloat16 takes less memory and time; parameters and losses are float32; model.dtype=float32 equals theirs"

SHARED = (
    Row("MIXUP.ENABLED", f"{_DEFAULTS}:263", "False", "data.mixup", value=0.0),
    Row("MIXUP's CUTMIX_ALPHA", f"{_DEFAULTS}:263", "False", "data.cutmix", value=0.0),
    Row("EMA.ENABLED", f"{_DEFAULTS}:272", "False", "optim.ema", value=0.0),
    Row("DATA.MEAN", f"{_DEFAULTS}:298", "[0.45, 0.45, 0.45]", "data.mean", value=(0.45, 0.45, 0.45)),
    Row("DATA.STD", f"{_DEFAULTS}:304", "[0.225, 0.225, 0.225]", "data.std", value=(0.225, 0.225, 0.225)),
    Row("DATA.RANDOM_FLIP", f"{_DEFAULTS}:328", "True", "data.flip", value=0.5),
    Row("DATA.INV_UNIFORM_SAMPLE", f"{_DEFAULTS}:325", "False", "data.crop", value="short_side"),
    Row("DATA.ENSEMBLE_METHOD", f"{_DEFAULTS}:334", "sum", "eval.merge", value="sum_logits"),
    Row("DATA.COLOR_JITTER", f"{_DEFAULTS}:342", "0.", "data.color_jitter", value=(0.0, 0.0, 0.0, 0.0)),
    Row("DATA.AUTO_AUGMENT", f"{_DEFAULTS}:343", "''", "data.rand_augment"),
    Row("DATA.RE_PROB", f"{_DEFAULTS}:344", "0.0", "data.erase"),
    Row("SOLVER.DAMPENING", f"{_DEFAULTS}:379", "0.0", place="vidjax.training.optim.optimizer:OPTIMIZERS"),
    Row("SOLVER.NESTEROV", f"{_DEFAULTS}:382", "True", "optim.nesterov"),
    Row("SOLVER.WARMUP_EPOCHS", f"{_DEFAULTS}:391", "0.0", "optim.warmup_epochs"),
    Row("GLOBAL_BATCH_SIZE", f"{_DEFAULTS}:432", "64", "data.global_batch"),
    Row("lr per videos", f"{_DEFAULTS}:400", "not scaled", "optim.reference_batch", value=64),
    Row("decayed", "timesformer/models/optimizer.py:40", "all except batch norms", "optim.decayed", value="all"),
    Row("clipping", "tools/train_net.py:107", "none", "optim.clip_norm", value=0.0),
    Row("drop_path_rate", "timesformer/models/vit.py:324", "0.1", "model.drop_path"),
    Row("drop_rate", "timesformer/models/vit.py:324", "0.", "model.head_dropout", value=0.0),
    Row(
        "temporal_fc initialisation", "timesformer/models/vit.py:225,226", "0",
        place="vidjax.models.timesformer:DividedBlock",
    ),
    Row(
        "temporal attention initialisation", "timesformer/models/helpers.py:190", "a copy of the image model's",
        place="vidjax.weights.families.timesformer_image:image_rules",
    ),
    Row("label smoothing", "timesformer/models/losses.py:8", "none", "optim.label_smoothing", value=0.0),
    Row("clips per video", "timesformer/datasets/kinetics.py:65", "1", "data.clips_per_decode"),
    Row("resize", "timesformer/datasets/transform.py:58", "bilinear", "data.interpolation"),
    Row("tested epoch", "timesformer/utils/checkpoint.py:523", "the last", "eval.checkpoint", value="last"),
    Row("precision", "tools/train_net.py:96", "float32", "model.dtype", reason=FLOAT32),
)  # fmt: skip

_NO_FIGURE = "no weights; the ablation of the attention is in arXiv:2102.05095, table 1"
_KINETICS = (
    Row("window", "timesformer/datasets/decoder.py:383", "frames * rate / 30 * fps", "data.sampling", value="seconds"),
    Row(
        "test short side", "timesformer/datasets/kinetics.py:176", "TEST_CROP_SIZE",
        place="vidjax.data.clips.augment:eval_places",
    ),
)  # fmt: skip


_SSV2 = (
    Row("window", "timesformer/datasets/ssv2.py:231,233", "one frame per rounded segment", "data.sampling",
        value="segment_middle"),
    Row("order of channels", "timesformer/datasets/utils.py:36", "BGR", "data.channels", value="bgr"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Yaml:
    """One of the YAML files, which differ only in these fields.

    Attributes:
      shift: number of lines by which the later sections start further down than in the Kinetics files.
    """

    file: str
    frames: int
    attention: str = "divided_space_time"
    scales: tuple[int, int] = (256, 320)
    side: int = 224
    shift: int = 0

    def rows(self) -> tuple[Row, ...]:
        """The rows for values that are set in the files of both data sets."""
        frames = f"{self.file}:{11 if self.shift else 10}"
        theirs = self.attention
        ours = "divided" if theirs.startswith("divided") else theirs.removesuffix("_space_time")
        return (
            Row("DATA.NUM_FRAMES", frames, str(self.frames), "data.num_frames"),
            Row("TRAIN_JITTER_SCALES", self.at(12), str(list(self.scales)), "data.short_side", value=self.scales),
            Row("TRAIN_CROP_SIZE", self.at(13), str(self.side), "data.image_size"),
            Row("TEST_CROP_SIZE", self.at(14), str(self.side), "data.image_size"),
            Row("ATTENTION_TYPE", self.after(17), theirs, "model.spec.attention_type", value=ours),
            Row("BASE_LR", self.after(19), "0.005", "optim.base_lr"),
            Row("LR_POLICY", self.after(20), "steps_with_relative_lrs", "optim.schedule", value="steps"),
            Row("STEPS", self.after(21), "[0, 11, 14]", "optim.step_epochs", value=(11.0, 14.0)),
            Row("LRS", self.after(22), "[1, 0.1, 0.01]", "optim.step_factors", value=(0.1, 0.01)),
            Row("MAX_EPOCH", self.after(23), "15", "train.epochs"),
            Row("MOMENTUM", self.after(24), "0.9", "optim.momentum"),
            Row("WEIGHT_DECAY", self.after(25), "1e-4", "optim.weight_decay"),
            Row("OPTIMIZING_METHOD", self.after(26), "sgd", "optim.name"),
            Row("DROPOUT_RATE", self.after(32), "0.5", reason="the ViT never reads it: vit.py:324 has drop_rate=0."),
            Row("NUM_ENSEMBLE_VIEWS", self.after(37), "1", "eval.clips"),
            Row("NUM_SPATIAL_CROPS", self.after(38), "3", "eval.crops"),
        )

    def kinetics(self, rate: int) -> tuple[Row, ...]:
        """The additional rows of a Kinetics file."""
        return (
            Row("TRAIN.DATASET", self.at(3), "kinetics", "data.name", value="kinetics400"),
            Row("DATA.SAMPLING_RATE", self.at(11), str(rate), "data.stride"),
            Row("NUM_CLASSES", self.after(29), "400", "data.num_classes"),
            *_KINETICS,
        )

    def ssv2(self) -> tuple[Row, ...]:
        """The additional rows of a Something-Something v2 file."""
        return (
            Row("TRAIN.DATASET", self.at(3), "ssv2", "data.name"),
            Row("DATA.INV_UNIFORM_SAMPLE", self.at(16), "True", "data.crop", value="short_side_inverse"),
            Row("DATA.RANDOM_FLIP", self.at(17), "False", "data.flip", value=0.0),
            Row("DATA.REVERSE_INPUT_CHANNEL", self.at(18), "True", reason=_REVERSE),
            Row("NUM_CLASSES", self.after(29), "174", "data.num_classes"),
            *_SSV2,
        )

    def model(self, size: str) -> Row:
        """The row of the model; its value is our preset."""
        return Row("MODEL_NAME", self.after(28), "vit_base_patch16_224", "model.name", value=f"timesformer_{size}")

    def at(self, line: int) -> str:
        """A line of the file."""
        return f"{self.file}:{line}"

    def after(self, line: int) -> str:
        """A line of the later sections, given by its number in the Kinetics files."""
        return self.at(line + self.shift)


_REVERSE = "no effect on the ViT: ssv2.py:259 reorders the channels of other models only"
_POSITIONS = Row(
    "resized positions", "timesformer/models/helpers.py:174", "nearest along the flattened table",
    "model.spec.resized_positions", value="flattened",
    reason="a mistake in their code, which gives most patches the position of another patch. Their public weights "
    "started that way; to do the same, set --config.model.spec.resized_positions=flattened",
)  # fmt: skip
_K400 = "configs/Kinetics/TimeSformer_{}.yaml"
_K400_FILES = {
    "base": ("77.9 / 93.2 (README.md:23)", _Yaml(_K400.format("divST_8x32_224"), 8), 32),
    "hr": ("79.6 / 94.0 (README.md:24)", _Yaml(_K400.format("divST_16x16_448"), 16, scales=(448, 512), side=448), 16),
    "large": ("80.6 / 94.7 (README.md:25)", _Yaml(_K400.format("divST_96x4_224"), 96), 4),
    "joint": (_NO_FIGURE, _Yaml(_K400.format("jointST_8x32_224"), 8, "joint_space_time"), 32),
    "space_only": (_NO_FIGURE, _Yaml(_K400.format("spaceOnly_8x32_224"), 8, "space_only"), 32),
}
_OF_SSV2 = "configs/SSv2/TimeSformer_divST_{}.yaml"
_SSV2_FILES = {
    "base": ("59.1 / 85.6 (README.md:35)", _Yaml(_OF_SSV2.format("8_224"), 8, shift=3)),
    "hr": ("61.8 / 86.9 (README.md:36)", _Yaml(_OF_SSV2.format("16_448"), 16, scales=(448, 512), side=448, shift=3)),
    "large": ("62.0 / 87.5 (README.md:37)", _Yaml(_OF_SSV2.format("64_224"), 64, shift=3)),
}


def _kinetics(size: str) -> Recipe:
    published, file, rate = _K400_FILES[size]
    preset = size if size in ("hr", "large") else "base"
    rows = with_rows(SHARED, file.model(preset), *file.rows(), *file.kinetics(rate), *_positions(file))
    return Recipe(f"timesformer_k400:{size}", SOURCE, published, rows)


def _ssv2(size: str) -> Recipe:
    published, file = _SSV2_FILES[size]
    rows = with_rows(SHARED, file.model(size), *file.rows(), *file.ssv2(), *_positions(file))
    return Recipe(f"timesformer_ssv2:{size}", SOURCE, published, rows)


def _positions(file: _Yaml) -> tuple[Row, ...]:
    """The row of resized positions, for frames larger than the images that the image model was trained on."""
    return (_POSITIONS,) if file.side != 224 else ()


RECIPES = (*map(_kinetics, _K400_FILES), *map(_ssv2, _SSV2_FILES))
