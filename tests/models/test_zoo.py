"""Costs of every preset match the official modules and papers; the typed facts are consistent."""

import dataclasses
import functools
import json
import math

import pytest

from vidjax.data.clips.resize import INTERPOLATIONS
from vidjax.data.clips.sampling import SAMPLINGS
from vidjax.models import FAMILIES, build_model, family_of, model_names
from vidjax.models.zoo import CLASSES, ZOO, count_params, describe, published, usual_clip

PRESETS = tuple(name for name in model_names() if not name.endswith("_tiny"))
# Presets of published sizes without a published accuracy or cost.
SILENT = {
    "videomae_huge_v2", "clip_base32", "clip_base", "clip_large", "clip_large_336", "vjepa2_large", "vjepa2_huge",
    "vjepa2_giant", "vjepa2_giant_384", "videoprism_base", "videoprism_large",
}  # fmt: skip


def block(d, mlp, *, k_bias=True):
    """qkv, projection and two MLP layers with biases, two layer norms; VideoMAE has no key bias."""
    return 4 * d * d + (4 if k_bias else 3) * d + 2 * d * mlp + mlp + d + 4 * d


def videomae(spec, classes):
    d = spec.width
    encoder = spec.patch_dim * d + d + spec.depth * block(d, spec.mlp_dim, k_bias=False)
    return encoder + 2 * d + d * classes + classes


def videomae_pretraining(spec):
    d, dd = spec.width, spec.decoder_width
    encoder = spec.patch_dim * d + d + spec.depth * block(d, spec.mlp_dim, k_bias=False) + 2 * d
    decoder = spec.decoder_depth * block(dd, spec.decoder_mlp_dim, k_bias=False) + 2 * dd
    return encoder + d * dd + dd + decoder + dd * spec.patch_dim + spec.patch_dim


def timesformer(spec, classes):
    """A ViT-B/16 on frames; each block has a second attention with a norm and a linear layer after it."""
    d, places = spec.width, (spec.image_size // spec.patch_size) ** 2
    temporal = (4 * d * d + 4 * d) + 2 * d + (d * d + d)
    tokens = d + (1 + places) * d + spec.num_frames * d
    return 3 * 16 * 16 * d + d + tokens + 12 * (block(d, 4 * d) + temporal) + 2 * d + d * classes + classes


def vivit(spec, classes):
    """Table 1 and section 3 of arXiv:2103.15691: tubelets of 2x16x16, learned positions, a norm after each encoder."""
    d, depth, (t, h, w) = spec.width, spec.depth, (16, 14, 14)
    total = 2 * 16 * 16 * 3 * d + d + depth * block(d, 4 * d) + 2 * d + d * classes + classes
    if spec.factorization == "encoder":  # positions of one frame, and a second encoder of frames
        return total + d + (1 + h * w) * d + d + (1 + t) * d + spec.temporal_depth * block(d, 4 * d) + 2 * d
    if spec.factorization == "joint":
        return total + d + (1 + t * h * w) * d
    second = depth * ((4 * d * d + 4 * d) + 2 * d) if spec.factorization == "self_attention" else 0
    return total + t * h * w * d + second


def videomamba(spec, classes):
    """in_proj and out_proj without bias; convolution, x_proj, dt_proj, A_log and D once per direction."""
    d, places = spec.width, 14 * 14
    inner, rank = 2 * d, math.ceil(d / 16)
    direction = (4 * inner + inner) + inner * (rank + 32) + (rank * inner + inner) + 16 * inner + inner
    mixer = d * 2 * inner + 2 * direction + inner * d
    tokens = d + (1 + places) * d + spec.num_frames * d
    return 3 * 16 * 16 * d + d + tokens + spec.depth * (d + mixer) + d + d * classes + classes


def clip(spec, classes):
    """A ViT of frames whose patches have no bias, a norm before the blocks too, and the projection."""
    d, places = spec.width, (spec.image_size // spec.patch_size) ** 2
    tower = 3 * spec.patch_size**2 * d + d + (1 + places) * d + spec.depth * block(d, 4 * d) + 2 * 2 * d
    return tower + d * spec.projection + d * classes + classes


def vjepa2(spec, classes):
    """A ViT without positions; a pooler of three blocks, and one that attends from a query and has no projection."""
    d = spec.width
    encoder = spec.patch_dim * d + d + spec.depth * block(d, spec.mlp_dim) + 2 * d
    query = d + block(d, 4 * d) - (d * d + d)
    return encoder + 3 * block(d, 4 * d) + query + d * classes + classes


def videoprism(spec, classes):
    """A ViT of frames and one over time, each with positions and a norm; a query that pools with d channels."""
    d, (t, h, w) = spec.width, spec.grid
    towers = (spec.depth + spec.temporal_depth) * block(d, spec.mlp_dim) + (h * w + t) * d + 2 * 2 * d
    pooler = d + 4 * (d * d + d) + d // spec.num_heads + 2 * d
    return 3 * spec.patch_size**2 * d + d + towers + pooler + d * classes + classes


FORMULAS = {
    "clip": clip,
    "videomae": videomae,
    "timesformer": timesformer,
    "vivit": vivit,
    "videomamba": videomamba,
    "videoprism": videoprism,
    "vjepa2": vjepa2,
}


def overrides_of(name):
    facts = published(name)
    return dict(facts.results[0].overrides) if facts.results else {}


@functools.cache
def card(name):
    return describe(name)


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_match_the_official_architecture_exactly(name):
    spec = build_model(name, num_classes=400, **overrides_of(name)).spec
    assert count_params(name, 400) == FORMULAS[family_of(name)[0]](spec, 400)
    assert count_params(name, 174) == FORMULAS[family_of(name)[0]](spec, 174)
    if family_of(name)[0] == "videomae":
        assert count_params(name, None) == videomae_pretraining(spec)


def transformers_config(name, spec):
    """The configuration and class of the `transformers` model of the same size, if there is one."""
    transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
    family = family_of(name)[0]
    shared = {
        "hidden_size": spec.width,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.num_heads,
        "intermediate_size": spec.mlp_dim,
        "num_frames": spec.num_frames,
        "image_size": spec.image_size,
        "num_labels": 400,
    }
    if family == "videomae":
        config = transformers.VideoMAEConfig(
            **shared, patch_size=spec.patch_size, decoder_hidden_size=spec.decoder_width,
            decoder_num_hidden_layers=spec.decoder_depth, decoder_num_attention_heads=spec.decoder_heads,
            decoder_intermediate_size=spec.decoder_mlp_dim,
        )  # fmt: skip
        return config, transformers.VideoMAEForVideoClassification
    if family == "timesformer":
        return transformers.TimesformerConfig(**shared), transformers.TimesformerForVideoClassification
    return transformers.VivitConfig(**shared), transformers.VivitForVideoClassification


SLOW_THERE = ("videomae_large", "videomae_huge", "videomae_huge_v2", "videomae_giant")
IN_TRANSFORMERS = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW_THERE else [])
    for name in PRESETS
    if family_of(name)[0] in ("videomae", "timesformer") or name == "vivit_base"
]


