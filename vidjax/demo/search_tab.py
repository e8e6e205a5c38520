"""The tab that searches an index for moments like the visitor's video, or for what a text describes."""

from __future__ import annotations

import gradio as gr

from vidjax.demo import parts
from vidjax.demo.moments import Searched
from vidjax.demo.site import PROGRESS, Site, Step
from vidjax.demo.uploads import Tell, Upload
from vidjax.errors import UserError

_LONGEST = 300  # characters of a text


class SearchTab:
    """The moments of an index that are most like a query."""

    NAME = "Search"

    def __init__(self, site: Site, searched: Searched):
        """Lay out the tab."""
        self._site, self._searched = site, searched
        with gr.Tab(self.NAME) as self._tab:
            self._text = gr.Textbox(
                label="what happens, in words", max_length=_LONGEST, visible=searched.takes_text, elem_id="vj-search"
            )
            self._described = gr.HTML(elem_id="vj-described", visible=searched.takes_text)
            self._like = gr.HTML(elem_id="vj-like", min_height=60)

    def connect(self) -> None:
        """Register the drawing of the tab, and the search for a text."""
        self._site.draws(self._tab, self.NAME, [Step(self._draw, [self._like])])

        def search(text: str, progress: gr.Progress = PROGRESS) -> str:
            try:
                return self._searched.described(text, progress)
            except UserError as error:
                said = str(error).replace(self._searched.asker.model.source, "the model")
                return parts.notes([f"{said}."], "error")

        self._text.submit(
            search, self._text, self._described, show_progress_on=self._described, concurrency_limit=1,
            concurrency_id="models", api_visibility="private",
        )  # fmt: skip

    def _draw(self, upload: Upload, tell: Tell) -> str:
        return f"<h3>Moments like this video</h3>{self._searched.like(upload, tell)}"
