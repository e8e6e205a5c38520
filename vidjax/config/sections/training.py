"""Training: the optimiser, the loop and the mesh of devices."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from vidjax.config.types import (
    AtLeast,
    Changeable,
    Count,
    Fraction,
    MayChange,
    NotNegative,
    OneOf,
    OrAuto,
    OrAutoBelow0,
    T,
)

# Choices that are the keys of a table, named as module:TABLE.
Optimizer = Annotated[str, OneOf("vidjax.training.optim.optimizer:OPTIMIZERS")]
Schedule = Annotated[str, OneOf("vidjax.training.optim.learning_rate:SCHEDULES")]
Decayed = Annotated[str, OneOf("vidjax.training.optim.weight_decay:DECAYED")]

Length = Annotated[T, Changeable("schedules follow the new length of the run from here on")]
Accumulate = Annotated[OrAuto[int], Changeable("dropout and drop path draw other random numbers from here on")]


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """The optimiser; lr = base_lr * data.global_batch / reference_batch; min_lr and warmup_lr are scaled likewise."""

    name: Optimizer = "adamw"  # The optimiser
    # Peak learning rate for reference_batch videos per step; it is scaled linearly to the run's batch.
    base_lr: NotNegative[float] = 1.5e-4
    min_lr: NotNegative[float] = 1e-5  # Learning rate at the end of cosine and linear, scaled like base_lr
    reference_batch: Count = 256  # Videos per step for which base_lr, min_lr and warmup_lr are meant
    # cosine: from base_lr to min_lr along half a cosine. linear: from base_lr to min_lr along a line. steps: base_lr
    # times step_factors.
    schedule: Schedule = "cosine"
    step_epochs: tuple[float, ...] = ()  # For steps: the epochs at which the learning rate changes
    # For steps: one factor for each of step_epochs; from that epoch on, the learning rate is base_lr times the factor.
    step_factors: tuple[float, ...] = ()
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
    spike_window: MayChange[Annotated[int, AtLeast(2)]] = 128  # Number of latest steps that skip_spikes compares with
    layer_decay: Fraction = 1.0  # Factor of the learning rate from each layer to the one before it; 1: off
    label_smoothing: Fraction = 0.0  # Share of the target spread evenly over all classes
    # balanced: weight each class by the inverse of its number of videos.
    class_weights: Literal["none", "balanced"] = "none"
    pos_weight: float = 1.0  # For multi_label: weight of the labels that are present
    # For attentive_probe: peak learning rates for reference_batch videos per step, which follow the schedule of base_lr
    # and min_lr. One head is trained for each combination of a rate with one of head_weight_decays.
    head_learning_rates: tuple[float, ...] = (5e-3, 3e-3, 1e-3, 3e-4, 1e-4)
    head_weight_decays: tuple[float, ...] = (0.01, 0.1, 0.4, 0.8)  # For attentive_probe: weight decays of the heads
    ema: Fraction = 0.0  # Decay of the moving average of the parameters; 0: off
    # Epochs at the start in which the last layer of a projection head is not updated.
    frozen_epochs: NotNegative[float] = 0.0


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The training loop: its length, and when it logs, validates and saves."""

    epochs: Length[OrAuto[float]] = 1.0  # Length of the run in epochs. 0: depends on the number of videos.
    steps: Length[NotNegative[int]] = 0  # Length of the run in steps; overrides epochs if above 0
    accumulate: Accumulate = 0  # Micro-batches per step; more of them take less memory. 0: as few as fit.
    log_every: MayChange[Count] = 10  # Steps between two lines of metrics
    # Steps between two validations, which score one view per video and rank checkpoints. 0: none. -1: one per epoch,
    # but at most 50; none if the task has no score. Above 0, masked_autoencoding, which has no score, draws
    # reconstructions.
    eval_every: MayChange[OrAutoBelow0[int]] = 0
    # Steps between two checkpoints; each validation saves one too. 0: the value that vidjax chose for eval_every if it
    # chose one, otherwise a tenth of the run.
    checkpoint_every: MayChange[OrAuto[int]] = 1000
    keep_latest: MayChange[Count] = 2  # Number of newest checkpoints to keep, besides the best one
    # The run stops after this many steps in a row with a loss or gradient that is not finite. No effect if
    # roll_back_after is above 0.
    max_nonfinite: MayChange[Count] = 10
    # Go back to the last good checkpoint after this many steps in a row that were not finite or were skipped as spikes,
    # and continue with the batches after them. 0: never.
    roll_back_after: MayChange[NotNegative[int]] = 0
    max_roll_backs: MayChange[Count] = 3  # Largest number of roll-backs; the run stops if it needs another
    profile_start: MayChange[NotNegative[int]] = 0  # First step to profile; 0: none
    profile_steps: MayChange[Count] = 5  # Steps to profile
    wandb: MayChange[str] = ""  # Project on Weights & Biases. Empty: off.
    # Folder of XLA's persistent cache, or off. Empty: as VIDJAX_COMPILE_CACHE says or, if that is unset, the user's
    # cache folder.
    compile_cache: MayChange[str] = ""
    start_seconds: MayChange[Count] = 60  # Seconds within which all processes of a run must have started
    peer_seconds: MayChange[Count] = 60  # All processes end after this many seconds without a sign of life from one


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each mesh axis; one axis may be -1 and takes the remaining devices."""

    data: int = -1  # Devices over which the batch is sharded, counted over all slices
    # Devices over which the batch and the parameters are sharded. 0: 8 on TPUs, if data is -1 and each slice has a
    # multiple of 8 * tensor devices; otherwise 1.
    fsdp: int = 0
    tensor: int = 1  # Devices over which each layer's matrix products are sharded
    # TPU slices that share the data axis, joined by the data-centre network. 0: as many as the devices form; for
    # `vidjax compile`, 1.
    slices: NotNegative[int] = 0
    fsdp_min_size: int = 2**16  # Parameters with fewer elements per layer are not sharded over fsdp
