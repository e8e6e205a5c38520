"""VideoPrism with its text tower: what saves memory or time changes no gradient (outputs: tests/weights/families)."""

import jax
import numpy as np
import pytest

from vidjax.models.video_text import build_video_text

SIZES = {"num_frames": 2, "image_size": 16, "patch_size": 8, "width": 32, "mlp_dim": 48}
TEXT = {"vocab_size": 20, "context": 6, "width": 32, "mlp_dim": 48}


@pytest.mark.parametrize(
    "options",
    [
        {"remat": "full", "unroll": 2},
        *(pytest.param({"remat": kept}, marks=pytest.mark.slow) for kept in ("dots", "attention")),
    ],
)
def test_recomputation_and_unrolling_change_no_gradient_of_either_tower(options):
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(2, 2, 16, 16, 3)).astype(np.float32)
    tokens = np.array([[3, 7, 1, 5, 0, 0], [4, 4, 9, 2, 11, 6]], np.int32)

    def gradient(params=None, **options):
        model = build_video_text(
            "videoprism_tiny", text="videoprism_tiny", projection=32, text_options=TEXT, **SIZES, **options
        )
        if params is None:
            shapes = jax.eval_shape(model.init, jax.random.key(0), clips, tokens)["params"]
            params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=0.1).astype(np.float32), shapes)

        def score(params):
            out = model.apply({"params": params}, clips, tokens)
            return (out["video"] @ out["text"].T * np.arange(4.0).reshape(2, 2)).sum()

        return params, jax.jit(jax.grad(score))(params)

    params, wanted = gradient()
    _, found = gradient(params, **options)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted))
    assert largest > 1e-2
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * largest), wanted, found)
