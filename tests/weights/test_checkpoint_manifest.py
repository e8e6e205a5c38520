"""The manifest of a checkpoint: which files are held to it."""

import hashlib
import json

import pytest

from vidjax.weights.checksums import MANIFEST, checksums, damaged_files


def a_checkpoint(folder):
    """With a manifest that lists Orbax's mark of a finished item, as those of before 2026-11-23 do."""
    (folder / "params").mkdir()
    for name, content in {
        "params/d": b"values",
        "params/commit_success.txt": b"now",
        "commit_success.txt": b"x",
    }.items():
        (folder / name).write_bytes(content)
    listed = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("params/d", "params/commit_success.txt")
    }
    (folder / MANIFEST).write_text(json.dumps(listed))


def test_marks_of_orbax_are_not_held_to_a_manifest_that_lists_them(tmp_path):
    a_checkpoint(tmp_path)
    (tmp_path / "params" / "commit_success.txt").write_text("later")
    assert damaged_files(tmp_path) == ""
    assert set(checksums(tmp_path)) == {"params/d"}


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[1]", b"\xff"])
def test_a_manifest_that_is_none_is_damage(tmp_path, content):
    a_checkpoint(tmp_path)
    (tmp_path / MANIFEST).write_bytes(content)
    assert damaged_files(tmp_path) == "manifest.json is not readable"


def test_a_changed_a_missing_and_an_unlisted_file(tmp_path):
    a_checkpoint(tmp_path)
    (tmp_path / "params" / "more").write_text("not listed")
    assert damaged_files(tmp_path) == ""
    (tmp_path / "params" / "d").write_bytes(b"valueS")
    assert damaged_files(tmp_path) == "params/d is changed; 1 of 2 files differ"
    (tmp_path / "params" / "d").unlink()
    assert damaged_files(tmp_path) == "params/d is missing; 1 of 2 files differ"
