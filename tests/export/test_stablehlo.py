"""An exported graph matches the model, in a process that cannot import vidjax, for any batch size and platform."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.export
import numpy as np
import pytest
from random_runs import write_run
from saved_runs import make_config
from videos import encode, moving_texture

import vidjax
from vidjax.cli import main
from vidjax.data.clips.eval_views import protocol_views
from vidjax.errors import WeightsError
from vidjax.export import stablehlo
from vidjax.export.graph import Graph

pytest.importorskip("flatbuffers", reason="jax.export writes with it; older environments lack it")

LABELS = ("a", "b", "c")
ELSEWHERE = """
import sys
sys.modules["vidjax"] = None  # an import would fail
import numpy as np
sys.path.insert(0, sys.argv[1])
from load import load
call = load()
clips = np.load(sys.argv[2])
np.savez(sys.argv[3], **{f"{name}{n}": array for n in (1, 3) for name, array in call(clips[:n]).items()})
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"flax", "safetensors", "vidjax.models", "av"}))
"""


def answers_elsewhere(folder, clips, tmp_path):
    """Outputs of load.py for one clip and for three, in a new process."""
    np.save(tmp_path / "clips.npy", clips)
    words = [sys.executable, "-c", ELSEWHERE, str(folder), str(tmp_path / "clips.npy"), str(tmp_path / "out.npz")]
    found = subprocess.run(words, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert found.stdout.split() == []
    return dict(np.load(tmp_path / "out.npz"))


def folder_of(model, folder):
    stablehlo.write(model, folder)
    return folder


def kernels_in(program):
    """Whether a program's text contains calls that only one platform supports."""
    return "tpu_custom_call" in program or "cudnn" in program or "LayoutConstraint" in program


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    config = make_config(data__image_size=32, data__stride=2, eval__merge="mean_softmax")
    return str(write_run(tmp_path_factory.mktemp("runs") / "videomae", config, 3, LABELS, scale=0.1))


@pytest.fixture
def videos(tmp_path):
    """Three videos larger than the model's frames."""
    for number in range(3):
        (tmp_path / f"{number}.mp4").write_bytes(encode(moving_texture(12, 40, 48, seed=number), rate=8))
    return [str(tmp_path / f"{number}.mp4") for number in range(3)]


def test_a_process_without_vidjax_gets_the_probabilities_of_predict(classifier, videos, tmp_path, capsys):
    assert main(["export", classifier, str(tmp_path / "out"), "--format", "stablehlo"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    model = vidjax.from_pretrained(classifier)
    clips = np.stack([protocol_views(video, model.clips)[0] for video in videos])
    found = answers_elsewhere(tmp_path / "out", clips, tmp_path)
    said = json.loads((tmp_path / "out" / "preprocessing.json").read_text())
    assert said["input"]["shape"] == ["batch", *clips.shape[1:]]
    for number, video in enumerate(videos):
        expected = {line["label"]: line["probability"] for line in model.predict(video, top=3)["top"]}
        wanted = [expected[label] for label in said["labels"]]
        np.testing.assert_allclose(found["probabilities3"][number], wanted, rtol=1e-5)
        if not number:
            np.testing.assert_allclose(found["probabilities1"][0], wanted, rtol=1e-5)
    exported = jax.export.deserialize(bytearray((tmp_path / "out" / "model.jaxexport").read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert not kernels_in(exported.mlir_module())


SLOW_FAMILIES = ("vjepa2_tiny", "videoprism_tiny", "clip_tiny")


@pytest.fixture(
    scope="module",
    params=[
        "timesformer_tiny", "vivit_tiny", "videomamba_tiny",
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_FAMILIES),
    ],
)  # fmt: skip
def family_run(request, tmp_path_factory):
    config = make_config(model__name=request.param, data__num_frames=8, data__image_size=32)
    return write_run(tmp_path_factory.mktemp("runs") / request.param, config, 3, LABELS, scale=0.1)


def test_every_family_is_one_program_for_all_platforms(family_run, tmp_path):
    """Clips are long enough for TPU kernels, which the export must avoid, and a model that already ran is retraced."""
    model = vidjax.from_pretrained(family_run)
    clips = np.random.default_rng(0).integers(0, 256, (3, *model.spec.clip_shape), dtype=np.uint8)
    wanted = np.asarray(jax.nn.softmax(model(clips)["logits"]))
    found = answers_elsewhere(folder_of(model, tmp_path / "out"), clips, tmp_path)
    np.testing.assert_allclose(found["probabilities3"], wanted, rtol=1e-4)
    np.testing.assert_allclose(found["probabilities1"], wanted[:1], rtol=1e-4)
    exported = jax.export.deserialize(bytearray((tmp_path / "out" / "model.jaxexport").read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert not kernels_in(exported.mlir_module())


def test_a_model_without_answers_is_rejected_with_a_message(tmp_path, tmp_path_factory, capsys):
    config = make_config(task="masked_autoencoding", model__mask_ratio=0.5)
    autoencoder = write_run(tmp_path_factory.mktemp("runs") / "autoencoder", config, 0)
    assert main(["export", str(autoencoder), str(tmp_path / "out"), "--format", "stablehlo"]) == 2
    assert "predicts neither classes nor numbers; export a fine-tuned classifier" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_cannot_be_traced_is_rejected_with_a_message(classifier, tmp_path):
    graph = Graph.of(vidjax.from_pretrained(classifier))
    looks = dataclasses.replace(graph, call=lambda weights, clips: {"probabilities": np.asarray(clips)})
    with pytest.raises(WeightsError, match="mine cannot be traced for a symbolic batch and all platforms: "):
        stablehlo.trace(looks, "mine")
