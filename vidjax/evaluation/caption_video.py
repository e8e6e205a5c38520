"""What a captioner says of one video file."""

from __future__ import annotations

import os

import jax

from vidjax.config import Config, DataConfig, EvalConfig
from vidjax.data.clips.eval_views import protocol_views
from vidjax.data.tokenizer import TextTokenizer
from vidjax.models.captioner import Captioner
from vidjax.objectives.captioning import Captioning

_ONE_VIEW = EvalConfig(clips=1, crops=1)


class Writer:
    """A captioner with all that turns a video file into a sentence.

    Attributes:
      data: how the frames are taken from the video.
    """

    def __init__(self, config: Config, module: Captioner, params: dict, data: DataConfig, tokenizer: TextTokenizer):
        """`config` is that of the run: its caption options say how long a caption may be and how it is searched."""
        caption, self.data = config.caption, data
        self._params, self._tokenizer = params, tokenizer
        objective = Captioning(module, data.mean, data.std, caption.end_token, caption.num_tokens)
        self._write = jax.jit(
            lambda params, clips: objective.write(
                params, clips, beams=caption.beams, length_penalty=caption.length_penalty
            )
        )

    def __call__(self, source: str | os.PathLike | bytes) -> tuple[str, float]:
        """The caption of the central view of a video, and its log-probability, the sum over its tokens.

        Raises:
          VideoError: when the video cannot be decoded.
        """
        texts = self._write(self._params, protocol_views(source, self.data, _ONE_VIEW))
        return self._tokenizer.decode(jax.device_get(texts["tokens"])[0]).strip(), float(texts["scores"][0])
