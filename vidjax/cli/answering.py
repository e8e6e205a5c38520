"""What verbs answer about a video: the classes, windows or numbers of a predictor, the sentence of a writer."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from vidjax.cli import model_source

if TYPE_CHECKING:
    from vidjax.evaluation.caption_video import Writer
    from vidjax.evaluation.predict import Predictor

_STRIDE = 1.0  # seconds between windows where a run does not say


def predictor_of(
    model: Any,
    *,
    stride: int | None = None,
    clips: int = 1,
    crops: int = 1,
    merge: str | None = None,
    score: str | None = None,
    every: float | None = None,
) -> tuple[Predictor, float]:
    """A predictor, and the seconds from one of its windows to the next; 0 to see each video by its test views.

    Args:
      model: a `vidjax.weights.Pretrained` with classes; None of an option is what it was trained with.
    """
    from vidjax.config import Config, EvalConfig
    from vidjax.evaluation.predict import Predictor

    config = model.config if isinstance(model.config, Config) else None
    frames = config.data.num_frames if config else model.spec.num_frames
    every = every or 0.0
    views = EvalConfig(clips=clips, crops=crops, merge=merge or model.merge)
    if config and config.task == "multi_label":
        every = every or config.eval.window_stride or _STRIDE
        of_windows = {"mean": "mean_softmax", "max": "max"}[config.eval.window_merge]  # `score` says of what
        views = dataclasses.replace(views, merge=merge or of_windows, window_merge=config.eval.window_merge)
    data = _clips(model, model.spec, frames, stride)
    score = score or model_source.score(model)
    return Predictor(model.module, model.params, data, views, score=score, labels=model.labels), every


def writer_of(
    model: Any, run: str, *, stride: int | None = None, beams: int | None = None, max_tokens: int | None = None
) -> Writer:
    """A writer of captions; None of an option is what it was trained with.

    Args:
      model: a captioner as `sources.load` gives it; run: its folder, which has the vocabulary.
    """
    from vidjax.data.tokenizer import load_tokenizer
    from vidjax.evaluation.caption_video import Writer

    config, backbone = model.config, model.module.backbone.spec
    asked = {"beams": beams, "num_tokens": max_tokens}
    caption = dataclasses.replace(config.caption, **{key: value for key, value in asked.items() if value})
    model.module.decoder.spec.check_length(caption.num_tokens + 1)
    data = _clips(model, backbone, config.data.num_frames, stride)
    config = dataclasses.replace(config, caption=caption)
    return Writer(config, model.module, model.params, data, load_tokenizer(run))


def answer(predictor: Predictor, video: str, k: int, every: float) -> dict[str, Any]:
    """The `k` best classes as `top`, with `windows` in the order of time if it slides; `values` of a regression.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    model_source.note_if_short(video, predictor.data)
    if predictor.score == "tanh":
        return {"values": [{"name": predictor.name(n), "value": float(v)} for n, v in enumerate(predictor(video))]}
    if not every:
        return {"top": _labelled(predictor.top(video, k))}
    times, scores = predictor.windows(video, every)
    windows = [
        {"start": round(float(start), 3), "end": round(float(end), 3), "top": _labelled(predictor.named(own, k))}
        for (start, end), own in zip(times, scores, strict=True)
    ]
    return {"top": _labelled(predictor.named(predictor.merge(scores), k)), "windows": windows}


def _clips(model: Any, spec: Any, num_frames: int, stride: int | None) -> Any:
    """How clips are taken for a model, as a `DataConfig`."""
    from vidjax.config import DataConfig

    stride, sampling = model_source.sampling(model, stride)
    return DataConfig(
        num_frames=num_frames, image_size=model_source.square_side(spec), stride=stride, sampling=sampling,
        mean=model.mean, std=model.std,
    )  # fmt: skip


def _labelled(top: list[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"label": label, "probability": p} for label, p in top]
