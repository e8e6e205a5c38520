"""ViViT's recipes: scenic's configurations, and the behaviour of its code for everything that they leave open."""

from __future__ import annotations

import dataclasses
from typing import Any

from vidjax.config.official.table import Recipe, Row, Source, with_rows
from vidjax.config.official.timesformer import FLOAT32
from vidjax.config.official.vivit_files import FILES, FOLDER

SOURCE = Source("ViViT", "https://github.com/google-research/scenic", "4a38d475ee89cb821078c0e2bf2065ee030e1535")

_HERE = "scenic/projects/vivit"
_DATA = f"{_HERE}/data/video_tfrecord_dataset.py"
_OPS = "scenic/dataset_lib/video_ops.py"
_GROUPS = "the number of devices is not published; on 32, each has 2 clips; see Groups in configs/vivit_k400.py"
_SIDES = "vidjax rounds to whole pixels and keeps the aspect ratio; scenic draws height and width independently"
_TESTED = "no key: at test time scenic resizes frames to this short side, vidjax to the crop's side"
_OFF = "off: do_color_augment=False"

SHARED = (
    Row("window", f"{_DATA}:221", "DMVR's: random start, short videos repeat", "data.sampling", value="dense_loop"),
    Row("crop", f"{_DATA}:261", "random", "data.crop", value="short_side"),
    Row("flip", f"{_DATA}:261", "DMVR's, half of the clips", "data.flip", value=0.5),
    Row(
        "colours", f"{_OPS}:587", "DMVR's; brightness shifts by up to 32 grey levels", "data.color_jitter",
        reason="here brightness is a factor, 0.875 to 1.125; contrast, saturation and hue are DMVR's",
    ),
    Row("clips per video", f"{_DATA}:262", "1", "data.clips_per_decode"),
    Row("lr per videos", f"{_HERE}/trainer.py:34", "not scaled", "optim.reference_batch", value=64),
    Row("momentum", "scenic/train_lib/optimizers.py:218", "0.9", "optim.momentum"),
    Row("mixup.alpha", f"{_HERE}/train_utils.py:100", "only with config.mixup", "data.mixup", value=0.0),
    Row("clipped gradient", f"{_HERE}/train_utils.py:158,162", "each device's", "optim.clip_group", reason=_GROUPS),
    Row("stochastic_droplayer_rate", f"{_HERE}/model.py:691", "0", "model.drop_path"),
    Row("head initialisation", f"{_HERE}/model.py:558", "zeros", place="vidjax.models.vivit:ViViTClassifier"),
    Row("merged views", f"{_HERE}/train_utils.py:321", "sum of logits", "eval.merge", value="sum_logits"),
    Row("tested epoch", f"{_HERE}/trainer.py:346", "the last", "eval.checkpoint", value="last"),
    Row("moving average of weights", f"{_HERE}/train_utils.py:163", "none", "optim.ema", value=0.0),
)  # fmt: skip

# Our key for each name in scenic's configurations, and our value if we write it differently.
_KEYS: dict[str, tuple[str, Any]] = {
    "num_classes": ("data.num_classes", None),
    "class_splits": ("data.action_classes", (300, 97)),
    "num_frames": ("data.num_frames", None),
    "stride": ("data.stride", None),
    "crop_size": ("data.image_size", None),
    "num_test_clips": ("eval.clips", None),
    "do_three_spatial_crops": ("eval.crops", 3),
    "prob_color_augment": ("data.color_jitter_prob", None),
    "prob_color_drop": ("data.grayscale", None),
    "mixup.alpha": ("data.mixup", None),
    "hidden_size": ("model.spec.width", None),
    "temporal_transformer.num_layers": ("model.spec.temporal_depth", None),
    "dropout_rate": ("model.head_dropout", 0.0),
    "stochastic_droplayer_rate": ("model.drop_path", None),
    "optimizer": ("optim.name", "sgd"),
    "l2_decay_factor": ("optim.weight_decay", None),
    "max_grad_norm": ("optim.clip_norm", None),
    "num_training_epochs": ("train.epochs", None),
    "batch_size": ("data.global_batch", None),
    "factors": ("optim.schedule", "cosine"),
    "warmup_steps": ("optim.warmup_epochs", 2.5),
    "steps_per_cycle": ("optim.min_lr", 0.0),
    "base_learning_rate": ("optim.base_lr", None),
}
_PLACES = {
    "split_names": "vidjax.objectives:ActionRecognition",
    "do_jitter_scale": "vidjax.data.clips.augment:CROPS",
    "prob_scale_jitter": "vidjax.data.clips.augment:CROPS",
    "attention_dropout_rate": "vidjax.models.vivit_blocks:Block",
    "classifier": "vidjax.models.vivit:ViViTEncoder",
    "kernel_init_method": "vidjax.weights.families.vivit_image:central_frame",
    "do_color_augment": "vidjax.data.clips.color:color_augment",
    "do_rand_augment": "vidjax.data.clips.scenic_augment:scenic_rand_augment",
}


