"""VideoMAE checkpoints: the authors' files (also of VideoMAE V2), and those of `transformers` with old or new keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from vidjax.errors import WeightsError
from vidjax.models.videomae import VIDEOMAE_SPECS, VideoMAESpec
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.families._videomae_rules import OFFICIAL, TRANSFORMERS, TRANSFORMERS_5, Names, rules
from vidjax.weights.inspection import check_sizes, depth_note, depth_of, labels_of, shape_of
from vidjax.weights.rules import Rule, State

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPS_FIXED = 1e-5  # of fc_norm and decoder.norm in transformers, whatever its config.json says
PUBLISHED = {spec.width: spec for name, spec in VIDEOMAE_SPECS.items() if name != "tiny"}
NO_BIASES = "its queries and values have no biases (qkv_bias=False); here they are zeros, which training would change"
COSINE = "attn.scale"  # a key of VideoMAE V2's cosine attention, which no published model uses


def _describe_official(state: State, config: Mapping | None) -> Description[VideoMAESpec]:
    if scales := sorted(key for key in state if key.endswith(COSINE)):
        raise WeightsError(
            f"{scales[0]} belongs to VideoMAE V2's cosine attention (cos_attn), which neither vidjax nor any published "
            "model has"
        )
    spec = _read_spec(state, config or {}, OFFICIAL, prefix := _official_prefix(state))
    notes = []
    if not config or "image_size" not in config:
        notes.append(
            f"the file does not say which clips it takes: {spec.num_frames} frames of {spec.frame_size[0]} pixels, as "
            "published, are assumed unless num_frames and image_size are given"
        )
    notes += depth_note(config or {}, spec, VIDEOMAE_SPECS)
    return _description(state, config, OFFICIAL, prefix, spec, notes)


def _describe_transformers(state: State, config: Mapping | None) -> Description[VideoMAESpec]:
    config, notes = _mended(config or {})
    if config.get("hidden_act", "gelu") != "gelu":
        raise WeightsError(f"config.json says hidden_act={config['hidden_act']!r}; a VideoMAE has gelu")
    prefix = _transformers_prefix(state)
    new = f"{prefix}{TRANSFORMERS.blocks}0.{TRANSFORMERS_5.biases[0]}" in state
    names = TRANSFORMERS_5 if new else TRANSFORMERS
    if not config.get("qv_bias", config.get("qkv_bias", True)):
        names = dataclasses.replace(names, biases=())
        notes.append(NO_BIASES)
    spec = dataclasses.replace(
        _read_spec(state, config, names, prefix),
        norm_eps=config.get("layer_norm_eps", 1e-12), fc_norm_eps=EPS_FIXED, decoder_norm_eps=EPS_FIXED,
    )  # fmt: skip
    said = config.get("decoder_num_hidden_layers", spec.decoder_depth)
    if "mask_token" in state and said != spec.decoder_depth:
        notes.append(f"config.json says {said} decoder layers; the file holds {spec.decoder_depth}, which are used")
    return _description(state, config, names, prefix, spec, notes)


def _mended(config: Mapping) -> tuple[dict, list[str]]:
    """Correct the config.json of the small model on the hub: it says 16 heads, which fits the arrays but is wrong.

    Source: `set_architecture_configs` in transformers' converter, compared with the authors' `modeling_finetune.py`.
    """
    small = VIDEOMAE_SPECS["small"]
    sizes = tuple(config.get(key) for key in ("hidden_size", "num_hidden_layers", "num_attention_heads"))
    if sizes != (small.width, small.depth, 16):
        return dict(config), []
    mended = {"num_attention_heads": small.num_heads}
    if config.get("decoder_hidden_size") == small.decoder_width:
        mended["decoder_num_attention_heads"] = small.decoder_heads
    heads = ", and ".join(map(str, mended.values()))
    note = f"config.json says 16 heads; {heads} in the decoder, are used, as in the published small model"
    if len(mended) == 1:
        note = f"config.json says 16 heads; {heads} are used, as in the published small model"
    return {**config, **mended}, [note]


def _read_spec(state: State, config: Mapping, names: Names, prefix: str) -> VideoMAESpec:
    """Read sizes from the arrays, and heads from config.json or else from the published model of the same width."""
    kernel, mlp = f"{prefix}{names.patch_embed}.weight", f"{prefix}{names.blocks}0.{names.fc1}.weight"
    width, channels, tubelet, patch, patch_width = shape_of(state, kernel, 5)
    if channels != 3 or patch != patch_width:
        raise WeightsError(
            f"{kernel} takes {channels} channels and patches of {patch} x {patch_width} pixels; expected 3 channels "
            "and square patches"
        )
    mlp_dim, depth = shape_of(state, mlp, 2)[0], depth_of(state, prefix + names.blocks)
    sizes = {"hidden_size": width, "num_hidden_layers": depth, "intermediate_size": mlp_dim}
    check_sizes(config, sizes | {"patch_size": patch, "tubelet_size": tubelet})
    published = PUBLISHED.get(width)
    heads = config.get("num_attention_heads", published and published.num_heads)
    if heads is None:
        raise WeightsError(
            f"a width of {width}, which no published VideoMAE has, does not determine the number of heads; put a "
            "config.json with num_attention_heads (and decoder_num_attention_heads) beside the file"
        )
    decoder = _decoder_sizes(
        state, config, names, published or VideoMAESpec(width, 1, heads, 1, width, 1, heads, width)
    )
    size = config.get("image_size", 224)
    return dataclasses.replace(
        decoder, width=width, depth=depth, num_heads=heads, mlp_dim=mlp_dim, patch_size=patch, tubelet_size=tubelet,
        num_frames=config.get("num_frames", 16), image_size=size if isinstance(size, int) else tuple(size),
    )  # fmt: skip


def _decoder_sizes(state: State, config: Mapping, names: Names, usual: VideoMAESpec) -> VideoMAESpec:
    """Return `usual` with the decoder's sizes from the arrays or, if there is no decoder, from config.json."""
    sizes = {
        "decoder_width": config.get("decoder_hidden_size", usual.decoder_width),
        "decoder_depth": config.get("decoder_num_hidden_layers", usual.decoder_depth),
        "decoder_heads": config.get("decoder_num_attention_heads", usual.decoder_heads),
        "decoder_mlp_dim": config.get("decoder_intermediate_size", usual.decoder_mlp_dim),
    }
    if depth := depth_of(state, names.decoder_blocks):
        sizes["decoder_width"] = shape_of(state, "mask_token", 3)[2]
        sizes["decoder_depth"] = depth
        sizes["decoder_mlp_dim"] = shape_of(state, f"{names.decoder_blocks}0.{names.fc1}.weight", 2)[0]
    elif sizes["decoder_width"] % sizes["decoder_heads"]:
        return usual
    return dataclasses.replace(usual, **sizes)


