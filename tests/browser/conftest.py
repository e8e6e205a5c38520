"""Fixtures that serve the page of `vidjax demo` in a separate process and open it in the system's Chromium."""

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import tokenizers
from random_runs import write_run

from vidjax import config as config_lib
from vidjax.data import motion_videos
from vidjax.main import read_config

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MEGABYTES = 4  # upload limit of the page
PATIENCE, START = 120, 400  # timeouts in seconds, for a busy machine


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="drives the browser (make test-browser)")
    pytest.importorskip("gradio", reason="the page is gradio's (extra demo)", exc_type=ImportError)
    if not CHROMIUM:
        pytest.skip("there is no Chromium; apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclasses.dataclass
class Site:
    """A served page.

    Attributes:
      megabytes: that a file may have.
      temporary: the folder that its process takes for temporary files; log: what it has printed.
    """

    url: str
    megabytes: int
    temporary: Path
    log: Path
    process: subprocess.Popen

    def said(self) -> str:
        return self.log.read_text()

    def kept(self) -> float:
        """Megabytes on the disk, in temporary files."""
        return sum(path.stat().st_size for path in self.temporary.rglob("*") if path.is_file()) / 1e6


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folders of two classifiers, an autoencoder, a regression and a captioner with random weights."""
    folder = tmp_path_factory.mktemp("secret-place")
    labels = motion_videos.CLASSES
    for name in ("first", "second"):
        config = config_lib.with_keys(read_config(["--config=motion_finetune"]), {"seed": len(name)})
        write_run(folder / name, config, len(labels), labels, scale=0.2 if name == "first" else 0.3)
    write_run(folder / "hider", read_config(["--config=motion_pretrain"]), 0)
    write_run(folder / "numbers", read_config(["--config=motion_regression"]), 2, ("valence", "arousal"))
    words = tokenizers.ByteLevelBPETokenizer()
    words.train_from_iterator(["a white digit moves"], 300, special_tokens=["<|endoftext|>"], show_progress=False)
    captions = {"caption.vocab_size": words.get_vocab_size(), "caption.end_token": 0, "caption.num_tokens": 8}
    write_run(folder / "words", config_lib.with_keys(read_config(["--config=motion_caption"]), captions), 0)
    words.save(str(folder / "words" / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """Serve a page with options of the verb; all pages are stopped at the end."""
    sites = []

    def start(*options):
        place = tmp_path_factory.mktemp("site")
        temporary = place / "tmp"
        temporary.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [sys.executable, "-m", "vidjax.cli", "demo", "--port", str(port), "--max-mb", str(MEGABYTES), *options]
        environment = os.environ | {"TMPDIR": str(temporary), "VIDJAX_COMPILE_CACHE": str(place / "compiled")}
        environment.pop("XLA_FLAGS", None)
        with open(place / "log", "w") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, env=environment, cwd=place)
        site = Site(f"http://127.0.0.1:{port}/", MEGABYTES, temporary, place / "log", process)
        sites.append(site)
        until = time.monotonic() + START
        while True:
            try:
                urllib.request.urlopen(site.url, timeout=5).read()
                return site
            except OSError:
                assert process.poll() is None, site.said()
                assert time.monotonic() < until, site.said()
                time.sleep(0.2)

    yield start
    for site in sites:
        site.process.terminate()
        site.process.wait(30)


@pytest.fixture(scope="session")
def site(browser, serve, runs):
    """A page with two classifiers and an autoencoder."""
    return serve(*(f"--model={runs / name}" for name in ("first", "second", "hider")))


@pytest.fixture
def visit(browser, site):
    """Open a page as a new visitor; every request must go to the page's own host."""
    contexts, elsewhere = [], []

    def open_page(where=site, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("request", lambda request: elsewhere.append(request.url) if _is_foreign(request.url) else None)
        page.goto(where.url)
        page.get_by_text("Drop a video, record one").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert elsewhere == []


def _is_foreign(url):
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
