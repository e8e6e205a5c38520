"""Checkpoints: which are kept, what damage is noticed, and what is restored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from vidjax.config import SCHEMA, MeshConfig
from vidjax.errors import ResumeError
from vidjax.training import checkpoints as lib
from vidjax.training.mesh import make_mesh
from vidjax.training.state import TrainState
from vidjax.weights.read_run import read_params

ROWS = 16


def make_state(step, mesh, spec, ema=True):
    """A state whose values encode the step; every leaf has a sharding on the mesh."""
    values = np.arange(ROWS * 8, dtype=np.float32).reshape(ROWS, 8) + step
    kernel = jax.device_put(values, NamedSharding(mesh, spec))
    scalar = jax.device_put(np.int32(step), NamedSharding(mesh, P()))
    params = {"encoder": {"kernel": kernel}}
    average = jax.tree.map(lambda leaf: leaf + 100, params) if ema else {}
    return TrainState(scalar, params, {"mu": params, "count": scalar}, average, {"centre": kernel})


def shapes_of(state):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)


@pytest.fixture
def mesh():
    return make_mesh(MeshConfig(data=2, fsdp=4))


@pytest.fixture
def opened(tmp_path):
    run = lib.Checkpoints(tmp_path, keep_latest=2)
    yield run
    run.close()


def no_words(sentence):
    raise AssertionError(sentence)


def test_a_state_comes_back_to_the_bit_with_its_meta(opened, mesh):
    state, seen = make_state(3, mesh, P("fsdp")), []
    opened.save(3, state, {"fingerprint": {"seed": 1}})
    opened.wait()
    step, restored = opened.restore(shapes_of(state), seen.append, no_words)
    assert step == 3
    assert seen == [{"schema": SCHEMA, "fingerprint": {"seed": 1}}]
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert jax.tree.all(jax.tree.map(lambda a, b: a.sharding == b.sharding, restored, state))


def test_a_state_comes_back_on_another_mesh(opened, mesh):
    state = make_state(3, mesh, P("fsdp"))
    opened.save(3, state, {})
    opened.wait()
    other = make_state(0, make_mesh(MeshConfig(data=1, tensor=2, fsdp=2), jax.devices()[:4]), P("tensor", "fsdp"))
    _, restored = opened.restore(shapes_of(other), lambda meta: None, no_words)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert jax.tree.all(jax.tree.map(lambda a, b: a.sharding == b.sharding, restored, other))
    jax.jit(lambda tree: jax.tree.map(jnp.sin, tree))(restored._asdict())  # no leaf is committed to a device of its own


def test_the_latest_and_the_best_are_both_kept(opened, mesh):
    for step, top1 in enumerate((0.1, 0.9, 0.5, 0.2, 0.3), start=1):
        opened.save(step, make_state(step, mesh, P()), {})
        opened.set_score(step, top1)
    opened.wait()
    assert opened.steps() == [2, 4, 5]


def test_steps_without_a_score_do_not_push_out_the_best(tmp_path, mesh):
    for start in (1, 3):  # over two starts of the run
        run = lib.Checkpoints(tmp_path, keep_latest=1)
        for step in (start, start + 1):
            run.save(step, make_state(step, mesh, P()), {})
            if step == 2:
                run.set_score(step, 0.1)
        run.close()
    assert lib.Checkpoints(tmp_path).steps() == [2, 4]


def test_nothing_to_restore_is_none(opened, mesh):
    assert opened.restore(shapes_of(make_state(0, mesh, P())), no_words, no_words) is None


def flip_a_bit(folder):
    """Flip a bit in the largest file of the parameters."""
    files = [path for path in (folder / "params").rglob("d/*") if path.is_file()]
    victim = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))


def truncate(folder):
    files = [path for path in (folder / "rest").rglob("d/*") if path.is_file()]
    victim = max(files, key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-7])


def lose_the_manifest(folder):
    (folder / lib.MANIFEST).unlink()


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, lose_the_manifest])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(opened, mesh, damage):
    states = {step: make_state(step, mesh, P("fsdp")) for step in (4, 8)}
    for step, state in states.items():
        opened.save(step, state, {})
    opened.wait()
    damage(opened.directory / "8")
    said = []
    step, restored = opened.restore(shapes_of(states[4]), lambda meta: None, said.append)
    assert step == 4
    jax.tree.map(np.testing.assert_array_equal, restored, states[4])
    assert len(said) == 1
    assert "checkpoint 8 is damaged" in said[0]
    assert (opened.directory / "8.damaged").is_dir()
    opened.save(8, states[8], {})  # the step can be saved again
    opened.wait()
    assert opened.steps() == [4, 8]
    assert opened.restore(shapes_of(states[8]), lambda meta: None, no_words)[0] == 8


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"[" * 100_000, b"\xff", b'{"commit_timestamp_nsecs": 1e99}', b'{"item_handlers": 3}']
)
def test_the_file_of_orbax_that_has_no_checksum_is_not_needed(tmp_path, mesh, content):
    """Orbax writes it again after the checksums are made; values are all in files that have them."""
    states = {step: make_state(step, mesh, P("fsdp")) for step in (4, 8)}
    run = lib.Checkpoints(tmp_path)
    for step, state in states.items():
        run.save(step, state, {})
    run.close()
    for step in states:
        (run.directory / str(step) / "_CHECKPOINT_METADATA").write_bytes(content)
    again = lib.Checkpoints(tmp_path)
    step, restored = again.restore(shapes_of(states[8]), lambda meta: None, no_words)
    again.close()
    assert step == 8
    jax.tree.map(np.testing.assert_array_equal, restored, states[8])
    assert read_params(tmp_path)[0] == 8


def test_when_all_are_damaged_the_run_does_not_start_over_unasked(opened, mesh):
    state = make_state(4, mesh, P())
    opened.save(4, state, {})
    opened.wait()
    flip_a_bit(opened.directory / "4")
    for _ in range(2):  # nor when it is started a second time
        with pytest.raises(ResumeError, match=r"are damaged \(4.damaged\); choose another workdir"):
            opened.restore(shapes_of(state), lambda meta: None, lambda sentence: None)


def test_later_checkpoints_are_not_called_damaged_because_earlier_ones_are(opened, mesh):
    for step in (4, 8):
        opened.save(step, make_state(step, mesh, P()), {})
    opened.wait()
    flip_a_bit(opened.directory / "4")
    said = []
    assert opened.restore(shapes_of(make_state(8, mesh, P())), lambda meta: None, said.append, before=8) is None
    assert len(said) == 1
    assert "checkpoint 4 is damaged" in said[0]
    assert opened.steps() == [8]


def test_another_model_is_refused_in_one_sentence(opened, mesh):
    opened.save(4, make_state(4, mesh, P()), {})
    opened.wait()
    other = make_state(0, mesh, P())
    other.params["head"] = other.params["encoder"]
    with pytest.raises(ResumeError, match="holds a different model or optimiser"):
        opened.restore(shapes_of(other), lambda meta: None, no_words)


def test_a_moving_average_cannot_be_switched_on_half_way(opened, mesh):
    opened.save(4, make_state(4, mesh, P(), ema=False), {})
    opened.wait()
    with pytest.raises(ResumeError, match="holds a different model or optimiser"):
        opened.restore(shapes_of(make_state(0, mesh, P())), lambda meta: None, no_words)


def test_parameters_alone_are_read_as_numpy(tmp_path, opened, mesh):
    for step, top1 in ((1, 0.5), (2, 0.1)):
        opened.save(step, make_state(step, mesh, P("fsdp")), {})
        opened.set_score(step, top1)
    opened.wait()
    for which, ema, step, offset in (("last", False, 2, 2), ("best", False, 1, 1), ("last", True, 2, 102)):
        found, params = read_params(tmp_path, which, ema=ema)
        assert found == step
        assert isinstance(params["encoder"]["kernel"], np.ndarray)
        assert params["encoder"]["kernel"][0, 0] == offset


def test_a_folder_without_checkpoints_is_named(tmp_path):
    with pytest.raises(ResumeError, match="holds no checkpoint"):
        read_params(tmp_path)


def test_a_save_that_fails_because_a_process_is_gone_is_not_called_a_disk_error(opened, mesh, monkeypatch):
    """The watcher of the other processes names the one that is gone."""

    def fails(*args, **options):
        raise ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer")

    monkeypatch.setattr(opened._manager, "save", fails)
    with pytest.raises(ValueError, match="Gloo"):
        opened.save(1, make_state(1, mesh, P()), {})
