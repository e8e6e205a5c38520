"""The page of `vidjax demo` in a real browser: a visitor's actions and what they see."""

import base64
import json
import time

import pytest
from random_runs import write_run
from videos import encode, flip_bits, moving_texture, sound_only

from vidjax import config as config_lib
from vidjax.cli import main
from vidjax.main import read_config


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    """Write a file to drop; returns its path."""
    folder = tmp_path_factory.mktemp("files")

    def write(name, content):
        path = folder / name
        path.write_bytes(content)
        return str(path)

    return write


@pytest.fixture(scope="session")
def short(file):
    return file("short.mp4", encode(moving_texture(40)))


@pytest.fixture(scope="session")
def long(file):
    return file("long.mp4", encode(moving_texture(300, 48, 48), options={"crf": "40"}))


def drop(page, *paths):
    page.locator("#vj-drop input[type=file]").set_input_files(list(paths))


def said(page):
    return page.locator("#vj-said").inner_text()


def answer(page):
    """Wait for the answer; returns the classes and the notes below it."""
    page.locator("#vj-answer .vj-bars").wait_for()
    return page.locator("#vj-answer").inner_text()


def opened(page, tab):
    page.get_by_role("tab", name=tab).click()
    return page


def refused(page):
    page.locator("#vj-said .vj-error").wait_for()
    return said(page)


def eventually(true, seconds=20):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_dropped_video_is_answered_with_the_frames_that_were_seen(visit, short):
    page = visit()
    drop(page, short)
    assert "%" in answer(page)
    assert page.locator("#vj-answer .vj-bars li").count() == 5
    assert page.locator("#vj-frames img").count() == 16  # of two clips
    assert "24 x 24 pixels" in page.locator("#vj-frames").inner_text()


def test_the_second_answer_comes_within_three_seconds(visit, short, long):
    page = visit()
    drop(page, short)
    answer(page)
    took = []
    for path, length in ((long, "12.0 s"), (short, "1.6 s"), (long, "12.0 s")):
        since = time.monotonic()
        drop(page, path)
        page.locator("#vj-answer").get_by_text(f"of {length}").wait_for()  # the bars may still show the last answer
        took.append(time.monotonic() - since)
    assert min(took) < 3


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("cut.mp4", lambda: encode(moving_texture())[:3000], "cut.mp4 is cut off"),
        ("page.mp4", lambda: b"<html><body>404</body></html>", "page.mp4 is not a video that can be read here"),
        ("empty.mp4", lambda: b"", "empty.mp4 is empty"),
        ("sound.mp4", sound_only, "sound.mp4 has only sound or data"),
        ("picture.mp4", lambda: encode(moving_texture(1)), "picture.mp4 is a single picture"),
        ("<img src=x onerror=alert(1)>.mp4", lambda: b"no video", "is not a video"),
    ],
)
def test_a_broken_file_gives_a_message_and_is_deleted(visit, site, file, name, content, sentence):
    """The message has no server path or error number, and the log no traceback."""
    page = visit()
    drop(page, file(name, content()))
    told = refused(page)
    assert sentence in told
    assert "/" not in told.replace("</", "")
    assert "Errno" not in told
    assert page.locator("#vj-said img").count() == 0
    eventually(lambda: not list(site.temporary.rglob("visit-*")) and site.kept() < 1)
    assert "Traceback" not in site.said()


def test_damaged_frames_give_a_message(visit, site, file):
    page = visit()
    drop(page, file("bits.mp4", flip_bits(encode(moving_texture(80)), 400)))
    page.locator(".vj-error").first.wait_for()
    assert "bits.mp4 is damaged and cannot be decoded" in page.locator(".vj-error").first.inner_text()
    assert "Traceback" not in site.said()


def test_a_file_over_the_limit_is_refused_before_it_is_sent(visit, site, file):
    page = visit()
    drop(page, file("large.mp4", bytes((site.megabytes << 20) + 1)))
    page.get_by_text(f"exceed the maximum allowed size of {site.megabytes}").wait_for()
    assert site.kept() < 1


