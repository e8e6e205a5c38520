"""State shared by the page's tabs: the visitor's video, and the events that draw a tab."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from vidjax.data.video.strangers import refusal
from vidjax.demo import parts
from vidjax.demo.uploads import Uploads
from vidjax.errors import OutputError, VideoError

_numbers = itertools.count()
PROGRESS = gr.Progress()  # as a default argument, it makes gradio pass the call's progress bar


@dataclasses.dataclass(frozen=True)
class Step:
    """A part of a tab that one call draws.

    Attributes:
      draw: maps the visitor's video, a progress callback and the values of `inputs` to the values of `outputs`.
      outputs: components to fill; the first shows progress and errors.
      inputs: controls that it depends on.
    """

    draw: Callable[..., Any]
    outputs: Sequence[gr.HTML]
    inputs: Sequence[Any] = ()
    number: int = dataclasses.field(default_factory=lambda: next(_numbers))


@dataclasses.dataclass(frozen=True)
class Site:
    """The page around its tabs.

    Attributes:
      uploads: videos of all visitors.
      current: name of the open tab.
      timeline: the timeline under the player.
      came: events after which a visitor has another video, or none.
    """

    uploads: Uploads
    current: gr.State
    timeline: gr.HTML
    came: list[Callable[..., Any]] = dataclasses.field(default_factory=list)

    def draws(self, tab: gr.Tab, name: str, steps: Sequence[Step], events: Sequence[Callable[..., Any]] = ()) -> None:
        """Draw a tab step by step when it is opened, and when the video changes while it is open.

        Args:
          events: events of the tab's controls that redraw the tab.
        """
        opened = tab.select(lambda: name, outputs=self.current, show_progress="hidden", api_visibility="private")
        for then in (*self.came, opened.then, *events):
            again = then in events
            for step in steps:
                then = self._on(then, name, step, again).then

    def _on(self, event: Callable[..., Any], name: str, step: Step, again: bool) -> Any:
        """Register a step to be drawn on an event."""

        def call(request: gr.Request, progress: gr.Progress = PROGRESS, current: str = "", *values: Any):
            upload = self.uploads.of(str(request.session_hash))
            if current != name or (upload and step.number in upload.drawn and not again):
                return gr.skip()
            blank = ("",) * (len(step.outputs) - 1)
            if upload is None:
                return "", *blank
            try:
                drawn = step.draw(upload, progress, *values)
            except VideoError as error:
                return parts.notes([f"{refusal(error, upload.name, upload.path)}."], "error"), *blank
            except OutputError as error:
                return parts.notes([f"{error}."], "error"), *blank
            upload.drawn.add(step.number)
            return drawn

        return event(
            call,
            [self.current, *step.inputs],
            list(step.outputs),
            show_progress_on=step.outputs[0],
            trigger_mode="always_last",
            concurrency_limit=1,
            concurrency_id="models",
            api_visibility="private",
        )
