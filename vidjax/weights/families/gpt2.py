"""GPT-2 checkpoints as `transformers` writes them, with or without cross-attention.

Their Conv1D weights are already (in, out): unlike those of PyTorch's Linear, they are not transposed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from vidjax.errors import WeightsError
from vidjax.models.gpt2 import GPT2, GPT2_SPECS, GPT2Spec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.inspection import check_sizes, depth_note, depth_of, shape_of
from vidjax.weights.rules import Form, Rule, State

CAPTIONER = "decoder.transformer."  # prefix of the language model in an encoder-decoder model
CAPTIONER_ONLY = r"^(encoder|enc_to_dec_proj)\."
PREFIXES = ("", "transformer.", CAPTIONER)
PUBLISHED = GPT2_SPECS | {"distilled": dataclasses.replace(GPT2_SPECS["small"], depth=6)}
HEAD_WIDTH = 64  # in all published models; without a config.json, it determines the number of heads
BUFFERS = r"\.(attn|crossattention)\.(masked_)?bias$"  # causal masks that older files carry
HEAD = "lm_head.weight"
END_OF_TEXT = 50256  # first and last token of a text in the published vocabulary
NUMERICS = {  # options of config.json, and the only values supported: those of the published models
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
}


def rules(spec: GPT2Spec, prefix: str = "transformer.") -> tuple[Rule, ...]:
    """Return the rules for a GPT-2's keys, which begin with `prefix`."""
    depth, heads, block = spec.depth, spec.num_heads, f"{prefix}h.{{}}."
    found = [
        Rule((f"{prefix}wte.weight",), ("wte",), array_layouts.SAME),
        Rule((f"{prefix}wpe.weight",), ("wpe",), array_layouts.SAME),
        *array_layouts.norm(f"{prefix}ln_f", "norm"),
        *array_layouts.norm(f"{block}ln_1", "blocks/norm1", depth),
        Rule((f"{block}attn.c_attn.weight",), ("blocks/attn/qkv/kernel",), _fused_kernel(heads), depth),
        Rule(
            (f"{block}attn.c_attn.bias",),
            tuple(f"blocks/attn/qkv/{part}_bias" for part in "qkv"),
            array_layouts.qkv_fused_bias(heads),
            depth,
        ),
        *_heads_out(f"{block}attn.c_proj", "blocks/attn/proj", spec),
        *array_layouts.norm(f"{block}ln_2", "blocks/norm2", depth),
        *_conv1d(f"{block}mlp.c_fc", "blocks/mlp/fc1", depth),
        *_conv1d(f"{block}mlp.c_proj", "blocks/mlp/fc2", depth),
    ]
    return (*found, *_cross_rules(spec, block)) if spec.cross_attention else tuple(found)


def _cross_rules(spec: GPT2Spec, block: str) -> tuple[Rule, ...]:
    source, target, depth = f"{block}crossattention.", "blocks/cross_attn", spec.depth
    parts = {kind: tuple(f"{target}/{part}/{kind}" for part in "kv") for kind in ("kernel", "bias")}
    one, both = _split(spec.num_heads, 1), _split(spec.num_heads, 2)
    return (
        *array_layouts.norm(f"{block}ln_cross_attn", "blocks/norm_cross", depth),
        Rule((f"{source}q_attn.weight",), (f"{target}/q/kernel",), one, depth),
        Rule((f"{source}q_attn.bias",), (f"{target}/q/bias",), one, depth),
        Rule((f"{source}c_attn.weight",), parts["kernel"], both, depth),
        Rule((f"{source}c_attn.bias",), parts["bias"], both, depth),
        *_heads_out(f"{source}c_proj", f"{target}/proj", spec),
    )


def _split(heads: int, parts: int) -> Form:
    """Split a last axis of length parts * d into `parts` arrays with axes (heads, head width), and join them again."""

    def read(fused):
        return tuple(part.reshape(*part.shape[:-1], heads, -1) for part in np.split(fused, parts, axis=-1))

    def write(*arrays):
        return (np.concatenate([array.reshape(*array.shape[:-2], -1) for array in arrays], axis=-1),)

    return Form(read, write)


def _fused_kernel(heads: int) -> Form:
    """Reshape a weight (d, 3 d) with columns q, k, v to the kernel (d, 3, heads, head width), and back."""
    return Form(
        lambda weight: (weight.reshape(weight.shape[0], 3, heads, -1),),
        lambda kernel: (kernel.reshape(kernel.shape[0], -1),),
    )


def _heads_out(source: str, target: str, spec: GPT2Spec) -> tuple[Rule, Rule]:
    form = Form(
        lambda weight: (weight.reshape(spec.num_heads, -1, weight.shape[-1]),),
        lambda kernel: (kernel.reshape(-1, kernel.shape[-1]),),
    )
    return (
        Rule((f"{source}.weight",), (f"{target}/kernel",), form, spec.depth),
        Rule((f"{source}.bias",), (f"{target}/bias",), array_layouts.SAME, spec.depth),
    )


def _conv1d(source: str, target: str, depth: int) -> tuple[Rule, Rule]:
    return (
        Rule((f"{source}.weight",), (f"{target}/kernel",), array_layouts.SAME, depth),
        Rule((f"{source}.bias",), (f"{target}/bias",), array_layouts.SAME, depth),
    )


def _prefixes(keys: Collection[str]) -> list[str]:
    """List the prefixes with which a GPT-2's keys begin; empty if there is no GPT-2."""
    stem = ("wte.weight", "wpe.weight", "h.0.attn.c_attn.weight")
    return [prefix for prefix in PREFIXES if all(prefix + key in keys for key in stem)]


