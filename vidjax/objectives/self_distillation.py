"""Self-distillation over views: from any view, a student predicts its teacher's outputs for the global views.

The teacher is a moving average of the student. Source: SVT (Ranasinghe et al. 2022, arXiv:2112.01514, section 3), whose
motion and cross-view correspondences together are the loss of DINO (Caron et al. 2021, arXiv:2104.14294, algorithm 1)
over views of a video.
"""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from vidjax.models.outputs import outputs
from vidjax.models.projection import ProjectedTimeSformer
from vidjax.objectives.base import Batch, Metrics, Objective, Params, Rngs, mean_over_valid
from vidjax.objectives.normalize import normalize

Shape = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class SelfDistillation(Objective):
    """Cross-entropy of a teacher's softmax over prototypes, for a global view, and a student's, for every other view.

    Let g run over the global views, v over all views other than g, and t and s be the outputs of teacher and student.
    The loss of a row is

      mean over (g, v) of  -sum_k softmax((t_g - center) / teacher_temp)_k  log softmax(s_v / student_temp)_k

    Pairs of two global views are SVT's motion correspondences; pairs with a local view are its cross-view
    correspondences. After the optimiser's step, with m rising to 1 along half a cosine and c = center_momentum,

      teacher = m teacher + (1 - m) student,   center = c center + (1 - c) mean over rows and g of t_g

    Source: DINO's algorithm 1 and equations 1 to 4, with the constants and the order of updates of SVT's
    `train_ssl.py`.

    The objective's own state holds the teacher's parameters (`teacher`), the centre (k) that is subtracted from the
    teacher's outputs (`center`), the sums for the next centre over the micro-batches so far (`gathered`), and the
    `step`.

    Attributes:
      module: encodes and projects views.
      views: shapes (t h w c) of the views by their key in the batch, global views first.
      num_global: number of views that the teacher sees; the student sees all.
      mean, std: per channel, for pixels in [0, 1]; they normalise the module's input.
      total_steps: steps of the run, over which the teacher's momentum rises to 1.
      student_temp, teacher_temp: temperatures of the softmaxes. The teacher's changes linearly from teacher_temp_start
        to teacher_temp in the first teacher_temp_steps steps.
      teacher_momentum: momentum of the teacher at the first step.
      center_momentum: constant momentum of the centre.
      teacher_drop_path: whether stochastic depth is active in the teacher too, as in SVT, whose teacher is never put in
        evaluation mode.
    """

    module: ProjectedTimeSformer
    views: Mapping[str, Shape]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    total_steps: int
    num_global: int = 2
    student_temp: float = 0.1
    teacher_temp: float = 0.04
    teacher_temp_start: float = 0.04
    teacher_temp_steps: int = 0
    teacher_momentum: float = 0.996
    center_momentum: float = 0.9
    teacher_drop_path: bool = True

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of a row: the student's forward and backward pass, and the teacher's forward pass on global views."""
        macs = [self.module.view_macs(shape) for shape in self.views.values()]
        return 6.0 * sum(macs) + 2.0 * sum(macs[: self.num_global])

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Return random parameters, and a teacher that starts as their copy; the batch is not used."""
        del batch
        groups = [jnp.zeros((1, len(names), *shape)) for shape, names in self._groups(list(self.views)).items()]
        params = self.module.init(rng, groups)["params"]
        zeros = jnp.zeros(self.module.prototypes)
        extra = {
            "teacher": {},
            "center": zeros,
            "gathered": {"sum": jnp.zeros_like(zeros), "rows": jnp.zeros(())},
            "step": jnp.zeros((), jnp.int32),
        }
        return params, self.init_extra(params, extra)

    def init_extra(self, params: Params, extra: dict) -> dict:
        """Return the state at the start of training, in which the teacher is a copy of the student."""
        return extra | {"teacher": jax.tree.map(jnp.copy, params)}

    def loss(
        self, params: Params, extra: dict, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, dict]]:
        """Compute the loss from the views (uint8) and `valid`; training also uses the rng stream "dropout".

        The loss uses the centre of earlier steps; `after_update` adds this batch to the centre.

        The metric target_entropy is the entropy of the teacher's softmax, averaged over views and rows. The metric
        mean_target_entropy is the entropy of the softmax's average over the batch. Both are log(k) if the teacher's
        softmax is always uniform. A mean_target_entropy near zero means that the teacher chooses the same prototype for
        all views.
        """
        names = list(self.views)
        student_rng, teacher_rng = jax.random.split(rngs["dropout"]) if train else (None, None)
        student_views, student = self._project(params, names, batch, student_rng, train)
        teacher_views, teacher = self._project(
            extra["teacher"], names[: self.num_global], batch, teacher_rng, train and self.teacher_drop_path
        )
        teacher = jax.lax.stop_gradient(teacher)
        targets = jax.nn.softmax((teacher - extra["center"]) / self.teacher_temp_at(extra["step"]))
        different = np.array([[t != s for s in student_views] for t in teacher_views])
        valid = batch["valid"]
        loss = mean_over_valid(pair_loss(targets, student / self.student_temp, different), valid)

        # Sums instead of means, so that the micro-batches of a step add up to the result of the whole batch.
        row_sums = teacher.mean(axis=1) * valid[:, None]
        gathered = extra["gathered"]
        gathered = {"sum": gathered["sum"] + row_sums.sum(axis=0), "rows": gathered["rows"] + valid.sum()}
        entropies = _entropy(targets).mean(axis=1)
        mean_target = jax.vmap(mean_over_valid, in_axes=(1, None))(targets.mean(axis=1), valid)
        metrics = {
            "target_entropy": mean_over_valid(entropies, valid),
            "mean_target_entropy": _entropy(mean_target),
        }
        return loss, (metrics, extra | {"gathered": gathered})

    def after_update(self, params: Params, extra: dict, step: Array) -> dict:
        """Move the teacher towards the student, and the centre towards the mean of this step's outputs."""
        keep = self.momentum(step)
        teacher = jax.tree.map(lambda t, s: keep * t + (1.0 - keep) * s, extra["teacher"], params)
        gathered = extra["gathered"]
        mean = gathered["sum"] / jnp.maximum(gathered["rows"], 1.0)
        return {
            "teacher": teacher,
            "center": self.center_momentum * extra["center"] + (1.0 - self.center_momentum) * mean,
            "gathered": jax.tree.map(jnp.zeros_like, gathered),
            "step": step + 1,
        }

    def momentum(self, step: Array) -> Float[Array, ""]:
        """Return the teacher's momentum: half a cosine from teacher_momentum at the first step to 1 at the end."""
        progress = jnp.clip(step / self.total_steps, 0.0, 1.0)
        return 1.0 - 0.5 * (1.0 - self.teacher_momentum) * (1.0 + jnp.cos(math.pi * progress))

    def teacher_temp_at(self, step: Array) -> Float[Array, ""] | float:
        """Return the teacher's temperature at a step."""
        progress = jnp.clip(step / max(self.teacher_temp_steps, 1), 0.0, 1.0) if self.teacher_temp_steps else 1.0
        return self.teacher_temp_start + (self.teacher_temp - self.teacher_temp_start) * progress

    def _groups(self, names: list[str]) -> dict[Shape, list[str]]:
        """Group views by shape; each group goes through the encoder together."""
        groups: dict[Shape, list[str]] = {}
        for name in names:
            groups.setdefault(self.views[name], []).append(name)
        return groups

    def _project(
        self, params: Params, names: list[str], batch: Batch, rng: Array | None, train: bool
    ) -> tuple[list[str], Float[Array, "b v k"]]:
        """Return the names of the views in the order of the output, and their cosines with the prototypes."""
        groups = list(self._groups(names).values())
        stacked = [jnp.stack([batch[name] for name in group], axis=1) for group in groups]
        clips = [normalize(views, self.mean, self.std) for views in stacked]
        out = outputs(self.module, params, clips, train=train, rngs={"dropout": rng} if train else None)
        return [name for group in groups for name in group], out["projection"]


def pair_loss(
    targets: Float[Array, "b g k"], logits: Float[Array, "b v k"], pairs: Bool[np.ndarray, "g v"]
) -> Float[Array, " b"]:
    """Return the cross-entropy of each row, averaged over the marked `pairs` of a target and a view."""
    cross_entropy = -jnp.einsum("bgk,bvk->bgv", targets, jax.nn.log_softmax(logits), precision="highest")
    return jnp.sum(cross_entropy * pairs, axis=(1, 2)) / pairs.sum()


def _entropy(probabilities: Float[Array, "*b k"]) -> Float[Array, "*b"]:
    return -jnp.sum(jax.scipy.special.xlogy(probabilities, probabilities), axis=-1)
