"""The timed work is real: our own step, the same model of the peer, the same scan; no data libraries are needed."""

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from vidjax.bench import attention, forward, peers, scan, step
from vidjax.bench.settings import SIZES, Settings
from vidjax.models.videomae import VIDEOMAE_SPECS
from vidjax.objectives import configured

DATA_LIBRARIES = ("grain", "tensorflow_datasets", "av", "cv2", "ml_collections", "array_record", "orbax", "sklearn")
BLOCKED = (
    f"import sys\nfor name in {DATA_LIBRARIES!r}:\n    sys.modules[name] = None  # importing it raises ImportError\n"
)


def test_sizes_match_the_models():
    assert set(SIZES) == set(VIDEOMAE_SPECS)


def test_the_timed_step_trains(monkeypatch):
    monkeypatch.setattr(step, "repeat", lambda call: call)
    config = step.bench_config("tiny", 2, "float32", Settings())
    assert (config.model.mask_ratio, config.data.global_batch) == (0.9, 2)
    calls, flops = step.vidjax_calls(config)
    assert flops == pytest.approx(6 * VIDEOMAE_SPECS["tiny"].pretraining_macs(*_tokens("tiny")))
    (first, _), (second, count) = (jax.device_get(calls["step"]()) for _ in range(2))
    assert np.isfinite(first)
    assert first != second
    assert count == 2


def _tokens(size):
    spec = VIDEOMAE_SPECS[size]
    masked = int(0.9 * spec.grid[1] * spec.grid[2]) * spec.grid[0]
    return spec.num_tokens - masked, masked


def test_the_peer_has_as_many_parameters(monkeypatch):
    torch = pytest.importorskip("torch", reason="the peer is in PyTorch (extra: test)")
    pytest.importorskip("transformers", reason="it is the peer (extra: test)")
    built = []

    def optimizer(parameters, *args, **kwargs):
        built.append(list(parameters))
        return AdamW(built[-1], *args, **kwargs)

    AdamW = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", optimizer)
    peers.videomae(VIDEOMAE_SPECS["tiny"], 1, "float32", 0.9, Settings(compile_peer=False))
    theirs = sum(parameter.numel() for parameter in built[0] if parameter.requires_grad)
    objective = configured.masked_autoencoding(step.bench_config("tiny", 1, "float32", Settings()))
    ours = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])))
    assert ours == theirs


def test_the_timed_forward_pass_covers_the_whole_batch(monkeypatch):
    monkeypatch.setattr(forward, "repeat", lambda call: call)
    call, spec = forward.vidjax_call("timesformer_tiny", 2, Settings())
    assert call().shape == (2, 400)
    assert spec == forward.build_model("timesformer_tiny", num_classes=400, unroll=4).spec


@pytest.mark.parametrize("family", forward.COMPARED)
def test_the_peers_classifier_is_the_same_architecture(family, monkeypatch):
    torch = pytest.importorskip("torch", reason="the peer is in PyTorch (extra: test)")
    pytest.importorskip("transformers", reason="it is the peer (extra: test)")
    module = forward.build_model(f"{family}_tiny", num_classes=400)
    theirs = peers._classifier(family, module.spec)
    clip = np.zeros((1, *module.spec.clip_shape), np.float32)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), clip))["params"]
    ours = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert ours == sum(parameter.numel() for parameter in theirs.parameters() if parameter.requires_grad)
    with torch.no_grad():
        assert theirs(torch.zeros(1, module.spec.num_frames, 3, *module.spec.frame_size)).logits.shape == (1, 400)


@pytest.mark.slow
def test_forward_passes_have_a_row_for_each_family():
    pytest.importorskip("transformers", reason="it is the peer (extra: test)")
    rows = forward.measure(Settings(sizes=("tiny",), batch=1, rounds=2))
    assert [row.name for row in rows] == [
        f"{family}_tiny forward, 1 clip, float32, against transformers"
        for family in ("videomae", "timesformer", "vivit")
    ]
    for row in rows:
        assert row.ratio == pytest.approx(row.ours / row.peer)


