"""The manifest of a checkpoint: which files are checked against it."""

import hashlib
import json

import pytest

from vidjax.weights.checksums import MANIFEST, checksums, damaged_files


def a_checkpoint(folder):
    """A checkpoint whose manifest lists Orbax's mark of a finished item, as manifests before 2026-11-23 did."""
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


def test_orbaxs_own_marks_are_ignored_even_if_a_manifest_lists_them(tmp_path):
    a_checkpoint(tmp_path)
    (tmp_path / "params" / "commit_success.txt").write_text("later")
    assert damaged_files(tmp_path) == ""
    assert set(checksums(tmp_path)) == {"params/d"}


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[1]", b"\xff"])
def test_a_malformed_manifest_counts_as_damage(tmp_path, content):
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
