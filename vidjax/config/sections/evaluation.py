"""Evaluation and probing."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from vidjax.config.types import Count, Fraction, NotNegative, OneOf

# The keys of the table of probes, and the attentive poolings.
Probe = Annotated[str, OneOf("vidjax.evaluation.probes.estimators:PROBES", also=("attentive", "attentive4"))]

# How views are merged; the arrays of a backbone's features, and how probes reduce them.
ViewMerge = Literal["mean_softmax", "sum_logits", "max"]
FeatureArray = Literal["token_mean", "token_max", "width_mean", "cls", "pooled", "embedding", "tokens"]
Reduction = Literal[FeatureArray, "pca", "weighted_tokens"]


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
    # The probes to fit. attentive and attentive4: the model.pooling of that name, trained on videos for train.epochs,
    # as in task=attentive_probe. There is one head for each pair of optim.head_learning_rates and
    # optim.head_weight_decays. Here each rate falls along half a cosine to 0, without scaling or warm-up.
    probes: tuple[Probe, ...] = ("linear", "svm", "knn", "mlp")
    # For linear and svm: inverse of the penalty. In regression, linear is ridge regression with the penalty 1 / C.
    C: tuple[float, ...] = (1.0,)
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
    validation: Fraction = 0.2  # For mlp: share of the training rows, or of their subjects, held out for early stopping
    dtype: Literal["float16", "float32"] = "float16"  # Dtype of the stored features
    folds: int = 5  # Folds of the cross-validation, which keeps the rows of a subject together


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
    # The checkpoint that is scored at the end and by mode=evaluate, and that predict, embed and export use; training
    # that starts from this run (init_from) takes the last one. best: the one with the best validation score, which is
    # optimistic if the same videos are scored. last: the last one, as in VideoMAE.
    checkpoint: Literal["best", "last"] = "best"
    # For attentive_probe: the split on which the head is chosen. Empty: data.eval_split, which is optimistic, because
    # the same videos are scored.
    select_split: str = ""
    batch: NotNegative[int] = 0  # Videos per step, over all devices. 0: 8 per accelerator, 1 per CPU device.
    allow_missing: bool = False  # Exit with code 0 even if some videos could not be scored
