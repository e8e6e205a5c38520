"""Attentive poolings on any family's tokens, against `transformers`' V-JEPA 2 pooler: outputs, gradients and costs."""

import dataclasses

import jax
import numpy as np
import pytest

import vidjax
from vidjax import config as config_lib
from vidjax.errors import ConfigError
from vidjax.models.outputs import outputs
from vidjax.models.pooling import ATTENTIVE, PooledClassifier, all_tokens
from vidjax.models.vjepa2 import VJEPA2Classifier, VJEPA2Spec
from vidjax.tasks import build_objective

torch = pytest.importorskip("torch", reason="the oracle is PyTorch's V-JEPA 2 (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
from vjepa2_peer import as_tree, peer, random_clips  # noqa: E402 - needs torch and transformers

CLASSES, OUTPUTS, GRADIENTS = 5, 2e-5, 1e-4  # largest difference allowed, relative to the largest entry
SMALL = {"num_frames": 2, "image_size": 16, "patch_size": 8}
FAMILIES = ("clip", "timesformer", "videomae", "videomamba", "videoprism", "vivit", "vjepa2")


def small(family):
    return {} if family in ("videomamba", "clip") else {"tubelet_size": 1}


def classifier(family, pooling, **options):
    backbone = vidjax.build_model(f"{family}_tiny", num_classes=0, **SMALL, **small(family))
    return PooledClassifier(backbone, CLASSES, pooling, pooling_heads=4, **options)


def oracle(width, pooling, heads=4):
    """`transformers`' pooler and classifier of this width, and the same parameters as the pooler's vidjax tree."""
    spec = VJEPA2Spec(
        width, 1, heads, 4 * width, 12, 1, 1, 24, pooler_depth=ATTENTIVE[pooling], pooler_heads=heads, norm_eps=1e-5,
        patch_size=4, num_frames=2, image_size=8,
    )  # fmt: skip
    model = peer(transformers.VJEPA2ForVideoClassification, spec, num_labels=CLASSES)
    return model, as_tree(model, VJEPA2Classifier(spec, CLASSES), CLASSES), spec


def close(ours, theirs, limit, scale=0.0):
    scale = scale or np.abs(theirs).max()
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * scale)


@pytest.mark.parametrize("family", [pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES[1:]] + ["clip"])
@pytest.mark.parametrize("pooling", ATTENTIVE)
def test_a_pooling_of_any_backbones_tokens_matches_transformers_with_its_gradients(family, pooling):
    module = classifier(family, pooling)
    clips, labels = random_clips(module.spec), np.array([3, 0])
    model, tree, spec = oracle(module.spec.width, pooling)
    params = dict(module.init(jax.random.key(0), clips)["params"])
    params |= {"pooler": tree["pooler"], "classes": tree["head"]}

    def loss(pooler):
        out = outputs(module, params | {"pooler": pooler}, clips)
        return -jax.nn.log_softmax(out["logits"])[np.arange(2), labels].mean(), out

    (_, out), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params["pooler"])
    tokens = torch.from_numpy(np.asarray(all_tokens(out), np.float64))
    assert tokens.shape[1] == module.spec.num_tokens + (family in ("clip", "timesformer", "videomamba", "vivit"))
    theirs = model.classifier(model.pooler(tokens))
    torch.nn.functional.cross_entropy(theirs, torch.from_numpy(labels)).backward()
    close(out["pooled"], model.pooler(tokens).detach().numpy(), OUTPUTS)
    close(out["logits"], theirs.detach().numpy(), OUTPUTS)
    zeros = VJEPA2Classifier(spec, CLASSES)
    wanted = as_tree(model, zeros, CLASSES, lambda p: torch.zeros_like(p) if p.grad is None else p.grad)["pooler"]
    assert jax.tree.structure(wanted) == jax.tree.structure(dict(grads))
    # A bias shared by all keys cannot change the softmax: its gradient is rounding, so the tree has one scale.
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted))
    jax.tree.map(lambda ours, theirs: close(ours, theirs, GRADIENTS, largest), dict(grads), wanted)


