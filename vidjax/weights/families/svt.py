"""SVT checkpoints (`kahnchana/svt`): a TimeSformer trained by self-distillation, read as a backbone without a head.

The file also holds the student, the optimiser, and the arguments as an `argparse.Namespace`. `checkpoint_contents` has
already picked the teacher, which the authors evaluate, and stripped "backbone." from its keys.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vidjax.config import IMAGENET_MEAN, IMAGENET_STD
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.families._timesformer_names import OFFICIAL
from vidjax.weights.families.timesformer import MERGE, assumed, read_spec, rules
from vidjax.weights.inspection import shape_of
from vidjax.weights.rules import State

_PROJECTION = "head.last_layer.weight_v"
_STEM = {"cls_token", "pos_embed", "time_embed", "blocks.0.temporal_fc.weight"}


def _is_svt(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    return _PROJECTION in keys and set(keys) >= _STEM


def _describe(state: State, config: Mapping | None) -> Description[TimeSformerSpec]:
    spec = read_spec(state, config or {}, OFFICIAL, "", "divided")
    prototypes, _ = shape_of(state, _PROJECTION, 2)
    notes = (
        f"the projection head with {prototypes} prototypes, which only pre-training uses, is left out",
        "pixels are normalised as in SVT's pre-training (ImageNet); its evaluation code uses 0.45 and 0.225",
        *assumed(config or {}, spec, time=True),
    )
    return Description(
        "timesformer", spec, 0, rules(spec, 0, OFFICIAL), IMAGENET_MEAN, IMAGENET_STD, MERGE,
        ignore=r"^head\.", notes=notes,
    )  # fmt: skip


LAYOUTS = (Layout("SVT, official", _is_svt, _describe),)
