"""Evaluation of actions: how often the noun, the verb, and both are right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import ConfigError
from vidjax.evaluation.evaluator import VideoEvaluator
from vidjax.evaluation.merge_views import probabilities
from vidjax.evaluation.metrics.classification import top_k, top_k_hits
from vidjax.evaluation.result_files import VideoScores
from vidjax.evaluation.shown_clips import Judged

SHOWN = 5  # number of best actions per clip in predictions.jsonl


class ActionEvaluator(VideoEvaluator):
    """Score the best nouns, verbs and actions of each clip by its merged logits; an unscored clip counts as wrong.

    An action is a noun and a verb. Its probability is the product of the noun's and the verb's probability (scenic's
    `joint_top_k`), so actions are ranked by the sum of the two logits.
    """

    main = "action_top1"
    quick = ("action_top1", "noun_top1", "verb_top1")

    @classmethod
    def check(cls, config: Config) -> None:
        """Reject merges that treat nouns and verbs as one distribution.

        Raises:
          ConfigError: for any merge of views other than sum_logits.
        """
        if config.eval.merge != "sum_logits":
            raise ConfigError(
                f"config.eval.merge={config.eval.merge} treats nouns and verbs as one distribution; use sum_logits for "
                "task=action"
            )

    def prepare(self) -> None:
        """Read the actions of all rows."""
        self._actions = np.array([self.source[row].action for row in range(len(self.source))])
        self._nouns = self.config.data.action_classes[0]

    def summarise(self, found: VideoScores, recipe: ClipRecipe) -> dict[str, Any]:
        """Return top-1 and top-5 of nouns, verbs and actions, and the top-1 of a constant, the most frequent action."""
        (noun, verb), hits = self._split(found.scores), {}
        for k in (1, 5):
            hits[f"noun_top{k}"] = top_k_hits(noun, self._actions[:, 0], k)
            hits[f"verb_top{k}"] = top_k_hits(verb, self._actions[:, 1], k)
            hits[f"action_top{k}"] = action_hits(noun, verb, self._actions, k)
        commonest = np.unique(self._actions, axis=0, return_counts=True)[1].max()
        return {
            **{f"eval/{name}": float((right & found.scored).mean()) for name, right in hits.items()},
            "eval/constant_action_top1": float(commonest / len(self._actions)),
            "eval/num_scored": int(found.scored.sum()),
            "eval/num_expected": len(found.scored),
            "eval/merge": recipe.merge,
            "eval/clips": recipe.clips,
            "eval/crops": recipe.crops,
        }

    def lines(self, found: VideoScores) -> dict[str, Iterable[dict]]:
        """Return the noun, verb and five best actions of each clip."""
        return {"predictions.jsonl": self._predictions(found)}

    def judged(self, found: VideoScores) -> Judged:
        """Judge each clip by the probability of its action: that of its noun times that of its verb."""
        shown = (
            probabilities(part, self.recipe.merge, "softmax", self.recipe.views) for part in self._split(found.scores)
        )
        noun, verb = (part[np.arange(len(part)), own] for part, own in zip(shown, self._actions.T, strict=True))
        nouns, verbs = self._split(found.scores)

        def words(row: int) -> str:
            own = self._name(self._actions[row].tolist())
            [best] = best_actions(nouns[row], verbs[row], 1)
            taken = "" if best == self._actions[row].tolist() else f"; mistaken for {self._name(best)}"
            return f"{own}, {noun[row] * verb[row]:.0%}{taken}"

        return Judged(np.where(found.scored, noun * verb, np.nan), words)

    def _name(self, action: list[int]) -> str:
        """Return the name of an action: its verb and noun."""
        noun, verb = action
        return f"{self.labels[self._nouns + verb]} {self.labels[noun]}" if self.labels else f"verb {verb}, noun {noun}"

    def sentence(self, results: Mapping[str, Any], found: VideoScores) -> str:
        """Return the accuracies in one line."""
        kinds = ", ".join(f"{kind} {results[f'eval/{kind}_top1']:.1%}" for kind in ("action", "noun", "verb"))
        scored, expected = results["eval/num_scored"], results["eval/num_expected"]
        views = f"{results['eval/clips']} x {results['eval/crops']} views"
        return f"scored {scored} of {expected} clips, {views}: top-1 {kinds}"

    def _split(self, scores: Float[np.ndarray, "n outputs"]) -> tuple[np.ndarray, np.ndarray]:
        return scores[:, : self._nouns], scores[:, self._nouns :]

    def _predictions(self, found: VideoScores) -> Iterator[dict]:
        noun, verb = self._split(found.scores)
        for index, (action, scored) in enumerate(zip(self._actions.tolist(), found.scored.tolist(), strict=True)):
            yield {
                "index": index,
                "id": self.source[index].id,
                "noun": action[0],
                "verb": action[1],
                "top": best_actions(noun[index], verb[index], SHOWN) if scored else [],
                "scored": scored,
                "reason": found.reasons[index],
            }


def action_hits(
    noun: Float[np.ndarray, "n nouns"], verb: Float[np.ndarray, "n verbs"], actions: Int[np.ndarray, "n 2"], k: int
) -> Bool[np.ndarray, " n"]:
    """Return whether each row's action is among the k best sums of a noun's and a verb's logit.

    Ties go to the lower noun, then to the lower verb.
    """
    hits = np.zeros(len(actions), bool)
    for row, (noun_number, verb_number) in enumerate(actions):
        sums = np.add.outer(noun[row], verb[row]).ravel()
        number = noun_number * verb.shape[1] + verb_number
        hits[row] = (sums > sums[number]).sum() + (sums[:number] == sums[number]).sum() < k
    return hits


def best_actions(noun: Float[np.ndarray, " nouns"], verb: Float[np.ndarray, " verbs"], k: int) -> list[list[int]]:
    """Return the k best actions of a row as (noun, verb), best first."""
    best = top_k(np.add.outer(noun, verb).reshape(1, -1), k)[0]
    return np.stack(np.divmod(best, len(verb)), axis=1).tolist()
