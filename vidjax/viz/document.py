"""A short document of text, tables and pictures, as Markdown with relative links and as a single HTML file."""

from __future__ import annotations

import base64
import dataclasses
import html
import os
import pathlib
from collections.abc import Sequence

from vidjax.files import Place, located, write_whole

REPORT = "report.md"
_STYLE = (
    "body{max-width:60rem;margin:auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.3rem .8rem;border-bottom:1px solid #ddd;text-align:left}"
    "img{max-width:100%}figure{margin:1rem 0}figcaption{color:#555;font-size:.9rem}"
    "pre{background:#f5f5f5;padding:1rem;white-space:pre-wrap;overflow-wrap:anywhere}"
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
    """Something to be read or typed letter by letter."""

    text: str

    def markdown(self, folder: Place) -> str:
        return f"```\n{self.text}\n```"

    def html(self) -> str:
        return f"<pre>{html.escape(self.text)}</pre>"


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells under their column names."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self, folder: Place) -> str:
        lines = [[cell.replace("|", r"\|") for cell in line] for line in [self.columns, *self.rows]]
        lines.insert(1, ["---"] * len(self.columns))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def html(self) -> str:
        def line(cells, tag):
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        return f"<table>{line(self.columns, 'th')}{''.join(line(row, 'td') for row in self.rows)}</table>"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG or GIF with its caption."""

    path: Place
    caption: str

    def markdown(self, folder: Place) -> str:
        link = pathlib.PurePath(os.path.relpath(self.path, folder)).as_posix().replace(" ", "%20")
        return f"![{self.caption}]({link})\n\n*{self.caption}*"

    def html(self) -> str:
        kind, caption = self.path.suffix.removeprefix("."), html.escape(self.caption)
        data = base64.b64encode(self.path.read_bytes()).decode()
        image = f'<img alt="{caption}" src="data:image/{kind};base64,{data}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


Block = Heading | Text | Code | Table | Picture


def write_document(folder: str | os.PathLike, title: str, blocks: Sequence[Block]) -> Place:
    """Write report.md and report.html into the folder; returns the path of report.md."""
    folder = located(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT
    write_whole(path, "\n\n".join([f"# {title}", *(block.markdown(folder) for block in blocks)]) + "\n")
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *(block.html() for block in blocks)])
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    write_whole(
        folder / "report.html", f"<!doctype html><html lang='en'><head>{head}</head><body>{body}</body></html>\n"
    )
    return path
