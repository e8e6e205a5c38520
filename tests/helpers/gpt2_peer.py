"""GPT-2 models of `transformers` with random weights, and the same weights in vidjax's layout."""

import jax
import numpy as np
import torch
import transformers

from vidjax.models.gpt2 import GPT2, GPT2Spec
from vidjax.weights import rules
from vidjax.weights.families import gpt2 as layout

SPECS = {
    "one layer, odd vocabulary": GPT2Spec(
        width=15, depth=1, num_heads=3, mlp_dim=31, vocab_size=53, num_positions=19, norm_eps=1e-5
    ),
    "three layers, cross-attention": GPT2Spec(
        width=32, depth=3, num_heads=4, mlp_dim=128, vocab_size=97, num_positions=40, cross_attention=True
    ),
    "one head, cross-attention, another epsilon": GPT2Spec(
        width=12, depth=2, num_heads=1, mlp_dim=20, vocab_size=30, num_positions=24, norm_eps=1e-3, cross_attention=True
    ),
}


def peer(spec: GPT2Spec, seed: int = 0, std: float = 0.2):
    """A GPT2LMHeadModel of the same shape, every parameter random."""
    config = transformers.GPT2Config(
        n_embd=spec.width,
        n_layer=spec.depth,
        n_head=spec.num_heads,
        n_inner=spec.mlp_dim,
        vocab_size=spec.vocab_size,
        n_positions=spec.num_positions,
        layer_norm_epsilon=spec.norm_eps,
        add_cross_attention=spec.cross_attention,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=True,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std, generator=generator)
    return model


def state_of(model, gradients: bool = False) -> dict[str, np.ndarray]:
    """Parameters or their gradients by key, without the head, which shares the embedding."""
    return {
        key: (value.grad if gradients else value).detach().numpy()
        for key, value in model.named_parameters()
        if not key.endswith("lm_head.weight")
    }


def params_of(spec: GPT2Spec, state) -> dict:
    """The parameter tree that vidjax's rules make of a state."""
    shapes = jax.eval_shape(GPT2(spec).init, jax.random.key(0), *layout.example_inputs(spec))["params"]
    return rules.read(layout.rules(spec), state, lambda: shapes)


def random_inputs(spec: GPT2Spec, rows: int, length: int, num_states: int = 7, seed: int = 0):
    """Tokens (b n), states (b m d) and their mask; the last two None without cross-attention."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, spec.vocab_size, (rows, length)).astype(np.int32)
    if not spec.cross_attention:
        return tokens, None, None
    states = rng.normal(size=(rows, num_states, spec.width)).astype(np.float32)
    mask = np.arange(num_states) < rng.integers(1, num_states + 1, (rows, 1))
    return tokens, states, mask


def torch_states(states, mask) -> dict:
    """The encoder's arguments in a call of the model."""
    if states is None:
        return {}
    found = {"encoder_hidden_states": torch.from_numpy(states)}
    return found if mask is None else found | {"encoder_attention_mask": torch.from_numpy(mask.astype(np.int64))}