@pytest.mark.parametrize("family", [pytest.param("vivit", marks=pytest.mark.slow), "videomae"])
@pytest.mark.parametrize("pooling", ATTENTIVE)
def test_a_head_reads_the_tokens_of_all_segments_side_by_side(family, pooling):
    """`transformers`' pooler on the tokens of three clips, each encoded alone and concatenated by hand."""
    module = classifier(family, pooling, segments=3)
    clips, one = random_clips(module.spec), module.backbone.spec.num_frames
    assert clips.shape[1] == module.spec.num_frames == 3 * one == 6
    model, tree, _ = oracle(module.spec.width, pooling)
    params = dict(module.init(jax.random.key(0), clips)["params"])
    backbone = {name: leaf for name, leaf in params.items() if name not in ("pooler", "classes")}
    parts = [outputs(module.backbone, backbone, clips[:, first : first + one]) for first in (0, one, 2 * one)]
    read = np.concatenate([all_tokens(part) for part in parts], axis=1)
    theirs = model.classifier(model.pooler(torch.from_numpy(np.asarray(read, np.float64)))).detach().numpy()
    out = outputs(module, params | {"pooler": tree["pooler"], "classes": tree["head"]}, clips)
    close(out["tokens"], read, OUTPUTS)
    close(out["logits"], theirs, OUTPUTS)
    alone = outputs(
        classifier(family, pooling), params | {"pooler": tree["pooler"], "classes": tree["head"]}, clips[:, :one]
    )
    assert np.abs(np.asarray(alone["logits"]) - theirs).max() > 1e-3  # the other segments matter


def test_levels_are_read_side_by_side():
    """The second level is what the same encoder without its last blocks returns."""
    spec = dataclasses.replace(vidjax.build_model("vjepa2_tiny", num_classes=0, **SMALL).spec, levels=(1, 3))
    whole, shallow = (VJEPA2Classifier(s, 0) for s in (spec, dataclasses.replace(spec, depth=2, levels=())))
    clips = random_clips(spec)
    encoder = whole.init(jax.random.key(0), clips)["params"]["encoder"]
    first = {"encoder": encoder | {"blocks": jax.tree.map(lambda leaf: leaf[:2], encoder["blocks"])}}
    out = outputs(whole, {"encoder": encoder}, clips)
    wanted = np.concatenate([outputs(shallow, first, clips)["tokens"], out["tokens"]], axis=1)
    np.testing.assert_allclose(all_tokens(out), wanted, atol=1e-5)


@pytest.mark.parametrize("pooling", ATTENTIVE)
def test_its_cost_is_that_of_its_matrix_products(pooling):
    """Counted by hand for width d, n tokens: a block 12 n d² + 2 n² d; the query's block 2 n d² + 2 n d + 9 d²."""
    module = classifier("videomae", pooling)
    n, d, depth = module.spec.num_tokens, module.spec.width, ATTENTIVE[pooling]
    pooler = depth * (12 * n * d * d + 2 * n * n * d) + 2 * n * d * d + 2 * n * d + 9 * d * d
    assert module.macs == module.spec.classifier_macs(0) + pooler + d * CLASSES


def test_it_has_the_parameters_of_the_published_probes():
    """V-JEPA 2 L's own classifier has them: `transformers` counts as many (tests/models/test_vjepa2.py)."""
    options = {"num_frames": 16, "image_size": 64}
    bare, own = (vidjax.build_model("vjepa2_large", num_classes=classes, **options) for classes in (0, 174))
    shapes = [
        jax.eval_shape(module.init, jax.random.key(0), np.zeros((1, 16, 64, 64, 3), np.float32))["params"]
        for module in (PooledClassifier(bare, 174, "attentive4"), own)
    ]
    pooled, own = ({name: tree[name] for name in tree if name != "encoder"} for tree in shapes)
    assert jax.tree.map(np.shape, pooled["pooler"]) == jax.tree.map(np.shape, own["pooler"])
    assert jax.tree.map(np.shape, pooled["classes"]) == jax.tree.map(np.shape, own["head"])


def test_heads_that_do_not_divide_the_width_are_refused_with_the_nearest():
    config = config_lib.defaults()
    config.update_from_flattened_dict(
        {
            "task": "classification",
            "model.name": "videomae_base",
            "model.pooling": "attentive",
            "model.pooling_heads": 7,
        }
    )
    sentence = r"videomae_base has tokens of width 768, .* model.pooling_heads=7; use model.pooling_heads=6 or 8$"
    with pytest.raises(ConfigError, match=sentence):
        build_objective(config_lib.from_dict(config.to_dict()), CLASSES)
