"""`vidjax demo`: serve a browser page where you drop a video and see what a model sees in it.

It shows what the given models can do: answers with a timeline, reconstructions of a masked autoencoder, a caption,
attention, two models side by side, or the moments of an index that are like the video. It needs gradio (extra `demo`).
The page is visible on this machine only, unless --host opens it to others or --share, which requires a password, gets a
public address from gradio. Uploads are limited in bytes, seconds and pixels, and one video is processed at a time.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from typing import TYPE_CHECKING

from vidjax.cli import load_model, paths
from vidjax.cli.terminal import say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError
from vidjax.progress import progress

if TYPE_CHECKING:
    from vidjax.demo.models import Models
    from vidjax.demo.moments import Searched

PASSWORD = "VIDJAX_DEMO_PASSWORD"  # an environment variable
SHORTEST = 12  # characters of a password
_MEGABYTES, _SECONDS = 200, 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    about = f"a classifier, autoencoder, captioner or model with a text tower: {load_model.HELP}; may be repeated; two "
    about += (
        "classifiers can be compared (default, unless --captioner or --index is given: the quickstart's runs, or a "
        "tiny model trained for the page)"
    )
    add("--model", action="append", default=[], metavar="SOURCE", help=about)
    add("--captioner", metavar="RUN", help="a captioner: the folder of a run of task=captioning")
    about = "an index to search, by the visitor's video or, if its model has a text tower, in words: the folder that "
    about += "`vidjax index` wrote"
    add("--index", metavar="INDEX", help=about)
    add("--port", type=int, default=7860, help="port of the page (7860)")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 opens it to all networks, as on a Hugging Face Space (127.0.0.1)",
    )
    about = "get a public address from gradio; visitors log in as 'demo' with the password in the environment "
    about += f"variable {PASSWORD}, or one that you are asked for"
    add("--share", action="store_true", help=about)
    add("--max-mb", type=int, default=_MEGABYTES, metavar="N", help=f"largest file, in MiB ({_MEGABYTES})")
    add("--max-seconds", type=int, default=_SECONDS, metavar="N", help=f"longest video, in seconds ({_SECONDS})")


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until it is interrupted."""
    from vidjax.demo import serving
    from vidjax.demo.limits import Limits

    limits = Limits(megabytes=arguments.max_mb, seconds=arguments.max_seconds)
    with serving.own_folder() as folder:  # before importing gradio, which creates a temporary folder
        check_gradio()
        from vidjax.demo import examples
        from vidjax.demo.page import build_page, style
        from vidjax.demo.uploads import Uploads

        password = ask_password() if arguments.share else ""
        sources = [*arguments.model, *([arguments.captioner] if arguments.captioner else [])]
        searched = load_index(arguments.index) if arguments.index else None
        models = load_models(sources or ([] if searched else starter_runs()), arguments.captioner)
        uploads = Uploads(folder / serving.RECEIVED, limits)
        page = build_page(models, uploads, examples.make_examples(folder), searched)
        with uploads.kept_swept():
            try:
                serving.serve(page, limits, arguments.port, password, arguments.host, **style())
            except OSError as error:  # gradio's message names the port
                raise ConfigError(f"{error}; give another --port") from error
    return 0


def check_gradio() -> None:
    """Raise a ConfigError if gradio is missing."""
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(f"vidjax demo needs {error.name}; pip install 'vidjax[demo]'") from error


def ask_password() -> str:
    """Return the password of a public page, from the environment or a hidden prompt.

    Raises:
      ConfigError: when there is no terminal to prompt on, or the password is too short.
    """
    password = os.environ.get(PASSWORD)
    if password is None:
        if not sys.stdin.isatty():
            raise ConfigError(
                f"--share puts the page on a public address, which needs a password: set {PASSWORD}, or start the "
                "demo in a terminal to be asked for one"
            )
        password = getpass.getpass(f"password of the public page, at least {SHORTEST} characters: ")
    if len(password) < SHORTEST:
        raise ConfigError(f"a password of {len(password)} characters is too short; use at least {SHORTEST}")
    return password


def starter_runs() -> list[str]:
    """Return the models of a page without --model: the quickstart's, or a tiny one trained now or by an earlier call.

    Raises:
      ConfigError: when a model must be trained but its folder cannot be written.
    """
    from vidjax.demo import starter

    for folder in (starter.QUICKSTART, starter.OWN):
        if runs := starter.find_runs(folder):
            say(f"no --model is given: the page shows {', '.join(runs)}")
            return runs
    paths.check_writable(starter.OWN)
    say(f"no --model is given: a tiny one is trained in {starter.OWN}, once, in about a minute on two cores")
    return starter.train_run(starter.OWN)


def load_models(sources: list[str], captioner: str | None = None) -> Models:
    """Load models and sort them by what they can do.

    Raises:
      WeightsError: when a source is not a model or has nothing to show, or when a captioner cannot write captions.
    """
    from vidjax.demo.models import Autoencoder, Captioner, Classifier, Models, Reader, names_of

    found: dict[type, list] = {Classifier: [], Autoencoder: [], Captioner: [], Reader: []}
    for source, name in zip(sources, names_of(sources), strict=True):
        model = load_model.load(source)
        if source == captioner:
            load_model.check_captioner(model, source)
        if load_model.is_captioner(model):
            kind = Captioner
        elif load_model.is_autoencoder(model):
            kind = Autoencoder
        elif load_model.reads_texts(model):
            kind = Reader
        else:
            load_model.check_classifier(model, source)
            kind = Classifier
        found[kind].append(kind(model, name))
    return Models(*(tuple(models) for models in found.values()))


def load_index(folder: str) -> Searched:
    """Read an index and its model.

    Raises:
      DataError: when the folder is not an index, or it is damaged or empty.
      WeightsError: when its model cannot be read.
      ConfigError: when its model has changed.
    """
    from vidjax.demo.models import names_of
    from vidjax.demo.moments import Searched
    from vidjax.search.queries import Asker
    from vidjax.search.search_index import SearchIndex

    with progress(f"reading {folder}") as advance:
        index = SearchIndex.open(folder, on_video=advance)
    return Searched(index, Asker.load(index.header, folder), names_of([folder])[0])


VERB = Verb(__doc__, add_arguments, run, "vidjax demo --model=runs/finetune")
