"""The example in each verb's help runs as printed, in a folder that holds what it names.

Small files of random weights stand for the hub's models, and `/data` is a folder of the test.
"""

import glob
import pathlib
import re
import shlex
import shutil

import numpy as np
import pytest
import real_clips
from feature_files import write_store
from random_runs import write_run
from saved_runs import make_config

from vidjax import config as config_lib
from vidjax.cli import VERBS, main
from vidjax.main import read_config

NOT_RUN = {
    "bench": "minutes of measuring; tests/bench runs its parts",
    "compile": "compiles for a TPU with libtpu; tests/aot compiles smaller steps",
    "demo": "serves a page until it is stopped; tests/cli/test_demo.py does",
    "quickstart": "minutes of training; tests/cli/test_quickstart.py runs it with --smoke",
    "search": "needs an index of a model with a text tower; tests/search/test_search_index.py has one",
    "serve": "serves until it is stopped; tests/serving/test_serve.py does",
    "watch": "needs a camera; tests/cli/test_watch.py watches streams and files",
}
CODES = {"check": 1}  # three clips are not all of Kinetics-400
RUN = [verb for verb in VERBS if verb not in NOT_RUN]
LABELS = ("circle", "down", "left", "right", "up")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, classifier, autoencoder):
    """A folder with everything that the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    real_clips.write_clips(folder / "data/videos", 10)
    (folder / "videos").mkdir()
    for path in sorted((folder / "data/videos").rglob("*.mp4"))[:2]:
        shutil.copy(path, folder / "videos")
    shutil.copy(path, folder / "video.mp4")
    _write_kinetics(folder / "data/k400", path)
    (folder / "MCG-NJU").mkdir()
    shutil.copytree(classifier, folder / "MCG-NJU/videomae-base-finetuned-kinetics")
    shutil.copytree(autoencoder, folder / "MCG-NJU/videomae-base")
    for seed, name in enumerate(("finetune", "scratch")):
        write_run(folder / "runs" / name, make_config(seed=seed), len(LABELS), LABELS)
    write_run(folder / "runs/pretrain", read_config(["--config=motion_pretrain"]), 0)
    _write_captioner(folder / "runs/captions")
    labels = np.arange(20) % 2
    for split in ("train", "val"):
        features = np.random.default_rng(len(split)).normal(labels[:, None], 1, (20, 6))
        write_store(folder / "features" / split, split, {"pooled": features}, labels=labels)
    return folder


def _write_kinetics(root: pathlib.Path, video: pathlib.Path) -> None:
    """One clip per split in Kinetics-400's official layout."""
    for split in ("train", "val", "test"):
        target = root / split / "dQw4w9WgXcQ_000010_000020.mp4"
        target.parent.mkdir(parents=True)
        shutil.copy(video, target)
        columns = "label,youtube_id,time_start,time_end,split"
        (root / f"{split}.csv").write_text(f"{columns}\njuggling,dQw4w9WgXcQ,10,20,{split}\n")


def _write_captioner(folder: pathlib.Path) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="it writes a tokenizer.json (extra: test)")
    words = tokenizers.ByteLevelBPETokenizer()
    words.train_from_iterator(["a digit moves"], 300, special_tokens=["<|endoftext|>"], show_progress=False)
    keys = {"caption.vocab_size": words.get_vocab_size(), "caption.end_token": 0, "caption.num_tokens": 8}
    write_run(folder, config_lib.with_keys(read_config(["--config=motion_caption"]), keys), 0)
    words.save(str(folder / "tokenizer.json"))


def test_every_example_is_run_or_has_a_reason_and_a_test():
    assert not NOT_RUN.keys() - VERBS.keys()
    root = pathlib.Path(__file__).parents[2]
    for reason in NOT_RUN.values():
        assert all((root / path).exists() for path in re.findall(r"tests/\S+", reason)), reason


@pytest.mark.slow
@pytest.mark.parametrize("verb", RUN)
def test_the_example_of_a_verb_runs(verb, prepared, tmp_path, monkeypatch, capsys):
    shutil.copytree(prepared, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    if verb == "embed":
        shutil.rmtree("features")  # the example writes them
    words = []
    for word in shlex.split(VERBS[verb].example)[1:]:
        word = re.sub("(^|=)/data/", rf"\1{tmp_path}/here/data/", word)
        words += sorted(glob.glob(word)) if "*" in word else [word]
    assert main(words) == CODES.get(verb, 0), capsys.readouterr().err
    for word in words:  # what an option such as --out names is there
        option, _, path = word.partition("=")
        if option in ("--out", "--charts", "--copy"):
            assert pathlib.Path(path).exists(), word
