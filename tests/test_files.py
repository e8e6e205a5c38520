"""Files of results, headers and manifests are written atomically."""

import json
import multiprocessing
import os

import pytest

from vidjax import files
from vidjax.errors import DataError


def test_text_of_any_script_reads_back_and_no_draft_stays(tmp_path):
    tree = {"labels": ["手を振る", "\u2028line"], "top1": 0.5, "none": None}
    files.write_json(tmp_path / "results.json", tree)
    files.write_json_lines(tmp_path / "lines.jsonl", [tree, [1, 2]])
    assert json.loads((tmp_path / "results.json").read_text("utf-8")) == tree
    lines = (tmp_path / "lines.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [tree, [1, 2]]
    assert sorted(os.listdir(tmp_path)) == ["lines.jsonl", "results.json"]


def test_the_longest_name_that_a_disk_takes_is_written(tmp_path):
    path = tmp_path / ("手" * 85)  # 255 bytes
    files.write_whole(path, "text")
    assert path.read_text() == "text"
    assert len(os.listdir(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_is_reported_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match="File name too long; choose a shorter name"):
        files.make_folder(tmp_path / ("手" * 86))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/below cannot be written: Not a directory"):
        files.make_folder(tmp_path / "file" / "below")


def test_values_that_json_cannot_express_leave_the_old_file_unchanged(tmp_path):
    path = tmp_path / "results.json"
    files.write_json(path, {"top1": 0.5})
    with pytest.raises(TypeError):
        files.write_json(path, {"top1": object()})
    assert json.loads(path.read_text()) == {"top1": 0.5}


def test_a_reader_never_sees_a_part_while_several_processes_write(tmp_path):
    path = tmp_path / "results.json"
    files.write_json(path, [0] * 20_000)
    process = multiprocessing.get_context("spawn").Process
    writers = [process(target=_write_often, args=(path, value)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        values = json.loads(path.read_text())
        assert len(values) == 20_000
        assert len(set(values)) == 1
    assert [writer.exitcode for writer in writers] == [0, 0]


def test_a_folder_that_cannot_be_written_is_reported_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/results\.json cannot be written: Not a directory"):
        files.write_json(tmp_path / "file" / "results.json", {})


@pytest.mark.parametrize("error", [RuntimeError("403, no permission"), OSError("403, no permission")])
def test_a_log_that_a_bucket_refuses_is_reported_in_one_sentence(monkeypatch, error):
    class Refusing:
        def __fspath__(self):
            return "gs://own/metrics.jsonl"

        __str__ = __fspath__

        def exists(self):
            return False

        def write_bytes(self, content):
            raise error

    monkeypatch.setattr(files, "located", lambda path: path)
    monkeypatch.setattr(files, "_UPLOAD_EVERY", -1)  # at every line
    file = files.GrowingFile(Refusing())
    with pytest.raises(DataError, match=r"gs://own/metrics\.jsonl cannot be written: 403, no permission; start again"):
        file.add("{}")


def _write_often(path, value):
    for _ in range(20):
        files.write_json(path, [value] * 20_000)
