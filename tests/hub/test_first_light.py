"""`make test-hub`: its table, its exit codes, and unavailable checkpoints."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
NAMES = ("timesformer-base-finetuned-k400", "vivit_base_16x2_fe/checkpoint")
EQUAL = {"compared": "all 400 logits", "largest": 1e-6, "limit": 2e-4, "passed": True}
OTHER = {"compared": "all 400 logits", "largest": 0.5, "limit": 2e-4, "passed": False}
FINITE = {"compared": "shapes and finite outputs only", "largest": None, "limit": None, "passed": True}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The command, with a cache that holds one repository of the hub and one file from an address."""
    import huggingface_hub.constants

    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    for name, value in (("HF_HUB_OFFLINE", True), ("HF_HOME", str(tmp_path)), ("HF_HUB_CACHE", str(tmp_path / "hub"))):
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    import download
    from checkpoints import CHECKPOINTS

    spec = importlib.util.spec_from_file_location("first_light", HERE / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    revision = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "hub" / "models--facebook--timesformer-base-finetuned-k400"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(revision)
    (folder / "snapshots" / revision).mkdir(parents=True)
    (folder / "snapshots" / revision / "model.safetensors").write_bytes(b"12345")
    address = next(one.source for one in CHECKPOINTS if one.name.endswith(NAMES[1]))
    place = download.place_of(address, tmp_path)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"123")
    return module


def run(module, tmp_path, only, answers):
    """The exit code, rows and page of a call with given comparisons."""
    workdir = tmp_path / "out"
    found = {"comparisons": answers, "notes": [], "seconds": 2.0, "memory": 10**9}
    tasks = []

    def compare(task):
        tasks.append(task)
        return found if answers else {"error": "it is read as another layout", "seconds": 1.0, "memory": 1}

    code = module.main(["--workdir", str(workdir), "--only", only], compare)
    return code, json.loads((workdir / "table.json").read_text()), (workdir / "table.md").read_text(), tasks


@pytest.mark.parametrize(
    ("answers", "code", "verdicts"),
    [
        ([EQUAL, EQUAL], 0, ["equal", "equal"]),
        ([EQUAL, OTHER], 1, ["equal", "differs"]),
        ([FINITE], 3, ["finite"]),
        ([EQUAL, {"compared": "the tests of others", "error": "no video"}], 3, ["equal", "not compared"]),
        ([], 1, ["failed"]),
    ],
)
def test_the_exit_code_and_the_table_show_the_result(hub, tmp_path, answers, code, verdicts):
    left, rows, page, [task] = run(hub, tmp_path, NAMES[0], answers)
    assert left == code
    assert [row["verdict"] for row in rows] == verdicts
    assert task["source"] == "facebook/timesformer-base-finetuned-k400"
    assert {(row["revision"][:7], row["bytes"]) for row in rows} == {("0123456", 5)}
    assert page.count("| `facebook/timesformer-base-finetuned-k400` | TimeSformer, transformers |") == len(rows)
    for verdict in set(verdicts):
        assert f"*{verdict}*: " in page


def test_an_unavailable_checkpoint_is_reported_and_skipped(hub, tmp_path, capsys):
    """One of three ViViT files is on this machine; the other two cannot be downloaded offline."""
    code, rows, page, tasks = run(hub, tmp_path, "vivit", [EQUAL])
    assert code == 3
    assert [(row["verdict"], row["bytes"]) for row in rows] == [("not had", None), ("not had", None), ("equal", 3)]
    assert [task["source"] for task in tasks] == [tasks[0]["path"]]
    assert "HF_HUB_OFFLINE forbids" in rows[1]["compared"]
    assert "1 equal, 2 not had" in page
    shown = capsys.readouterr().out
    assert "HF_HUB_OFFLINE is set" in shown
    assert "of which 0.0 MB are to be downloaded" in shown
    assert shown.count("not had: ") == 2


def test_a_missing_network_is_reported_for_each_checkpoint(hub, monkeypatch, tmp_path, capsys):
    """Errors of HTTP clients share no common class."""
    import download
    import huggingface_hub.constants

    class ConnectError(Exception):
        pass

    def refused(*args, **kwargs):
        raise ConnectError("no such host")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refused)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refused)
    code, rows, _, tasks = run(hub, tmp_path, "videomamba_t16", [EQUAL])
    assert (code, tasks, {row["verdict"] for row in rows}) == (3, [], {"not had"})
    assert capsys.readouterr().out.count("does not describe OpenGVLab/VideoMamba (no such host)") == len(rows) == 2
    assert download.fetch_extra("someone/something", "video.npy") is None


