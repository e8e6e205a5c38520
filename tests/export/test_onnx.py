"""ONNX files match the model in ONNX Runtime for any batch size; models that cannot be converted give a message."""

import json
import sys

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from random_runs import write_run
from saved_runs import make_config
from small_disk import small_disk

import vidjax
from vidjax.cli import main
from vidjax.export import onnx_file

FAMILIES = ("videomae_tiny", "timesformer_tiny", "vivit_tiny", "vjepa2_tiny", "videoprism_tiny", "clip_tiny")


def run_of(name, tmp_path_factory, **keys):
    config = make_config(model__name=name, data__num_frames=8, data__image_size=32, **keys)
    return str(write_run(tmp_path_factory.mktemp("runs") / name, config, 3, ("a", "b", "c"), scale=0.1))


@pytest.fixture
def jax2onnx():
    return pytest.importorskip("jax2onnx", reason="it writes the files (make test-onnx)", exc_type=ImportError)


@pytest.mark.parametrize("name", FAMILIES)
def test_onnx_runtime_matches_the_probabilities_of_the_model(name, jax2onnx, tmp_path, tmp_path_factory, capsys):
    runtime = pytest.importorskip("onnxruntime", reason="it runs the files (make test-onnx)", exc_type=ImportError)
    run = run_of(name, tmp_path_factory)
    assert main(["export", run, str(tmp_path / "out"), "--format=onnx"]) == 0
    said = json.loads((tmp_path / "out" / "preprocessing.json").read_text())
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(tmp_path / "out" / "model.onnx"), options)
    assert [(each.name, each.type, each.shape) for each in session.get_inputs()] == [
        (said["input"]["name"], "tensor(uint8)", said["input"]["shape"])
    ]
    model = vidjax.from_pretrained(run)
    clips = np.random.default_rng(0).integers(0, 256, (3, *model.spec.clip_shape), dtype=np.uint8)
    logits = np.asarray(model(clips)["logits"])
    for batch in (1, 3):
        found = dict(zip(said["outputs"], session.run(list(said["outputs"]), {"clips": clips[:batch]}), strict=True))
        np.testing.assert_allclose(found["logits"], logits[:batch], rtol=1e-4, atol=1e-4 * np.abs(logits).max())
        np.testing.assert_allclose(found["probabilities"], jax.nn.softmax(logits[:batch]), rtol=1e-4)


@pytest.mark.parametrize("config", [((2, 0, 0), (-1, 3, 0)), ((0, -2, 0), (1, -1, 0)), ((-1, -1, 0), (0, 0, 0))])
def test_pads_are_traced_as_slices_and_concatenations(config):
    x = jnp.arange(20.0).reshape(4, 5)
    wanted = jax.lax.pad(x, 7.0, config)
    with onnx_file._without_pads():
        traced = jax.make_jaxpr(lambda x: jax.lax.pad(x, 7.0, config))(x)
    assert "pad" not in {equation.primitive.name for equation in traced.eqns}
    np.testing.assert_array_equal(*jax.extend.core.jaxpr_as_fun(traced)(x), wanted)
    assert "pad" in str(jax.make_jaxpr(lambda x: jax.lax.pad(x, 7.0, config))(x))


def test_a_full_disk_leaves_no_partial_folder(jax2onnx, tmp_path, tmp_path_factory):
    run = run_of("vivit_tiny", tmp_path_factory)
    with small_disk(tmp_path / "disk", "64k") as disk:  # the weights alone take more
        export = [sys.executable, "-m", "vidjax.cli", "export", run, disk.folder / "out", "--format=onnx"]
        code, _, said = disk.run(export)
        assert code == 2, said
        assert said.strip().splitlines()[-1].startswith("vidjax: ")
        assert "No space left on device; make room on that disk" in said
        assert "Traceback" not in said
        assert list(disk.seen.iterdir()) == []


def test_reverse_scans_are_rejected(jax2onnx, tmp_path, tmp_path_factory, capsys):
    run = run_of("videomamba_tiny", tmp_path_factory)
    assert main(["export", run, str(tmp_path / "out"), "--format=onnx"]) == 2
    assert "half of its scans run from the last token to the first, which jax2onnx does not" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_jax2onnx_the_message_names_what_to_install(tmp_path, tmp_path_factory, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    run = run_of("vivit_tiny", tmp_path_factory)
    assert main(["export", run, str(tmp_path / "out"), "--format=onnx"]) == 2
    said = capsys.readouterr().err
    assert "--format=onnx needs jax2onnx; pip install 'vidjax[onnx]', then pip install --no-deps jax2onnx" in said