def _description(
    state: State, config: Mapping | None, names: Names, prefix: str, spec: VideoMAESpec, notes: list[str]
) -> Description[VideoMAESpec]:
    """Describe the file as the module that it holds: the pre-training module, a classifier, or an encoder alone."""
    outer = prefix if names is OFFICIAL else ""
    pooled, normed = f"{outer}fc_norm.weight" in state, f"{prefix}{names.norm}.weight" in state
    num_classes: int | None = 0
    ignore = fresh = ""
    if any(key.startswith("decoder.") for key in state):
        num_classes = None
        if not normed and names is not OFFICIAL and (config or {}).get("use_mean_pooling", True):
            spec = dataclasses.replace(spec, final_norm=False)
    else:
        if f"{outer}{names.head}.weight" in state:
            num_classes = shape_of(state, f"{outer}{names.head}.weight", 2)[0]
        if not pooled and normed:
            spec = dataclasses.replace(spec, pooling="first")
        if prefix == "encoder." or not (pooled or num_classes):
            ignore = r"^(mask_token|encoder_to_decoder\.weight)$"
            notes.append("the file holds an encoder without a decoder or head; it is loaded as a backbone")
        if not pooled and not normed:
            fresh = "^fc_norm/"
            notes.append("the norm after pooling is not in the file and starts fresh")
    found = rules(spec, num_classes, names, prefix)
    if fresh:
        found = tuple(rule for rule in found if not rule.targets[0].startswith("fc_norm/"))
    return Description(
        "videomae", spec, num_classes, found, MEAN, STD, "mean_softmax", ignore, fresh,
        labels=labels_of(config, num_classes or 0), notes=tuple(notes),
    )  # fmt: skip


