"""Videos in a bucket are copied to a local folder once, checked on the way, and then read like any others."""

import shutil

import bucket
import pytest
from videos import encode, moving_texture

from vidjax import buckets
from vidjax.config import DataConfig
from vidjax.data import staging
from vidjax.data.open import open_source
from vidjax.data.staging import staged
from vidjax.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def gs():
    with bucket.emulated() as address:
        yield address


@pytest.fixture
def files(gs, request):
    """Four objects below an address of their own."""
    address = f"{gs}/{request.node.name.replace('[', '-').replace(']', '')}"
    content = {f"{folder}/{number}.bin": f"{folder}{number}".encode() * 99 for folder in "ab" for number in (0, 1)}
    for name, data in content.items():
        bucket.write(f"{address}/{name}", data)
    return address, content


def copies(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("*/*")}


def test_a_data_set_in_a_bucket_is_opened_as_its_local_copy(gs, tmp_path):
    for split in ("train", "val"):
        for number in range(4):
            path = tmp_path / "disk" / split / "ab"[number % 2] / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(moving_texture(12, 32, 40, seed=number)))
            bucket.write(f"{gs}/videos/{path.relative_to(tmp_path / 'disk').as_posix()}", path.read_bytes())
    here = DataConfig(root=str(tmp_path / "disk"))
    there = DataConfig(root=f"{gs}/videos", stage=str(tmp_path / "stage"))
    ours, theirs = (open_source(data, "train") for data in (there, here))
    assert [(row.id, row.label) for row in ours] == [(row.id, row.label) for row in theirs]
    assert ours.content_id == theirs.content_id


def test_existing_files_are_not_copied_again_but_changed_ones_are(files, tmp_path, monkeypatch):
    address, content = files
    assert staged(address, str(tmp_path / "stage")) == str(tmp_path / "stage")
    assert copies(tmp_path / "stage") == content
    asked = []
    monkeypatch.setattr(
        staging, "download", lambda of, to, names: asked.extend(names) or buckets.download(of, to, names)
    )
    staged(address, str(tmp_path / "stage"))
    assert asked == []
    bucket.write(f"{address}/a/1.bin", b"new")
    (tmp_path / "stage" / "b" / "0.bin").unlink()
    staged(address, str(tmp_path / "stage"))
    assert sorted(asked) == ["a/1.bin", "b/0.bin"]
    assert copies(tmp_path / "stage") == content | {"a/1.bin": b"new"}


def test_files_deleted_from_the_bucket_are_deleted_from_the_folder(files, tmp_path):
    address, content = files
    staged(address, str(tmp_path / "stage"))
    buckets._system(address)[0].rm_file(f"{address}/a/0.bin")
    staged(address, str(tmp_path / "stage"))
    assert copies(tmp_path / "stage") == {name: data for name, data in content.items() if name != "a/0.bin"}


def test_a_copy_that_was_damaged_on_its_way_is_refused(files, tmp_path, monkeypatch):
    address, _ = files

    def damaging(of, to, names):
        for name in buckets.download(of, to, names):
            if name == "b/1.bin":
                data = bytearray((to / name).read_bytes())
                data[7] ^= 1
                (to / name).write_bytes(data)
            yield name

    monkeypatch.setattr(staging, "download", damaging)
    with pytest.raises(DataError, match=r"b/1.bin was damaged on its way to .*; run the command again"):
        staged(address, str(tmp_path / "stage"))
    monkeypatch.undo()
    staged(address, str(tmp_path / "stage"))
    assert (tmp_path / "stage" / "b" / "1.bin").read_bytes() == b"b1" * 99


@pytest.mark.parametrize("kind", ["md5", "crc32c", "bytes"])
def test_checksums_are_those_of_the_store(files, tmp_path, kind):
    address, content = files
    about = buckets._system(address)[0].info(f"{address}/a/0.bin")
    said = {"md5": f"md5 {about['md5Hash']}", "crc32c": f"crc32c {about['crc32c']}", "bytes": f"{about['size']} bytes"}
    path = tmp_path / "copy"
    path.write_bytes(content["a/0.bin"])
    assert buckets.is_copy(path, said[kind])
    path.write_bytes(content["a/0.bin"][:-1])
    assert not buckets.is_copy(path, said[kind])


def test_a_folder_with_other_files_is_left_alone(files, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"data.stage=.* holds other files; choose an empty folder for the copy of"):
        staged(files[0], str(tmp_path))
    shutil.rmtree(tmp_path / "stage", ignore_errors=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_bucket_without_a_local_folder_names_the_remedy(gs):
    with pytest.raises(DataError, match=r"is in a bucket: set --config.data.stage=DIR to a local folder.*gcsfuse"):
        open_source(DataConfig(root=f"{gs}/videos"), "train")


def test_an_address_that_holds_nothing_is_refused(gs, tmp_path):
    with pytest.raises(DataError, match="holds nothing; give the address of a folder with videos or records"):
        staged(f"{gs}/nothing", str(tmp_path / "stage"))
    with pytest.raises(ConfigError, match="paths begin with gs:// or s3://"):
        staged("ftp://somewhere/videos", str(tmp_path / "stage"))
