"""A few words that describe the weights at a path."""

from vidjax.weights.content import content_of


def test_files_are_counted_in_words(tmp_path):
    (tmp_path / "one.safetensors").write_bytes(b"1")
    assert content_of(str(tmp_path)).startswith("1 file (")
    (tmp_path / "config.json").write_text("{}")
    assert content_of(str(tmp_path)).startswith("2 files (")
    assert content_of(str(tmp_path / "none")) == ""
