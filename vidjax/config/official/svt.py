"""SVT's recipe: its authors' script on top of the defaults of their parser and configuration."""

from __future__ import annotations

from vidjax.config.official.table import Recipe, Row, Source, with_rows
from vidjax.config.official.videomae import BFLOAT16

SOURCE = Source("SVT", "https://github.com/kahnchana/svt", "1827106d56c3d69e7ceb38b22ccbde59cb6510e5")

_RUN, _SCRIPT, _VIEWS = "train_ssl.py", "scripts/train.sh", "datasets/transform.py"
_YAML, _FRAMES = "models/configs/Kinetics/TimeSformer_divST_8x32_224.yaml", "datasets/decoder.py"
_OFF = "their code comments it out, and vidjax leaves it out too"
_JITTER = "img_brightness=0.4, img_contrast=0.4, img_saturation=0.2"

SHARED = (
    Row("--arch", f"{_SCRIPT}:19", "timesformer", "model.name", value="timesformer_base"),
    Row("--batch_size_per_gpu", f"{_SCRIPT}:20,16", "8 x 4 GPUs", "data.global_batch", value=32),
    Row("--data_path", f"{_SCRIPT}:21,4", "kinetics/400", "data.name", value="kinetics400"),
    Row("--cfg", f"{_RUN}:139,140", "TimeSformer_divST_8x32_224.yaml", "model.spec.attention_type", value="divided"),
    Row("DATA.NUM_FRAMES", f"{_YAML}:10", "8", "data.num_frames"),
    Row("DATA.SAMPLING_RATE", f"{_YAML}:11", "32", "data.stride"),
    Row("window", f"{_FRAMES}:389", "frames * rate / 30 * fps", "data.sampling", value="seconds"),
    Row("span of a local view", f"{_FRAMES}:430", "max_len // 8", "data.local_span", value=0.125),
    Row("shift of the global views", f"{_FRAMES}:427,428", "5", place="vidjax.data.clips.ssl_views:view_indices"),
    Row("global size", f"{_VIEWS}:701", "size=224", "data.image_size", value=224),
    Row("local size", f"{_VIEWS}:720", "size=96", "data.local_size", value=96),
    Row("crop", f"{_VIEWS}:701", "random_resized_crop", "data.crop", value="random_resized"),
    Row("crop resize", f"{_VIEWS}:701", "bicubic", "data.interpolation"),
    Row("global_crops_scale", f"{_VIEWS}:662", "(0.4, 1.0)", "data.crop_area"),
    Row("local_crops_scale", f"{_VIEWS}:662", "(0.05, 0.4)", "data.local_area"),
    Row("flip", f"{_VIEWS}:671", "0.5", "data.flip"),
    Row("colours", f"{_VIEWS}:673", _JITTER, "data.color_jitter", value=(0.4, 0.4, 0.2, 0.0)),
    Row("jitter probability", f"{_VIEWS}:672", "0.8", "data.color_jitter_prob"),
    Row("grayscale probability", f"{_VIEWS}:674", "0.2", "data.grayscale"),
    Row("blur", f"{_VIEWS}:685,686", "returns frames unchanged", reason=_OFF),
    Row("solarisation", f"{_VIEWS}:691,692", "returns frames unchanged", reason=_OFF),
    Row("mean", f"{_VIEWS}:680", "(0.485, 0.456, 0.406)", "data.mean"),
    Row("std", f"{_VIEWS}:680", "(0.229, 0.224, 0.225)", "data.std"),
    Row("drop_path_rate", "models/timesformer.py:597", "0.1", "model.drop_path"),
    Row(
        "drop path of the teacher",
        f"{_RUN}:331,511",
        "frozen, never in eval mode",
        "distill.teacher_drop_path",
        value=True,
    ),
    Row("--out_dim", f"{_RUN}:62", "65536", "distill.prototypes"),
    Row("--norm_last_layer", f"{_RUN}:64", "True", place="vidjax.objectives:SelfDistillation"),
    Row("--use_bn_in_head", f"{_RUN}:71", "False", place="vidjax.objectives:SelfDistillation"),
    Row("hidden_dim", "vision_transformer.py:249", "2048", "distill.hidden_dim"),
    Row("bottleneck_dim", "vision_transformer.py:249", "256", "distill.bottleneck_dim"),
    Row("--momentum_teacher", f"{_RUN}:68", "0.996", "distill.teacher_momentum"),
    Row("--warmup_teacher_temp", f"{_RUN}:75", "0.04", "distill.teacher_temp_start"),
    Row("--teacher_temp", f"{_RUN}:78", "0.04", "distill.teacher_temp"),
    Row("--warmup_teacher_temp_epochs", f"{_RUN}:81", "0", "distill.teacher_temp_steps"),
    Row("student_temp", f"{_RUN}:588", "0.1", "distill.student_temp"),
    Row("center_momentum", f"{_RUN}:589", "0.9", "distill.center_momentum"),
    Row("--use_fp16", f"{_RUN}:85", "True", "model.dtype", value="float16", reason=BFLOAT16),
    Row("--weight_decay", f"{_RUN}:89", "0.04", "optim.weight_decay"),
    Row("--weight_decay_end", f"{_RUN}:91", "0.4", "optim.final_weight_decay"),
    Row("decayed", "utils/utils.py:619", "all except biases and rank 1", "optim.decayed", value="matrices"),
    Row("--clip_grad", f"{_RUN}:94", "3.0", "optim.clip_each"),
    Row("--freeze_last_layer", f"{_RUN}:100", "1", "optim.frozen_epochs"),
    Row("--lr", f"{_RUN}:103", "0.0005", "optim.base_lr"),
    Row("lr per videos", f"{_RUN}:394", "256", "optim.reference_batch"),
    Row("--min_lr", f"{_RUN}:108", "1e-6", "optim.min_lr", value=8e-6),  # they do not scale it: 8e-6 * 32 / 256 = 1e-6
    Row("--warmup_epochs", f"{_RUN}:106", "10", "optim.warmup_epochs"),
    Row("schedule", f"{_RUN}:393", "cosine_scheduler", "optim.schedule", value="cosine"),
    Row("--optimizer", f"{_RUN}:110", "adamw", "optim.name"),
    Row(
        "--epochs",
        f"{_RUN}:99",
        "100",
        "train.epochs",
        reason="20, as in the paper (arXiv:2112.01514); 100 is the default of the code",
    ),
)

_PUBLISHED = "78.1 fine-tuned, 68.1 with a linear layer; arXiv:2112.01514"
RECIPES = (
    Recipe(
        "svt_k400:base",
        SOURCE,
        _PUBLISHED,
        with_rows(
            SHARED,
            Row("--local_crops_number", f"{_RUN}:119", "8", "data.local_views", value=(8,) * 8),
            Row("global views", f"{_FRAMES}:425,427,428", "num_frames twice", "data.global_views", value=(8, 8)),
        ),
    ),
    Recipe(
        "svt_k400:slow_fast",
        SOURCE,
        f"{_PUBLISHED}; the authors do not say with which views",
        with_rows(
            SHARED,
            Row("DATA.RAND_FR", "utils/defaults.py:350", "False", reason="True in this size, False in svt_k400:base"),
            Row("local views", f"{_FRAMES}:419", "[2, 2, 4, 4, 8, 8, 16, 16]", "data.local_views",
                value=(2, 2, 4, 4, 8, 8, 16, 16)),
            Row("global views", f"{_FRAMES}:415,416", "4 and 8", "data.global_views", value=(4, 8)),
        ),
    ),
)  # fmt: skip
