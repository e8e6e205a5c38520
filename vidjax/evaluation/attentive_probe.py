"""Evaluation of attentive probes: choose a head of the grid on validation videos, and score it once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from vidjax.data.open import open_source
from vidjax.data.sources.base import VideoSource
from vidjax.errors import WeightsError
from vidjax.evaluation.classification import ClassificationEvaluator
from vidjax.evaluation.merge_views import merge_views
from vidjax.evaluation.multiview import PER_VIDEO, make_eval_step
from vidjax.evaluation.result_files import VideoScores
from vidjax.files import Place, located, read_json, write_json
from vidjax.models.probe_grid import pick
from vidjax.objectives import AttentiveProbe
from vidjax.objectives.base import Params
from vidjax.viz.head_grid import HEADS


class ProbeEvaluator(ClassificationEvaluator):
    """Choose the head with the best accuracy on one view of eval.select_split; score it by the multi-view protocol."""

    main = "top1"
    quick = ("top1",)

    def prepare(self) -> None:
        """Open the split on which the head is chosen."""
        config, source = self.config, self.source
        self._split = config.eval.select_split or config.data.eval_split
        same = self._split == config.data.eval_split
        self._selection = source if same else open_source(config.data, self._split, source.annotation)
        self._all_heads = make_heads_step(self._probes, self.recipe.merge, self.mesh)
        self._grid: dict[str, Any] = {}

    @property
    def _probes(self) -> AttentiveProbe:
        assert isinstance(self.objective, AttentiveProbe)
        return self.objective

    @property
    def validated(self) -> VideoSource:
        """The videos on which heads and checkpoints are chosen."""
        return self._selection

    def make_step(self):
        """Make the compiled step that scores videos with a single head."""
        return make_eval_step(self._probes.one, self.recipe.merge, self.mesh)

    def __call__(self, params: Params, *, progress: bool = True, of: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Choose a head and score it; the results name it, and heads.json has the accuracy of all."""
        top1 = self.head_scores(params, progress=progress)
        best = int(top1.argmax())
        heads = [head._asdict() | {"top1": float(own)} for head, own in zip(self._probes.heads, top1, strict=True)]
        self._grid = {"chosen": best, "split": self._split, "videos": len(self._selection), "heads": heads}
        chosen = {f"eval/head_{name}": value for name, value in heads[best].items()}
        picked = jax.jit(pick, static_argnums=1)(params, best)
        return super().__call__(picked, progress=progress, of={**(of or {}), "eval/head": best, **chosen})

    def validate(self, params: Params) -> dict[str, Any]:
        """Score the central view of every selection video with every head; the best head's accuracy is val/top1."""
        top1 = self.head_scores(params, progress=False)
        names = (f"val/top1_lr{head.learning_rate:g}_wd{head.weight_decay:g}" for head in self._probes.heads)
        return {"val/top1": float(top1.max())} | dict(zip(names, top1.tolist(), strict=True))

    def head_scores(self, params: Params, *, progress: bool) -> Float[np.ndarray, " g"]:
        """Return each head's accuracy on the selection videos, in [0, 1]; an unscored video counts as wrong."""
        recipe = self.recipe.one_view()
        found = self.score_rows(params, self._selection, recipe, progress=progress, step=self._all_heads)
        right = (found.scores == found.labels[:, None]) & found.scored[:, None]
        return right.mean(axis=0)

    def write(self, results: Mapping[str, Any], found: VideoScores) -> None:
        """Also write heads.json."""
        super().write(results, found)
        write_json(self.workdir / HEADS, self._grid)

    def sentence(self, results: Mapping[str, Any], found: VideoScores) -> str:
        """Return the accuracies and the chosen head in one line."""
        same = ": optimistic, as the same videos are scored" if self._selection is self.source else ""
        return (
            f"{super().sentence(results, found)}; head {results['eval/head']} (learning rate "
            f"{results['eval/head_learning_rate']:g}, weight decay {results['eval/head_weight_decay']:g}) of "
            f"{len(self._probes.heads)}, chosen on {len(self._selection)} videos of {self._split}{same}"
        )


def make_heads_step(objective: AttentiveProbe, merge: str, mesh: Mesh) -> jax.stages.Wrapped:
    """Make the step that returns the class that each of g heads predicts for each of b videos, as `scores` (b g).

    A head whose scores are not finite gives the class -1, which is always wrong.
    """

    def step(params, batch):
        video = batch["video"]

        def one_view(view):
            clips = objective.normalized(jax.lax.dynamic_index_in_dim(video, view, axis=1, keepdims=False))
            return objective.all_logits(params, clips)

        logits = jax.lax.map(one_view, jnp.arange(video.shape[1]))
        classes = jax.vmap(lambda of_head: _classes(merge_views(of_head, merge)), in_axes=1)(logits)
        return {"scores": classes.T.astype(jnp.float32), **{key: batch[key] for key in PER_VIDEO}}

    return jax.jit(step, out_shardings=NamedSharding(mesh, PartitionSpec()))


def _classes(scores: Float[Array, "b classes"]) -> Array:
    return jnp.where(jnp.isfinite(scores).all(axis=-1), scores.argmax(axis=-1), -1)


def chosen_head(folder: Place | str, copies: int) -> int:
    """Return the head that a run's evaluation chose, or the only one.

    Raises:
      WeightsError: if the run has several heads and has not been evaluated yet.
    """
    if copies == 1:
        return 0
    try:
        return int((read_json(located(folder) / HEADS) or {})["chosen"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"none of the {copies} heads in {folder} has been chosen yet: there is no {HEADS}; finish the run, or "
            "score it with --config.mode=evaluate"
        ) from error
