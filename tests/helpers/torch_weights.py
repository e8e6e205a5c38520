"""The parameters of a `transformers` VideoMAE as a vidjax tree, written out by hand for the parity tests."""

import numpy as np


def pretraining_params(model) -> dict:
    """The parameters of a VideoMAEForPreTraining."""
    config = model.config
    return {
        "encoder": {**_encoder(model.videomae), "norm": _norm(model.videomae.layernorm)},
        "encoder_to_decoder": {"kernel": _array(model.encoder_to_decoder.weight).T},
        "mask_token": _array(model.mask_token)[0, 0],
        "decoder": {
            "blocks": _blocks(model.decoder.decoder_layers, config.decoder_num_attention_heads),
            "norm": _norm(model.decoder.norm),
            "head": _dense(model.decoder.head),
        },
    }


def classifier_params(model) -> dict:
    """The parameters of a VideoMAEForVideoClassification."""
    encoder, head = _encoder(model.videomae), _dense(model.classifier)
    if model.fc_norm is None:  # pooling uses the first token
        return {"encoder": {**encoder, "norm": _norm(model.videomae.layernorm)}, "head": head}
    return {"encoder": encoder, "fc_norm": _norm(model.fc_norm), "head": head}


def _encoder(model) -> dict:
    projection = model.embeddings.patch_embeddings.projection
    kernel = np.transpose(_array(projection.weight), (2, 3, 4, 1, 0))  # (out, in, t, h, w) -> (t, h, w, in, out)
    return {
        "patch_embed": {"kernel": kernel.reshape(-1, kernel.shape[-1]), "bias": _array(projection.bias)},
        "blocks": _blocks(model.encoder.layer, model.config.num_attention_heads),
    }


def _blocks(blocks, num_heads: int) -> dict:
    trees = [_block(block, num_heads) for block in blocks]
    return _stack(trees)


def _stack(trees):
    if isinstance(trees[0], dict):
        return {key: _stack([tree[key] for tree in trees]) for key in trees[0]}
    return np.stack(trees)


def _block(block, num_heads: int) -> dict:
    attention = block.attention.attention
    d = attention.query.weight.shape[0]
    heads = (num_heads, d // num_heads)
    projections = [attention.query, attention.key, attention.value]
    output = block.attention.output.dense
    return {
        "norm1": _norm(block.layernorm_before),
        "attn": {
            "qkv": {
                "kernel": np.stack([_array(p.weight).T.reshape(d, *heads) for p in projections], axis=1),
                "q_bias": _array(attention.query.bias).reshape(heads),
                "v_bias": _array(attention.value.bias).reshape(heads),
            },
            "proj": {"kernel": _array(output.weight).T.reshape(*heads, d), "bias": _array(output.bias)},
        },
        "norm2": _norm(block.layernorm_after),
        "mlp": {"fc1": _dense(block.intermediate.dense), "fc2": _dense(block.output.dense)},
    }


def _dense(layer) -> dict:
    return {"kernel": _array(layer.weight).T, "bias": _array(layer.bias)}


def _norm(layer) -> dict:
    return {"scale": _array(layer.weight), "bias": _array(layer.bias)}


def _array(tensor) -> np.ndarray:
    return tensor.detach().numpy().copy()
