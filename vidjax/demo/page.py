"""The page: the video with its player and timeline on the left, the models' output in tabs on the right."""

from __future__ import annotations

from importlib import resources
from typing import Any

import gradio as gr

from vidjax.demo import examples, parts
from vidjax.demo.answer_tab import AnswerTab
from vidjax.demo.attention_tab import AttentionTab
from vidjax.demo.compare_tab import CompareTab
from vidjax.demo.models import Models
from vidjax.demo.moments import Searched
from vidjax.demo.reconstruction_tab import ReconstructionTab
from vidjax.demo.search_tab import SearchTab
from vidjax.demo.site import PROGRESS, Site
from vidjax.demo.uploads import RefusedError, Upload, Uploads
from vidjax.demo.words_tab import WordsTab

_HINT = "Drop a video, record one, or pick an example."


def build_page(models: Models, uploads: Uploads, made: dict[str, str], searched: Searched | None = None) -> gr.Blocks:
    """Build the page for some models, with the tabs that they support.

    Args:
      uploads: the store of visitors' videos; made: example files by name.
      searched: an index to search; without one, `models` must have a model.
    """
    with gr.Blocks(title="vidjax", analytics_enabled=False) as page:
        gr.HTML(_header(models, searched))
        current = gr.State("")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                player = gr.Video(label="video", interactive=False, elem_id="vj-player", height=300, buttons=[])
                timeline = gr.HTML(elem_id="vj-timeline", js_on_load=_script("timeline.js"))
                said = gr.HTML(parts.notes([_HINT]), elem_id="vj-said")
                with gr.Tabs():
                    with gr.Tab("Drop a video"):
                        dropped = gr.File(label="video file", show_label=False, height=140, elem_id="vj-drop")
                    with gr.Tab("Record"):
                        recorded = gr.Video(
                            label="camera", sources=["webcam"], include_audio=False, height=260, elem_id="vj-record"
                        )
                    with gr.Tab("Examples"):
                        chosen = gr.HTML(examples.draw(made), elem_id="vj-examples", js_on_load=_script("examples.js"))
            with gr.Column(scale=6, min_width=360), gr.Tabs(elem_id="vj-tabs"):
                site, tabs = Site(uploads, current, timeline), []
                if models.classifiers or models.captioners:
                    tabs.append(AnswerTab(site, models))
                if models.readers:
                    tabs.append(WordsTab(site, models.readers))
                if models.autoencoders:
                    tabs.append(ReconstructionTab(site, models.autoencoders))
                if looking := [model for model in models.all if model.attention_sizes()]:
                    tabs.append(AttentionTab(site, looking))
                if len(models.classifiers) > 1:
                    tabs.append(CompareTab(site, models.classifiers))
                if searched:
                    tabs.append(SearchTab(site, searched))
        current.value = tabs[0].NAME

        def shown(upload: Upload) -> tuple[Any, ...]:
            return gr.update(value=upload.player, label=upload.name), "", parts.notes(upload.notes)

        def receive(file: dict[str, Any] | None, request: gr.Request, progress: gr.Progress = PROGRESS):
            if file is None:  # the recorder was emptied
                return gr.skip()
            try:
                name = file.get("orig_name") or file["path"]
                return None, *shown(uploads.take(str(request.session_hash), file["path"], name, progress))
            except RefusedError as error:
                return None, gr.update(value=None, label="video"), "", parts.notes([str(error)], "error")

        def take_example(event: gr.EventData, request: gr.Request):
            name, path = list(made.items())[event.number]
            return shown(uploads.show(str(request.session_hash), path, name))

        outputs = [player, timeline, said]
        options: dict[str, Any] = {"show_progress_on": said, "api_visibility": "private"}
        for event, source in ((dropped.upload, dropped), (recorded.change, recorded)):
            came = event(receive, source, [source, *outputs], preprocess=False, concurrency_limit=2, **options)
            site.came.append(came.then)
        site.came.append(chosen.click(take_example, outputs=outputs, **options).then)
        for tab in tabs:
            tab.connect()

        def leave(request: gr.Request):
            uploads.forget(str(request.session_hash))

        page.unload(leave)
    return page


def style() -> dict[str, Any]:
    """Return gradio's style options: system fonts, so that the page loads nothing from third parties."""
    font, font_mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    theme = gr.themes.Default(primary_hue="indigo", neutral_hue="slate", font=font, font_mono=font_mono)
    return {"theme": theme, "css": _script("page.css")}


def _header(models: Models, searched: Searched | None) -> str:
    served = "".join(
        f"<li><b>{parts.text(model.name)}</b> {parts.text(model.about)}"
        + "".join(f'<br><span class="vj-small">{parts.text(note)}</span>' for note in model.notes)
        + "</li>"
        for model in models.all
    )
    names = [model.name for model in models.all]
    if searched:
        served += f"<li><b>{parts.text(searched.name)}</b> {parts.text(searched.about)}</li>"
        names.append(searched.name)
    return (
        '<div class="vj-header"><h1>vidjax</h1><p>What a video model sees.</p>'
        f"<details><summary>{parts.text(', '.join(names))}</summary><ul>{served}</ul>"
        "</details></div>"
    )


def _script(name: str) -> str:
    return resources.files("vidjax.demo").joinpath("assets", name).read_text("utf-8")
