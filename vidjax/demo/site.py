"""What the tabs of the page share: the visitor's video, and when a tab is drawn."""

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
PROGRESS = gr.Progress()  # as a default it asks gradio for the bar of the call


@dataclasses.dataclass(frozen=True)
class Step:
    """A part of a tab that is drawn at once.

    Attributes:
      draw: makes the values of `outputs` from the visitor's video, a function that hears what share of the work is
        done, and the values of `inputs`.
      outputs: what it fills; the first shows how far the work is, and why it failed.
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
      uploads: of all visitors.
      current: the name of the tab that is open.
      timeline: under the player.
      came: events after which a visitor has another video, or none.
    """

    uploads: Uploads
    current: gr.State
    timeline: gr.HTML
    came: list[Callable[..., Any]] = dataclasses.field(default_factory=list)

    def draws(self, tab: gr.Tab, name: str, steps: Sequence[Step], events: Sequence[Callable[..., Any]] = ()) -> None:
        """Draw a tab step by step when it is opened and when another video comes while it is open.

        Args:
          events: of its controls, at which it is drawn anew.
        """
        opened = tab.select(lambda: name, outputs=self.current, show_progress="hidden", api_visibility="private")
        for then in (*self.came, opened.then, *events):
            again = then in events
            for step in steps:
                then = self._on(then, name, step, again).then

    def _on(self, event: Callable[..., Any], name: str, step: Step, again: bool) -> Any:
        """Draw a step at an event."""

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
