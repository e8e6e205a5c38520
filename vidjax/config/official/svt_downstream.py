"""SVT's downstream recipes: its authors' linear evaluation, and fine-tuning with TimeSformer's code."""

from __future__ import annotations

import dataclasses

from vidjax.config.official import timesformer
from vidjax.config.official.svt import SOURCE
from vidjax.config.official.table import Recipe, Row, with_rows
from vidjax.config.official.timesformer import FLOAT32

_RUN, _SCRIPT, _DEFAULTS = "eval_linear.py", "scripts/eval_linear.sh", "utils/defaults.py"
_YAML, _FRAMES = "models/configs/Kinetics/TimeSformer_divST_8x32_224.yaml", "datasets/decoder.py"
_PAPER = "(arXiv:2112.01514), averaging the features of two clips, whereas this recipe uses one"
_BEST = (
    "vidjax scores three crops with the last epoch; on UCF101 and HMDB51 their script does too, but at the end it "
    "prints the best epoch's score on the left crop (eval_linear.py:180)"
)
_KINETICS = (
    Row(
        "DATA.NO_RGB_AUG", f"{_DEFAULTS}:347", "False",
        reason="with False, kinetics.py:255 yields the ten views of pre-training, which the script cannot use; True "
        "must be meant",
    ),
    Row(
        "test on Kinetics", "datasets/kinetics.py:139", "a random clip and crop",
        reason="no key: vidjax scores one clip and three crops, as for UCF101 and HMDB51",
    ),
)  # fmt: skip

LINEAR = (
    Row("--arch", f"{_SCRIPT}:21", "vit_base", "model.name", value="timesformer_base"),
    Row("ATTENTION_TYPE", f"{_YAML}:17", "divided_space_time", "model.spec.attention_type", value="divided"),
    Row("--n_last_blocks", f"{_SCRIPT}:20", "1", place="vidjax.models.timesformer:TimeSformerEncoder"),
    Row("--avgpool_patchtokens", f"{_RUN}:328", "False", place="vidjax.models.timesformer:TimeSformerEncoder"),
    Row("weights", f"{_RUN}:101,102", "the teacher's", place="vidjax.training.init.video_model:init_video_model"),
    Row("trained", f"{_RUN}:129,194", "the linear layer", "model.freeze_backbone", value=True),
    Row("drop_path_rate", f"{_RUN}:107", "none: model.eval()", "model.drop_path", value=0.0),
    Row("layer initialisation", f"{_RUN}:313", "0.01", "model.spec.init_std"),
    Row("DATA.NUM_FRAMES", f"{_YAML}:10", "8", "data.num_frames"),
    Row("DATA.SAMPLING_RATE", f"{_YAML}:11", "32", "data.stride"),
    Row("window", f"{_FRAMES}:389", "frames * rate / 30 * fps", "data.sampling", value="seconds"),
    Row("TRAIN_JITTER_SCALES", f"{_YAML}:12", "[256, 320]", "data.short_side", value=(256, 320)),
    Row("TRAIN_CROP_SIZE", f"{_YAML}:13", "224", "data.image_size"),
    Row("TEST_CROP_SIZE", f"{_YAML}:14", "224", "data.image_size"),
    Row("DATA.INV_UNIFORM_SAMPLE", f"{_DEFAULTS}:330", "False", "data.crop", value="short_side"),
    Row("resize", "datasets/transform.py:59", "bilinear", "data.interpolation"),
    Row("DATA.RANDOM_FLIP", f"{_DEFAULTS}:333", "True", "data.flip", value=0.5),
    Row("DATA.COLOR_JITTER", f"{_DEFAULTS}:355", "0.", "data.color_jitter", value=(0.0, 0.0, 0.0, 0.0)),
    Row("DATA.RE_PROB", f"{_DEFAULTS}:357", "0.0", "data.erase"),
    Row("MIXUP.ENABLED", f"{_DEFAULTS}:268", "False", "data.mixup", value=0.0),
    Row("DATA.MEAN", f"{_DEFAULTS}:303", "[0.45, 0.45, 0.45]", "data.mean", value=(0.45, 0.45, 0.45)),
    Row("DATA.STD", f"{_DEFAULTS}:309", "[0.225, 0.225, 0.225]", "data.std", value=(0.225, 0.225, 0.225)),
    Row("clips per video", "datasets/ucf101.py:56", "1", "data.clips_per_decode"),
    Row("--batch_size_per_gpu", f"{_SCRIPT}:25,17", "16 x 1 GPU", "data.global_batch", value=16),
    Row("loss", f"{_RUN}:206", "cross-entropy", "optim.label_smoothing", value=0.0),
    Row("optimizer", f"{_RUN}:128", "SGD", "optim.name", value="sgd"),
    Row("nesterov", f"{_RUN}:128", "not set", "optim.nesterov", value=False),
    Row("momentum", f"{_RUN}:131", "0.9", "optim.momentum"),
    Row("weight_decay", f"{_RUN}:132", "0", "optim.weight_decay", value=0.0),
    Row("--lr", f"{_SCRIPT}:24", "0.001", "optim.base_lr"),
    Row("lr per videos", f"{_RUN}:130", "256", "optim.reference_batch"),
    Row("eta_min", f"{_RUN}:134", "0", "optim.min_lr", value=0.0),
    Row("warm-up", f"{_RUN}:134", "none", "optim.warmup_epochs", value=0.0),
    Row(
        "scheduler", f"{_RUN}:134", "CosineAnnealingLR, one step per epoch", "optim.schedule",
        reason="the same cosine, updated at each training step",
    ),
    Row("--epochs", f"{_SCRIPT}:23", "20", "train.epochs"),
    Row("precision", f"{_RUN}:190", "float32", "model.dtype", reason=FLOAT32),
    Row("NUM_ENSEMBLE_VIEWS", f"{_YAML}:37", "1", "eval.clips"),
    Row("NUM_SPATIAL_CROPS", f"{_RUN}:46", "3", "eval.crops"),
    Row("DATA.ENSEMBLE_METHOD", f"{_DEFAULTS}:339", "sum", "eval.merge", value="sum_logits"),
    Row("tested epoch", f"{_RUN}:175,180", "the last, and the best", "eval.checkpoint", reason=_BEST),
)  # fmt: skip


