"""V-JEPA 2's attentive probes: `configs/eval` and `evals/video_classification_frozen` of its authors."""

from __future__ import annotations

from typing import NamedTuple

from vidjax.config.official.table import Recipe, Row, Source

SOURCE = Source("V-JEPA 2", "https://github.com/facebookresearch/vjepa2", "c2963a47433ecca0ad4f06ec28bcfa8cb5b5cefb")
_RUN, _AUGMENT = "evals/video_classification_frozen/eval.py", "evals/video_classification_frozen/utils.py"
_FRAMES, _POOLER = "src/datasets/video_dataset.py", "src/models/attentive_pooler.py"
_CLIPS = "evals/video_classification_frozen/modelcustom/vit_encoder_multiclip.py"
_BEST = (
    "no key: they report the head with the best accuracy on the scored videos; vidjax chooses it on one view of "
    "each video of eval.select_split, by default the same videos"
)
_EVEN = "no key: evenly spaced clips, so that a score does not depend on chance"
_SEEDS = "no key: vidjax starts all heads from the same random weights, so that only rate and decay differ"
_SHAPE = "it sets only the shape of the schedule, as there is no warm-up; the rates are in optim.head_learning_rates"
_FLOAT16 = "bfloat16 has the same size and a larger range, so gradients need no scaling"


class _Lines(NamedTuple):
    """The line of each key in a configuration file."""

    launch: str
    blocks: int
    heads: int
    step: int
    frames: int
    classes: int
    segments: int
    size: int
    batch: int
    rates: str
    epochs: int
    half: int
    model: int


_A = _Lines("5,9", 13, 12, 18, 19, 20, 21, 23, 25, "27,28,29,30,31,32", 147, 148, 157)
_B = _Lines("5,8", 12, 11, 17, 18, 19, 20, 22, 24, "26,27,28,29,30,31", 146, 147, 156)
_C = _Lines("1,2", 11, 12, 20, 19, 17, 21, 18, 26, "29,30,31,32,33,34", 25, 27, 56)


class _Probe(NamedTuple):
    """A configuration file: our name for its data set, and the values that differ between files."""

    data: str
    lines: _Lines
    classes: int
    large: tuple[int, int, int, int]  # frames, step, videos per GPU, nodes
    giant: tuple[int, int, int, int]
    segments: int
    epochs: int
    published: tuple[str, str]


_PROBES = {
    "ssv2": _Probe("ssv2", _A, 174, (16, 4, 4, 8), (64, 2, 2, 16), 2, 20, ("73.7", "77.3")),
    "k400": _Probe("kinetics400", _A, 400, (16, 4, 4, 8), (16, 4, 1, 32), 8, 20, ("85.1", "87.3")),
    "coin": _Probe("coin", _B, 180, (16, 4, 2, 8), (16, 4, 1, 16), 8, 20, ("86.8", "91.1")),
    "diving48": _Probe("diving48", _C, 48, (32, 2, 2, 8), (32, 2, 2, 8), 4, 100, ("89.0", "90.2")),
    "jester": _Probe("jester", _C, 27, (32, 2, 2, 8), (32, 2, 2, 8), 4, 100, ("97.6", "97.8")),
}
_LEVELS = {False: (17, 19, 21, 23), True: (24, 29, 34, 39)}
_RATES, _DECAYS = (0.005, 0.003, 0.001, 0.0003, 0.0001), (0.01, 0.1, 0.4, 0.8)

