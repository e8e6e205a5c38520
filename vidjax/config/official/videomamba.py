"""VideoMamba's recipes; its video code derives from VideoMAE's and has most of its flags, some without effect."""

from __future__ import annotations

import dataclasses

from vidjax.config.official import videomae, videomamba_k400_scripts, videomamba_long_scripts, videomamba_ssv2_scripts
from vidjax.config.official.table import MIXED, Recipe, Row, Source, cited, command, with_rows

_SCRIPTS = (videomamba_k400_scripts, videomamba_ssv2_scripts, videomamba_long_scripts)
_FINETUNING = {name: script for module in _SCRIPTS for name, script in module.FINETUNING.items()}
_PUBLISHED = {name: accuracy for module in _SCRIPTS for name, accuracy in module.PUBLISHED.items()}

SOURCE = Source("VideoMamba", "https://github.com/OpenGVLab/VideoMamba", "f3427e42cb8453a523aec3a6f86d57b5bc1de5c3")

_HERE = "videomamba/video_sm"
_RUN = f"{_HERE}/run_class_finetuning.py"
_REGRESSION = f"{_HERE}/run_regression_finetuning.py"
_DECAY = (
    "optim_factory.py:37 leaves out the Mamba blocks, which learn at the full rate, whereas patches and positions "
    "learn at 0.1 % of it or less; here all learn at the full rate, because optim.layer_decay would slow the blocks"
)
_NOT_GIVEN = "run_class_finetuning.py:341 does not pass it to VideoMamba"
_UNCUT = "neither their code nor vidjax reads it: Kinetics_sparse uses whole clips"
_DOUBLED = ("--lr", "--min_lr", "--warmup_lr")  # their scaling counts both clips of a video; ours counts videos
# fmt: off
_LINES = {
    "--batch_size": "30", "--epochs": "31", "--update_freq": "32", "--model": "36", "--tubelet_size": "38",
    "--input_size": "40", "--fc_drop_rate": "45", "--drop": "47", "--attn_drop_rate": "49", "--drop_path": "51",
    "--model_ema": "55", "--opt": "60", "--opt_eps": "62", "--opt_betas[0]": "64", "--opt_betas[1]": "64",
    "--clip_grad": "66", "--weight_decay": "70", "--weight_decay_end": "72", "--lr": "76", "--layer_decay": "78",
    "--min_lr": "82", "--warmup_lr": "80", "--warmup_epochs": "85", "--warmup_steps": "87", "--color_jitter": "91",
    "--num_sample": "93", "--aa": "95", "--train_interpolation": "99", "--smoothing": "97", "--reprob": "109",
    "--remode": "111", "--recount": "113", "--mixup": "119", "--cutmix": "121", "--cutmix_minmax": "123",
    "--mixup_prob": "125", "--mixup_switch_prob": "127", "--mixup_mode": "129", "--init_scale": "137",
    "--use_mean_pooling": "142", "--nb_classes": "154", "--data_set": "166", "--num_frames": "162",
    "--sampling_rate": "163", "--short_side_size": "104", "--test_num_segment": "105", "--test_num_crop": "106",
    MIXED: "325", "lr and min_lr per videos": "524,525",
}
# fmt: on
_REASONS = {
    "--layer_decay": _DECAY,
    "--drop": _NOT_GIVEN,
    "--attn_drop_rate": _NOT_GIVEN,
    "--init_scale": f"{_NOT_GIVEN}, whose head begins with std .02, as here",
    "--use_mean_pooling": f"{_NOT_GIVEN}, which classifies by its class token, as here",
    "--sampling_rate": "neither their code nor vidjax reads it: frames are spread over the video",
}
_LEFT_OUT = {"tested epoch", "layer ids of the decay"}  # VideoMAE's rows that other rows replace