def _recognises(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    return bool(_prefixes(keys))


def _describe(state: State, config: Mapping | None) -> Description[GPT2Spec]:
    config, prefix = config or {}, _prefixes(state)[0]
    config = config.get("decoder", config) if prefix == CAPTIONER else config
    head = HEAD if prefix != CAPTIONER else f"decoder.{HEAD}"
    for key, value in NUMERICS.items():
        if config.get(key, value) != value:
            raise WeightsError(f"config.json says {key}={config[key]!r}; only a GPT-2 with {value!r} can be read")
    vocab_size, width = shape_of(state, f"{prefix}wte.weight", 2)
    cross_attention = f"{prefix}h.0.crossattention.q_attn.weight" in state
    sizes = {
        "vocab_size": vocab_size,
        "n_positions": shape_of(state, f"{prefix}wpe.weight", 2)[0],
        "n_embd": width,
        "n_layer": depth_of(state, f"{prefix}h."),
        "n_inner": shape_of(state, f"{prefix}h.0.mlp.c_fc.weight", 2)[1],
    }
    check_sizes(config, sizes)
    if head in state and not np.array_equal(state[head], state[f"{prefix}wte.weight"]):
        raise WeightsError(f"{head} differs from {prefix}wte.weight; a GPT-2 shares one table for both")
    spec = GPT2Spec(
        width=width,
        depth=sizes["n_layer"],
        num_heads=_num_heads(config, width),
        mlp_dim=sizes["n_inner"],
        vocab_size=vocab_size,
        num_positions=sizes["n_positions"],
        norm_eps=config.get("layer_norm_epsilon", 1e-5),
        cross_attention=cross_attention,
        dropout=config.get("resid_pdrop", 0.1),
    )
    notes, ignore = depth_note(config, spec, PUBLISHED), f"{BUFFERS}|^{re.escape(head)}$"
    if prefix == CAPTIONER:
        notes, ignore = (*notes, *_left_over(state)), f"{ignore}|{CAPTIONER_ONLY}"
    if config.get("add_cross_attention") and not cross_attention:
        notes = (*notes, "config.json promises cross-attention, but the file has none; it was loaded without")
    return Description(
        "gpt2", spec, None, rules(spec, prefix), (), (), ignore=ignore, notes=notes,
        module=GPT2(spec), inputs=example_inputs(spec),
    )  # fmt: skip


def _left_over(keys: Collection[str]) -> tuple[str, ...]:
    """Return a note on the parts of an encoder-decoder model that are not read."""
    left = sorted(key for key in keys if re.match(CAPTIONER_ONLY, key))
    some = ", ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
    return (f"only the language model of this encoder-decoder model is read; not used: {some}",) if left else ()


def _num_heads(config: Mapping, width: int) -> int:
    if "n_head" in config:
        return config["n_head"]
    if width % HEAD_WIDTH:
        raise WeightsError(
            f"a width of {width} does not determine the number of heads: published GPT-2 models have heads of width "
            f"{HEAD_WIDTH}; put a config.json with n_head beside the file"
        )
    return width // HEAD_WIDTH


def example_inputs(spec: GPT2Spec) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Return the shapes of inputs that initialise the module: a token and, with cross-attention, an encoder's state."""
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return (tokens, jax.ShapeDtypeStruct((1, 1, spec.width), jnp.float32)) if spec.cross_attention else (tokens,)


def with_cross_attention(module: GPT2, params: dict, rng: jax.Array) -> tuple[GPT2, dict, tuple[str, ...]]:
    """Add cross-attention to a language model; until trained, the cross-attention outputs zero.

    Args:
      module, params: any GPT-2.
      rng: key for the fresh weights.

    Returns:
      the module with cross-attention, its parameters, and a note for the user. A model that already has cross-attention
      is returned unchanged, with no note.
    """
    if module.spec.cross_attention:
        return module, params, ()
    spec = dataclasses.replace(module.spec, cross_attention=True)
    module, shapes = GPT2(spec), example_inputs(spec)

    @jax.jit
    def fresh(rng):
        blocks = module.init(rng, *(jnp.zeros(shape.shape, shape.dtype) for shape in shapes))["params"]["blocks"]
        return {name: leaves for name, leaves in blocks.items() if name not in params["blocks"]}

    note = "the language model has no cross-attention; it is added with random weights and a zero output projection"
    return module, params | {"blocks": params["blocks"] | fresh(rng)}, (note,)


def _config(description: Description[GPT2Spec]) -> dict:
    spec = description.spec
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), spec.dropout)
    ends = {"bos_token_id": END_OF_TEXT, "eos_token_id": END_OF_TEXT} if spec.vocab_size > END_OF_TEXT else {}
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": spec.vocab_size,
        "n_positions": spec.num_positions,
        "n_embd": spec.width,
        "n_layer": spec.depth,
        "n_head": spec.num_heads,
        "n_inner": spec.mlp_dim,
        "layer_norm_epsilon": spec.norm_eps,
        "add_cross_attention": spec.cross_attention,
        **NUMERICS,
        **dropout,
        **ends,
    }


def _rules_to_write(spec: GPT2Spec, num_classes: int | None) -> tuple[Rule, ...]:
    del num_classes
    return rules(spec)


LAYOUTS = (Layout("GPT-2, transformers", _recognises, _describe, _config, "gpt2", _rules_to_write),)
