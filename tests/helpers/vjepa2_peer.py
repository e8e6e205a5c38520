"""The V-JEPA 2 of `transformers` with random weights: outputs, arrays as a vidjax tree, and the authors' files."""

import re

import jax
import numpy as np
import torch
import transformers

from vidjax.weights import rules as rule_tables
from vidjax.weights.checkpoint_layouts import example_inputs
from vidjax.weights.families._vjepa2_rules import TRANSFORMERS, rules

RENAMED = (  # transformers to authors
    (r"^encoder\.embeddings\.patch_embeddings\.", "patch_embed."),
    (r"^encoder\.layer\.", "blocks."),
    (r"^encoder\.layernorm", "norm"),
    (r"^predictor\.embeddings\.predictor_embeddings", "predictor_embed"),
    (r"^predictor\.layer\.", "predictor_blocks."),
    (r"^predictor\.layernorm", "predictor_norm"),
    (r"^predictor\.proj", "predictor_proj"),
    (r"^pooler\.self_attention_layers\.", "pooler.blocks."),
    (r"^pooler\.cross_attention_layer\.", "pooler.cross_attention_block."),
    (r"^classifier", "linear"),
    (r"\.layer_norm", ".norm"),
    (r"\.cross_attn\.q_proj", ".xattn.q"),
    (r"\.cross_attn\.k_proj", ".xattn.kv"),
    (r"\.self_attn\.q_proj", ".attn.qkv"),
    (r"\.self_attn\.out_proj", ".attn.proj"),
    (r"\.attention\.query", ".attn.qkv"),
    (r"\.attention\.proj", ".attn.proj"),
)
JOINED = {  # the first of several arrays that the authors keep as one, and the others
    "attention.query.": ("attention.key.", "attention.value."),
    "self_attn.q_proj.": ("self_attn.k_proj.", "self_attn.v_proj."),
    "cross_attn.k_proj.": ("cross_attn.v_proj.",),
}


def config_of(spec, attn_implementation="eager", **options):
    """The configuration of a spec; frames are square."""
    return transformers.VJEPA2Config(
        patch_size=spec.patch_size, crop_size=spec.frame_size[1], frames_per_clip=spec.num_frames,
        tubelet_size=spec.tubelet_size, hidden_size=spec.width, num_attention_heads=spec.num_heads,
        num_hidden_layers=spec.depth, mlp_ratio=spec.mlp_dim / spec.width, layer_norm_eps=spec.norm_eps,
        num_pooler_layers=spec.pooler_depth, pred_hidden_size=spec.predictor_width,
        pred_num_attention_heads=spec.predictor_heads, pred_num_hidden_layers=spec.predictor_depth,
        pred_mlp_ratio=spec.predictor_mlp_dim / spec.predictor_width, pred_num_mask_tokens=spec.num_mask_tokens,
        attn_implementation=attn_implementation, **options,
    )  # fmt: skip


def peer(cls, spec, **options):
    """A model with no parameter zero or small, computing in float64; its parameters are exact in float32."""
    torch.manual_seed(0)
    model = cls(config_of(spec, **options)).eval().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            std = parameter[0].numel() ** -0.5 if name.endswith("weight") and parameter.ndim > 1 else 0.2
            parameter.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, std)
            parameter.copy_(parameter.float())
    return model


def random_clips(spec, rows=2):
    """Normalised clips (b t h w c) in float32."""
    return np.random.default_rng(0).normal(size=(rows, *spec.clip_shape)).astype(np.float32)


def pixels_of(clips):
    """The clips as `transformers` takes them, (b t c h w) in float64."""
    return torch.from_numpy(np.asarray(clips, np.float64).transpose(0, 1, 4, 2, 3))


def encode(model, clips, index=None, places=None, levels=()):
    """The encoder's tokens (b k d), or a list of those of some levels.

    Args:
      model: a VJEPA2Model.
      index: tokens that the encoder sees (b k); None for all.
      places: where these tokens lie in a square grid of the configured size; None for `index`.
    """
    encoder, index = model.encoder, None if index is None else torch.as_tensor(np.array(index, np.int64))
    x, found = encoder.embeddings(pixels_of(clips)), []
    if index is not None:
        x = torch.gather(x, 1, index[:, :, None].expand(-1, -1, x.shape[-1]))
    places = index if places is None else torch.as_tensor(np.array(places, np.int64))
    for layer in encoder.layer:
        x = layer(x, places)[0]
        found.append(encoder.layernorm(x))
    return [found[level] for level in levels] if levels else found[-1]


def predict(model, tokens, context_idx, target_idx):
    """The predictor's features (b m d), from the encoder's tokens (b k d) of the context."""
    context, target = (torch.as_tensor(np.array(index, np.int64)) for index in (context_idx, target_idx))
    # The predictor picks the context from the tokens of all cubes; the others are never read.
    b, _, d = tokens.shape
    everywhere = torch.zeros(b, int(context.max()) + 1, d, dtype=tokens.dtype)
    everywhere = everywhere.scatter(1, context[:, :, None].expand(-1, -1, d), tokens)
    return model.predictor(everywhere, context_mask=[context], target_mask=[target]).last_hidden_state


def as_tree(model, module, num_classes, of=lambda parameter: parameter):
    """The vidjax tree of a module with `of(parameter)` for all parameters, made by the layout's rules."""
    state = {name: of(parameter).detach().numpy() for name, parameter in model.named_parameters()}
    inputs = example_inputs(module.spec, pretraining=num_classes is None)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    prefix = "vjepa2." if num_classes else ""
    ignore = r"^(vjepa2\.)?predictor\." if num_classes is not None else ""
    return rule_tables.read(rules(module.spec, num_classes, TRANSFORMERS, prefix), state, lambda: shapes, ignore=ignore)


def official(model):
    """The parts of a model under the authors' names: encoder, predictor and classifier."""
    found = {key.removeprefix("vjepa2."): value.float() for key, value in model.state_dict().items()}
    for first, others in JOINED.items():
        for key in [key for key in found if first in key]:
            found[key] = torch.cat([found[key], *(found.pop(key.replace(first, other)) for other in others)])
    parts = {"encoder": {}, "predictor": {}, "classifier": {}}
    for key, value in found.items():
        part = key.split(".")[0] if key.startswith(("encoder.", "predictor.")) else "classifier"
        if key == "predictor.embeddings.mask_tokens":
            parts[part] |= {f"mask_tokens.{number}": token for number, token in enumerate(value)}
            continue
        for pattern, name in RENAMED:
            key = re.sub(pattern, name, key)
        parts[part][key] = value
    return parts


def authors_file(model, average=None):
    """What the authors' training saves: wrapped networks, an optimiser, counters.

    Args:
      average: the model whose encoder is the moving average; None for the same.
    """
    parts = official(model) | {"target_encoder": official(average or model)["encoder"]}
    wrapped = {name: {f"module.backbone.{key}": value for key, value in part.items()} for name, part in parts.items()}
    return {
        "encoder": wrapped["encoder"], "predictor": wrapped["predictor"], "target_encoder": wrapped["target_encoder"],
        "opt": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "scaler": None, "epoch": 3, "loss": 0.5, "batch_size": 24, "world_size": 8, "lr": 0.1,
    }  # fmt: skip


def probe_file(model, others=()):
    """What the authors' evaluation saves: a list of classifiers, and no encoder."""
    probes = [official(one)["classifier"] for one in (model, *others)]
    probes = [{f"module.{key}": value for key, value in probe.items()} for probe in probes]
    return {"classifiers": probes, "opt": [{"state": {}, "param_groups": []}], "scaler": None, "epoch": 20}
