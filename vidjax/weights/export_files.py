"""Export a model to a folder for PyTorch: model.safetensors, and the config.json with which `transformers` loads it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import flax.linen as nn
import jax

from vidjax.errors import WeightsError
from vidjax.files import write_json
from vidjax.models.video_text import VideoTextSpec
from vidjax.objectives import MaskedAutoencoding
from vidjax.weights.checkpoint_layouts import Description, Layout, all_layouts, example_inputs
from vidjax.weights.file_formats import write_safetensors
from vidjax.weights.model import Pretrained
from vidjax.weights.rules import Rule, flatten, write

# Fields of a spec that change the outputs by no more than rounding, or that follow from the shapes of the arrays.
COMPUTED_ALIKE = ("dtype", "remat", "unroll", "attention", "image_size")


def export(model: Pretrained, folder: str | os.PathLike) -> tuple[str, ...]:
    """Write model.safetensors, config.json, preprocessor_config.json and, for a text tower, its vocabulary.

    The arrays are named as in `transformers` if it has such a model. Otherwise they are named as in the authors' code,
    and no config.json is written.

    Args:
      model: from `from_pretrained`.
      folder: the output folder, created if needed.

    Returns:
      sentences about the layout of the files, and about outputs that differ in `transformers`.

    Raises:
      WeightsError: if no layout of other software can hold the model, or the folder already holds a model.

    Example:
      >>> notes = vidjax.weights.export(vidjax.from_pretrained("runs/finetune"), "exported")
      >>> sorted(path.name for path in pathlib.Path("exported").iterdir())
      ['config.json', 'model.safetensors', 'preprocessor_config.json']
    """
    folder = Path(folder)
    if (folder / "model.safetensors").exists():
        raise WeightsError(f"{folder} already holds a model.safetensors; give a new folder")
    described = Description(
        model.family, model.spec, model.num_classes, (), model.mean, model.std, labels=model.labels,
        module=model.module,
    )  # fmt: skip
    layout, config, reason = _choose(described)
    state = write(layout.rules_to_write(described), jax.device_get(model.params))
    folder.mkdir(parents=True, exist_ok=True)
    if config is None:
        notes = (f"{reason}; the arrays are written in the layout {layout.name!r}",)
    else:
        config |= _names(described) | _trained_for(model)
        write_json(folder / "config.json", config)
        notes = _differences(layout, state, config, described)
    notes = (*notes, *_left_out(layout.rules_to_write(described), model))
    if model.text_encoder:
        model.text_encoder.save(folder)
    if model.clip_recipe:
        write_json(folder / "preprocessor_config.json", _preprocessor(model))
        notes = (*notes, *_reorders(model), *_pads(model))
    draft = folder / "model.safetensors.draft"  # the arrays are written last, completely or not at all
    write_safetensors(draft, state, {"format": "pt"})
    draft.replace(folder / "model.safetensors")
    return notes


def _choose(described: Description) -> tuple[Layout, dict | None, str]:
    """Choose a layout of transformers with its config.json, or another writable layout and the reason for it."""
    writable = [layout for layout in all_layouts() if layout.can_write(described)]
    reason = f"transformers has no {described.family}" + (" with such a text tower" if described.texts else "")
    for layout in writable:
        if layout.config:
            try:
                return layout, layout.config(described), ""
            except WeightsError as error:
                reason = str(error)
    for layout in writable:
        if not layout.config:
            return layout, None, reason
    raise WeightsError(f"this {described.family} cannot be exported: {reason}")


def _names(described: Description) -> dict:
    if not described.num_classes:
        return {}
    labels = described.labels or [f"LABEL_{number}" for number in range(described.num_classes)]
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }


def _trained_for(model: Pretrained) -> dict:
    """Return keys of config.json about training: normalised pixels as targets, or several labels per video."""
    if isinstance(model.objective, MaskedAutoencoding):
        return {"norm_pix_loss": model.objective.normalize_target}
    several = model.answer is not None and model.answer.activation == "sigmoid"
    return {"problem_type": "multi_label_classification"} if several else {}


def _differences(layout: Layout, state: dict, config: dict, described: Description) -> tuple[str, ...]:
    """Return notes on the spec's fields that the files cannot hold and that change the outputs."""
    again = layout.describe(state, json.loads(json.dumps(config)))
    if described.texts is not None and again.texts is not None:
        return _differing_towers(again.texts, described.texts)
    inputs = again.inputs or example_inputs(described.spec, pretraining=described.num_classes is None)
    module, notes = described.build(), []
    for field in dataclasses.fields(again.spec):
        theirs, ours = getattr(again.spec, field.name), getattr(described.spec, field.name)
        if theirs == ours or field.name in COMPUTED_ALIKE:
            continue
        changed = module.clone(spec=dataclasses.replace(described.spec, **{field.name: theirs}))
        if _computation(changed, inputs) != _computation(module, inputs):
            notes.append(
                f"{field.name} is {theirs} in transformers, whose config.json cannot change it, and {ours} here: "
                "outputs differ by more than rounding"
            )
    return tuple(notes)


