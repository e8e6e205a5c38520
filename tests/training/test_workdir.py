"""A refused start leaves nothing behind and removes nothing."""

import pytest
import saved_runs
from random_runs import write_run

from vidjax.errors import ConfigError, DataError
from vidjax.training import train
from vidjax.training.workdir import opened


def refuse(workdir, **changes):
    """Start a run without its data."""
    config = saved_runs.make_config(data__name="folder", data__root=str(workdir.parent / "nowhere"), **changes)
    with pytest.raises(DataError, match="is not a folder"):
        train(config, workdir)


def test_a_refused_start_leaves_no_folder(tmp_path):
    refuse(tmp_path / "runs" / "new")
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_was_there_stays_as_it_was(tmp_path):
    (tmp_path / "old").mkdir()
    refuse(tmp_path / "old")
    assert not list((tmp_path / "old").iterdir())
    (tmp_path / "old" / "notes.txt").write_text("mine")
    refuse(tmp_path / "old")
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["notes.txt"]


def test_a_start_that_fits_no_memory_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("vidjax.training.choices.memory.free_memory", lambda: 10**6)
    with pytest.raises(ConfigError, match="needs about"):
        train(saved_runs.make_config(data__name="synthetic"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_start_from_weights_that_do_not_fit_leaves_no_folder(tmp_path):
    """Refused once the folder of checkpoints has been opened."""
    write_run(tmp_path / "other", saved_runs.make_config(model__spec={"patch_size": 4}), 3)
    with pytest.raises(ConfigError, match=r"does not fit model.name"):
        train(saved_runs.make_config(init_from=str(tmp_path / "other")), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def interrupt_with(workdir, name):
    with opened(workdir) as folder:
        (folder / name).touch()
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["mine.txt", "config.json"])
def test_a_folder_that_is_no_longer_empty_stays(name, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupt_with(tmp_path / "run", name)
    assert (tmp_path / "run" / name).exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be created"), opened(tmp_path / "file" / "run"):
        pass