def _file(path: str) -> tuple[Row, ...]:
    """The rows of one of scenic's configurations."""
    lines, rows = FILES[path], []
    texts = {name: text for name, (_, text) in lines.items()}
    for name, (line, text) in lines.items():
        key, value = _KEYS.get(name, ("", None))
        rows.append(Row(name, f"{FOLDER}/{path}:{line}", text, key, _PLACES.get(name, ""), value))
    short = float(texts["min_resize"])
    sides = short * float(texts["scale_min_factor"]), short * float(texts["scale_max_factor"])
    magnitude, layers = (texts.get(f"rand_augment_{name}") for name in ("magnitude", "num_layers"))
    random_augment = {"key": "data.rand_augment", "value": f"scenic-m{magnitude}-n{layers}"}
    resized = {"tile": "vidjax.weights.families.vivit_image:tile", "resize": "vidjax.models.vivit:ViViTSpec"}
    meant: dict[str, dict[str, Any]] = {
        "type": {"key": "model.spec.factorization", "value": _FACTORIZED[texts["type"]]},
        "min_resize": {"reason": _TESTED},
        "scale_min_factor": {"key": "data.short_side", "value": sides, "reason": _SIDES},
        "scale_max_factor": {"key": "data.short_side", "value": sides, "reason": _SIDES},
        "zero_centering": {"key": "data.mean", "value": (0.5, 0.5, 0.5)},
        "label_smoothing": {"key": "optim.label_smoothing", "value": _number(texts["label_smoothing"])},
        "model_dtype_str": {"key": "model.dtype", "reason": FLOAT32},
        "rand_augment_num_layers": random_augment,
        "rand_augment_magnitude": random_augment,
        "positional_embed_size_change": {"place": resized[texts["positional_embed_size_change"]]},
    }
    if texts["do_color_augment"] == "False":
        meant |= {name: {"key": "", "reason": _OFF} for name in ("prob_color_augment", "prob_color_drop")}
    told = [dataclasses.replace(row, **meant.get(row.name, {})) for row in rows]
    centred = next(row for row in told if row.name == "zero_centering")
    return (*told, dataclasses.replace(centred, name="pixel range", official="[-1, 1]", key="data.std"))


_FACTORIZED = {"spacetime": "joint", "factorized_encoder": "encoder"}


def _number(text: str) -> float:
    return 0.0 if text == "None" else float(text)


_MIXED = (
    Row("colours", f"{_OPS}:583", "RandAugment takes their place", "data.color_jitter", value=(0.0,) * 4),
    Row("clips mixed together", f"{_HERE}/train_utils.py:105", "each device's", "data.mix_group", reason=_GROUPS),
    Row(
        "operations", f"{_OPS}:786", "11, none geometric", place="vidjax.data.clips.scenic_augment:scenic_rand_augment"
    ),
)
_SSV2 = (Row("flip", f"{_OPS}:518", "SSv2 has none", "data.flip", value=0.0),)
_DEPTH = "4, as in the paper and the configurations for SSv2 and EPIC; those for Kinetics have 24, like large_fe_24"
_BASE, _BASE_FE = "kinetics400/vivit_base_k400.py", "kinetics400/vivit_base_factorised_encoder.py"
_LARGE_FE = "vivit_large_factorised_encoder.py"
_PAPER = "scenic has no configuration for it; ours combines model 1's with the paper, arXiv:2103.15691"
_RECIPES = {  # the configuration, and the published accuracy
    "vivit_k400:base": (_BASE, "79.9 (scenic/projects/vivit/README.md:49)"),
    "vivit_k400:base_fe": (_BASE_FE, "78.4 (scenic/projects/vivit/README.md:50)"),
    "vivit_k400:base_fsa": (_BASE, f"77.4 in the ablation of the paper; {_PAPER}"),
    "vivit_k400:base_fdp": (_BASE, f"76.3 in the ablation of the paper; {_PAPER}"),
    "vivit_k400:large_fe": (f"kinetics400/{_LARGE_FE}", "80.3 (scenic/projects/vivit/README.md:51)"),
    "vivit_k400:large_fe_24": (f"kinetics400/{_LARGE_FE}", "80.3 (scenic/projects/vivit/README.md:51)"),
    "vivit_k600:large_fe": (f"kinetics600/{_LARGE_FE}", "81.6 (scenic/projects/vivit/README.md:52)"),
    "vivit_k600:large_fe_24": (f"kinetics600/{_LARGE_FE}", "81.6 (scenic/projects/vivit/README.md:52)"),
    "vivit_epic_kitchens:large_fe": (
        f"epic_kitchens/{_LARGE_FE}",
        "43.6 at 4 x 1 views (scenic/projects/vivit/README.md:53)",
    ),
    "vivit_ssv2:large_fe": (f"something_something_v2/{_LARGE_FE}", "no weights; arXiv:2103.15691, table 6"),
}
_OTHERS = {"base_fsa": "self_attention", "base_fdp": "dot_product"}  # models 3 and 4


def _recipe(experiment: str) -> Recipe:
    path, published = _RECIPES[experiment]
    data, size = experiment.removeprefix("vivit_").split(":")
    name = {"k400": "kinetics400", "k600": "kinetics600"}.get(data, data)
    counted = FILES[path].get("num_classes") or FILES[path]["class_splits"]
    line = f"{FOLDER}/{path}:{counted[0]}"
    rows = with_rows(
        (*SHARED, *_file(path)),
        Row("data set", line, "from its number of classes", "data.name", value=name),
        Row("model", line, f"from {path}", "model.name", value=f"vivit_{size.removesuffix('_24')}"),
    )
    changed = []
    for row in rows:
        if row.name == "type" and size in _OTHERS:
            changed.append(dataclasses.replace(row, reason=f"model {3 + list(_OTHERS).index(size)}: {_PAPER}"))
        if row.name == "temporal_transformer.num_layers" and size == "large_fe" and data in ("k400", "k600"):
            changed.append(dataclasses.replace(row, reason=_DEPTH))
    mixed = _MIXED if "mixup.alpha" in FILES[path] else ()
    return Recipe(experiment, SOURCE, published, with_rows(rows, *changed, *mixed, *(_SSV2 if data == "ssv2" else ())))


RECIPES = tuple(map(_recipe, _RECIPES))
