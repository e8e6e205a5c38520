"""Several labels a video, by windows that slide over it: merged to the whole video, and at moments of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from vidjax.config import Config
from vidjax.data.open import open_source
from vidjax.data.sources.annotations import window_labels
from vidjax.data.sources.windows import WindowSource
from vidjax.errors import ConfigError
from vidjax.evaluation import result_files
from vidjax.evaluation.metrics import classification as metrics
from vidjax.evaluation.metrics.average_precision import (
    labels_at,
    mean_average_precision,
    merge_windows,
    moments_of,
    scores_at,
)
from vidjax.evaluation.multiview import eval_batch_size, make_eval_step, score_source

_UNSCORED = -1.0  # below every probability: what was not scored is ranked last


class MultiLabelEvaluator:
    """Every window of every video scored once; mean average precision over videos, and over 25 moments of each.

    Windows come every config.eval.window_stride seconds, or are config.eval.clips evenly spaced ones; their
    probabilities, and those of config.eval.crops crops of each, are merged by config.eval.window_merge.
    """

    main = "map"

    def __init__(self, config: Config, objective: Any, mesh: Mesh, workdir: Path, process: tuple[int, int]):
        eval_batch_size(config, mesh)  # refuses a batch that does not fit before any training is done
        if config.eval.window_stride < 0:
            raise ConfigError(f"config.eval.window_stride={config.eval.window_stride} must be at least 0 seconds")
        self._objective, self._mesh, self._workdir = objective, mesh, workdir
        self._videos = open_source(config.data, config.data.eval_split, "intervals")
        self._windows = WindowSource(
            self._videos, config.data, stride=config.eval.window_stride, count=config.eval.clips
        )
        self._config = dataclasses.replace(config, eval=dataclasses.replace(config.eval, clips=1))
        step = make_eval_step(objective, f"{config.eval.window_merge}_sigmoid", mesh)
        self._options = {"process": process, "step": step}
        rows = [self._videos[index] for index in range(len(self._videos))]
        classes = self._videos.num_classes
        self._positives = np.stack([window_labels(row.intervals, None, classes) for row in rows]) > 0
        lengths = [row.duration or found for row, found in zip(rows, self._windows.durations, strict=True)]
        self._moments = [moments_of(length) for length in lengths]
        at = (labels_at(row.intervals, times, classes) for row, times in zip(rows, self._moments, strict=True))
        self._positives_at = np.concatenate(list(at))
        self._past_end = sum(
            end > length for row, length in zip(rows, lengths, strict=True) for _, end, _ in row.intervals
        )
        self._num_intervals = sum(len(row.intervals) for row in rows)

    @property
    def labels(self) -> tuple[str, ...] | None:
        return self._videos.labels

    def __call__(self, params: Any, *, progress: bool = True) -> dict:
        windows = self._score(params, self._config, progress)
        videos, at = self._merge(windows)
        results = self._summarise(windows, videos, at)
        if jax.process_index() == 0:
            self._write(results, windows, videos)
        return results

    def validate(self, params: Any) -> dict:
        config = dataclasses.replace(self._config, eval=dataclasses.replace(self._config.eval, crops=1))
        videos, at = self._merge(self._score(params, config, False))
        return {
            "val/map": mean_average_precision(videos, self._positives)[0],
            "val/map_localised": mean_average_precision(at, self._positives_at)[0],
        }

    def _score(self, params: Any, config: Config, progress: bool) -> result_files.VideoScores:
        found = score_source(
            self._objective, params, self._windows, config, self._mesh, progress=progress, **self._options
        )
        if found.scores.shape[1] != self._videos.num_classes:
            raise ConfigError(
                f"the data has {self._videos.num_classes} classes, but the model {found.scores.shape[1]}; "
                "evaluate with the data that it was trained with"
            )
        return found

    def _merge(self, windows: result_files.VideoScores) -> tuple[np.ndarray, np.ndarray]:
        """Scores of whole videos, and of the moments of all videos one after the other."""
        merge, times = self._config.eval.window_merge, self._windows.times()
        whole, moments = [], []
        for index, at in enumerate(self._moments):
            own = np.flatnonzero((self._windows.video_of == index) & windows.scored)
            if not len(own):
                whole.append(np.full(self._videos.num_classes, _UNSCORED))
                moments.append(np.full((len(at), self._videos.num_classes), _UNSCORED))
                continue
            whole.append(merge_windows(windows.scores[own], merge))
            moments.append(scores_at(at, times[own], windows.scores[own], merge))
        return np.stack(whole), np.concatenate(moments)

    def _summarise(self, windows: result_files.VideoScores, videos: np.ndarray, at: np.ndarray) -> dict:
        mean, each = mean_average_precision(videos, self._positives)
        there, there_at = self._positives.any(axis=0), self._positives_at.any(axis=0)
        scored = np.bincount(self._windows.video_of, weights=windows.scored, minlength=len(self._videos)) > 0
        names = self.labels or [str(number) for number in range(len(each))]
        return {
            "eval/map": mean,
            "eval/map_localised": mean_average_precision(at, self._positives_at)[0],
            "eval/constant_map": float(self._positives[:, there].mean()),
            "eval/constant_map_localised": float(self._positives_at[:, there_at].mean()),
            "eval/num_classes_with_positives": int(there.sum()),
            "eval/num_scored": int(scored.sum()),
            "eval/num_expected": len(self._videos),
            "eval/num_windows": len(windows.scored),
            "eval/num_windows_scored": int(windows.scored.sum()),
            "eval/num_intervals": self._num_intervals,
            "eval/num_intervals_past_the_end": int(self._past_end),
            "eval/merge": self._config.eval.window_merge,
            "eval/crops": self._config.eval.crops,
            **{f"eval/ap/{name}": float(ap) for name, ap in zip(names, each, strict=True) if not np.isnan(ap)},
        }

    def _write(self, results: dict, windows: result_files.VideoScores, videos: np.ndarray) -> None:
        self._workdir.mkdir(parents=True, exist_ok=True)
        result_files.write_json(self._workdir / "results.json", results)
        result_files.write_lines(self._workdir / "predictions.jsonl", self._lines(videos))
        result_files.write_lines(self._workdir / "windows.jsonl", self._window_lines(windows))
        split = self._config.data.eval_split
        result_files.write_quarantine(self._workdir / "quarantine.jsonl", self._reasons(windows), self._videos, split)
        Console().print(
            f"scored {results['eval/num_scored']} of {results['eval/num_expected']} videos in "
            f"{results['eval/num_windows']} windows, {results['eval/merge']}: mAP {results['eval/map']:.1%}, "
            f"at 25 moments {results['eval/map_localised']:.1%} (a constant: {results['eval/constant_map']:.1%} and "
            f"{results['eval/constant_map_localised']:.1%})",
            highlight=False,
        )

    def _reasons(self, windows: result_files.VideoScores) -> list[str]:
        """Why a video was not scored, from the first of its windows that was not."""
        reasons = [""] * len(self._videos)
        for video, reason in zip(self._windows.video_of, windows.reasons, strict=True):
            reasons[video] = reasons[video] or reason
        return reasons

    def _lines(self, videos: np.ndarray) -> Iterator[dict]:
        for index, (scores, positives) in enumerate(zip(videos, self._positives, strict=True)):
            scored = bool(scores.min() >= 0)
            top = metrics.top_k(scores[None], 5)[0].tolist() if scored else []
            yield {
                "index": index,
                "id": self._videos[index].id,
                "labels": np.flatnonzero(positives).tolist(),
                "top": top,
                "scores": [round(float(scores[c]), 6) for c in top],
                "scored": scored,
            }

    def _window_lines(self, windows: result_files.VideoScores) -> Iterator[dict]:
        best = metrics.top_k(windows.scores, 5)
        for index, (start, end) in enumerate(self._windows.times()):
            top = best[index].tolist() if windows.scored[index] else []
            yield {
                "id": self._videos[int(self._windows.video_of[index])].id,
                "start": round(float(start), 3),
                "end": round(float(end), 3),
                "top": top,
                "scores": [round(float(windows.scores[index, c]), 6) for c in top],
                "reason": windows.reasons[index],
            }
