"""A run in a bucket: its files, resuming, damage, its lock, and reading it from elsewhere."""

import json
import os
import socket
import subprocess
import sys

import bucket
import gcsfs
import jax
import numpy as np
import pytest
import toy
from feature_files import write_store

import vidjax
from vidjax.errors import ConfigError, ResumeError
from vidjax.files import located
from vidjax.training import train, workdir_lease
from vidjax.training.workdir_lock import locked
from vidjax.weights.bucket_files import downloaded
from vidjax.weights.checksums import damaged_files
from vidjax.weights.read_run import read_params


@pytest.fixture(scope="module")
def gs():
    with bucket.emulated() as address:
        yield address


def run(place, **changes):
    """Train the toy run; return losses by step."""
    config = toy.toy_config(**changes)
    train(config, place, source=toy.ToySource(), objective=toy.ToyObjective(), make_batches=toy.ToyBatches)
    lines = map(json.loads, (located(place) / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["train/loss"] for line in lines}


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def trained(gs):
    """A whole run of 8 steps in a bucket, with checkpoints at 4 and 8."""
    place = f"{gs}/trained"
    return place, run(place)


def test_it_learns_what_a_run_on_a_disk_learns_and_leaves_the_same_files(trained, tmp_path):
    place, losses = trained
    assert run(tmp_path / "run") == losses
    same(read_params(place)[1], read_params(tmp_path / "run")[1])
    kinds = [
        {path.split("/")[0] for path in paths}
        for paths in (
            bucket.objects(place),
            [path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*")],
        )
    ]
    assert kinds[0] == kinds[1]
    assert ".lock" not in kinds[0]


def test_the_events_of_tensorboard_are_in_the_bucket(trained):
    tensorboard = [content for path, content in bucket.objects(trained[0]).items() if path.startswith("tensorboard/")]
    assert len(tensorboard) == 1
    assert b"train/loss" in tensorboard[0]


@pytest.mark.slow
def test_the_profile_is_in_the_bucket(gs):
    run(f"{gs}/profiled", train__steps=3, train__profile_start=2, train__profile_steps=1)
    assert any(path.endswith(".xplane.pb") for path in bucket.objects(f"{gs}/profiled/profile"))


def test_it_resumes_where_it_stopped(gs, trained):
    place = f"{gs}/in-parts"
    run(place, train__steps=8, train__checkpoint_every=4)
    again = f"{gs}/again"
    half = bucket.objects(f"{place}")
    for path, content in half.items():  # the state after step 4
        if not path.startswith("checkpoints/8/") and path not in ("results.json", "report.md"):
            bucket.write(f"{again}/{path}", content)
    assert run(again) == trained[1]
    same(read_params(again)[1], read_params(trained[0])[1])


@pytest.mark.parametrize("how", [pytest.param("changed", marks=pytest.mark.slow), "removed"])
def test_a_damaged_object_is_found_and_the_previous_checkpoint_is_used(gs, trained, how, capsys):
    place = f"{gs}/damaged-{how}"
    for path, content in bucket.objects(trained[0]).items():
        bucket.write(f"{place}/{path}", content)
    arrays = sorted(path for path in bucket.objects(place) if path.startswith("checkpoints/8/params/d/"))
    victim = located(place) / arrays[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.unlink()
    if how == "changed":
        bucket.write(str(victim), bytes(content))
    with pytest.raises(ResumeError, match=f"checkpoint 8 .*{'is changed' if how == 'changed' else 'is missing'}"):
        read_params(place)
    (located(place) / "results.json").unlink()
    assert run(place) == trained[1]
    assert "checkpoint 8 is damaged" in capsys.readouterr().err
    assert any(path.startswith("checkpoints/8.damaged/") for path in bucket.objects(place))
    same(read_params(place)[1], read_params(trained[0])[1])
    assert not damaged_files(located(place) / "checkpoints" / "8")


def test_a_second_run_is_refused_with_the_first_one_named(gs, monkeypatch):
    monkeypatch.setattr(workdir_lease, "BEAT", 0.2)
    place = located(f"{gs}/two")
    about = f"process {os.getpid()} on {socket.gethostname()} since "
    with locked(place):
        monkeypatch.setattr(workdir_lease, "_has_ended", lambda content: False)  # as if seen from another host
        with pytest.raises(ConfigError, match=f"is being trained by {about}"), locked(place):
            pass
    assert not (place / ".lock").exists()
    with locked(place):
        pass


def test_the_lock_of_a_dead_process_of_this_host_blocks_nobody(gs):
    place = located(f"{gs}/dead")
    script = (
        "import os, sys; from vidjax.files import located; from vidjax.training.workdir_lock import locked\n"
        "with locked(located(sys.argv[1])): os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(place)], check=True)
    assert (place / ".lock").exists()
    with locked(place):
        pass


def test_the_lock_of_a_dead_host_is_taken_over_when_it_has_not_changed_for_a_while(gs, monkeypatch, capsys):
    monkeypatch.setattr(workdir_lease, "BEAT", 0.05)
    place = located(f"{gs}/preempted")
    (place / ".lock").write_text("process 7 on another-host since 2026-01-01 00:00:00\nabc 3\n")
    with locked(place):
        assert f"process {os.getpid()} on" in (place / ".lock").read_text()
    assert "is locked by process 7 on another-host" in capsys.readouterr().err


def test_a_run_whose_lock_was_taken_stops(gs, monkeypatch):
    monkeypatch.setattr(workdir_lease, "BEAT", 0.05)
    place, told = located(f"{gs}/taken"), []
    monkeypatch.setattr(workdir_lease.os, "kill", lambda process, number: told.append((process, number)))
    with locked(place):
        (place / ".lock").write_text("process 7 on another-host since 2026-01-01 00:00:00\nabc 3\n")
        for _ in range(100):
            if told:
                break
            workdir_lease.time.sleep(0.05)
    assert told == [(os.getpid(), workdir_lease.signal.SIGTERM)]
    assert (place / ".lock").exists()  # it belongs to the other run


@pytest.mark.slow
def test_a_bucket_that_cannot_be_reached_is_reported_in_one_sentence(monkeypatch, capfd):
    """The package retries for about a minute."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://localhost:9")
    gcsfs.GCSFileSystem.clear_instance_cache()
    with pytest.raises(ConfigError, match="gs://nowhere/run cannot be written: Cannot connect to host"):
        run("gs://nowhere/run")
    gcsfs.GCSFileSystem.clear_instance_cache()
    assert "Traceback" not in capfd.readouterr().err


def test_an_unknown_kind_of_bucket_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="ftp://somewhere: paths begin with gs:// or s3://, or are local"):
        run("ftp://somewhere")


def test_a_bucket_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"s3://bucket/run needs a package: pip install 'vidjax\[s3\]'"):
        located("s3://bucket/run")


def test_a_model_is_read_from_a_bucket_as_from_a_disk(gs, tmp_path, monkeypatch):
    """A folder in the layout of transformers, in a bucket; files that change are downloaded again."""
    transformers = pytest.importorskip("transformers", reason="transformers makes the model's files (extra: test)")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    config = transformers.VideoMAEConfig(**sizes, image_size=32, num_frames=4, num_labels=3)
    for seed in (0, 1):
        transformers.set_seed(seed)
        transformers.VideoMAEForVideoClassification(config).save_pretrained(tmp_path / "hf")
        for path in (tmp_path / "hf").iterdir():
            bucket.write(f"{gs}/hf/{path.name}", path.read_bytes())
        for name in ("hf", "hf/model.safetensors"):
            there, here = (vidjax.from_pretrained(f"{root}/{name}") for root in (gs, tmp_path))
            same(there.params, here.params)


def test_a_probe_in_a_bucket_comes_with_its_encoder(gs, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("ssv2-vitl-16x2x3.pt", "vitl.pt", "vitg.pt"):
        bucket.write(f"{gs}/probes/{name}", name.encode())
    probe = downloaded(located(f"{gs}/probes/ssv2-vitl-16x2x3.pt"))
    assert {path.name: path.read_text() for path in probe.parent.iterdir()} == {
        name: name for name in ("ssv2-vitl-16x2x3.pt", "vitl.pt")
    }


def test_a_feature_store_in_a_bucket_equals_one_on_a_disk(gs, tmp_path):
    arrays = {"pooled": np.random.default_rng(0).normal(size=(17, 4))}
    there, here = (write_store(root / "store", "train", arrays) for root in (located(f"{gs}/features"), tmp_path))
    np.testing.assert_array_equal(there.array("pooled", [3, 16]), here.array("pooled", [3, 16]))
    assert there.ids == here.ids
    assert bucket.objects(f"{gs}/features/store") == {
        path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()
    }
