"""ViViT's four models (arXiv:2103.15691, section 3) restated in PyTorch, on scenic's arrays.

Attention within a frame, or at one position over time, is written as attention over all tokens with a mask.
"""

import numpy as np
import torch
from torch.nn import functional as F

EPS = 1e-6


def classify(state, clips, factorization):
    """Logits (b classes) of normalised clips (b t h w c) from scenic's arrays: tensors by path with slashes."""
    kernel = state["embedding/kernel"].permute(4, 3, 0, 1, 2)
    x = F.conv3d(clips.permute(0, 4, 1, 2, 3), kernel, state["embedding/bias"], stride=kernel.shape[2:])
    t, s = x.shape[2], x.shape[3] * x.shape[4]
    x = x.flatten(2).transpose(1, 2)  # time first
    if factorization == "encoder":
        frames = [
            transformer(under(state, "SpatialTransformer"), x[:, s * i : s * (i + 1)], state["cls_SpatialTransformer"])
            for i in range(t)
        ]
        x = torch.stack([frame[:, 0] for frame in frames], dim=1)
        pooled = transformer(under(state, "TemporalTransformer"), x, state["cls_TemporalTransformer"])[:, 0]
    elif factorization == "joint":
        pooled = transformer(under(state, "Transformer"), x, state["cls"])[:, 0]
    else:
        token = torch.arange(t * s)
        same_place, same_frame = token[:, None] % s == token % s, token[:, None] // s == token // s
        block = {"self_attention": block_of_model_3, "dot_product": block_of_model_4}[factorization]

        def masked(p, x):
            return block(p, x, same_place, same_frame)

        pooled = transformer(under(state, "Transformer"), x, None, masked).mean(dim=1)
    return pooled @ state["output_projection/kernel"] + state["output_projection/bias"]


def transformer(p, x, cls, block=None):
    if cls is not None:
        x = torch.cat([cls.expand(len(x), 1, -1), x], dim=1)
    x = x + p["posembed_input/pos_embedding"]
    for number in range(len({key.split("/")[0] for key in p if key.startswith("encoderblock_")})):
        x = (block or block_of_model_1)(under(p, f"encoderblock_{number}"), x)
    return norm(under(p, "encoder_norm"), x)


def block_of_model_1(p, x):
    x = x + attention(under(p, "MultiHeadDotProductAttention_0"), norm(under(p, "LayerNorm_0"), x))
    return x + mlp(under(p, "MlpBlock_0"), norm(under(p, "LayerNorm_1"), x))


def block_of_model_3(p, x, same_place, same_frame):
    for axis, mask in (("time", same_place), ("space", same_frame)):
        y = norm(under(p, f"LayerNorm_{axis}"), x)
        x = x + attention(under(p, f"MultiHeadDotProductAttention_{axis}"), y, mask)
    return x + mlp(under(p, "MlpBlock"), norm(under(p, "LayerNorm_mlp"), x))


def block_of_model_4(p, x, same_place, same_frame):
    heads = p["MultiHeadDotProductAttention_0/out/kernel"].shape[0]
    masks = torch.stack([same_place if head < heads // 2 else same_frame for head in range(heads)])
    x = x + attention(under(p, "MultiHeadDotProductAttention_0"), norm(under(p, "LayerNorm_0"), x), masks)
    return x + mlp(under(p, "MlpBlock_0"), norm(under(p, "LayerNorm_1"), x))


def attention(p, x, mask=None):
    q, k, v = (
        torch.einsum("bnd,dhe->bhne", x, p[f"{name}/kernel"]) + p[f"{name}/bias"][:, None]
        for name in ("query", "key", "value")
    )
    logits = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    return torch.einsum("bhne,hed->bnd", logits.softmax(dim=-1) @ v, p["out/kernel"]) + p["out/bias"]


def mlp(p, x):
    hidden = F.gelu(x @ p["Dense_0/kernel"] + p["Dense_0/bias"], approximate="tanh")
    return hidden @ p["Dense_1/kernel"] + p["Dense_1/bias"]


def norm(p, x):
    return F.layer_norm(x, x.shape[-1:], p["scale"], p["bias"], EPS)


def under(state, prefix):
    return {key[len(prefix) + 1 :]: value for key, value in state.items() if key.startswith(f"{prefix}/")}


def scenic_state(spec, num_classes):
    """Random arrays with the paths and shapes of scenic's checkpoints, written out by hand."""
    d, m, heads = spec.width, spec.mlp_dim, spec.num_heads
    t, h, w = spec.grid
    shapes = {
        "embedding": {"kernel": (spec.tubelet_size, spec.patch_size, spec.patch_size, 3, d), "bias": (d,)},
        "output_projection": {"kernel": (d, num_classes), "bias": (num_classes,)},
    }
    layer_norm, project = {"scale": (d,), "bias": (d,)}, {"kernel": (d, heads, d // heads), "bias": (heads, d // heads)}
    attend = {"query": project, "key": project, "value": project}
    attend |= {"out": {"kernel": (heads, d // heads, d), "bias": (d,)}}
    dense = {"Dense_0": {"kernel": (d, m), "bias": (m,)}, "Dense_1": {"kernel": (m, d), "bias": (d,)}}
    block = {"LayerNorm_0": layer_norm, "LayerNorm_1": layer_norm}
    block |= {"MultiHeadDotProductAttention_0": attend, "MlpBlock_0": dense}
    if spec.factorization == "self_attention":
        block = {f"LayerNorm_{name}": layer_norm for name in ("time", "space", "mlp")} | {"MlpBlock": dense}
        block |= {f"MultiHeadDotProductAttention_{axis}": attend for axis in ("time", "space")}

    def stack(depth, positions):
        blocks = {f"encoderblock_{number}": block for number in range(depth)}
        return blocks | {"posembed_input": {"pos_embedding": (1, positions, d)}, "encoder_norm": layer_norm}

    if spec.factorization == "encoder":
        shapes |= {
            "SpatialTransformer": stack(spec.depth, h * w + 1), "cls_SpatialTransformer": (1, 1, d),
            "TemporalTransformer": stack(spec.temporal_depth, t + 1), "cls_TemporalTransformer": (1, 1, d),
        }  # fmt: skip
    elif spec.factorization == "joint":
        shapes |= {"Transformer": stack(spec.depth, t * h * w + 1), "cls": (1, 1, d)}
    else:
        shapes |= {"Transformer": stack(spec.depth, t * h * w)}
    return _random(shapes, np.random.default_rng(0))


def _random(shapes, rng):
    return {
        name: _random(value, rng)
        if isinstance(value, dict)
        else rng.normal(float(name == "scale"), 0.2, value).astype(np.float32)
        for name, value in shapes.items()
    }


def flat(tree, prefix=""):
    """Nested dicts by path with slashes."""
    found = {}
    for name, value in tree.items():
        found |= flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: value}
    return found
