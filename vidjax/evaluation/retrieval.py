"""Evaluation of retrieval: which videos a caption finds in a split, and which captions a video finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Float

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.open import open_source
from vidjax.data.sources.annotations import CAPTIONS
from vidjax.data.sources.embedded_texts import find_text_encoder
from vidjax.data.sources.tokenized import check_captions
from vidjax.evaluation.evaluator import Evaluator
from vidjax.evaluation.metrics.retrieval import NEVER, RECALL_AT, Ranks, Texts, chance, rank_pairs, summarise_ranks
from vidjax.evaluation.multiview import make_eval_step
from vidjax.evaluation.result_files import VideoScores
from vidjax.evaluation.shown_clips import Judged
from vidjax.objectives import Contrastive
from vidjax.objectives.base import Params

_TEXTS = 64  # texts per step
WAYS = {"t2v": "text to video", "v2t": "video to text"}


@dataclasses.dataclass(frozen=True)
class Retrieved:
    """The result of a pass over the split.

    Attributes:
      ranks: the ranks of all captions and videos.
      scores: the embeddings of the videos, before they are scaled, and which of them were computed.
      first: for every video, the most similar caption of the split; empty without an embedding.
    """

    ranks: Ranks
    scores: VideoScores
    first: Sequence[str]


class RetrievalEvaluator(Evaluator[Contrastive, Retrieved]):
    """Recall of text-to-video and video-to-text retrieval over the whole split.

    Every caption is a query for videos, and every video is one for captions. A video that cannot be decoded is never
    found.
    """

    main = "t2v_r1"
    quick = ("t2v_r1", "t2v_r5", "v2t_r1", "v2t_r5")

    def prepare(self) -> None:
        """Read and encode the captions of all videos."""
        captions = [check_captions(self.source[index]) for index in range(len(self.source))]
        self._texts = Texts.of(captions)
        self._encoder = find_text_encoder(self.config, self._training_captions, self.workdir)
        self._embed = jax.jit(self.objective.embed_text, out_shardings=NamedSharding(self.mesh, PartitionSpec()))

    @property
    def labels(self) -> None:
        """None, because texts take the place of classes."""

    @classmethod
    def clip_recipe(cls, config: Config) -> ClipRecipe:
        """Return the clip recipe with averaged embeddings, because config.eval.merge is for classes."""
        return dataclasses.replace(super().clip_recipe(config), merge="mean")

    def make_step(self) -> Callable[[Any, dict], dict]:
        """Make the compiled step that embeds the views of a batch of videos."""
        return make_eval_step(self.objective, self.recipe.merge, self.mesh)

    def score(self, params: Params, recipe: ClipRecipe, *, progress: bool) -> Retrieved:
        """Embed every video and every distinct caption, and rank them."""
        found = self.score_rows(params, self.source, recipe, progress=progress)
        videos, texts = _unit(found.scores), self._embed_texts(params)
        ranks = rank_pairs(videos, texts, self._texts, found.scored)
        nearest = [int((texts @ video).argmax()) for video in videos]
        first = [self._texts.texts[at] if scored else "" for at, scored in zip(nearest, found.scored, strict=True)]
        return Retrieved(ranks, found, first)

    def summarise(self, found: Retrieved, recipe: ClipRecipe) -> dict[str, Any]:
        """Return recall at 1, 5 and 10 and median rank in both directions, and the recall of a random order."""
        results = {}
        for way, ranks in (("t2v", found.ranks.videos), ("v2t", found.ranks.texts)):
            results |= {f"eval/{way}_{name}": value for name, value in summarise_ranks(ranks).items()}
        return results | {
            **{f"eval/chance_{name}": value for name, value in chance(self._texts, len(self.source)).items()},
            "eval/num_captions": len(self._texts.of_caption),
            "eval/num_distinct_captions": len(self._texts.texts),
            "eval/clips": recipe.clips,
            "eval/crops": recipe.crops,
            "eval/num_scored": int(found.scores.scored.sum()),
            "eval/num_expected": len(self.source),
        }

    def lines(self, found: Retrieved) -> dict[str, Iterable[dict]]:
        """Return the captions of each video with the ranks in both directions."""
        return {"retrieval.jsonl": self._lines(found)}

    def reasons(self, found: Retrieved) -> Sequence[str]:
        """Return why each video was not embedded; an empty string for an embedded video."""
        return found.scores.reasons

    def judged(self, found: Retrieved) -> Judged:
        """Judge each video by the rank of its own captions."""

        def words(video: int) -> str:
            return f"{self._captions(video)[0]!r}, at rank {found.ranks.texts[video]}; first: {found.first[video]!r}"

        return Judged(np.where(found.scores.scored, -found.ranks.texts.astype(np.float64), np.nan), words)

    def sentence(self, results: Mapping[str, Any], found: Retrieved) -> str:
        """Return recall and median rank in both directions, and chance, in one line."""

        def figures(way: str) -> str:
            recalls = ", ".join(f"R@{k} {results[f'eval/{way}_r{k}']:.1%}" for k in RECALL_AT)
            rank, chance = results[f"eval/{way}_median_rank"], results[f"eval/chance_{way}_r1"]
            return f"{WAYS[way]} {recalls}, median rank {rank:g} (chance R@1 {chance:.2%})"

        scored = f"embedded {results['eval/num_scored']} of {results['eval/num_expected']} videos"
        return f"{scored}: {'; '.join(map(figures, WAYS))}"

    def _training_captions(self) -> list[str]:
        source = open_source(self.config.data, self.config.data.train_split, CAPTIONS)
        return [text for index in range(len(source)) for text in check_captions(source[index])]

    def _embed_texts(self, params: Params) -> Float[np.ndarray, "texts e"]:
        """Embed the distinct captions; every process embeds all of them."""
        texts, parts = self._texts.texts, []
        with jax.set_mesh(self.mesh):
            for first in range(0, len(texts), _TEXTS):
                own = texts[first : first + _TEXTS]
                tokens = self._encoder.encode(own + own[:1] * (_TEXTS - len(own)), truncate=True)
                parts.append(np.asarray(self._embed(params, jnp.asarray(tokens)))[: len(own)])
        return np.concatenate(parts)

    def _captions(self, video: int) -> list[str]:
        own = self._texts.of_caption[self._texts.video_of == video]
        return [self._texts.texts[number] for number in own]

    def _lines(self, found: Retrieved) -> Iterator[dict]:
        ranks = found.ranks.videos.tolist()
        at = 0
        for index in range(len(self.source)):
            own = self._captions(index)
            yield {
                "index": index,
                "id": self.source[index].id,
                "captions": own,
                "ranks_of_videos": [_shown(rank) for rank in ranks[at : at + len(own)]],
                "rank_of_captions": _shown(int(found.ranks.texts[index])),
                "first_caption": found.first[index],
                "scored": bool(found.scores.scored[index]),
                "reason": found.scores.reasons[index],
            }
            at += len(own)


def _shown(rank: int) -> int | None:
    return None if rank == NEVER else rank


def _unit(vectors: Float[np.ndarray, "v e"]) -> Float[np.ndarray, "v e"]:
    """Scale vectors to length 1; the mean over views is shorter. Zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
