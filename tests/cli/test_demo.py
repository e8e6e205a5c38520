"""`vidjax demo` finds its models and serves its page on this machine only, or behind a password."""

import io
import json
import os
import pathlib
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from clip_folder import write_clip
from random_runs import write_run

from vidjax.cli import main
from vidjax.cli.verbs import demo
from vidjax.data import motion_videos
from vidjax.demo import serving, starter
from vidjax.demo.limits import Limits
from vidjax.demo.models import Autoencoder, Classifier, Reader
from vidjax.errors import ConfigError, WeightsError
from vidjax.main import read_config

WORD = "a password of many characters"


def gradio_or_skip():
    return pytest.importorskip("gradio", reason="the page is gradio's (extra demo)", exc_type=ImportError)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """The folder of a quickstart: two classifiers and an autoencoder, with random weights."""
    folder = tmp_path_factory.mktemp("quickstart") / "seed0"
    for name in ("finetune", "scratch"):
        write_run(folder / name, read_config(["--config=motion_finetune"]), 8, motion_videos.CLASSES)
    write_run(folder / "pretrain", read_config(["--config=motion_pretrain"]), 0)
    for name in ("finetune", "pretrain"):
        (folder / name / "results.json").write_text("{}")
    return folder


def test_without_gradio_the_message_names_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", "--model", "x"]) == 2
    assert capsys.readouterr().err == "vidjax: vidjax demo needs gradio; pip install 'vidjax[demo]'\n"


def test_a_model_with_a_text_tower_takes_the_classes_of_a_visitor(tmp_path):
    write_clip(tmp_path)
    [reader] = demo.load_models([str(tmp_path)]).all
    assert isinstance(reader, Reader)
    classifier = reader.classifier("riding a bike\n\n cooking\n")
    assert classifier.model.labels == ("riding a bike", "cooking")
    assert reader.classifier("riding a bike\ncooking") is classifier
    assert reader.attention_sizes() == {"space": (2, 4)}  # of the video tower
    for words, message in (
        ("cooking", "'cooking' is the only class"),
        ("a\nb\na", "'a' is both class 1 and class 3"),
        ("\n".join(map(str, range(101))), "101 classes are named, but this page takes at most 100"),
    ):
        with pytest.raises(ConfigError, match=message):
            reader.classifier(words)


def test_models_are_sorted_by_what_they_can_do(runs):
    models = demo.load_models([str(runs / name) for name in ("pretrain", "finetune", "scratch")])
    assert [model.name for model in models.classifiers] == ["finetune", "scratch"]
    assert [type(model) for model in models.all] == [Classifier, Classifier, Autoencoder]
    assert not models.captioners
    assert all(str(runs) not in note for model in models.all for note in (*model.notes, model.about))


def test_a_regression_is_described_by_its_values(tmp_path):
    write_run(tmp_path / "run", read_config(["--config=motion_regression"]), 2, ("valence", "arousal"))
    [model] = demo.load_models([str(tmp_path / "run")]).all
    assert model.about.startswith("videomae, 2 values, 0.5 M parameters")


def test_a_captioner_that_writes_no_captions_is_rejected(runs):
    with pytest.raises(WeightsError, match="generates no captions"):
        demo.load_models([str(runs / "finetune")], captioner=str(runs / "finetune"))


def test_without_a_model_the_quickstarts_finished_runs_are_shown(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starter, "QUICKSTART", str(runs.parent))
    assert demo.starter_runs() == [str(runs / "finetune"), str(runs / "pretrain")]  # scratch is still being trained
    assert "no --model is given: the page shows" in capsys.readouterr().err


