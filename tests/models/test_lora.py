"""LoRA's terms against W + alpha / rank * A B by hand, and their gradients against PyTorch's of the same formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.config import LoraConfig
from vidjax.errors import ConfigError
from vidjax.models import FAMILIES, build_model, layers, lora
from vidjax.models.param_paths import flatten, join, split
from vidjax.objectives.supervised import BACKBONE

ATTENTION = {"query", "value"}
ADAPTED = {  # the usual projections, and those of a pattern
    "clip": {"encoder/blocks/attn/query", "encoder/blocks/attn/value"},
    "timesformer": {f"encoder/blocks/{name}/{part}" for name in ("attn", "temporal_attn") for part in ATTENTION},
    "videomae": {"encoder/blocks/attn/query", "encoder/blocks/attn/value"},
    "videomamba": {
        "encoder/blocks/mixer/in_proj", "encoder/blocks/mixer/out_proj",
        "encoder/blocks/mixer/forward/x_proj", "encoder/blocks/mixer/backward/x_proj",
    },
    "videoprism": {f"{part}/blocks/attn/{which}" for part in ("encoder", "temporal") for which in ATTENTION},
    "vivit": {"encoder/blocks/attn/query", "encoder/blocks/attn/value"},
    "vjepa2": {"encoder/blocks/attn/query", "encoder/blocks/attn/value"},
}  # fmt: skip


def shapes_of(family, size="tiny", **options):
    module = build_model(f"{family}_{size}", num_classes=3, **options)
    return jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *module.spec.clip_shape)))["params"]


def random(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


def test_the_usual_projections_mean_the_same_in_every_family():
    assert ADAPTED.keys() == FAMILIES.keys()
    for family, names in ADAPTED.items():
        shapes = shapes_of(family)
        _, frozen = split(shapes, BACKBONE)
        assert lora.adapted(frozen, LoraConfig(4)).keys() == names
        spec = FAMILIES[family].specs["tiny"]
        depths = {(spec.depth,)} | ({(spec.temporal_depth,)} if family == "videoprism" else set())
        assert all(of.layers in depths for of in lora.projections(frozen).values() if "blocks" in of.kernel)


def test_both_encoders_of_a_factorised_vivit_are_adapted():
    names = lora.adapted(shapes_of("vivit", factorization="encoder", temporal_depth=2), LoraConfig(4)).keys()
    assert names == {f"{part}/blocks/attn/{which}" for part in ("encoder", "temporal") for which in ATTENTION}


@pytest.mark.parametrize("family", ADAPTED)
def test_merged_kernels_are_those_of_the_papers_equation_in_every_layer(family):
    """Section 4.1, layer by layer and projection by projection, in float64."""
    rank, alpha, shapes = 3, 5.0, shapes_of(family)
    config = LoraConfig(rank, alpha, ("blocks",))
    terms = random(jax.eval_shape(lambda: lora.initial_terms(shapes, config, jax.random.key(0))))
    params = random(shapes, 1)
    merged, flat = flatten(lora.merge({**params, "lora": terms}, alpha)), flatten(terms)
    wanted = {path: leaf.astype(np.float64) for path, leaf in flatten(params).items()}
    for name in {path[:-2] for path in flat}:
        parent, _, own = name.rpartition("/")
        for layer in range(len(flat[f"{name}/A"])):
            change = alpha / rank * (np.float64(flat[f"{name}/A"][layer]) @ flat[f"{name}/B"][layer])
            if own in ("query", "key", "value"):
                kernel = wanted[f"{parent}/qkv/kernel"][layer]  # d 3 h e
                _, _, heads, width = kernel.shape
                for head in range(heads):
                    columns = change[:, head * width : (head + 1) * width]
                    kernel[:, ("query", "key", "value").index(own), head] += columns
            elif own == "proj":
                kernel = wanted[f"{name}/kernel"][layer]  # h e d
                for head in range(kernel.shape[0]):
                    kernel[head] += change[head * kernel.shape[1] : (head + 1) * kernel.shape[1]]
            else:
                wanted[f"{name}/kernel"][layer] += change
    assert merged.keys() == wanted.keys()
    for path, leaf in wanted.items():
        np.testing.assert_allclose(merged[path], leaf, rtol=1e-5, atol=1e-5, err_msg=path)  # float32 sums of 3 products
        changed = not np.array_equal(merged[path], flatten(params)[path])
        assert changed == ("blocks" in path and path.endswith("kernel") and "/conv/" not in path), path


def test_on_the_device_and_on_the_host_the_merged_kernels_agree():
    shapes, config = shapes_of("timesformer"), LoraConfig(4, 8.0)
    terms = random(jax.eval_shape(lambda: lora.initial_terms(shapes, config, jax.random.key(0))))
    params = {**random(shapes, 1), "lora": terms}
    on_device = jax.jit(lambda params: lora.merge(params, 8.0))(params)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6),
        on_device,
        lora.merge(params, 8.0),
    )


def test_training_starts_at_the_base_with_a_drawn_as_in_peft():
    shapes, config = shapes_of("videomae"), LoraConfig(4, 8.0)
    terms = jax.jit(lambda: lora.initial_terms(shapes, config, jax.random.key(0)))()
    params = random(shapes)
    jax.tree.map(np.testing.assert_array_equal, lora.merge({**params, "lora": jax.device_get(terms)}, 8.0), params)
    A = np.asarray(terms["encoder"]["blocks"]["attn"]["query"]["A"])
    bound = 96**-0.5  # kaiming_uniform_(a=sqrt(5)) of a matrix with 96 inputs
    assert np.abs(A).max() <= bound
    assert A.std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert len({layer.tobytes() for layer in A}) == len(A)  # every layer draws its own
    assert not np.array_equal(A, terms["encoder"]["blocks"]["attn"]["value"]["A"])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            LoraConfig(4, targets=("query", "valeu")),
            "'valeu' matches none of the model's projections: .*attn/key, .*attn/proj",
        ),
        (LoraConfig(4, targets=("(",)), r"'\(' is not a regular expression"),
        (LoraConfig(97), "rank=97 is larger than encoder/blocks/attn/query, a matrix of 96 x 96; use at most 96"),
        (LoraConfig(39, targets=("x_proj",)), "matches none"),
    ],
)
def test_a_pattern_or_rank_that_does_not_fit_is_refused(config, said):
    with pytest.raises(ConfigError, match=said):
        lora.adapted(shapes_of("videomae"), config)


def test_a_rank_is_limited_by_the_narrowest_projection():
    with pytest.raises(ConfigError, match=r"rank=39 is larger than \S+x_proj, a matrix of 192 x 38; use at most 38"):
        lora.adapted(shapes_of("videomamba"), LoraConfig(39))


def test_gradients_equal_pytorchs_of_the_same_formula():
    """A pre-norm block whose query, value, output and MLP kernels are W + alpha / rank * A B."""
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch (extra: test)")
    d, heads, rank, alpha = 24, 3, 4, 6.0
    block = layers.Block(heads, 2 * d)
    x = random(jax.ShapeDtypeStruct((2, 5, d), np.float32))
    params = random(jax.eval_shape(block.init, jax.random.key(0), x)["params"], 1)
    params = jax.tree.map(lambda leaf: 0.2 * leaf, params)
    config = LoraConfig(rank, alpha, ("query|value", "proj", "fc"))
    terms = random(jax.eval_shape(lambda: lora.initial_terms(params, config, jax.random.key(0))), 2)

    def loss(terms):
        merged = lora.merge({**params, "lora": terms}, alpha)
        return jnp.square(block.apply({"params": merged}, x)[0]).mean()

    value, found = jax.jit(jax.value_and_grad(loss))(terms)
    theirs = {path: torch.tensor(leaf, requires_grad=True) for path, leaf in flatten(terms).items()}
    flat = {path: torch.tensor(leaf) for path, leaf in flatten(params).items()}
    functional = torch.nn.functional

    def linear(x, name, kernel, bias=None):
        kernel = kernel.reshape(-1, kernel.shape[-1]) if name.endswith("proj") else kernel.reshape(kernel.shape[0], -1)
        y = x @ kernel if bias is None else x @ kernel + bias.reshape(-1)
        if f"{name}/A" in theirs:
            y = y + alpha / rank * (x @ theirs[f"{name}/A"]) @ theirs[f"{name}/B"]
        return y

    def norm(x, name):
        return functional.layer_norm(x, (d,), flat[f"{name}/scale"], flat[f"{name}/bias"], 1e-6)

    h = torch.tensor(x)
    y = norm(h, "norm1")
    q, k, v = (
        linear(y, f"attn/{name}", flat["attn/qkv/kernel"][:, part], flat[f"attn/qkv/{name[0]}_bias"])
        .reshape(2, 5, heads, d // heads).transpose(1, 2)
        for part, name in enumerate(("query", "key", "value"))
    )  # fmt: skip
    y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, d)
    h = h + linear(y, "attn/proj", flat["attn/proj/kernel"], flat["attn/proj/bias"])
    y = linear(norm(h, "norm2"), "mlp/fc1", flat["mlp/fc1/kernel"], flat["mlp/fc1/bias"])
    h = h + linear(functional.gelu(y), "mlp/fc2", flat["mlp/fc2/kernel"], flat["mlp/fc2/bias"])
    error = h.square().mean()
    error.backward()
    assert float(value) == pytest.approx(error.item(), rel=1e-5)
    for path, leaf in flatten(found).items():
        gradient = theirs[path].grad.numpy()
        np.testing.assert_allclose(leaf, gradient, atol=1e-4 * np.abs(gradient).max(), err_msg=path)  # float32


def test_split_and_join_are_inverse():
    params = {"encoder": {"a": 1, "b": {"c": 2}}, "head": {"kernel": 3}}
    rest, held = split(params, "^encoder/b")
    assert (rest, held) == ({"encoder": {"a": 1}, "head": {"kernel": 3}}, {"encoder": {"b": {"c": 2}}})
    assert join(rest, held) == params
    assert split(params, "") == (params, {})
    assert join(params, {}) is params