@pytest.mark.parametrize("name", IN_TRANSFORMERS)
def test_parameters_match_transformers_exactly(name):
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch's module (extra: test)")
    config, model = transformers_config(name, build_model(name, num_classes=400).spec)
    with torch.device("meta"):
        parameters = model(config).parameters()
    assert count_params(name, 400) == sum(p.numel() for p in parameters)


# Millions: the research notes' counts of the official modules (VideoMamba with 8 frames and 400 classes).
MILLIONS = {
    "videomae_giant": 1013,  # arXiv:2303.16727: a billion
    "timesformer_base": 121.6,
    "vivit_base": 88.9,
    "vivit_base_fe": 115.1,
    "vivit_base_fsa": 117.3,
    "vivit_base_fdp": 88.9,
    "vivit_large_fe": 354.9,
    "videomamba_ti": 7.03,
    "videomamba_small": 25.6,
    "videomamba_middle": 73.9,
    "videomamba_base": 97.1,
}


@pytest.mark.parametrize("name", MILLIONS)
def test_parameters_in_millions_match_the_notes_on_the_originals(name):
    assert count_params(name, 400) / 1e6 == pytest.approx(MILLIONS[name], rel=0.002)


def test_the_large_factorised_encoder_with_24_temporal_blocks_has_its_published_size():
    assert count_params("vivit_large_fe", 400, temporal_depth=24) / 1e6 == pytest.approx(606.8, rel=0.001)


def rounding(figure):
    """Half a unit of the last printed digit: a published 17 means 16.5 to 17.5. Whole billions are printed as 1.0."""
    if figure == 1000:
        return 50
    return 0.5 * 10.0 ** -len(str(figure).partition(".")[2]) if isinstance(figure, float) else 0.5


def agrees(ours, theirs):
    """Within 2 %, or within the rounding of the published figure if that is coarser."""
    return abs(ours - theirs) <= max(0.02 * theirs, rounding(theirs))


@pytest.mark.parametrize("name", [name for name in PRESETS if published(name).params])
def test_published_parameters_agree(name):
    assert agrees(card(name)["params"] / 1e6, published(name).params)


def published_convention(name, spec, classes):
    """GMACs as the authors count them.

    VideoMamba's counter sees in_proj and out_proj, but nothing of its fused kernel in between: convolution, x_proj,
    dt_proj and scan. The other families' counts agree with ours directly.
    """
    if family_of(name)[0] != "videomamba":
        return spec.classifier_macs(classes) / 1e9
    d, tokens = spec.width, spec.num_tokens
    seen = 2 * d * (2 * d + d)
    return (tokens * 3 * 16 * 16 * d + spec.depth * (tokens + 1) * seen + d * classes) / 1e9


