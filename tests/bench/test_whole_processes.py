"""Verbs against scripts: whole processes that do the same work, timed in turn."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from vidjax.bench import embed, peers, predict
from vidjax.bench.processes import children_seconds, command
from vidjax.bench.race import race
from vidjax.bench.settings import Settings
from vidjax.evaluation.features.store import FeatureStore

BUSY = "import time; end = time.process_time() + 0.4\nwhile time.process_time() < end: pass"


def test_cpu_seconds_of_a_process_exclude_its_sleep():
    asleep, busy = (command([sys.executable, "-c", code]) for code in ("import time; time.sleep(1.5)", BUSY))
    seconds = race({"asleep": asleep, "busy": busy}, 1, clock=children_seconds, processes=True)
    assert seconds["asleep"][0] < 0.4 <= seconds["busy"][0] < 1.2


def test_a_process_is_called_once_before_timing_and_once_per_round():
    counts = []
    race({"it": counts.append}, 3, processes=True)
    assert counts == [1, 1, 1, 1]


def test_a_failed_process_raises_its_last_line():
    with pytest.raises(RuntimeError, match="exit code 3: no such video"):
        command([sys.executable, "-c", "import sys; print('no such video', file=sys.stderr); sys.exit(3)"])(1)


def test_variables_reach_the_process_which_has_no_accelerator():
    code = "import os; assert (os.environ['WHAT'], os.environ['JAX_PLATFORMS']) == ('this', 'cpu')"
    command([sys.executable, "-c", code], WHAT="this")(1)


def test_without_transformers_nothing_is_measured_and_this_is_reported(monkeypatch):
    said = []
    monkeypatch.setattr(peers, "installed", lambda *names: False)
    settings = Settings(sizes=("tiny",), remark=said.append)
    assert predict.measure(settings) == embed.measure(settings) == []
    assert said == ["transformers and PyTorch are not both installed: predict and embed have no model to run"] * 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny VideoMAE in folder/model, whose frames are shrunk as little as the base model's, and two videos."""
    pytest.importorskip("transformers", reason="it writes the model (extra: test)")
    root = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        spec = dataclasses.replace(peers.VIDEOMAE_SPECS["tiny"], image_size=224, patch_size=16)
        patch.setitem(peers.VIDEOMAE_SPECS, "tiny", spec)
        assert peers.write_videomae("tiny", root / "model", Settings())
    embed.link_videos(root, 2)
    return root


@pytest.mark.slow
def test_the_pytorch_loop_computes_the_same_features(folder):
    command(embed.embed_words(folder, folder / "features"), VIDJAX_COMPILE_CACHE="off")(1)
    command(embed.torch_words(folder))(1)
    ours = FeatureStore.open(str(folder / "features")).array("pooled")
    np.testing.assert_allclose(np.asarray(ours, np.float32), np.load(folder / "pooled.npy"), atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["predict", "pipeline"])
def test_the_scripts_answer_with_five_classes(folder, what):
    words = peers.script_words(what, str(folder / "model"), str(folder / "videos" / "000.mp4"))
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    found = [line["probability"] for line in json.loads(done.stdout.splitlines()[-1])]
    assert len(found) == 5
    assert found == sorted(found, reverse=True)


@pytest.mark.slow
def test_predict_and_embed_have_a_row_for_each_peer():
    pytest.importorskip("transformers", reason="it writes the model (extra: test)")
    settings = Settings(sizes=("tiny",), rounds=1, videos=2)
    rows = predict.measure(settings) + embed.measure(settings)
    assert [(row.name.rpartition(", against ")[2], row.unit) for row in rows] == [
        *[("a PyTorch script", "s"), ("transformers' pipeline", "s")] * 2,
        ("a PyTorch loop", "CPU s"),
    ]
