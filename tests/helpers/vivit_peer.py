"""The ViViT of `transformers`, which is model 1, with random weights, and its arrays under the keys it stores."""

import torch
import transformers


def peer(spec, num_classes, **options):
    """The transformers model for a spec, with random weights, computing in float64."""
    config = transformers.VivitConfig(
        hidden_size=spec.width, num_hidden_layers=spec.depth, num_attention_heads=spec.num_heads,
        intermediate_size=spec.mlp_dim, num_frames=spec.num_frames, image_size=list(spec.frame_size),
        tubelet_size=[spec.tubelet_size, spec.patch_size, spec.patch_size], num_labels=num_classes,
        **options,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.VivitForVideoClassification(config).eval().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "layernorm" in name and name.endswith("weight") else 0.0, 0.2)
            parameter.copy_(parameter.float())  # exact in float32
    return model


def by_stored_key(model, of):
    """`of(parameter)` under the keys that `save_pretrained` writes, which differ from those in memory."""
    names = {
        "vivit.layers.": "vivit.encoder.layer.", "attention.o_proj": "attention.output.dense",
        "attention.q_proj": "attention.attention.query", "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
    }  # fmt: skip
    state = {}
    for key, parameter in model.named_parameters():
        for ours, stored in names.items():
            key = key.replace(ours, stored)
        state[key] = of(parameter).detach().numpy()
    return state