def _explained(row: Row) -> Row:
    """Adapt one of VideoMAE's rows to its meaning in VideoMamba's code."""
    if row.name in _REASONS:
        key = row.key if row.name == "--layer_decay" else ""
        return dataclasses.replace(row, key=key, place="", reason=_REASONS[row.name])
    if row.name == "--warmup_lr":  # here, in contrast to VideoMAE, the schedule reads it
        return dataclasses.replace(row, key="optim.warmup_lr", reason="")
    if row.name == "schedule":
        return dataclasses.replace(row, official="linear from --warmup_lr, then cosine")
    return row


def _parser() -> tuple[Row, ...]:
    rows = cited(videomae.FINETUNE, _RUN, _LINES)
    rows = cited(rows, f"{_HERE}/utils.py", {"schedule": "455,459"})
    rows = cited(rows, f"{_HERE}/optim_factory.py", {"undecayed": "69"})
    places = {"crop area": "206", "crop aspect": "207", "crop": "210", "flip": "216", "mean": "200", "std": "200"}
    rows = cited(rows, f"{_HERE}/datasets/kinetics_sparse.py", places)
    rows = cited(rows, f"{_HERE}/datasets/video_transforms.py", {"crop resize": "570"})
    rows = cited(rows, f"{_HERE}/datasets/random_erasing.py", {"tries per box": "128"})
    rows = cited(rows, f"{_HERE}/engines/engine_for_finetuning.py", {"merged views": "288,317"})
    rows = tuple(_explained(row) for row in rows if row.name not in _LEFT_OUT and row.name != "precision")
    return with_rows(
        rows,
        Row("training window", f"{_HERE}/datasets/kinetics_sparse.py:246", "a random frame per rounded segment",
            "data.sampling", value="segment_rounded"),
        Row("test clips", f"{_HERE}/datasets/kinetics_sparse.py:252,255", "(k + 1) / (clips + 1) of a segment",
            "data.sampling", value="segment_rounded"),
        Row("--orig_t_size", f"{_RUN}:39", "8", reason="the checkpoint records how many frames it was trained with"),
        Row("--test_best", f"{_RUN}:190", "False", "eval.checkpoint", value="last"),
        Row("--bf16", f"{_RUN}:213", "False", "model.dtype", value="float16"),
        Row("both directions", "mamba/mamba_ssm/modules/mamba_simple.py:211", "added", "model.spec.merge_directions",
            value="sum"),
    )  # fmt: skip


def _regression_parser() -> tuple[Row, ...]:
    """Rows of the regression script: the same flags on other lines, some other defaults, another loss, no mixing."""
    rows = tuple(map(_in_regression, (row for row in _parser() if row.name != MIXED)))
    return with_rows(
        rows,
        Row("--smoothing", f"{_REGRESSION}:95", "0.", "optim.label_smoothing"),
        Row("--mixup", f"{_REGRESSION}:117", "0.", "data.mixup"),
        Row("--cutmix", f"{_REGRESSION}:119", "0.", "data.cutmix"),
        Row("--trimmed", f"{_REGRESSION}:162", "60", reason=_UNCUT),
        Row("--time_stride", f"{_REGRESSION}:163", "16", reason=_UNCUT),
        Row("loss", f"{_REGRESSION}:577", "MSELoss", place="vidjax.objectives:LeastSquares"),
        Row("labels", f"{_HERE}/README.md:79", "normalised as in ViS4mer", place="vidjax.data.datasets.lvu:NUMBERS"),
        Row("merged views", f"{_HERE}/engines/engine_for_finetuning_regression.py:290,291", "mean of outputs",
            place="vidjax.evaluation.regression:RegressionEvaluator"),
    )  # fmt: skip


def _in_regression(row: Row) -> Row:
    """Cite run_regression_finetuning.py, whose lines come 2 or 10 earlier than in run_class_finetuning.py."""
    reason = row.reason.replace("run_class_finetuning.py:341", "run_regression_finetuning.py:331")
    file, _, lines = row.where.partition(":")
    if file != _RUN:
        return dataclasses.replace(row, reason=reason)
    moved = ",".join(str(int(line) - (2 if int(line) < 250 else 10)) for line in lines.split(","))
    return dataclasses.replace(row, where=f"{_REGRESSION}:{moved}", reason=reason)


