"""The TimeSformer of `transformers` with random weights, and its parameters or gradients as a vidjax tree."""

import jax
import numpy as np
import torch
import transformers

from vidjax.models.timesformer import TimeSformerClassifier
from vidjax.weights import rules as rule_tables
from vidjax.weights.families.timesformer import TRANSFORMERS, TRANSFORMERS_TYPES, rules


def peer(spec, num_classes):
    """The model with random parameters, computing in float64."""
    config = transformers.TimesformerConfig(
        hidden_size=spec.width,
        num_hidden_layers=spec.depth,
        num_attention_heads=spec.num_heads,
        intermediate_size=spec.mlp_dim,
        patch_size=spec.patch_size,
        num_frames=spec.num_frames,
        image_size=spec.frame_size[0],
        layer_norm_eps=spec.norm_eps,
        attention_type=TRANSFORMERS_TYPES[spec.attention_type],
        num_labels=num_classes,
    )
    torch.manual_seed(0)
    model = transformers.TimesformerForVideoClassification(config).eval().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "layernorm" in name and name.endswith("weight") else 0.0, 0.2)
            parameter.copy_(parameter.float())  # exact in float32
    return model


def random_clips(spec, rows=2):
    return np.random.default_rng(0).normal(size=(rows, *spec.clip_shape)).astype(np.float32)


def read_transformers(model, spec, num_classes, of):
    """The vidjax tree with `of(parameter)` for all parameters, made by the layout's rules."""
    state = {name: of(parameter).detach().numpy() for name, parameter in model.named_parameters()}
    clips = jax.ShapeDtypeStruct((1, *spec.clip_shape), np.float32)
    shapes = jax.eval_shape(TimeSformerClassifier(spec, num_classes).init, jax.random.key(0), clips)["params"]
    return rule_tables.read(rules(spec, num_classes, TRANSFORMERS, "timesformer."), state, lambda: shapes)
