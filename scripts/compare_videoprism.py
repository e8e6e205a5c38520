"""Compare our VideoPrism with the authors' code: outputs and gradients for the same random weights, and text tokens.

    git clone https://github.com/google-deepmind/videoprism
    pip install einshape
    python scripts/compare_videoprism.py videoprism [--size tiny,base] [--more tiny]

The authors' modules are initialised and their parameters written in the authors' file format, which
`vidjax.from_pretrained` reads. An error is the greatest difference divided by the greatest absolute value, within an
output or within the gradients of one part of the model. docs/results.md has the errors that this script printed.
"""

import argparse
import importlib.util
import json
import pathlib
import sys
import tempfile
import types

import flax
import jax
import jax.numpy as jnp
import numpy as np

import vidjax
from vidjax.data.text_encoding import load_text_encoder
from vidjax.weights.model import Pretrained

TINY = {"patch_size": 6, "pos_emb_shape": (4, 3, 3), "model_dim": 32, "mlp_dim": 128, "num_heads": 4}
SENTENCES = ("A dog jumps into water!", "  Hello,World..  ", "riding a bike", "it's 3 o'clock -- in (Paris)", "x" * 40)
ANSWERS = {"encoder": "tokens", "classifier": "logits"}  # by kind: our output to compare with their first output
NOISE = 0.02  # added to initial weights, so that no bias is 0 and no scale 1


def authors(clone: str) -> types.ModuleType:
    """Import the authors' package, with a stand-in for TensorFlow, which they use only to open files."""
    if importlib.util.find_spec("tensorflow") is None:
        flow, io = types.ModuleType("tensorflow"), types.ModuleType("tensorflow.io")
        io.gfile = types.SimpleNamespace(GFile=open)
        flow.io, flow.Tensor = io, type("Tensor", (), {})
        flow.Variable = flow.RaggedTensor = flow.Tensor
        sys.modules.update({"tensorflow": flow, "tensorflow.io": io})
    sys.path.insert(0, clone)
    from videoprism import models  # ty: ignore[unresolved-import]

    return models


def modules(models: types.ModuleType, size: str) -> dict:
    """Return the authors' encoder, classifier with 5 classes, and model of videos and texts."""
    encoders, real = models.encoders, "base" if size == "tiny" else size
    encoder, texts = dict(models.CONFIGS[f"videoprism_v1_{real}"]), dict(models.CONFIGS[f"videoprism_lvt_v1_{real}"])
    if size == "tiny":
        encoder |= TINY | {"num_spatial_layers": 2, "num_temporal_layers": 2}
        texts |= TINY | {"num_spatial_layers": 2, "num_temporal_layers": 2, "num_unimodal_layers": 2}
    texts["vocabulary_size"] = 50 if size == "tiny" else 32_000
    return {
        "encoder": encoders.FactorizedEncoder(**encoder),
        "classifier": encoders.FactorizedVideoClassifier(encoder_params=encoder, num_classes=5),
        "texts": encoders.FactorizedVideoCLIP(**texts),
    }


def inputs(module, kind: str, resized: bool = False) -> tuple:
    """Return a clip of the model's size (`resized`: 3/2 the frames, 4/3 the side); for `texts` also ids and padding."""
    params = module.encoder_params if kind == "classifier" else vars(module)
    (t, side, _), rng = params["pos_emb_shape"], np.random.default_rng(0)
    frames, pixels = (t * 3 // 2, side * 4 // 3) if resized else (t, side)
    clips = rng.integers(0, 256, (1, frames, *(2 * [pixels * params["patch_size"]]), 3), dtype=np.uint8)
    if kind != "texts":
        return (clips,)
    ids = rng.integers(3, module.vocabulary_size, (2, 64)).astype(np.int32)
    ids[0, 9:] = 0
    return clips, ids, (ids == 0).astype(np.float32)


def read(tree: dict, place: pathlib.Path) -> Pretrained:
    """Write a tree of parameters in the authors' file format, and read it."""
    flat = flax.traverse_util.flatten_dict(tree, sep="/")
    np.savez(place, **{f"params/{name}": np.asarray(leaf) for name, leaf in flat.items()})
    return vidjax.from_pretrained(place)


def error(found: dict, wanted: dict) -> float:
    """Return the greatest error over the parts of a model; both arguments hold a tree of arrays for each part."""
    assert found.keys() == wanted.keys()
    parts = []
    for name, tree in wanted.items():
        scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
        assert scale > 1e-3, f"{name} is nearly 0"
        differences = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), found[name], tree)
        parts.append(max(jax.tree.leaves(differences)) / scale)
    return max(parts)


