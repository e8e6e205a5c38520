"""Write a short document of text, tables and pictures as Markdown with relative links, and as a single HTML file.

The HTML needs no other file and no network: pictures are inlined, and there are no scripts. Names of classes and videos
are escaped.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import os
import pathlib
from collections.abc import Sequence

from vidjax.errors import printable
from vidjax.files import Place, located, write_whole

REPORT, PAGE = "report.md", "report.html"
_FOLDED = 25  # the HTML folds tables of at least this many rows
_STYLE = (
    "body{max-width:64rem;margin:auto;padding:0 1rem 3rem;font:16px/1.5 system-ui,sans-serif;color:#222}"
    "h1{margin-bottom:.2rem}h2{margin-top:2.2rem;border-bottom:2px solid #eee}"
    "nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.9rem;margin-bottom:1rem}a{color:#1a5fb4}"
    ".table{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}"
    "td,th{overflow-wrap:break-word;max-width:26rem}"
    "td,th{padding:.3rem .5rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}"
    "th{vertical-align:bottom;white-space:nowrap}meter{width:min(10rem,18vw)}summary{cursor:pointer;color:#1a5fb4}"
    "img{max-width:100%}figure{margin:1rem 0}figcaption{color:#555;font-size:.9rem}"
    ".figures{display:flex;flex-wrap:wrap;gap:.5rem 2.5rem;margin:1rem 0;color:#555;font-size:.9rem}"
    ".figures b{display:block;font-size:2rem;line-height:1.2;color:#222}"
    ".zoom{overflow:auto;max-height:92vh}.zoom img{cursor:zoom-in}"
    ".zoom :checked+img{max-width:none;cursor:zoom-out}"
    ".gallery{display:flex;flex-wrap:wrap;gap:1rem}.gallery figure{margin:0;width:9.5rem;overflow-wrap:anywhere}"
    ".gallery img{width:100%;image-rendering:auto}"
    "pre{background:#f5f5f5;padding:1rem;white-space:pre-wrap;overflow-wrap:anywhere}"
    "@media(max-width:40rem){h1{font-size:1.6rem}.zoom img{max-width:none;min-width:38rem}}"  # charts scroll on a phone
)


@dataclasses.dataclass(frozen=True)
class Heading:
    """The title of a section."""

    text: str

    def markdown(self, folder: Place) -> str:
        return f"## {self.text}"

    def html(self) -> str:
        return f"<h2>{html.escape(self.text)}</h2>"


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str

    def markdown(self, folder: Place) -> str:
        return self.text

    def html(self) -> str:
        return f"<p>{html.escape(self.text)}</p>"


@dataclasses.dataclass(frozen=True)
class Code:
    """Preformatted text, such as a command."""

    text: str

    def markdown(self, folder: Place) -> str:
        return f"```\n{self.text}\n```"

    def html(self) -> str:
        return f"<pre>{html.escape(self.text)}</pre>"


@dataclasses.dataclass(frozen=True)
class Figures:
    """The main figures of a report, in large print.

    Attributes:
      values: pairs of a formatted number and its name.
    """

    values: Sequence[tuple[str, str]]

    def markdown(self, folder: Place) -> str:
        return ", ".join(f"**{value}** {name}" for value, name in self.values)

    def html(self) -> str:
        shown = (f"<div><b>{html.escape(value)}</b>{html.escape(name)}</div>" for value, name in self.values)
        return f'<div class="figures">{"".join(shown)}</div>'


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells under column names.

    Attributes:
      shares: numbers between 0 and 1, one per row, which the HTML shows as bars.
      folds: whether the HTML folds a long table until it is clicked.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    shares: Sequence[float] = ()
    folds: bool = True

    def markdown(self, folder: Place) -> str:
        lines = [
            [" ".join(cell.replace("|", r"\|").split("\n")) for cell in line] for line in [self.columns, *self.rows]
        ]
        lines.insert(1, ["---"] * len(self.columns))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def html(self) -> str:
        def line(cells, tag, bar=""):
            shown = (html.escape(cell).replace("/", "/<wbr>") for cell in cells)  # names and paths break after a slash
            return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in shown) + f"{bar}</tr>"

        bars = [f'<td><meter value="{share:.4f}"></meter></td>' for share in self.shares] or [""] * len(self.rows)
        rows = "".join(line(row, "td", bar) for row, bar in zip(self.rows, bars, strict=True))
        table = f'<div class="table"><table>{line(self.columns, "th")}{rows}</table></div>'
        if len(self.rows) < _FOLDED or not self.folds:
            return table
        return f"<details><summary>all {len(self.rows)} rows</summary>{table}</details>"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG, GIF or WebP with a caption.

    Attributes:
      zooms: whether a click in the HTML shows it in full size, in a box that scrolls.
    """

    path: Place
    caption: str
    zooms: bool = False

    def markdown(self, folder: Place) -> str:
        link = pathlib.PurePath(os.path.relpath(self.path, folder)).as_posix().replace(" ", "%20")
        return f"![{self.caption}]({link})\n\n*{self.caption}*"

    def html(self) -> str:
        kind, caption = self.path.suffix.removeprefix("."), html.escape(self.caption)
        data = base64.b64encode(self.path.read_bytes()).decode()
        image = f'<img alt="{caption}" src="data:image/{kind};base64,{data}">'
        if self.zooms:
            image = f'<div class="zoom"><label><input type="checkbox" hidden>{image}</label></div>'
        words = caption.replace("/", "/<wbr>")  # paths break after a folder
        return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Small pictures, side by side in the HTML."""

    pictures: Sequence[Picture]

    def markdown(self, folder: Place) -> str:
        return "\n\n".join(picture.markdown(folder) for picture in self.pictures)

    def html(self) -> str:
        return f'<div class="gallery">{"".join(picture.html() for picture in self.pictures)}</div>'


Block = Heading | Text | Code | Figures | Table | Picture | Gallery


def write_document(folder: str | os.PathLike, title: str, blocks: Sequence[Block]) -> Place:
    """Write report.md and report.html into a folder; return the path of report.md."""
    folder = located(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT
    text = "\n\n".join([f"# {title}", *(block.markdown(folder) for block in blocks)]) + "\n"
    write_whole(path, printable(text))
    write_whole(folder / PAGE, html_page(title, blocks))
    return path


def html_page(title: str, blocks: Sequence[Block]) -> str:
    """The document as one HTML page, which begins with links to its sections."""
    sections = [block.text for block in blocks if isinstance(block, Heading)]
    links = "".join(f'<a href="#s{number}">{html.escape(text)}</a>' for number, text in enumerate(sections))
    body, number = [f"<h1>{html.escape(title)}</h1><nav>{links}</nav>"], 0
    for block in blocks:
        shown = block.html()
        if isinstance(block, Heading):
            shown, number = shown.replace("<h2>", f'<h2 id="s{number}">', 1), number + 1
        body.append(shown)
    about = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"{about}<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    lines = "\n".join(body)
    return printable(f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{lines}</body></html>\n')
