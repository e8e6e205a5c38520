"""`vidjax demo` answers on its page what `vidjax predict` prints; what it lacks is one sentence."""

import json
import sys

import pytest

from vidjax.cli import main
from vidjax.cli.verbs import demo


def gradio_or_skip():
    return pytest.importorskip("gradio", reason="the page is gradio's (extra demo)", exc_type=ImportError)


def test_without_gradio_it_says_what_to_install(classifier, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", "--model", classifier]) == 2
    assert capsys.readouterr().err == "vidjax: vidjax demo needs gradio; pip install 'vidjax[demo]'\n"


def test_without_a_model_there_is_nothing_to_show(capsys):
    assert main(["demo"]) == 2
    assert "needs --model SOURCE, --captioner RUN, or both" in capsys.readouterr().err


def test_the_page_gives_the_classes_that_predict_prints(classifier, videos, capsys):
    gradio_or_skip()
    page = demo.build_page(classifier, None)
    assert main(["predict", videos[0], "--model", classifier, "--json"]) == 0
    [expected] = json.loads(capsys.readouterr().out)
    assert page.fn(videos[0]) == {line["label"]: line["probability"] for line in expected["top"]}


def test_a_file_that_is_no_video_is_told_on_the_page(classifier, tmp_path):
    gradio = gradio_or_skip()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    page = demo.build_page(classifier, None)
    for upload, told in ((None, "upload a video first"), (str(broken), "broken.mp4")):
        with pytest.raises(gradio.Error, match=told):
            page.fn(upload)


def test_an_autoencoder_has_no_page(autoencoder, capsys):
    gradio_or_skip()
    assert main(["demo", "--model", autoencoder]) == 2
    assert "knows no classes" in capsys.readouterr().err
