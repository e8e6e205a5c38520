"""Captions of a whole split: written once a video, scored against the references, and left in captions.jsonl."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.console import Console

from vidjax.config import Config
from vidjax.data.open import open_source
from vidjax.data.sources.annotations import annotation_of
from vidjax.data.sources.tokenized import check_captions, find_tokenizer
from vidjax.errors import ConfigError
from vidjax.evaluation import result_files
from vidjax.evaluation.metrics.captions import FIGURES, best_constant, score_captions
from vidjax.evaluation.metrics.cider import cider_d
from vidjax.evaluation.multiview import PER_VIDEO, eval_batch_size, score_source


class CaptioningEvaluator:
    """One caption a video, from its central view; a video that cannot be decoded has an empty one, which is wrong.

    Beside its figures are those of the best constant: one caption for all videos, chosen with the references at hand.
    """

    main = "bleu4"
    labels = None

    def __init__(self, config: Config, objective: Any, mesh: Mesh, workdir: Path, process: tuple[int, int]):
        eval_batch_size(config, mesh)  # refuses a batch that does not fit before any training is done
        if config.eval.clips * config.eval.crops != 1:
            raise ConfigError(
                f"eval.clips={config.eval.clips} and eval.crops={config.eval.crops}: a caption is of one view; set "
                "both to 1 (several clips of a video are caption.num_clips)"
            )
        self._tokenizer = find_tokenizer(config.caption)
        self._source = open_source(config.data, config.data.eval_split, annotation_of(config.task))
        self._references = [check_captions(self._source[index]) for index in range(len(self._source))]
        self._constant = best_constant(self._references)
        self._config, self._objective, self._mesh, self._workdir = config, objective, mesh, workdir
        self._options = {"process": process, "step": make_caption_step(objective, config, mesh)}

    def __call__(self, params: Any, *, progress: bool = True) -> dict:
        found, captions = self._write_captions(params, progress)
        constant = score_captions([self._constant] * len(captions), self._references)
        results = {
            **{f"eval/{name}": value for name, value in score_captions(captions, self._references).items()},
            **{f"eval/constant_{name}": value for name, value in constant.items()},
            "eval/constant_caption": self._constant,
            "eval/distinct_captions": len(set(captions)),
            "eval/beams": self._config.caption.beams,
            "eval/num_scored": int(found.scored.sum()),
            "eval/num_expected": len(captions),
        }
        if jax.process_index() == 0:
            self._save(results, found, captions)
        return results

    def validate(self, params: Any) -> dict:
        scores = score_captions(self._write_captions(params, False)[1], self._references)
        return {f"val/{name}": scores[name] for name in ("bleu4", "rougeL", "cider")}

    def _write_captions(self, params: Any, progress: bool) -> tuple[result_files.VideoScores, list[str]]:
        found = score_source(
            self._objective, params, self._source, self._config, self._mesh, progress=progress, **self._options
        )
        tokens = found.scores.astype(np.int64)
        captions = [
            self._tokenizer.decode(row).strip() if scored else ""
            for row, scored in zip(tokens, found.scored, strict=True)
        ]
        return found, captions

    def _save(self, results: dict, found: result_files.VideoScores, captions: list[str]) -> None:
        self._workdir.mkdir(parents=True, exist_ok=True)
        result_files.write_json(self._workdir / "results.json", results)
        result_files.write_lines(self._workdir / "captions.jsonl", self._lines(found, captions))
        split = self._config.data.eval_split
        result_files.write_quarantine(self._workdir / "quarantine.jsonl", found.reasons, self._source, split)
        figures, constant = (
            ", ".join(f"{name} {results[prefix + name]:.3f}" for name in FIGURES)
            for prefix in ("eval/", "eval/constant_")
        )
        scored = f"described {results['eval/num_scored']} of {results['eval/num_expected']} videos"
        Console().print(
            f"{scored}: {figures} (the best constant, {self._constant!r}: {constant})", highlight=False, markup=False
        )

    def _lines(self, found: result_files.VideoScores, captions: list[str]) -> Iterator[dict]:
        consensus = cider_d(captions, self._references)
        for index, (caption, own) in enumerate(zip(captions, self._references, strict=True)):
            yield {
                "index": index,
                "id": self._source[index].id,
                "caption": caption,
                "references": list(own),
                "cider": round(float(consensus[index]), 4),
                "scored": bool(found.scored[index]),
                "reason": found.reasons[index],
            }


def make_caption_step(objective: Any, config: Config, mesh: Mesh):
    """Compile the writing of one global batch: a step of `score_videos` whose scores are the tokens of the captions.

    They are numbers below 2 ** 24, which float32 holds exactly, and NaN where the model gives no finite probability.
    """
    caption = config.caption

    def step(params, batch):
        texts = objective.write(
            params, batch["video"][:, 0], beams=caption.beams, length_penalty=caption.length_penalty
        )
        tokens = texts["tokens"].astype(jnp.float32)
        sound = jnp.isfinite(texts["scores"])[:, None]
        return {"scores": jnp.where(sound, tokens, jnp.nan), **{key: batch[key] for key in PER_VIDEO}}

    return jax.jit(step, out_shardings=NamedSharding(mesh, PartitionSpec()))
