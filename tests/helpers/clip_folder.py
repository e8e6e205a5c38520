"""A tiny CLIP in a folder, as `transformers` writes it, with a vocabulary learned from a few captions."""

import pytest

from vidjax.data.text_encoding import learn_vocabulary

CAPTIONS = ("a video of riding a bike", "a video of cooking", "a red seven moves left", "a photo of a dog jumping")
SIDE = 32


def write_clip(folder, context=12):
    """Write the folder; return the PyTorch model and the vocabulary."""
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch's CLIP (extra: test)")
    transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
    vocabulary = learn_vocabulary(CAPTIONS, context, 600)
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    text = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 36}
    config = transformers.CLIPConfig(
        vision_config=vision | {"patch_size": 8, "image_size": SIDE},
        text_config=text
        | {"vocab_size": vocabulary.vocab_size, "max_position_embeddings": context, "eos_token_id": vocabulary.end},
        projection_dim=16,
        logit_scale_init_value=1.5,  # so that probabilities are neither 0 nor 1
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "logit_scale":
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    vocabulary.save(folder)
    return model, vocabulary
