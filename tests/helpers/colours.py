"""Videos with a known colour in each second, and a model that recognises colours: the right timeline is known."""

import dataclasses
import types
from fractions import Fraction

import av
import jax.numpy as jnp
import numpy as np

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.objectives import ActionRecognition
from vidjax.tasks import Answer

COLOURS = {"red": (200, 40, 40), "green": (40, 170, 40), "blue": (40, 40, 210)}
RECIPE = ClipRecipe(num_frames=4, stride=2, image_size=16)


class Colours:
    """The share of each colour in a clip, as logits; with `regress` the share of red and of blue."""

    def __init__(self, regress=False):
        self.regress = regress

    def scores(self, params, clips):
        means = clips.astype(jnp.float32).mean(axis=(1, 2, 3)) / 255
        return means[:, ::2] if self.regress else 16 * (means - 0.4)


class ColourActions(ActionRecognition):
    """A noun for each colour, and two verbs: red or not."""

    def scores(self, params, clips):
        means = clips.astype(jnp.float32).mean(axis=(1, 2, 3)) / 255
        red = 16 * (means[:, :1] - 0.4)
        return jnp.concatenate([16 * means, red, -red], axis=1)


def colour_model(kind="classes", activation="softmax", labels=tuple(COLOURS), recipe=RECIPE):
    """The part of a `Pretrained` that predict needs."""
    if kind == "actions":
        recipe = dataclasses.replace(recipe, merge="sum_logits")
        objective = ColourActions(None, (), (), nouns=3, verbs=2)
        labels = (*COLOURS, "stop", "go")
    else:
        objective = Colours(regress=kind == "values")
    return types.SimpleNamespace(
        objective=objective, params={}, clips=recipe, labels=labels, answer=Answer(kind, activation), source="colours",
        num_classes=len(labels), family="colours", notes=(),
    )  # fmt: skip


def write_colours(path, stretches, *, fps=10, size=(64, 96), rotation=0, times=None, sound=""):
    """Write a video of stretches [(colour, seconds)]; `times` of the frames in milliseconds, `sound` a codec."""
    frames = [COLOURS[name] for name, seconds in stretches for _ in range(round(seconds * fps))]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=fps, options={"g": "20"})
        stream.height, stream.width = size
        if rotation:
            stream.set_display_rotation(rotation)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        audio = output.add_stream(sound, rate=48000, layout="mono") if sound else None
        ramp = np.linspace(0, 25, size[1])[None, :, None] + np.linspace(0, 20, size[0])[:, None, None]
        for number, colour in enumerate(frames):
            frame = av.VideoFrame.from_ndarray((ramp + colour).astype(np.uint8), format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if audio:
            tone = np.sin(np.arange(48000 * len(frames) // fps) / 20).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.rate = 48000
            output.mux(audio.encode(samples))
            output.mux(audio.encode(None))
    return str(path)
