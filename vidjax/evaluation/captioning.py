"""Evaluation of captions: one per video, scored against the references and written to captions.jsonl."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.sources.tokenized import check_captions, find_tokenizer
from vidjax.errors import ConfigError
from vidjax.evaluation.evaluator import Evaluator
from vidjax.evaluation.metrics.captions import FIGURES, best_constant, score_captions
from vidjax.evaluation.metrics.cider import cider_d
from vidjax.evaluation.multiview import PER_VIDEO
from vidjax.evaluation.result_files import VideoScores
from vidjax.evaluation.shown_clips import Judged
from vidjax.objectives import Captioning
from vidjax.objectives.base import Params


@dataclasses.dataclass(frozen=True)
class Captions:
    """The captions of all videos, and which videos were scored."""

    texts: list[str]
    scores: VideoScores


class CaptioningEvaluator(Evaluator[Captioning, Captions]):
    """Score one caption per video, of its central view; a video that cannot be decoded has an empty caption.

    For comparison, the results also give the metrics of the best constant: one caption for all videos, chosen from the
    references.
    """

    main = "bleu4"
    quick = ("bleu4", "rougeL", "cider")

    def prepare(self) -> None:
        """Read the references of all videos."""
        self._tokenizer = find_tokenizer(self.config.caption)
        self._references = [check_captions(self.source[index]) for index in range(len(self.source))]
        self._constant = best_constant(self._references)

    @classmethod
    def check(cls, config: Config) -> None:
        """Reject several views, because a caption describes a single view."""
        if config.eval.clips * config.eval.crops != 1:
            raise ConfigError(
                f"eval.clips={config.eval.clips} and eval.crops={config.eval.crops}: a caption describes one view; set "
                "both to 1 (for several clips per video, use caption.num_clips)"
            )

    @property
    def labels(self) -> None:
        """None, because a captioner has tokens and no classes."""

    def make_step(self) -> Callable[[Any, dict], dict]:
        """Make the compiled step that captions a batch."""
        return make_caption_step(self.objective, self.config, self.mesh)

    def score(self, params: Params, recipe: ClipRecipe, *, progress: bool) -> Captions:
        """Caption every video; a video that cannot be decoded gets an empty caption."""
        found = self.score_rows(params, self.source, recipe, progress=progress)
        tokens = found.scores.astype(np.int64)
        texts = [
            self._tokenizer.decode(row).strip() if scored else ""
            for row, scored in zip(tokens, found.scored, strict=True)
        ]
        return Captions(texts, found)

    def summarise(self, found: Captions, recipe: ClipRecipe) -> dict[str, Any]:
        """Return BLEU, ROUGE and CIDEr-D of the captions and of the best constant."""
        del recipe
        return {
            **{f"eval/{name}": value for name, value in score_captions(found.texts, self._references).items()},
            **{f"eval/constant_{name}": value for name, value in self._constant_figures.items()},
            "eval/constant_caption": self._constant,
            "eval/distinct_captions": len(set(found.texts)),
            "eval/beams": self.config.caption.beams,
            "eval/num_scored": int(found.scores.scored.sum()),
            "eval/num_expected": len(found.texts),
        }

    def lines(self, found: Captions) -> dict[str, Iterable[dict]]:
        """Return the caption and the references of each video."""
        return {"captions.jsonl": self._lines(found)}

    def reasons(self, found: Captions) -> Sequence[str]:
        """Return why each video was not captioned; an empty string for a captioned video."""
        return found.scores.reasons

    def judged(self, found: Captions) -> Judged:
        """Judge each video by its caption's CIDEr-D."""
        consensus = cider_d(found.texts, self._references)

        def words(video: int) -> str:
            return (
                f"{found.texts[video]!r}, CIDEr-D {consensus[video]:.2f}; a reference: {self._references[video][0]!r}"
            )

        return Judged(np.where(found.scores.scored, consensus, np.nan), words)

    def sentence(self, results: Mapping[str, Any], found: Captions) -> str:
        """Return the metrics of the captions and of the best constant in one line."""
        figures, constant = (
            ", ".join(f"{name} {results[prefix + name]:.3f}" for name in FIGURES)
            for prefix in ("eval/", "eval/constant_")
        )
        scored = f"described {results['eval/num_scored']} of {results['eval/num_expected']} videos"
        return f"{scored}: {figures} (the best constant, {self._constant!r}: {constant})"

    @functools.cached_property
    def _constant_figures(self) -> dict[str, float]:
        return score_captions([self._constant] * len(self._references), self._references)

    def _lines(self, found: Captions) -> Iterator[dict]:
        consensus = cider_d(found.texts, self._references)
        for index, (caption, own) in enumerate(zip(found.texts, self._references, strict=True)):
            yield {
                "index": index,
                "id": self.source[index].id,
                "caption": caption,
                "references": list(own),
                "cider": round(float(consensus[index]), 4),
                "scored": bool(found.scores.scored[index]),
                "reason": found.scores.reasons[index],
            }


def make_caption_step(objective: Captioning, config: Config, mesh: Mesh) -> Callable[[Any, dict], dict]:
    """Make the step that captions one global batch, for `score_videos`; its scores are the tokens of the captions.

    Tokens are below 2 ** 24, so float32 holds them exactly. They are NaN if the caption's probability is not finite.
    """
    caption = config.caption

    def step(params, batch):
        texts = objective.generate(
            params, batch["video"][:, 0], beams=caption.beams, length_penalty=caption.length_penalty
        )
        tokens = texts["tokens"].astype(jnp.float32)
        sound = jnp.isfinite(texts["scores"])[:, None]
        return {"scores": jnp.where(sound, tokens, jnp.nan), **{key: batch[key] for key in PER_VIDEO}}

    return jax.jit(step, out_shardings=NamedSharding(mesh, PartitionSpec()))