def test_a_video_stays_while_its_visitor_does_and_goes_with_them(visit, site, short, file):
    page = visit()
    drop(page, short)
    answer(page)
    kept = list(site.temporary.rglob("visit-*"))
    assert kept
    drop(page, file("other.mp4", encode(moving_texture(40, seed=1))))
    page.locator("#vj-player").get_by_text("other.mp4").wait_for()
    assert not kept[-1].exists()
    page.context.close()
    eventually(lambda: not list(site.temporary.rglob("visit-*")))


def test_the_page_hides_the_paths_of_models(visit, runs, short):
    page = visit()
    page.locator("summary").click()
    about = page.locator(".vj-header").inner_text()
    assert "first" in about
    assert "checkpoint 0 of second" in about
    drop(page, short)
    answer(page)
    assert "secret-place" in str(runs)
    assert "secret-place" not in page.content()
    assert "secret-place" not in page.request.get(page.url + "config").text()


def test_the_page_says_how_much_of_a_long_video_was_seen(visit, long):
    page = visit()
    drop(page, long)
    assert "The model saw 1.2 s of 12.0 s" in answer(page)


def test_a_click_on_the_timeline_moves_the_player(visit, long):
    page = visit()
    drop(page, long)
    segments = page.locator(".vj-columns button")
    segments.first.wait_for()
    assert segments.count() > 20
    segment = segments.nth(segments.count() // 2)
    start = float(segment.get_attribute("data-start"))
    assert 4 < start < 8
    segment.click()
    page.wait_for_function(f"() => Math.abs(document.querySelector('#vj-player video').currentTime - {start}) < 0.1")
    page.wait_for_timeout(500)  # and it stays there
    position = page.locator("#vj-player video").evaluate("video => video.currentTime")
    assert position == pytest.approx(start, abs=0.1)
    assert page.locator(".vj-window").inner_text() == segment.get_attribute("aria-label")


def test_notes_are_on_the_page(visit, file):
    page = visit()
    drop(page, file("brief.mov", encode(moving_texture(10), "mov")))
    assert "brief.mov has 10 frames, but a clip spans 15; its last frame is repeated." in answer(page)


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("hevc.mp4", lambda: encode(moving_texture(40), codec="libx265", options={"x265-params": "log-level=none"})),
        ("mpeg4.avi", lambda: encode(moving_texture(40), "avi", "mpeg4")),
        ("deep.mp4", lambda: encode(moving_texture(40), pix_fmt="yuv444p")),
        ("turned.mov", lambda: encode(moving_texture(40), "mov", rotation=90)),
        ("h264.mkv", lambda: encode(moving_texture(40), "matroska")),
        ("h264.txt", lambda: encode(moving_texture(40))),
    ],
)
def test_a_video_that_browsers_cannot_play_is_played_as_a_copy(visit, file, name, video):
    page = visit()
    drop(page, file(name, video()))
    answer(page)
    player = page.locator("#vj-player video")
    page.wait_for_function("() => document.querySelector('#vj-player video').readyState >= 2")
    assert player.evaluate("video => video.error") is None
    assert player.evaluate("video => video.duration") == pytest.approx(1.6, abs=0.1)
    size = player.evaluate("video => [video.videoWidth, video.videoHeight]")
    assert size == ([96, 128] if name == "turned.mov" else [128, 96])
    assert page.get_by_text("not playable").count() == 0


def test_the_slider_changes_what_is_hidden_and_the_picture(visit, short):
    page = visit()
    drop(page, short)
    opened(page, "Reconstruction")
    pictures = page.locator("#vj-pictures img")
    pictures.first.wait_for()
    assert pictures.count() == 4 + 8 + 8
    assert "9 of 18 cubes are hidden" in page.locator("#vj-pictures").inner_text()
    before = [picture.get_attribute("src") for picture in pictures.all()]
    assert before[0].startswith("data:image/webp;base64,")
    assert base64.b64decode(before[0].split(",")[1])[8:12] == b"WEBP"
    page.locator("#vj-mask input").click()
    page.get_by_role("option", name="random cubes").click()
    page.locator("#vj-ratio input[type=range]").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.get_by_text("14 of 18 cubes are hidden (77.8%)").wait_for()
    after = [picture.get_attribute("src") for picture in pictures.all()]
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert after[2] != before[2]


