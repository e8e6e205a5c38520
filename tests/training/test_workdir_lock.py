"""Two runs never train in one folder at once, and a dead one blocks nobody."""

import fcntl

import pytest
from holder import hold

from vidjax.errors import ConfigError
from vidjax.training.workdir_lock import locked


def test_a_second_run_is_refused_with_the_first_one_named_until_that_is_dead(tmp_path):
    first = hold(tmp_path)
    try:
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(ConfigError, match=f"is being trained by process {first.pid} on .* since "),
            locked(tmp_path),
        ):
            pass
    finally:
        first.kill()
        first.wait()
    with locked(tmp_path):
        pass


def test_the_lock_file_is_removed_afterwards_and_a_removed_one_blocks_nobody(tmp_path, monkeypatch):
    """The second run opened the first one's file before it was removed; it takes a lock that a third run would see."""
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
    flock, first = fcntl.flock, []

    def removed_meanwhile(file, how):
        if not first:
            first.append((tmp_path / ".lock").unlink())
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with (
        locked(tmp_path),
        pytest.raises(ConfigError, match="is being trained by process"),
        locked(tmp_path),
    ):
        pass


def test_one_run_after_the_other_is_no_conflict(tmp_path):
    for _ in range(2):
        with locked(tmp_path):
            pass