def compare(module, kind: str, folder: pathlib.Path, more: bool) -> dict[str, float]:
    """Return the errors of a model; with `more`, those of gradients and of clips of another size too."""

    def theirs(params, clips, *texts):
        out = module.apply({"params": params}, clips.astype(jnp.float32) / 255, *texts)
        return {"video": out[0]} | ({"text": out[1]} if texts else {})

    def ours(params, clips, *texts):
        out = model.module.apply({"params": params}, clips.astype(jnp.float32) / 255, *texts[:1])
        return {name: out[name] for name in ("video", "text")} if texts else {"video": out[ANSWERS[kind]]}

    given = inputs(module, kind)
    params = jax.jit(module.init)(jax.random.key(0), *given)["params"]
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    leaves = [np.asarray(leaf) + NOISE * rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
    params = jax.tree.unflatten(treedef, leaves)
    model = read(params, folder / "weights.npz")
    wanted = jax.jit(theirs)(params, *given)
    errors = {"outputs": error(jax.jit(ours)(model.params, *given), wanted)}

    weights = {name: rng.normal(size=out.shape).astype(np.float32) for name, out in sorted(wanted.items())}

    def gradients(function, params):
        def score(params):
            return sum(jnp.vdot(out, weights[name]) for name, out in function(params, *given).items())

        return jax.device_get(jax.jit(jax.grad(score))(params))

    if more:
        found, raw = gradients(ours, model.params), gradients(theirs, params)
        # Reading adds 1 to the scales of norms and fills in what files lack. To undo both, subtract the result of
        # reading zeros.
        trees = (read(tree, folder / "gradients.npz").params for tree in (raw, jax.tree.map(np.zeros_like, raw)))
        expected = jax.tree.map(np.subtract, *map(jax.device_get, trees))
        learned = [name for name in expected if not name.startswith("logit_")]
        errors["gradients"] = error({name: found[name] for name in learned}, {name: expected[name] for name in learned})
    if more and kind != "texts":
        given = inputs(module, kind, resized=True)
        _, frames, side, _, _ = given[0].shape
        model = vidjax.from_pretrained(folder / "weights.npz", num_frames=frames, image_size=side)
        wanted = jax.jit(theirs)(params, *given)
        errors["other sizes"] = error(jax.jit(ours)(model.params, *given), wanted)
    return errors


def compare_tokens(models: types.ModuleType, clone: str, folder: pathlib.Path) -> None:
    """Check the tokens of sentences with the vocabulary of the authors' tests."""
    path = pathlib.Path(clone, "videoprism", "assets", "testdata", "test_spm.model")
    (folder / "spiece.model").write_bytes(path.read_bytes())
    wanted, padding = models.tokenize_texts(models.tokenizers.SentencePieceTokenizer(str(path)), SENTENCES)
    found = load_text_encoder(folder, 64).encode(SENTENCES)
    np.testing.assert_array_equal(found, np.where(padding == 1, 0, wanted))
    print(f"tokens of {len(SENTENCES)} sentences: equal")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", help="folder of google-deepmind/videoprism")
    parser.add_argument(
        "--size", default="tiny,base", help="some of: tiny, base, large; base with texts takes at least 6 GB"
    )
    parser.add_argument("--more", default="tiny", help="sizes to compare also by gradients and clips of another size")
    asked = parser.parse_args()
    theirs = authors(asked.clone)
    with tempfile.TemporaryDirectory() as temporary:
        compare_tokens(theirs, asked.clone, pathlib.Path(temporary))
    for size in asked.size.split(","):
        for kind, module in modules(theirs, size).items():
            with tempfile.TemporaryDirectory() as temporary:
                errors = compare(module, kind, pathlib.Path(temporary), size in asked.more.split(","))
            rounded = {name: float(f"{found:.2g}") for name, found in errors.items()}
            print(json.dumps({"size": size, "model": kind} | rounded), flush=True)