def _official_prefix(keys: Collection[str]) -> str:
    """Return the prefix of the encoder's keys: "encoder." in pre-training files, "model." in V2's files on the hub."""
    return next((p for p in ("encoder.", "model.", "") if f"{p}{OFFICIAL.patch_embed}.weight" in keys), "")


def _is_official(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    prefix = _official_prefix(keys)
    wanted = {f"{prefix}{OFFICIAL.patch_embed}.weight", f"{prefix}blocks.0.attn.qkv.weight"}
    others = {f"{prefix}cls_token", f"{prefix}blocks.0.attn.qkv.bias"}  # of a ViT for images, and of V-JEPA 2
    return wanted <= set(keys) and others.isdisjoint(keys)


def _transformers_prefix(keys: Collection[str]) -> str:
    return "videomae." if f"videomae.{TRANSFORMERS.patch_embed}.weight" in keys else ""


def _is_transformers(keys: Collection[str], config: Mapping | None) -> bool:
    """Recognise files of transformers; other models with these keys have a class token or another model_type."""
    if config and "model_type" in config and config["model_type"] != "videomae":
        return False
    prefix = _transformers_prefix(keys)
    wanted = {f"{prefix}{TRANSFORMERS.patch_embed}.weight", f"{prefix}encoder.layer.0.layernorm_before.weight"}
    return wanted <= set(keys) and "embeddings.cls_token" not in keys


def _transformers_rules(spec: VideoMAESpec, num_classes: int | None) -> tuple[Rule, ...]:
    return rules(spec, num_classes, TRANSFORMERS, "videomae.")


def _transformers_config(description: Description[VideoMAESpec]) -> dict:
    spec = description.spec
    if description.num_classes == 0:
        raise WeightsError(
            "transformers has no VideoMAE without a head; export a classifier or the pre-training module"
        )
    kind = "PreTraining" if description.num_classes is None else "VideoClassification"
    return {
        "model_type": "videomae",
        "architectures": [f"VideoMAEFor{kind}"],
        "image_size": spec.image_size if isinstance(spec.image_size, int) else list(spec.image_size),
        "patch_size": spec.patch_size,
        "num_channels": 3,
        "num_frames": spec.num_frames,
        "tubelet_size": spec.tubelet_size,
        "hidden_size": spec.width,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.num_heads,
        "intermediate_size": spec.mlp_dim,
        "hidden_act": "gelu",
        "layer_norm_eps": spec.norm_eps,
        "qkv_bias": True,
        "use_mean_pooling": spec.pooling == "mean" if description.num_classes is not None else not spec.final_norm,
        "decoder_hidden_size": spec.decoder_width,
        "decoder_num_hidden_layers": spec.decoder_depth,
        "decoder_num_attention_heads": spec.decoder_heads,
        "decoder_intermediate_size": spec.decoder_mlp_dim,
    }


LAYOUTS = (
    Layout("VideoMAE, official", _is_official, _describe_official),
    Layout(
        "VideoMAE, transformers", _is_transformers, _describe_transformers,
        _transformers_config, "videomae", _transformers_rules,
    ),
)  # fmt: skip