def test_a_plan_downloads_and_compares_nothing(hub, tmp_path, capsys):
    assert hub.main(["--plan", "--workdir", str(tmp_path / "out")], lambda task: pytest.fail("compared")) == 0
    assert "vivit_base_16x2_fe/checkpoint: 0.0 MB" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_an_unknown_name_is_refused(hub, capsys):
    assert hub.main(["--only", "resnet"]) == 2
    assert "no checkpoint has 'resnet' in its name" in capsys.readouterr().err


def test_every_layout_that_vidjax_reads_has_a_checkpoint_and_a_reference(hub):
    pytest.importorskip("torch", reason="the references are PyTorch's (extra: test)")
    pytest.importorskip("transformers", reason="the references are of transformers (extra: test)")
    from checkpoints import CHECKPOINTS, UNPUBLISHED
    from references import REFERENCES

    from vidjax.weights.checkpoint_layouts import all_layouts

    by_default = [checkpoint for checkpoint in CHECKPOINTS if not checkpoint.large]
    assert {checkpoint.layout for checkpoint in by_default} == {layout.name for layout in all_layouts()} - UNPUBLISHED
    assert {checkpoint.reference for checkpoint in CHECKPOINTS if checkpoint.reference} <= set(REFERENCES)
    assert len({checkpoint.name for checkpoint in CHECKPOINTS}) == len(CHECKPOINTS)


def test_an_interrupted_download_is_resumed(hub, monkeypatch, tmp_path):
    """A server that drops the connection, then sends the rest; and a server whose file has another checksum."""
    import hashlib
    import io

    import download
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    whole, asked = bytes(range(200)), []

    class Answer(io.BytesIO):
        def __init__(self, content, status, length):
            super().__init__(content)
            self.status, self.headers = status, {"Content-Length": str(length)}

    def server(request, timeout):
        start = int(request.headers.get("Range", "bytes=0-").split("=")[1].rstrip("-"))
        asked.append(start)
        if len(asked) == 1:
            return Answer(whole[:80], 200, 200)
        return Answer(whole[start:], 206 if start else 200, 200 - start)

    monkeypatch.setattr(download.urllib.request, "urlopen", server)
    address = f"https://somewhere/{hashlib.sha256(whole).hexdigest()}/model.pt"
    with pytest.raises(download.WeightsError, match="ended after 80 bytes; run the command again"):
        download.fetch(address)
    fetched = download.fetch(address)
    assert (fetched.path.read_bytes(), asked) == (whole, [0, 80])
    with pytest.raises(download.WeightsError, match="which is another file; it was removed"):
        download.fetch(f"https://somewhere/{'0' * 64}/model.pt")


@pytest.mark.slow
def test_random_weights_of_every_layout_pass_end_to_end(tmp_path):
    """A cache of tiny models, whose published numbers `transformers` computes with its own preparation of videos."""
    pytest.importorskip("torch", reason="the files are PyTorch's (extra: test)")
    pytest.importorskip("transformers", reason="the files are those of transformers (extra: test)")
    home = tmp_path / "home"
    subprocess.run([sys.executable, str(HERE / "fake_hub.py"), str(home), "--tiny"], check=True, capture_output=True)
    offline = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(HERE), "--published", str(home / "published.json"), "--workdir", str(tmp_path)]
    ended = subprocess.run(command, env=offline, capture_output=True, text=True, check=False)
    rows = json.loads((tmp_path / "table.json").read_text())
    # The only other reader of VideoPrism's files is the authors' code, which is not a package.
    verdicts = {row["name"]: row["verdict"] for row in rows}
    assert verdicts.pop("google/videoprism-base-f16r288/flax_base_f16r288_repeated.npz") == "finite"
    assert set(verdicts.values()) == {"equal"}, ended.stdout
    assert ended.returncode == 3, ended.stdout  # not all could be compared
    assert len({row["name"] for row in rows}) == 22
    assert sum("logits of" in row["compared"] or "tokens of" in row["compared"] for row in rows) > 5