def test_reconstruction_belongs_to_the_chosen_autoencoder(visit, serve, runs, short, tmp_path):
    """The other one was trained with another mask, which is then chosen."""
    config = config_lib.with_keys(
        read_config(["--config=motion_pretrain"]), {"seed": 7, "model.mask": "random", "model.mask_ratio": 0.8}
    )
    write_run(tmp_path / "another", config, 0, scale=0.3)
    page = visit(serve(*(f"--model={path}" for path in (runs / "hider", tmp_path / "another"))))
    drop(page, short)
    opened(page, "Reconstruction")
    page.get_by_text("9 of 18 cubes are hidden").wait_for()
    before = page.locator("#vj-pictures img").nth(2).get_attribute("src")
    page.locator("#vj-hiding input").click()
    page.get_by_role("option", name="another").click()
    page.get_by_text("14 of 18 cubes are hidden (77.8%)").wait_for()
    assert page.locator("#vj-mask input").input_value() == "random cubes"
    assert page.locator("#vj-pictures img").nth(2).get_attribute("src") != before


def test_attention_is_laid_over_the_frames_by_layer_and_head(visit, short):
    page = visit()
    drop(page, short)
    opened(page, "Attention")
    pictures, tab = page.locator("#vj-attention img"), page.locator("#vj-attention")
    tab.get_by_text("attention, layer 4, mean of 4 heads").wait_for()
    assert pictures.count() == 2 + 8
    before = [picture.get_attribute("src") for picture in pictures.all()]
    page.locator("#vj-layer input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    tab.get_by_text("attention, layer 3, mean of 4 heads").wait_for()
    page.locator("#vj-head input").click()
    page.get_by_role("option", name="2", exact=True).click()
    tab.get_by_text("attention, layer 3, head 2").wait_for()
    after = [picture.get_attribute("src") for picture in pictures.all()]
    assert after[0] == before[0]
    assert after[1] != before[1]
    page.locator("#vj-kind input").click()
    page.get_by_role("option", name="roll-out").click()
    tab.get_by_text("roll-out through all layers").wait_for()


def test_attention_belongs_to_the_chosen_model(visit, serve, runs, short):
    """The autoencoder has as many layers and heads as its own encoder, and other weights."""
    page = visit(serve(*(f"--model={runs / name}" for name in ("first", "hider"))))
    drop(page, short)
    opened(page, "Attention")
    tab = page.locator("#vj-attention")
    tab.get_by_text("attention, layer 4, mean of 4 heads").wait_for()
    page.locator("#vj-head input").click()
    page.get_by_role("option", name="2", exact=True).click()
    tab.get_by_text("attention, layer 4, head 2").wait_for()
    before = tab.locator("img").nth(1).get_attribute("src")
    page.locator("#vj-looking input").click()
    page.get_by_role("option", name="hider").click()
    tab.get_by_text("attention, layer 4, mean of 4 heads").wait_for()  # controls are reset
    assert tab.locator("img").nth(1).get_attribute("src") != before


def test_the_numbers_of_a_regression_have_a_timeline(visit, serve, runs, long):
    page = visit(serve(f"--model={runs / 'numbers'}"))
    drop(page, long)
    page.locator("#vj-answer .vj-numbers").wait_for()
    page.locator("#vj-timeline polyline").nth(1).wait_for(state="attached")
    segments = page.locator(".vj-columns button")
    segment = segments.nth(segments.count() // 2)
    start = float(segment.get_attribute("data-start"))
    segment.click()
    page.wait_for_function(f"() => Math.abs(document.querySelector('#vj-player video').currentTime - {start}) < 0.1")
    assert "valence" in page.locator(".vj-window").inner_text()


def test_two_models_answer_side_by_side(visit, short):
    page = visit()
    drop(page, short)
    opened(page, "Compare")
    page.locator("#vj-of-other .vj-bars").wait_for()
    one, other = (page.locator(f"#vj-of-{side} .vj-share").all_inner_texts() for side in ("one", "other"))
    assert len(one) == len(other) == 5
    assert one != other
    assert "ms" in page.locator("#vj-of-one").inner_text()


def test_a_page_of_an_autoencoder_has_its_reconstruction(visit, serve, runs, short):
    page = visit(serve(f"--model={runs / 'hider'}"))
    tabs = page.locator("#vj-tabs").get_by_role("tab")
    tabs.first.wait_for()
    assert tabs.all_inner_texts() == ["Reconstruction", "Attention"]
    drop(page, short)
    page.get_by_text("compiling hider for this machine, which happens once").wait_for()  # beside a bar
    page.locator("#vj-pictures img").first.wait_for()


def test_a_captioner_describes_the_video_as_its_verb_does(visit, serve, runs, short, capsys):
    assert main(["caption", short, "--model", str(runs / "words"), "--json"]) == 0
    [wanted] = json.loads(capsys.readouterr().out)
    page = visit(serve(f"--captioner={runs / 'words'}", f"--model={runs / 'first'}"))
    drop(page, short)
    caption = page.locator("#vj-caption blockquote")
    caption.wait_for()
    assert caption.inner_text().split() == wanted["caption"].split() != []
    answer(page)


def test_an_example_is_answered(visit):
    page = visit()
    opened(page, "Examples")
    page.get_by_role("button", name="one after the other").click()
    assert "of 16.0 s" in answer(page)


COUNT_PARTS = """() => {
  window.parts = 0;
  const start = MediaRecorder.prototype.start;
  MediaRecorder.prototype.start = function (...options) {
    this.addEventListener("dataavailable", (event) => { if (event.data.size) window.parts += 1; });
    return start.apply(this, options);
  };
}"""


def test_a_recording_is_answered(visit):
    """From the camera that Chromium makes up for tests.

    gradio's recorder sends the parts that have come by the time of the click that stops it, and under load a part of
    0.2 seconds may take many: so it is not time that is waited for, but parts.
    """
    page = visit(permissions=["camera"])
    page.evaluate(COUNT_PARTS)
    opened(page, "Record")
    page.locator("#vj-record").get_by_text("Click to Access Webcam").click()
    page.locator("#vj-record button[aria-label='capture photo'], #vj-record button:has-text('Record')").first.click()
    page.wait_for_function("() => window.parts > 10")
    page.locator("#vj-record button[aria-label='capture photo'], #vj-record button:has-text('Stop')").first.click()
    assert "The model saw" in answer(page)
    page.wait_for_function("() => document.querySelector('#vj-player video').readyState >= 2")


def test_ten_files_at_once_are_one_video(visit, site, file):
    """When many files are dropped at once, the page takes the first and keeps none of the others."""
    page = visit()
    videos = [file(f"{number}.mp4", encode(moving_texture(20, 48, 48, seed=number))) for number in range(10)]
    page.locator("#vj-drop input[type=file]").evaluate("input => { input.multiple = true }")
    drop(page, *videos)
    page.locator("#vj-player").get_by_text("0.mp4").wait_for()
    assert "%" in answer(page)
    assert "Traceback" not in site.said()


def test_two_visitors_at_once_have_their_own_answers(browser, site, visit, file):
    videos = [file(f"visitor{n}.mp4", encode(moving_texture(50 * (n + 1), seed=n))) for n in range(2)]
    pages = [visit() for _ in videos]
    for page, video in zip(pages, videos, strict=True):
        drop(page, video)
    answers = [answer(page) for page in pages]
    assert "of 2.0 s" in answers[0]
    assert "of 4.0 s" in answers[1]
    frames = [page.locator("#vj-frames img").first.get_attribute("src") for page in pages]
    assert frames[0] != frames[1]
