"""Generate a caption for one video file."""

from __future__ import annotations

from typing import Any

import jax

from vidjax.config import CaptionConfig
from vidjax.data.clips.eval_views import window_views
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.tokenizer import TextTokenizer
from vidjax.data.video.readers import OpenVideo
from vidjax.objectives.captioning import Captioning


class CaptionGenerator:
    """Generate a sentence for the central view of a video.

    Attributes:
      recipe: how the frames are taken from the video.
    """

    def __init__(
        self, objective: Captioning, params: Any, recipe: ClipRecipe, caption: CaptionConfig, tokenizer: TextTokenizer
    ):
        """Use the beams and length penalty of `caption`."""
        self.recipe = recipe.one_view()
        self._params, self._tokenizer = params, tokenizer
        self._generate = jax.jit(
            lambda params, clips: objective.generate(
                params, clips, beams=caption.beams, length_penalty=caption.length_penalty
            )
        )

    def __call__(self, video: OpenVideo) -> tuple[str, float]:
        """Caption a video opened with `open_video`.

        Returns:
          the caption, and its log-probability summed over the tokens.

        Raises:
          VideoError: if the video cannot be decoded.
        """
        [views] = window_views(video, self.recipe, [None])
        found = jax.device_get(self._generate(self._params, views))
        return self._tokenizer.decode(found["tokens"][0]).strip(), float(found["scores"][0])