_COMMON = (
    Row("query and head initialisation", f"{_POOLER}:80", "0.02", place="vidjax.models.attentive:AttentivePooler"),
    Row("initial weights of the heads", f"{_RUN}:151", "random, each its own", reason=_SEEDS),
    Row("sampling", f"{_FRAMES}:326,328", "a random window per segment", "data.sampling", value="dense_span"),
    Row(
        "clips read together",
        f"{_CLIPS}:135",
        "all segments' tokens, side by side",
        place="vidjax.models.pooling:encode_segments",
    ),
    Row("test clips", f"{_FRAMES}:326", "as in training", reason=_EVEN),
    Row("test outputs", f"{_RUN}:317", "one for all clips of a crop", "eval.clips", value=1),
    Row("random_resize_scale", f"{_RUN}:441", "(0.08, 1.0)", "data.crop_area"),
    Row("random_resize_aspect_ratio", f"{_RUN}:440", "(0.75, 4 / 3)", "data.crop_aspect", value=(0.75, 4 / 3)),
    Row("crop", f"{_AUGMENT}:93", "random_resized_crop", "data.crop", value="random_resized"),
    Row("resize in testing", f"{_AUGMENT}:150", "bilinear", "data.interpolation"),
    Row("random_horizontal_flip", f"{_RUN}:439", "False", "data.flip", value=0.0),
    Row("auto_augment", f"{_AUGMENT}:88", "rand-m7-n4-mstd0.5-inc1", "data.rand_augment"),
    Row("interpolation", f"{_AUGMENT}:89", "bicubic", "data.rand_augment_interpolation"),
    Row("reprob", f"{_RUN}:442", "0.25", "data.erase"),
    Row("DEFAULT_NORMALIZATION[0]", f"{_RUN}:411", "(0.485, 0.456, 0.406)", "data.mean"),
    Row("DEFAULT_NORMALIZATION[1]", f"{_RUN}:411", "(0.229, 0.224, 0.225)", "data.std"),
    Row("loss", f"{_RUN}:299", "CrossEntropyLoss", "optim.label_smoothing", value=0.0),
    Row("optimizer", f"{_RUN}:483", "AdamW", "optim.name", value="adamw"),
    Row("decayed parameters", f"{_RUN}:473", "all", "optim.decayed"),
    Row("schedule", f"{_RUN}:513", "cosine", "optim.schedule"),
    Row("backbone", f"{_RUN}:317", "no_grad", place="vidjax.models.probe_grid:ProbeGrid"),
    Row("views", f"{_RUN}:327", "mean of softmax", "eval.merge", value="mean_softmax"),
    Row("tested epoch", f"{_RUN}:260", "every epoch, so the last too", "eval.checkpoint", value="last"),
    Row("reported head", f"{_RUN}:356", "the best", reason=_BEST),
)


def _recipe(name: str, giant: bool) -> Recipe:
    probe, lines = _PROBES[name], _PROBES[name].lines
    file = f"configs/eval/{'vitg-384' if giant else 'vitl'}/{name}.yaml"
    frames, step, videos, nodes = probe.giant if giant else probe.large
    size, few = 384 if giant else 256, lines is _C
    rates, decays = (_RATES[2:], _DECAYS[3:]) if few else (_RATES, _DECAYS)

    def row(title: str, line: int | str, official: object, key: str, value: object = None, reason: str = "") -> Row:
        return Row(title, f"{file}:{line}", str(official), key, value=value, reason=reason)

    model, batch = "vjepa2_giant_384" if giant else "vjepa2_large", videos * nodes * 8
    rows = [
        row("model_name", lines.model, "vit_giant_xformers" if giant else "vit_large", "model.name", model),
        row("num_probe_blocks", lines.blocks, 4, "model.pooling", "attentive4"),
        row("num_heads", lines.heads, 16, "model.pooling_heads"),
        row("dataset_train", lines.classes, name, "data.name", probe.data),
        row("num_classes", lines.classes, probe.classes, "data.num_classes"),
        row("frames_per_clip", lines.frames, frames, "data.num_frames", frames * probe.segments),
        row("frame_step", lines.step, step, "data.stride"),
        row("num_segments", lines.segments, probe.segments, "data.segments"),
        row("num_views_per_segment", lines.segments + 1, 3, "eval.crops"),
        row("resolution", lines.size, size, "data.image_size"),
        row("batch_size", f"{lines.batch},{lines.launch}", f"{videos} x {nodes * 8} GPUs", "data.global_batch", batch),
        row("multihead_kwargs: lr", lines.rates, ", ".join(map(str, rates)), "optim.head_learning_rates", rates),
        row(
            "multihead_kwargs: weight_decay",
            lines.rates,
            ", ".join(map(str, decays)),
            "optim.head_weight_decays",
            decays,
        ),
        row("final_lr", lines.rates, 0.0, "optim.min_lr"),
        row("warmup", lines.rates, 0.0, "optim.warmup_epochs"),
        row("start_lr", lines.rates, "as lr", "optim.base_lr", reason=_SHAPE),
        row("num_epochs", lines.epochs, probe.epochs, "train.epochs"),
        row("use_bfloat16", lines.half, "float16, despite the name (eval.py:306)", "model.dtype", "float16", _FLOAT16),
    ]
    if few:
        rows.append(row("out_layers", 53, list(_LEVELS[giant]), "model.spec.levels", _LEVELS[giant]))
    rows.append(Row("lr and batch", f"{_RUN}:475", "not scaled", "optim.reference_batch", value=batch))
    published = f"{probe.published[giant]} (arXiv:2506.09985, table 4)"
    return Recipe(f"attentive_probe:{name}{'_giant' if giant else ''}", SOURCE, published, (*rows, *_COMMON))


RECIPES = tuple(_recipe(name, giant) for giant in (False, True) for name in _PROBES)
