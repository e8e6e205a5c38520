"""The published VideoMamba restated in plain PyTorch, with the authors' parameter names.

It is slow and literal on purpose: the sequence is flipped for the second direction, each direction has its own gate,
and states advance one token at a time.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return self.weight * x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.eps)


class Mixer(nn.Module):
    def __init__(self, width, expand, states, taps, mean):
        super().__init__()
        inner, rank = expand * width, math.ceil(width / 16)
        self.rank, self.states, self.mean = rank, states, mean
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.out_proj = nn.Linear(inner, width, bias=False)
        for suffix, a_log in (("", "A_log"), ("_b", "A_b_log")):
            self.add_module(f"conv1d{suffix}", nn.Conv1d(inner, inner, taps, groups=inner, padding=taps - 1))
            self.add_module(f"x_proj{suffix}", nn.Linear(inner, rank + 2 * states, bias=False))
            self.add_module(f"dt_proj{suffix}", nn.Linear(rank, inner))
            self.register_parameter(a_log, nn.Parameter(torch.log(torch.arange(1.0, states + 1).repeat(inner, 1))))
            self.register_parameter(f"D{suffix}", nn.Parameter(torch.ones(inner)))

    def direction(self, x, z, suffix, a_log):
        """Scan once from the first token to the last; x and z are (b l inner)."""
        length = x.shape[1]
        x = F.silu(self.get_submodule(f"conv1d{suffix}")(x.transpose(1, 2))[..., :length].transpose(1, 2))
        selected = self.get_submodule(f"x_proj{suffix}")(x)
        low, b, c = selected.split([self.rank, self.states, self.states], dim=-1)
        dt = F.softplus(self.get_submodule(f"dt_proj{suffix}")(low))
        a, d = -torch.exp(self.get_parameter(a_log)), self.get_parameter(f"D{suffix}")
        h, y = x.new_zeros(x.shape[0], x.shape[2], self.states), []
        for i in range(length):
            h = torch.exp(dt[:, i, :, None] * a) * h + (dt[:, i] * x[:, i])[..., None] * b[:, i, None]
            y.append((h * c[:, i, None]).sum(-1) + d * x[:, i])
        return torch.stack(y, 1) * F.silu(z)

    def forward(self, tokens):
        x, z = self.in_proj(tokens).chunk(2, dim=-1)
        ahead = self.direction(x, z, "", "A_log")
        back = self.direction(x.flip(1), z.flip(1), "_b", "A_b_log").flip(1)
        merged = (ahead + back) / 2 if self.mean else ahead + back
        return self.out_proj(merged)


class Layer(nn.Module):
    def __init__(self, spec):
        super().__init__()
        mean = spec.merge_directions == "mean"
        self.mixer = Mixer(spec.width, spec.expand, spec.state_size, spec.conv_size, mean)
        self.norm = RMSNorm(spec.width, spec.norm_eps)


class VideoMamba(nn.Module):
    """Maps clips (b c t h w) to logits or, without classes, to the features of the class token.

    `image_model` omits the time axis of the patches and the positions in time, as in checkpoints of image models.
    """

    def __init__(self, spec, num_classes, image_model=False):
        super().__init__()
        t, h, w = spec.grid
        cube = (spec.tubelet_size, spec.patch_size, spec.patch_size)
        self.patch_embed = nn.Module()
        if image_model:
            self.patch_embed.proj = nn.Conv2d(3, spec.width, cube[1:], stride=cube[1:])
        else:
            self.patch_embed.proj = nn.Conv3d(3, spec.width, cube, stride=cube)
            self.temporal_pos_embedding = nn.Parameter(torch.zeros(1, t, spec.width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + h * w, spec.width))
        self.layers = nn.ModuleList([Layer(spec) for _ in range(spec.depth)])
        self.norm_f = RMSNorm(spec.width, spec.norm_eps)
        self.head = nn.Linear(spec.width, num_classes) if num_classes else nn.Identity()
        self.image_model = image_model

    def forward(self, clips):
        frames = self.patch_embed.proj(clips[:, :, 0] if self.image_model else clips)
        frames = frames[:, :, None] if self.image_model else frames
        tokens = [self.cls_token.expand(len(clips), 1, -1) + self.pos_embed[:, :1]]
        for number in range(frames.shape[2]):  # all patches of one frame, then those of the next
            patches = frames[:, :, number].flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]
            tokens.append(patches if self.image_model else patches + self.temporal_pos_embedding[:, number])
        hidden, residual = torch.cat(tokens, 1), None
        for layer in self.layers:
            residual = hidden if residual is None else residual + hidden
            hidden = layer.mixer(layer.norm(residual))
        return self.head(self.norm_f(residual + hidden)[:, 0])