def test_a_size_that_a_family_lacks_is_reported(monkeypatch):
    said = []
    monkeypatch.setattr(forward, "COMPARED", ("timesformer",))
    assert forward.measure(Settings(sizes=("small",), remark=said.append)) == []
    assert said == ["timesformer has no size small"]


def test_scan_operands_match_a_mamba():
    plain = scan.operands((1, 9, 4))
    assert plain["dt"].min() > 0
    assert plain["A"].max() < 0
    assert {name: value.shape for name, value in plain.items()} == {
        "x": (1, 9, 4), "dt": (1, 9, 4), "A": (4, 16), "B": (1, 9, 16), "C": (1, 9, 16), "D": (4,)
    }  # fmt: skip


@pytest.mark.slow
def test_the_scan_and_attention_have_a_row_for_each_pass_and_peer():
    pytest.importorskip("torch", reason="the peer is in PyTorch (extra: test)")
    settings = Settings(sizes=("tiny",), batch=1, rounds=1, remark=lambda sentence: None)
    rows = scan.measure(settings) + attention.measure(settings)
    assert len(rows) == 2 + 2 * 2
    assert {row.name.rpartition(", against ")[2] for row in rows} == {"associative", "PyTorch's SDPA"}
    for row in rows:
        assert row.ratio == pytest.approx(row.peer / row.ours)


def test_a_size_that_the_scan_lacks_is_reported():
    said = []
    assert scan.measure(Settings(sizes=("giant",), remark=said.append)) == []
    assert "no size giant" in said[0]


def test_missing_peers_are_reported(monkeypatch):
    said = []
    monkeypatch.setattr(peers, "installed", lambda *names: False)
    settings = dataclasses.replace(Settings(), remark=said.append)
    assert peers.videomae(VIDEOMAE_SPECS["tiny"], 1, "float32", 0.9, settings) == {}
    assert peers.mamba_scan({}, "float32", said.append) == {}
    assert len(said) == 2


def test_steps_scan_and_attention_import_no_data_library():
    code = BLOCKED + "from vidjax.bench import attention, forward, peers, scan, step\nimport vidjax.cli.verbs.bench"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_steps_scan_and_attention_run_without_data_libraries(tmp_path):
    code = BLOCKED + (
        "from vidjax.cli import main\n"
        "words = 'step forward scan attention --size tiny --batch 1 --rounds 1'.split()\n"
        f"sys.exit(main(['bench', *words, '--json', {str(tmp_path / 'rows.json')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    models = {"videomae_tiny", "timesformer_tiny", "vivit_tiny"}
    assert {row["name"].split()[0] for row in rows} == models | {"scan", "attention"}
    for row in rows:
        assert set(row) == {"name", "ours", "peer", "unit", "ratio", "spread"}
        assert row["ours"] > 0


def test_mfu_is_flops_of_the_clips_over_the_peak_that_the_unit_names(monkeypatch):
    calls = {"forward": None, "step": None}
    monkeypatch.setattr(step, "vidjax_calls", lambda config: (calls, 202e9))
    monkeypatch.setattr(step.peers, "videomae", lambda *args: {"them": calls})
    monkeypatch.setattr(
        step, "race", lambda contenders, *args, **kwargs: {key: [0.04] for key in contenders} | {"them": [0.08]}
    )
    monkeypatch.setattr(step, "peak_flops", lambda kind: 989e12)
    rows = step.measure(Settings(batch=64, dtype="bfloat16"))
    (mfu,) = (row for row in rows if "MFU" in row.name)
    assert mfu.unit == "of 989 TFLOP/s"
    assert mfu.ours == pytest.approx(64 / 0.04 * 202e9 / 989e12)
    assert mfu.ratio == pytest.approx(2.0)
    (dual,) = (row for row in rows if "dual" in row.name)
    assert (dual.ours, dual.peer, dual.ratio) == (pytest.approx(1600), None, None)
