"""`vidjax search`: find the moments of an index that a text, a video or a picture describes.

It prints the best moments with their video, time and score and, on request, writes a page that plays them. Windows that
show the same moment are listed once. A query video that is itself in the index is left out of the results.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import TYPE_CHECKING, Any

from vidjax.cli import load_model, paths
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError, nearest_path
from vidjax.progress import progress
from vidjax.training.compile_cache import use_compile_cache

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32, Float64

    from vidjax.search.index_header import IndexHeader
    from vidjax.search.queries import Asker
    from vidjax.search.search_index import Moment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("index", metavar="INDEX", help="the folder that `vidjax index` wrote")
    add("text", nargs="?", metavar="TEXT", help="what happens, in words; needs an index of a model with a text tower")
    add("--video", metavar="FILE", help="find moments like any of this video's windows")
    add("--image", metavar="FILE", help="find moments like this picture")
    add("--top", type=int, default=10, metavar="N", help="maximum number of moments (10)")
    add("--per-video", type=int, default=0, metavar="N", help="maximum moments per video (no limit)")
    about = f"the model of the index, if it has moved: {load_model.HELP}"
    add("--model", default="", metavar="SOURCE", help=about)
    about = "of the clusters that `vidjax index --approximate` wrote, search only those nearest to the query"
    add("--approximate", action="store_true", help=about)
    add("--html", metavar="FILE", help="write a page, a single file, that plays the moments")
    about = "print {index, windows, videos, query, moments: [{video, start, end, score}]}; if the query is a video of "
    about += "several windows, each moment also has query: {start, end}, the window that it is like"
    add("--json", action="store_true", help=about)


@dataclasses.dataclass(frozen=True)
class _Query:
    """The one thing to search for: its kind, `text`, `video` or `image`, and its value."""

    kind: str
    value: str


def run(arguments: argparse.Namespace) -> int:
    """Print the best moments."""
    query = _query(arguments)
    for name, least in (("top", 1), ("per_video", 0)):
        if (value := getattr(arguments, name)) < least:
            raise ConfigError(f"--{name.replace('_', '-')}={value} must be at least {least}")
    _check_files(arguments.html, query)
    from vidjax.files import located
    from vidjax.search.queries import check_text
    from vidjax.search.search_index import SearchIndex, open_header

    header = open_header(located(arguments.index))
    if query.kind == "text":
        check_text(header, arguments.index)
    vectors, times = _vectors(_asker(arguments, header), query)
    with progress(f"reading {arguments.index}") as advance:
        index = SearchIndex.open(arguments.index, approximate=arguments.approximate, on_video=advance)
    own = [query.value] if query.kind == "video" else []
    if any(os.path.abspath(path) in index.videos for path in own):
        say(f"note: {query.value} is in the index, and is left out")
    found = index.search(vectors, arguments.top, per_video=arguments.per_video, without=own)
    moments = [_answer(moment, times) for moment in found]
    about = f"{len(index)} windows of {len(index.videos)} videos"
    if arguments.html:
        _write_page(
            arguments.html, query, moments, f"{about}, {header.feature} of {paths.shown(header.backbone['source'])}"
        )
    if arguments.json:
        counts = {"windows": len(index), "videos": len(index.videos)}
        print_json({"index": arguments.index, **counts, "query": {query.kind: query.value}, "moments": moments})
    else:
        _print_table(moments)
        say(f"the best of {about}; the score is a cosine, from -1 to 1")
    return 0


def _query(arguments: argparse.Namespace) -> _Query:
    """Return what to search for."""
    given = {"text": arguments.text, "video": arguments.video, "image": arguments.image}
    found = [_Query(kind, value) for kind, value in given.items() if value is not None]
    if len(found) != 1:
        what = " and ".join(query.kind for query in found) + " are given" if found else "nothing to search for is given"
        raise ConfigError(f"{what}; give one of a text, --video=FILE and --image=FILE")
    return found[0]


def _check_files(html: str | None, query: _Query) -> None:
    """Refuse a query file that is missing, and a page that cannot be written or would overwrite the query."""
    read = [] if query.kind == "text" else [query.value]
    for path in read:
        if not os.path.isfile(path):
            near = nearest_path(path)
            hint = f"did you mean {near}?" if near else "name a file"
            raise ConfigError(f"--{query.kind}={path} is not a file; {hint}")
    if html:
        if not html.endswith(".html") or os.path.isdir(html):
            raise ConfigError(f"--html={html} must name a file that ends in .html")
        paths.check_writable(os.path.dirname(html) or os.curdir)
        paths.check_none_is_read([html], read)


def _asker(arguments: argparse.Namespace, header: IndexHeader) -> Asker:
    """Load the model of the index."""
    from vidjax.search.queries import Asker

    use_compile_cache()
    with progress(f"reading {arguments.model or header.backbone['source']}"):
        return Asker.load(header, arguments.index, arguments.model)


def _vectors(asker: Asker, query: _Query) -> tuple[Float32[np.ndarray, "q d"], Float64[np.ndarray, "q 2"] | None]:
    """Compute the vectors of the query, and the times of its windows if it is a video."""
    if query.kind == "text":
        return asker.of_text(query.value), None
    if query.kind == "image":
        return asker.of_picture(query.value), None
    with progress(f"reading {query.value}") as advance:
        return asker.of_video(query.value, advance)


def _answer(moment: Moment, times: Float64[np.ndarray, "q 2"] | None) -> dict[str, Any]:
    """Return a moment as in the JSON answer."""
    part = {"start": round(moment.start, 4), "end": round(moment.end, 4)}
    found: dict[str, Any] = {"video": moment.video, **part, "score": round(moment.score, 4)}
    if times is not None and len(times) > 1:
        found["query"] = dict(zip(("start", "end"), times[moment.query].round(4).tolist(), strict=True))
    return found


def _print_table(moments: list[dict[str, Any]]) -> None:
    """Print one line per moment."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vidjax.search.page import clock

    asked = any("query" in moment for moment in moments)
    table = Table("", "score", "moment", *(["like the query's"] if asked else []))
    table.add_column("video", overflow="fold")
    for rank, moment in enumerate(moments, 1):
        like = [clock(moment["query"])] if asked else []
        path = Text(paths.shown(moment["video"]))
        table.add_row(str(rank), f"{moment['score']:.3f}", clock(moment), *like, path)
    Console().print(table)


def _write_page(path: str, query: _Query, moments: list[dict[str, Any]], about: str) -> None:
    from vidjax.files import make_folder, write_whole
    from vidjax.search.page import page

    with progress(f"writing {path}", len(moments), unit="moments") as advance:
        make_folder(os.path.dirname(path) or os.curdir)
        write_whole(path, page(query.kind, query.value, moments, about, advance))
    say(f"written: {path}")


VERB = Verb(__doc__, add_arguments, run, 'vidjax search indexes/videos "a dog jumps into water" --html=found.html')