def test_without_a_quickstart_a_tiny_model_is_trained_once(tmp_path, monkeypatch):
    from vidjax.training import loop

    trained = []

    def train(config, workdir):
        trained.append((config.task, config.data.eval_split, config.train.steps))
        write_run(workdir, config, 8, motion_videos.CLASSES)
        (workdir / "results.json").write_text("{}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "train", train)
    found = demo.starter_runs()
    assert found == ["runs/demo/scratch"]
    assert trained == [("classification", "test", 300)]
    assert demo.starter_runs() == found
    assert len(trained) == 1


def test_the_page_states_the_accuracy_of_a_run_if_known(runs, tmp_path):
    shutil.copytree(runs / "scratch", tmp_path / "scored")
    figures = {"eval/top1": 0.807, "eval/num_expected": 512, "eval/constant_top1": 0.125}
    (tmp_path / "scored" / "results.json").write_text(json.dumps(figures))
    models = demo.load_models([str(tmp_path / "scored"), str(runs / "finetune"), str(runs / "scratch")])
    scored, empty, none = (model.record for model in models.classifiers)
    assert (
        scored == "scored was right on 80.7% of the 512 videos in val; the same answer for all would be right on 12.5%."
    )
    assert empty == none == ""


def test_a_run_that_was_never_right_is_not_of_unknown_accuracy(runs, tmp_path):
    shutil.copytree(runs / "scratch", tmp_path / "wrong")
    figures = {"eval/top1": 0.0, "eval/num_expected": 8, "eval/constant_top1": 0.125}
    (tmp_path / "wrong" / "results.json").write_text(json.dumps(figures))
    [model] = demo.load_models([str(tmp_path / "wrong")]).classifiers
    assert model.record.startswith("wrong was right on 0.0% of the 8 videos in val")


@pytest.mark.slow
def test_a_page_without_a_model_trains_one_and_leaves_nothing_when_it_is_stopped(tmp_path, monkeypatch):
    """Started in an empty folder; its accuracy is far above chance, 12.5 %."""
    gradio_or_skip()
    (tmp_path / "tmp").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    page = subprocess.Popen(
        [sys.executable, "-m", "vidjax.cli", "demo", "--port", str(port)], cwd=tmp_path,
        env=environment | {"TMPDIR": str(tmp_path / "tmp")}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    until, served = time.monotonic() + 1500, False
    while not served:
        assert page.poll() is None
        assert time.monotonic() < until
        time.sleep(1)
        try:
            served = b"gradio" in urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).read()
        except OSError:
            continue
    assert list((tmp_path / "tmp").glob("vidjax-demo-*"))
    page.send_signal(signal.SIGTERM)
    assert page.wait(30) == 143
    assert [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()] == []
    assert json.loads((tmp_path / "runs/demo/scratch/results.json").read_text())["eval/top1"] > 0.6


class Page:
    """A page that records how it would be served instead of serving."""

    def queue(self, **options):
        self.queued = options

    def launch(self, **options):
        self.launched = options


@pytest.fixture
def page(monkeypatch):
    """Return how the page would be served, without serving it."""
    gradio_or_skip()
    from vidjax.demo import page as built

    page = Page()
    monkeypatch.setattr(built, "build_page", lambda models, uploads, made, searched: page)
    monkeypatch.setattr(demo, "load_models", lambda sources, captioner: None)
    monkeypatch.delenv(demo.PASSWORD, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    return page


def test_a_public_page_is_refused_without_a_password(page, monkeypatch, capsys):
    assert main(["demo", "--model", "x", "--share"]) == 2
    assert "needs a password: set VIDJAX_DEMO_PASSWORD" in capsys.readouterr().err
    for short in ("", "elevenchars"):
        monkeypatch.setenv(demo.PASSWORD, short)
        assert main(["demo", "--model", "x", "--share"]) == 2
        assert f"a password of {len(short)} characters is too short; use at least 12" in capsys.readouterr().err
    assert not hasattr(page, "launched")


def test_a_public_page_has_the_password_of_the_environment(page, monkeypatch):
    monkeypatch.setenv(demo.PASSWORD, WORD)
    assert main(["demo", "--model", "x", "--share"]) == 0
    assert page.launched["share"] is True
    assert page.launched["auth"] == ("demo", WORD)


def test_the_password_is_asked_for_at_a_terminal_and_not_shown():
    """Run in a separate terminal, because getpass reads from it."""
    script = "from vidjax.cli.verbs.demo import ask_password; print(len(ask_password()))"
    ours, theirs = pty.openpty()
    with open(ours, "r+b", buffering=0) as terminal:
        asking = subprocess.Popen(
            [sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        shown = b""
        while b"characters: " not in shown:
            shown += terminal.read(100)
        terminal.write(WORD.encode() + b"\n")
        assert asking.wait(60) == 0
        shown += terminal.read(1000)
    assert str(len(WORD)).encode() in shown
    assert WORD.encode() not in shown


def test_every_page_has_limits_and_is_served_to_this_machine(page, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SHARE", "True")
    assert main(["demo", "--model", "x", "--max-mb", "5"]) == 0
    expected = {"server_name": "127.0.0.1", "share": False, "max_file_size": 5 << 20}
    assert page.launched.items() >= expected.items()
    assert page.queued == {"max_size": 16, "default_concurrency_limit": 1, "api_open": False}


def test_a_page_is_reachable_from_elsewhere_only_with_host(page):
    assert main(["demo", "--model", "x", "--host", "0.0.0.0"]) == 0
    assert page.launched.items() >= {"server_name": "0.0.0.0", "share": False}.items()


@pytest.mark.parametrize("words", [("--max-mb", "0"), ("--max-seconds", "-1")])
def test_limits_must_be_positive_numbers(words, capsys):
    assert main(["demo", "--model", "x", *words]) == 2
    assert "must be above 0" in capsys.readouterr().err


def test_a_served_page_keeps_strangers_and_large_files_out(monkeypatch):
    gradio = gradio_or_skip()
    with serving.own_folder() as folder:
        served = gradio.Interface(lambda path: path, "text", "text", flagging_mode="never", analytics_enabled=False)
        launch = served.launch
        monkeypatch.setattr(
            served, "launch", lambda **options: launch(**options | {"share": False}, prevent_thread_lock=True)
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        serving.serve(served, Limits(megabytes=1), port, WORD)
        try:
            _knock(served.local_url, folder)
        finally:
            served.close()
    assert not folder.exists()


def _knock(url, folder):
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def code(path, form="", files=()):
        parts = "".join(
            f'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n{f}\r\n' for f in files
        )
        body = (form or parts + "--x--\r\n").encode()
        kind = "application/x-www-form-urlencoded" if form else "multipart/form-data; boundary=x"
        request = urllib.request.Request(url + path, body, {"Content-Type": kind})
        try:
            return opener.open(request, timeout=30).status
        except urllib.error.HTTPError as error:
            return error.code

    assert code("gradio_api/upload", files=["small"]) == 401
    assert code("login", "username=demo&password=wrong") == 400
    assert code("gradio_api/upload", files=["small"]) == 401
    assert code("login", f"username=demo&password={WORD.replace(' ', '+')}") == 200
    assert code("gradio_api/upload", files=["small"]) == 200
    assert code("gradio_api/upload", files=["x" * (2**20 + 1)]) == 413
    received = pathlib.Path(folder, serving.RECEIVED)
    assert max(path.stat().st_size for path in received.rglob("*")) < 10**5