def _differing_towers(theirs: VideoTextSpec, ours: VideoTextSpec) -> tuple[str, ...]:
    """Return notes on the fields of both towers' specs that the files cannot hold."""
    pairs = (("video", theirs.video, ours.video), ("text", theirs.text, ours.text))
    found = (
        (tower, field.name, getattr(old, field.name), getattr(new, field.name))
        for tower, old, new in pairs
        for field in dataclasses.fields(new)
        if field.name not in COMPUTED_ALIKE
    )
    notes = []
    for tower, name, old, new in found:
        if old == new:
            continue
        if (tower, name) == ("video", "num_frames"):
            notes.append(
                "transformers embeds single images; a clip's embedding is the mean of its frames' features, scaled to "
                "unit length"
            )
        else:
            notes.append(f"{name} of the {tower} tower is {old} in transformers, and {new} here: outputs differ")
    return tuple(notes)


def _left_out(rules: Sequence[Rule], model: Pretrained) -> tuple[str, ...]:
    """Return a note if the files have no place for the scale or bias that turns similarities into logits."""
    leaves = flatten(model.params)
    names = [path for rule in rules if not rule.sources for path in rule.targets if path.startswith("logit_")]
    left = {"logit_scale": "the factor on similarities", "logit_bias": "the bias of similarities"}
    said = [left[name] for name in names if name == "logit_scale" or float(leaves[name])]
    return (f"transformers has no place for {' or '.join(said)}, which the files leave out",) if said else ()


def _computation(module: nn.Module, inputs: tuple) -> str:
    """Return the forward pass as the text of its jaxpr, which is equal for modules that compute the same."""
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return re.sub("0x[0-9a-f]+", "", str(jax.make_jaxpr(module.apply)(variables, *inputs)))


def _preprocessor(model: Pretrained) -> dict:
    height, width = model.spec.frame_size
    return {
        "image_processor_type": "CLIPImageProcessor" if model.family == "clip" else "VideoMAEImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": min(height, width)},
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(model.mean),
        "image_std": list(model.std),
    }


def _reorders(model: Pretrained) -> tuple[str, ...]:
    """Return a note if the model takes channels in an order other than RGB; transformers' processors cannot reorder."""
    if model.clips.channels == "rgb":
        return ()
    return (
        f"the model takes channels in the order {model.clips.channels.upper()}, and vidjax reorders them; the "
        "processors of transformers cannot: reverse the channels of their pixel_values",
    )


def _pads(model: Pretrained) -> tuple[str, ...]:
    """Return a note if frames are not square, because transformers' processors pad them and vidjax crops them."""
    height, width = model.spec.frame_size
    if height == width:
        return ()
    return (
        f"with preprocessor_config.json, transformers resizes the short side to {min(height, width)} and pads to "
        f"{height} x {width} with black; vidjax resizes frames to cover that size, then crops: resize videos to "
        f"cover {height} x {width} before calling that processor",
    )
