"""VideoMamba checkpoints: the authors' `.pth` for videos, images (ImageNet-1K) and masked pre-training."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from vidjax.errors import WeightsError
from vidjax.models.videomamba import VIDEOMAMBA_SPECS, VideoMambaSpec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.inspection import depth_note, depth_of, labels_of, shape_of, square_side
from vidjax.weights.rules import Form, Rule, State

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PATCHES, TIME, MIXER = "patch_embed.proj.weight", "temporal_pos_embedding", "layers.0.mixer."
NORM, PRETRAINING_NORM = "norm_f", "norm"
PRETRAINING_ONLY = r"^clip_(decoder|pos)"
DIRECTIONS = {  # the authors' names for the parameters of the two scans
    "forward": ("conv1d", "x_proj", "dt_proj", "A_log", "D"),
    "backward": ("conv1d_b", "x_proj_b", "dt_proj_b", "A_b_log", "D_b"),
}
# A depthwise Conv1d weight (d, 1, k) and the kernel (k, d).
DEPTHWISE = Form(lambda weight: (weight.squeeze(1).T,), lambda kernel: (kernel.T[:, None],))
# The authors' mixer adds its two directions. A mixer that averages them needs twice the output projection.
TWICE = Form(lambda weight: (2 * weight.T,), lambda kernel: (kernel.T / 2,))


def rules(spec: VideoMambaSpec, num_classes: int | None, norm: str = NORM) -> tuple[Rule, ...]:
    """Return the rules for a video model whose last norm is called `norm`."""
    return (
        Rule(
            (PATCHES,), ("encoder/patch_embed/kernel",), array_layouts.patch_conv3d(spec.tubelet_size, spec.patch_size)
        ),
        Rule((TIME,), ("encoder/time_embed",), array_layouts.POSITIONS),
        *_other_rules(spec, num_classes, norm),
    )


def image_rules(spec: VideoMambaSpec, num_classes: int) -> tuple[Rule, ...]:
    """Return the rules for an image model, read as a model of single-frame clips whose position in time is zero."""
    zeros = np.zeros((1, spec.width), np.float32)
    return (
        Rule((PATCHES,), ("encoder/patch_embed/kernel",), array_layouts.patch_conv2d(spec.patch_size)),
        Rule((), ("encoder/time_embed",), Form(lambda: (zeros,), lambda leaf: ())),
        *_other_rules(spec, num_classes, NORM),
    )


def _other_rules(spec: VideoMambaSpec, num_classes: int | None, norm: str) -> list[Rule]:
    depth, block, target = spec.depth, "layers.{}.", "encoder/blocks"
    out_proj = TWICE if spec.merge_directions == "mean" else array_layouts.LINEAR
    found = [
        Rule(("patch_embed.proj.bias",), ("encoder/patch_embed/bias",), array_layouts.SAME),
        Rule(("cls_token",), ("encoder/cls_token",), array_layouts.TOKEN),
        Rule(("pos_embed",), ("encoder/pos_embed",), array_layouts.POSITIONS),
        Rule((f"{norm}.weight",), ("encoder/norm/scale",), array_layouts.SAME),
        Rule((f"{block}norm.weight",), (f"{target}/norm/scale",), array_layouts.SAME, depth),
        Rule((f"{block}mixer.in_proj.weight",), (f"{target}/mixer/in_proj/kernel",), array_layouts.LINEAR, depth),
        Rule((f"{block}mixer.out_proj.weight",), (f"{target}/mixer/out_proj/kernel",), out_proj, depth),
    ]
    for direction, names in DIRECTIONS.items():
        found += _direction_rules(f"{block}mixer.", names, f"{target}/mixer/{direction}", depth)
    return found + list(array_layouts.linear("head", "head") if num_classes else ())


def _direction_rules(mixer: str, names: tuple[str, ...], target: str, depth: int) -> list[Rule]:
    conv, x_proj, dt_proj, a_log, d = (mixer + name for name in names)
    return [
        Rule((f"{conv}.weight",), (f"{target}/conv/kernel",), DEPTHWISE, depth),
        Rule((f"{conv}.bias",), (f"{target}/conv/bias",), array_layouts.SAME, depth),
        Rule((f"{x_proj}.weight",), (f"{target}/x_proj/kernel",), array_layouts.LINEAR, depth),
        *array_layouts.linear(dt_proj, f"{target}/dt_proj", depth),
        Rule((a_log,), (f"{target}/A_log",), array_layouts.SAME, depth),
        Rule((d,), (f"{target}/D",), array_layouts.SAME, depth),
    ]


def _spec(state: State) -> VideoMambaSpec:
    """Read sizes from the arrays alone: these files have no config.json.

    Raises:
      WeightsError: if the arrays cannot belong to a VideoMamba.
    """
    of_images = PATCHES in state and state[PATCHES].ndim == 4
    width, channels, *cube = shape_of(state, PATCHES, 4 if of_images else 5)
    tubelet, patch, _ = (1, *cube) if of_images else cube
    if channels != 3:
        raise WeightsError(f"{PATCHES} takes {channels} channels; clips have 3")
    inner, state_size = shape_of(state, f"{MIXER}A_log", 2)
    return VideoMambaSpec(
        width,
        depth_of(state, "layers."),
        expand=inner // width,
        state_size=state_size,
        conv_size=shape_of(state, f"{MIXER}conv1d.weight", 3)[2],
        tubelet_size=tubelet,
        patch_size=patch,
        num_frames=tubelet * (shape_of(state, TIME, 3)[1] if TIME in state else 1),
        image_size=patch * square_side(shape_of(state, "pos_embed", 3)[1] - 1, "pos_embed, without the class token,"),
    )


def _describe(state: State, config: Mapping | None) -> Description[VideoMambaSpec]:
    spec, num_classes = _spec(state), _num_classes(state)
    return Description(
        "videomamba", spec, num_classes, rules(spec, num_classes), MEAN, STD,
        labels=labels_of(config, num_classes), notes=_depth_note(spec),
    )  # fmt: skip


def _describe_image(state: State, config: Mapping | None) -> Description[VideoMambaSpec]:
    spec, num_classes = _spec(state), _num_classes(state)
    notes = (
        "an image model, read as a model of single-frame clips: temporal_pos_embedding is filled with zeros for any "
        "number of frames",
        "files of Vision Mamba (Vim) have the same keys, but their class token is in the middle; if this is one, its "
        "outputs are wrong",
        *_depth_note(spec),
    )
    return Description(
        "videomamba", spec, num_classes, image_rules(spec, num_classes), MEAN, STD,
        labels=labels_of(config, num_classes), notes=notes,
    )  # fmt: skip


def _describe_pretraining(state: State, config: Mapping | None) -> Description[VideoMambaSpec]:
    del config
    spec = _spec(state)
    notes = (
        "masked pre-training: clip_decoder, which predicts the features of CLIP, is not used",
        "the last norm is from pre-training; the authors' fine-tuning starts it from ones",
        *_depth_note(spec),
    )
    found = rules(spec, 0, PRETRAINING_NORM)
    return Description("videomamba", spec, 0, found, MEAN, STD, ignore=PRETRAINING_ONLY, notes=notes)


def _depth_note(spec: VideoMambaSpec) -> tuple[str, ...]:
    return depth_note({}, spec, VIDEOMAMBA_SPECS)


def _num_classes(state: State) -> int:
    return shape_of(state, "head.weight", 2)[0] if "head.weight" in state else 0


def _recognises(time: bool, norm: str):
    def recognises(keys: Collection[str], config: Mapping | None) -> bool:
        del config
        return f"{MIXER}A_b_log" in keys and f"{norm}.weight" in keys and (TIME in keys) == time

    return recognises


LAYOUTS = (
    Layout("VideoMamba, official", _recognises(True, NORM), _describe, family="videomamba", rules=rules),
    Layout("VideoMamba, images", _recognises(False, NORM), _describe_image),
    Layout("VideoMamba, masked pre-training", _recognises(True, PRETRAINING_NORM), _describe_pretraining),
)
