"""SVT's training step restated in PyTorch and float64, following the authors' `train_ssl.py`.

Views are encoded one by one; the loss is a loop over pairs; every schedule is written out.
"""

import itertools
import math

import numpy as np
import timesformer_torch
import torch
import torch.nn.functional as F

from vidjax.weights import rules
from vidjax.weights.families import timesformer


def random_state(spec, prototypes, hidden, bottleneck, seed=0):
    """Encoder and head under the keys of the authors' checkpoints, without "backbone."; exact in float32."""
    state = timesformer_torch.random_state(spec, 1, seed)
    del state["head.weight"], state["head.bias"]
    generator = torch.Generator().manual_seed(seed + 1)
    widths = (spec.width, hidden, hidden, bottleneck)
    for layer, (d_in, d_out) in enumerate(itertools.pairwise(widths)):
        state[f"head.mlp.{2 * layer}.weight"] = torch.randn((d_out, d_in), generator=generator) * d_in**-0.5
        state[f"head.mlp.{2 * layer}.bias"] = torch.randn(d_out, generator=generator) * 0.2
    state["head.last_layer.weight_v"] = torch.randn((prototypes, bottleneck), generator=generator)
    return {key: value.detach().float().double().requires_grad_() for key, value in state.items()}


def as_tree(state, shapes, of=lambda tensor: tensor):
    """The vidjax tree with `of(tensor)` for every tensor."""
    arrays = {key: of(tensor).detach().numpy() for key, tensor in state.items()}
    spec = shapes.module.spec
    encoder = {key: value for key, value in arrays.items() if not key.startswith("head.")}
    table = timesformer.rules(spec, 0, timesformer.OFFICIAL)
    tree = rules.read(table, encoder, lambda: {"encoder": shapes.params["encoder"]})
    names = {"fc1": "mlp.0", "fc2": "mlp.2", "fc3": "mlp.4"}
    head = {
        ours: {"kernel": arrays[f"head.{theirs}.weight"].T, "bias": arrays[f"head.{theirs}.bias"]}
        for ours, theirs in names.items()
    }
    tree["head"] = head | {"last_layer": {"kernel": arrays["head.last_layer.weight_v"].T}}
    return torch.utils._pytree.tree_map(lambda leaf: np.asarray(leaf, np.float32), tree)


def project(state, spec, clips):
    """Cosines (b k) of one view (b t h w c) with normalised pixels."""
    identity = {"head.weight": torch.eye(spec.width).double(), "head.bias": torch.zeros(spec.width).double()}
    x = timesformer_torch.logits(state | identity, spec, clips)
    for layer in (0, 2, 4):
        x = F.linear(x, state[f"head.mlp.{layer}.weight"], state[f"head.mlp.{layer}.bias"])
        x = F.gelu(x) if layer < 4 else F.normalize(x, dim=-1)
    direction = state["head.last_layer.weight_v"]
    return F.linear(x, torch._weight_norm(direction, torch.ones(len(direction), 1).double(), 0))


def distillation_loss(student_views, teacher_views, center, student_temp, teacher_temp):
    """The loss of two lists of outputs (b k), with the global views first in both."""
    terms = []
    for number, teacher in enumerate(teacher_views):
        target = torch.softmax((teacher - center) / teacher_temp, dim=-1).detach()
        for other, student in enumerate(student_views):
            if other != number:
                terms.append(torch.sum(-target * torch.log_softmax(student / student_temp, dim=-1), dim=-1).mean())
    return sum(terms) / len(terms)


def cosine(start, end, step, total):
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / total))


class Trainer:
    """Student, teacher, centre and AdamW; `step` takes the views (b t h w c) of one batch."""

    def __init__(self, state, spec, optim, distill, *, total_steps, frozen_steps):
        self.spec, self.optim, self.distill = spec, optim, distill
        self.total, self.frozen, self.number = total_steps, frozen_steps, 0
        self.student = state
        self.teacher = {key: value.detach().clone() for key, value in state.items()}
        self.center = torch.zeros(distill.prototypes).double()
        bare = [key for key, value in state.items() if key.endswith(".bias") or value.ndim == 1]
        decayed = [value for key, value in state.items() if key not in bare]
        groups = [{"params": decayed}, {"params": [state[key] for key in bare], "weight_decay": 0.0}]
        self.adamw = torch.optim.AdamW(groups, betas=(optim.beta1, optim.beta2), eps=optim.eps)

    def loss(self, views, num_global):
        student = [project(self.student, self.spec, view) for view in views]
        self.teacher_views = [project(self.teacher, self.spec, view) for view in views[:num_global]]
        temps = self.distill.student_temp, self.distill.teacher_temp
        return distillation_loss(student, self.teacher_views, self.center, *temps)

    def step(self, views, lr, num_global=2):
        self.adamw.param_groups[0]["weight_decay"] = cosine(
            self.optim.weight_decay, self.optim.final_weight_decay, self.number, self.total
        )
        for group in self.adamw.param_groups:
            group["lr"] = lr
        loss = self.loss(views, num_global)
        keep = self.distill.center_momentum
        self.center = keep * self.center + (1 - keep) * torch.cat(self.teacher_views).mean(dim=0).detach()
        self.adamw.zero_grad()
        loss.backward()
        for parameter in self.student.values():
            coefficient = self.optim.clip_each / (parameter.grad.norm() + 1e-6)
            if coefficient < 1:
                parameter.grad.mul_(coefficient)
        if self.number < self.frozen:
            self.student["head.last_layer.weight_v"].grad = None
        self.adamw.step()
        keep = cosine(self.distill.teacher_momentum, 1.0, self.number, self.total)
        for key, value in self.student.items():
            self.teacher[key] = keep * self.teacher[key] + (1 - keep) * value.detach()
        self.number += 1
        return loss.item()
