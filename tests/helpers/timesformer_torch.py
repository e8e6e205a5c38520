"""TimeSformer restated in PyTorch, on a state with the authors' keys, for features that `transformers` lacks.

These are frames that are not square, positions resized to another grid, and frames averaged before the final norm.
Tokens are kept as (b, h, w, t, d), and attention is written out, to share nothing with the module under test.
"""

import numpy as np
import torch
import torch.nn.functional as F


def random_state(spec, num_classes, seed=0):
    """Random parameters in float64, under the keys of the authors' checkpoints."""
    generator = torch.Generator().manual_seed(seed)
    d, (t, h, w), patch = spec.width, spec.grid, spec.patch_size
    shapes = {
        "cls_token": (1, 1, d),
        "pos_embed": (1, 1 + h * w, d),
        "patch_embed.proj.weight": (d, 3, patch, patch),
        "patch_embed.proj.bias": (d,),
        "norm.weight": (d,),
        "norm.bias": (d,),
        "head.weight": (num_classes, d),
        "head.bias": (num_classes,),
    }
    if spec.attention_type != "space_only":
        shapes["time_embed"] = (1, t, d)
    for block in range(spec.depth):
        at = f"blocks.{block}."
        attentions = [("norm1", "attn")]
        if spec.attention_type == "divided":
            attentions += [("temporal_norm1", "temporal_attn")]
            shapes |= {f"{at}temporal_fc.weight": (d, d), f"{at}temporal_fc.bias": (d,)}
        for norm, attention in [*attentions, ("norm2", None)]:
            shapes |= {f"{at}{norm}.weight": (d,), f"{at}{norm}.bias": (d,)}
            if attention:
                shapes |= {f"{at}{attention}.qkv.weight": (3 * d, d), f"{at}{attention}.qkv.bias": (3 * d,)}
                shapes |= {f"{at}{attention}.proj.weight": (d, d), f"{at}{attention}.proj.bias": (d,)}
        shapes |= {f"{at}mlp.fc1.weight": (spec.mlp_dim, d), f"{at}mlp.fc1.bias": (spec.mlp_dim,)}
        shapes |= {f"{at}mlp.fc2.weight": (d, spec.mlp_dim), f"{at}mlp.fc2.bias": (d,)}
    state = {key: 0.2 * torch.randn(shape, generator=generator).double() for key, shape in shapes.items()}
    for key in state:
        if "norm" in key and key.endswith("weight"):
            state[key] += 1.0
    return {key: value.requires_grad_() for key, value in state.items()}


def logits(state, spec, clips):
    """Logits of clips (b t h w c) in float64; for any grid that the patches tile."""
    b, t, height, width, _ = clips.shape
    h, w = height // spec.patch_size, width // spec.patch_size
    frames = clips.permute(0, 1, 4, 2, 3).flatten(0, 1)
    x = F.conv2d(frames, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=spec.patch_size)
    x = x.unflatten(0, (b, t)).permute(0, 3, 4, 1, 2)  # b h w t d
    _, gh, gw = spec.grid
    space = state["pos_embed"][0, 1:].unflatten(0, (gh, gw)).permute(2, 0, 1)[None]
    x = x + F.interpolate(space, size=(h, w), mode="nearest")[0].permute(1, 2, 0)[None, :, :, None]
    if "time_embed" in state:
        x = x + F.interpolate(state["time_embed"].transpose(1, 2), size=t, mode="nearest").transpose(1, 2)[0]
    cls = (state["cls_token"][0, 0] + state["pos_embed"][0, 0]).expand(b, -1)
    forward = {"divided": _divided, "joint": _joint, "space_only": _space_only}[spec.attention_type]
    cls = _norm(state, "norm", forward(state, spec, cls, x), spec)
    return F.linear(cls, state["head.weight"], state["head.bias"])


def _divided(state, spec, cls, x):
    t = x.shape[3]
    for block in range(spec.depth):
        at = f"blocks.{block}."
        over_time = _attention(state, at + "temporal_attn", _norm(state, at + "temporal_norm1", x, spec), spec)
        x = x + F.linear(over_time, state[at + "temporal_fc.weight"], state[at + "temporal_fc.bias"])
        added_to_cls, added = 0.0, []
        for frame in range(t):
            tokens = torch.cat([cls[:, None], x[:, :, :, frame].flatten(1, 2)], dim=1)
            tokens = _attention(state, at + "attn", _norm(state, at + "norm1", tokens, spec), spec)
            added_to_cls = added_to_cls + tokens[:, 0] / t
            added.append(tokens[:, 1:].unflatten(1, x.shape[1:3]))
        cls, x = cls + added_to_cls, x + torch.stack(added, dim=3)
        cls, x = (y + _mlp(state, at, y, spec) for y in (cls, x))
    return cls


def _joint(state, spec, cls, x):
    tokens = torch.cat([cls[:, None], x.flatten(1, 3)], dim=1)
    return _vit(state, spec, tokens)[:, 0]


def _space_only(state, spec, cls, x):
    frames = [torch.cat([cls[:, None], x[:, :, :, t].flatten(1, 2)], dim=1) for t in range(x.shape[3])]
    return sum(_vit(state, spec, frame)[:, 0] for frame in frames) / len(frames)


def _vit(state, spec, tokens):
    for block in range(spec.depth):
        at = f"blocks.{block}."
        tokens = tokens + _attention(state, at + "attn", _norm(state, at + "norm1", tokens, spec), spec)
        tokens = tokens + _mlp(state, at, tokens, spec)
    return tokens


def _norm(state, at, x, spec):
    return F.layer_norm(x, x.shape[-1:], state[f"{at}.weight"], state[f"{at}.bias"], spec.norm_eps)


def _mlp(state, at, x, spec):
    x = F.linear(_norm(state, at + "norm2", x, spec), state[at + "mlp.fc1.weight"], state[at + "mlp.fc1.bias"])
    return F.linear(F.gelu(x), state[at + "mlp.fc2.weight"], state[at + "mlp.fc2.bias"])


def _attention(state, at, x, spec):
    """Attention over the second-to-last axis."""
    qkv = F.linear(x, state[f"{at}.qkv.weight"], state[f"{at}.qkv.bias"])
    q, k, v = (y.unflatten(-1, (spec.num_heads, -1)).transpose(-3, -2) for y in qkv.chunk(3, dim=-1))
    weights = torch.softmax(q @ k.transpose(-2, -1) / np.sqrt(q.shape[-1]), dim=-1)
    y = (weights @ v).transpose(-3, -2).flatten(-2)
    return F.linear(y, state[f"{at}.proj.weight"], state[f"{at}.proj.bias"])