def _linear(size: str, published: str, classes: str, *others: Row) -> Recipe:
    name = {"k400": "kinetics400"}.get(size, size)
    if size == "ucf101":
        dataset = Row("--dataset", f"{_SCRIPT}:28,5", name, "data.name")
        labels = Row("--num_labels", f"{_SCRIPT}:27", classes, "data.num_classes")
    else:  # there is no script; users set these flags themselves
        dataset = Row("dataset", f"{_RUN}:352", name, "data.name")
        labels = Row("num_labels", f"{_RUN}:351", classes, "data.num_classes")
    rows = with_rows(LINEAR, dataset, labels, *others)
    return Recipe(f"svt_linear:{size}", SOURCE, f"{published} {_PAPER}", rows)


_FIGURES = {
    "k400": "78.1",
    "ssv2": "59.2",
    "ucf101": "93.7, the mean of three splits",
    "hmdb51": "67.2, the mean of three splits",
}
_THEIRS = {recipe.experiment: recipe for recipe in timesformer.RECIPES}
_BEGINS = ("temporal_fc initialisation", "temporal attention initialisation")
_NOT_THERE = (
    "TimeSformer's code reads Kinetics and Something-Something only; SVT's authors published no fine-tuning code of "
    "their own"
)


def _finetune(size: str) -> Recipe:
    """TimeSformer's recipe, initialised from SVT: kahnchana/svt, issue 18."""
    theirs = _THEIRS["timesformer_ssv2:base" if size == "ssv2" else "timesformer_k400:base"]
    rows = tuple(row for row in theirs.rows if row.name not in _BEGINS)
    if size in ("ucf101", "hmdb51"):
        rows = tuple(
            dataclasses.replace(row, reason=_NOT_THERE) if row.key in ("data.name", "data.num_classes") else row
            for row in rows
        )
    return Recipe(f"svt_finetune:{size}", theirs.source, f"{_FIGURES[size]} {_PAPER}", rows)


RECIPES = (
    _linear("ucf101", "90.8, the mean of three splits", "101"),
    _linear("hmdb51", "57.8, the mean of three splits", "51"),
    _linear("k400", "68.1", "400", *_KINETICS),
    *map(_finetune, _FIGURES),
)