COSTS = [(name, i) for name in PRESETS for i, r in enumerate(published(name).results) if r.gmacs]


@pytest.mark.parametrize(("name", "index"), COSTS)
def test_published_costs_of_a_view_agree(name, index):
    result = published(name).results[index]
    classes = CLASSES[result.data]
    spec = build_model(name, num_classes=classes, **result.overrides).spec
    assert agrees(published_convention(name, spec, classes), result.gmacs)


def test_published_costs_of_videomamba_leave_out_a_sixth_of_the_work():
    ours, theirs = card("videomamba_middle")["results"][0]["gmacs"], 101
    assert 1.1 < ours / theirs < 1.2


def test_every_published_size_has_a_figure_to_agree_with():
    bare = {n for n in PRESETS if not published(n).params and not any(r.gmacs for r in published(n).results)}
    assert bare <= SILENT | {"vivit_large_fe"}  # the latter's count is checked against the notes above


def test_facts_are_about_existing_presets():
    for family, sizes in ZOO.items():
        assert set(sizes) <= set(FAMILIES[family].specs)
        for size, facts in sizes.items():
            fields = {field.name for field in dataclasses.fields(FAMILIES[family].specs[size])}
            for result in facts.results:
                assert result.data in CLASSES
                assert set(result.overrides) <= fields
                assert result.source
                assert result.interpolation in INTERPOLATIONS
                assert result.channels in ("rgb", "bgr")
                assert SAMPLINGS[result.sampling].whole == (result.stride == 0)
                assert 0 < result.top1 <= 100
                assert result.top5 is None or result.top1 < result.top5 <= 100


def test_published_recalls_are_of_weights_with_an_accuracy():
    for sizes in ZOO.values():
        for facts in sizes.values():
            scored = {result.weights for result in facts.results}
            for found in facts.retrieval:
                assert found.weights in scored
                assert found.source
                assert 0 < found.text_to_video <= 100
                assert 0 < found.video_to_text <= 100
    rows = {size: [found.text_to_video for found in ZOO["videoprism"][size].retrieval] for size in ("base", "large")}
    assert rows == {"base": [50.1, 56.2, 48.8], "large": [50.1, 57.2, 51.3]}  # README.md of google-deepmind/videoprism


def test_no_weights_are_claimed_for_two_models():
    names = [r.weights for sizes in ZOO.values() for facts in sizes.values() for r in facts.results if r.weights]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", model_names())
def test_cards_are_plain_values(name):
    found = json.loads(json.dumps(card(name)))
    assert found["name"] == name
    assert found["params"] > 0
    assert found["gmacs"] > 0


@pytest.mark.parametrize(
    ("family", "num_frames", "num_classes", "sampling", "stride"),
    [
        ("videomae", 16, 400, "dense_span", 4),
        ("videomae", 16, 174, "segment_integer", 0),
        ("videomae", 16, 51, "dense_span", 4),
        ("videomae", 8, 12, "dense_span", 4),
        ("timesformer", 8, 400, "seconds", 32),
        ("timesformer", 16, 600, "seconds", 16),
        ("timesformer", 96, 7, "seconds", 4),
        ("timesformer", 8, 174, "segment_middle", 0),
        ("vivit", 32, 400, "dense_loop", 2),
        ("videomamba", 16, 400, "segment_rounded", 0),
        ("videomamba", 16, 174, "segment_integer", 0),
        ("vjepa2", 16, 174, "dense_span", 4),
        ("vjepa2", 64, 174, "dense_span", 2),
        ("vjepa2", 32, 48, "dense_span", 2),
    ],
)
def test_clips_are_sampled_as_published_for_the_nearest_model(family, num_frames, num_classes, sampling, stride):
    spec = dataclasses.replace(FAMILIES[family].specs["tiny"], num_frames=num_frames)
    result = usual_clip(family, spec, num_classes)
    assert (result.sampling, result.stride) == (sampling, stride)


def test_nothing_is_made_up_for_a_family_without_publications():
    assert usual_clip("something", FAMILIES["videomae"].specs["tiny"], 400) is None


def test_weights_are_recognised_by_name_and_otherwise_by_size():
    """HMDB51's giant takes every second frame, the base model every fourth."""
    giant, base = (FAMILIES["videomae"].specs[size] for size in ("giant", "base"))
    assert [usual_clip("videomae", spec, 51).stride for spec in (giant, base)] == [2, 4]
    named = "weights/vit_g_hybrid_pt_1200e_k710_it_hmdb51_ft.pth"
    assert usual_clip("videomae", base, 51, named).stride == 2
    assert usual_clip("timesformer", FAMILIES["timesformer"].specs["base"], 7, "runs/checkpoint").data == "Kinetics-400"