_SSV2 = (
    Row("training window", f"{_HERE}/datasets/ssv2.py:587,589", "one frame per N // frames", "data.sampling",
        value="segment_integer"),
    Row("crop", f"{_HERE}/datasets/ssv2.py:512", "random_resized_crop", "data.crop", value="random_resized"),
    Row("crop area", f"{_HERE}/datasets/ssv2.py:508", "(0.08, 1.0)", "data.crop_area"),
    Row("flip", f"{_HERE}/datasets/ssv2.py:518", "False", "data.flip", value=0.0),
    Row("mean", f"{_HERE}/datasets/ssv2.py:502", "(0.485, 0.456, 0.406)", "data.mean"),
    Row("std", f"{_HERE}/datasets/ssv2.py:502", "(0.229, 0.224, 0.225)", "data.std"),
)  # fmt: skip
_SET = {"k400": "kinetics400", "breakfast": "breakfast", "coin": "coin", "lvu": "lvu"}
_SLIPS = {  # mistakes in the scripts
    ("videomamba_k400:ti_384", "--model"): "a slip: the script's folder and the model zoo have the tiny model",
    ("videomamba_ssv2:ti_288", "--model"): "a slip: the script's folder and the model zoo have the tiny model",
    ("videomamba_ssv2:ti_288", "--num_frames"): "a slip: the script's name and the model zoo have 16 frames",
    (
        "videomamba_coin:middle_masked_f64",
        "--test_num_segment",
    ): "a slip: the model zoo has 10 clips, as for the others",
}


def _recipe(experiment: str) -> Recipe:
    data = experiment.removeprefix("videomamba_").partition(":")[0]
    words = {"videomamba_tiny": "videomamba_ti", "SSV2": "ssv2", "Kinetics_sparse": _SET.get(data, data)}
    words |= {"--bf16 True": "bfloat16", "--test_best True": "best"}
    parser = _regression_parser() if experiment in videomamba_long_scripts.LVU_NUMBERS else _parser()
    rows = command(parser, _FINETUNING[experiment], words)
    rows = tuple(_doubled(row) if row.name in _DOUBLED else row for row in rows)
    if data == "ssv2":
        rows = with_rows(tuple(row for row in rows if row.name != "test clips"), *_SSV2)
    if data == "lvu":
        rows = _lvu(experiment, rows)
    slips = {name: reason for (slipped, name), reason in _SLIPS.items() if slipped == experiment}
    rows = tuple(dataclasses.replace(row, reason=slips.get(row.name, row.reason)) for row in rows)
    return Recipe(experiment, SOURCE, _PUBLISHED[experiment], rows)


def _lvu(experiment: str, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows of an LVU task; the published script is for the task "director" only."""
    task, script = experiment.partition(":")[2], _FINETUNING[experiment].file
    rows = (
        *rows,
        Row("DATA_PATH", f"{script}:8", "the folder of the task", "data.train_split", value=f"train_{task}"),
        Row("chosen on", f"{_HERE}/datasets/build.py:113", "val.csv", "data.eval_split", value=f"val_{task}"),
    )
    if experiment in videomamba_long_scripts.LVU_NUMBERS:
        return rows
    line, classes = videomamba_long_scripts.LVU_CLASSES[task]
    counted = Row("nb_classes", f"{_HERE}/datasets/build.py:{line}", classes, "data.num_classes")
    return (*(row for row in rows if row.name != "--nb_classes"), counted)


def _doubled(row: Row) -> Row:
    return dataclasses.replace(row, value=2 * float(row.official))


RECIPES = tuple(map(_recipe, _FINETUNING))
