"""An index: brought up to date, resumed, shared and searched; what does not fit is refused and nothing is lost."""

import dataclasses
import json
import shutil

import bucket
import jax
import numpy as np
import pytest
from small_backbones import backbone
from videos import encode, moving_texture

from vidjax.data.text_encoding import learn_vocabulary
from vidjax.errors import ConfigError, DataError, ResumeError
from vidjax.files import located
from vidjax.models.video_text import build_video_text
from vidjax.search import index_stores, update
from vidjax.search.index_header import FILE
from vidjax.search.queries import Asker, check_text
from vidjax.search.search_index import SearchIndex, open_header, unit, write_clusters
from vidjax.search.update import Indexing, update_index
from vidjax.training.workdir_lock import LOCK, locked
from vidjax.weights.clip_recipes import RecipeChanges, change_recipe


def windowed(every=0.4, **options):
    """A model with windows of 0.8 s."""
    found = backbone("videomae_tiny", **options)
    recipe = change_recipe(found.clips, RecipeChanges(every=every, window=0.8))
    return dataclasses.replace(found, clip_recipe=recipe)


@pytest.fixture(scope="module")
def model():
    return windowed()


def write(path, seed, frames=16):
    path.write_bytes(encode(moving_texture(frames, 16, 16, seed=seed), rate=10))


@pytest.fixture
def videos(tmp_path):
    """Six videos of 1.6 s, each with three windows; the last one is cut off."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(6):
        write(folder / f"{number}.mp4", seed=number)
    whole = (folder / "5.mp4").read_bytes()
    (folder / "5.mp4").write_bytes(whole[: len(whole) // 2])
    return folder


def listed(folder):
    return sorted(map(str, folder.glob("*.mp4")))


def index(folder, model, videos, **options):
    options = {"dtype": "float32"} | options
    return update_index(folder, model, Indexing(listed(videos), [str(videos)], **options))


def contents(folder):
    """Every window of an index with its unit vector, seen from the centre, as a search sees it."""
    opened = SearchIndex.open(folder)
    vectors = np.eye(opened.header.width, dtype=np.float32)
    scores, numbers = opened.nearest.search(vectors, len(opened))
    by_window = np.take_along_axis(scores, np.argsort(numbers, axis=1), 1).T
    keys = [(opened.videos[video], *times) for video, times in zip(opened.video_of, opened.times.tolist(), strict=True)]
    return dict(zip(keys, by_window, strict=True))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, vector in one.items():
        np.testing.assert_allclose(vector, other[key], atol=2e-3)  # kept as float16


def test_an_index_has_the_vectors_and_times_that_embed_gives(model, videos, tmp_path):
    updated = index(tmp_path / "index", model, videos)
    assert (updated.videos, updated.windows, updated.added) == (5, 15, 6)
    assert updated.failed == [(str(videos / "5.mp4"), "truncated")]
    found = contents(tmp_path / "index")
    embedded = {path: model.embed(path, features=["pooled"], every=0.4, window=0.8) for path in listed(videos)[:5]}
    centre = np.concatenate([arrays["pooled"] for arrays in embedded.values()]).mean(axis=0)
    for path, arrays in embedded.items():
        for times, vector in zip(arrays["times"].tolist(), unit(arrays["pooled"] - centre), strict=True):
            np.testing.assert_allclose(found[path, *times], vector, atol=2e-3)  # kept as float16
    assert len(found) == 15


def test_the_same_call_adds_drops_renames_and_repairs_and_computes_nothing_else(model, videos, tmp_path):
    folder = tmp_path / "index"
    index(folder, model, videos)
    again = index(folder, model, videos)
    assert (again.added, again.moved, again.dropped, again.videos) == (0, 0, 0, 5)
    assert again.failed == [(str(videos / "5.mp4"), "truncated")]  # named again, and not tried again
    (videos / "0.mp4").unlink()
    (videos / "1.mp4").rename(videos / "1 renamed.mp4")
    (videos / "moved").mkdir()
    (videos / "2.mp4").rename(videos / "moved" / "2.mp4")
    write(videos / "3.mp4", seed=33)
    write(videos / "5.mp4", seed=5)
    write(videos / "new.mp4", seed=6)
    paths = [*listed(videos), str(videos / "moved" / "2.mp4")]
    changed = update_index(folder, model, Indexing(paths, [str(videos)], dtype="float32"))
    assert (changed.added, changed.moved, changed.dropped) == (4, 1, 2)  # a new name may be a new video
    fresh = tmp_path / "fresh"
    update_index(fresh, model, Indexing(paths, [str(videos)], dtype="float32"))
    assert_same(contents(folder), contents(fresh))
    assert not changed.failed


class StopError(Exception):
    pass


def test_an_interrupted_call_leaves_the_index_as_it_was_and_the_next_one_resumes(model, videos, tmp_path, monkeypatch):
    folder = tmp_path / "index"
    for number in range(1, 5):
        shutil.move(videos / f"{number}.mp4", tmp_path / f"{number}.mp4")
    index(folder, model, videos)
    before = contents(folder)
    for number in range(1, 5):
        shutil.move(tmp_path / f"{number}.mp4", videos / f"{number}.mp4")
    whole, written = update.write_part, []

    def third_fails(*args):
        if len(written) == 2:
            raise StopError
        whole(*args)
        written.append(args)

    monkeypatch.setattr(update, "write_part", third_fails)
    with pytest.raises(StopError):
        index(folder, model, videos)
    assert_same(contents(folder), before)
    monkeypatch.setattr(update, "write_part", whole)
    write(videos / "later.mp4", seed=9)
    resumed = index(folder, model, videos)
    assert resumed.added == 3  # two of the four, and the later one
    fresh = tmp_path / "fresh"
    index(fresh, model, videos)
    assert_same(contents(folder), contents(fresh))


def test_shares_make_the_same_index_and_their_videos_appear_when_all_are_done(model, videos, tmp_path):
    folder, one = tmp_path / "shared", tmp_path / "one"
    first = index(folder, model, videos, process=(1, 2))
    assert (first.missing, first.videos) == (3, 0)
    with pytest.raises(DataError, match="holds no windows of videos yet"):
        SearchIndex.open(folder)
    second = index(folder, model, videos, process=(0, 2))
    assert (second.missing, second.videos, second.added) == (0, 5, 3)
    index(one, model, videos)
    files = [{path.name: path.read_bytes() for path in place.rglob("*") if path.is_file()} for place in (folder, one)]
    assert files[0] == files[1]


def test_a_file_that_changes_while_it_is_read_is_named_and_indexed_by_the_next_call(
    model, videos, tmp_path, monkeypatch
):
    folder, whole = tmp_path / "index", update.write_part

    def change(*args):
        write(videos / "0.mp4", seed=50)
        whole(*args)

    monkeypatch.setattr(update, "write_part", change)
    found = index(folder, model, videos)
    assert (str(videos / "0.mp4"), "changed") in found.failed
    monkeypatch.setattr(update, "write_part", whole)
    assert index(folder, model, videos).added == 1


def test_a_second_writer_is_refused_and_what_the_first_one_has_stays(model, videos, tmp_path):
    folder = tmp_path / "index"
    index(folder, model, videos)
    with locked(folder, update.INDEXING), pytest.raises(ConfigError, match=r"index is being indexed by process \d+ on"):
        index(folder, model, videos)
    assert not (folder / LOCK).exists()
    assert index(folder, model, videos).added == 0


def test_other_features_in_the_same_folder_are_refused(model, videos, tmp_path):
    folder = tmp_path / "index"
    index(folder, model, videos)
    before = contents(folder)
    other = windowed(num_heads=2)
    for changed, words in (
        ({"dtype": "float16"}, "dtype was float32, is now float16"),
        ({"feature": "token_max"}, "feature was pooled, is now token_max"),
    ):
        with pytest.raises(ResumeError, match=f"is an index of other features: {words}. Name another folder"):
            index(folder, model, videos, **changed)
    with pytest.raises(ResumeError, match=r"windows\.every was 0\.4, is now 0\.2"):
        index(folder, windowed(every=0.2), videos)
    with pytest.raises(ResumeError, match=r"model was videomae_tiny \(weights \w+\), is now"):
        index(folder, other, videos)
    with pytest.raises(ConfigError, match="no feature 'tokens' with one vector per window; it has pooled, token_mean"):
        index(folder, model, videos, feature="tokens")
    assert_same(contents(folder), before)
    with pytest.raises(ConfigError, match=r"index of videomae_tiny .* but videomae_tiny has the weights"):
        Asker.of(other, open_header(folder), folder)


def test_an_index_is_not_emptied_by_a_list_of_other_videos(model, videos, tmp_path):
    folder, others = tmp_path / "index", tmp_path / "others"
    index(folder, model, videos)
    others.mkdir()
    write(others / "x.mp4", seed=70)
    with pytest.raises(ConfigError, match=r"none of the 6 videos of .* is among those named, so all would be dropped"):
        index(folder, model, others)
    assert SearchIndex.open(folder).search(np.ones((1, 96)), 1)


def test_another_format_and_damaged_files_are_named(model, videos, tmp_path):
    folder = tmp_path / "index"
    with pytest.raises(DataError, match=r"is not an index, since it has no index\.json; `vidjax index` writes one"):
        open_header(tmp_path)
    index(folder, model, videos)
    header = (folder / FILE).read_text()
    (folder / FILE).write_text(header.replace('"format": 1', '"format": 7'))
    with pytest.raises(DataError, match="has format 7, and this version of vidjax reads 1; index into another folder"):
        index(folder, model, videos)
    (folder / FILE).write_text(header[:-30])
    with pytest.raises(DataError, match="is not the header of an index"):
        open_header(folder)
    (folder / FILE).write_text(json.dumps(json.loads(header) | {"clip": {}}))
    with pytest.raises(DataError, match=r"is not the header of an index \(KeyError: 'clip\.image_size'\)"):
        open_header(folder)
    (folder / FILE).write_text(header)
    [store] = (folder / index_stores.STORES).iterdir()
    part = store / "part-00001.safetensors"
    whole = part.read_bytes()
    part.write_bytes(whole[:-20] + bytes(20))
    with pytest.raises(DataError, match=r"is damaged; remove it and run `vidjax index .*videos --model videomae_tiny"):
        SearchIndex.open(folder)
    part.write_bytes(whole)
    live = store / "live.jsonl"
    live.write_bytes(live.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"live\.jsonl is damaged; remove .* and index again"):
        SearchIndex.open(folder)
    shutil.rmtree(store)
    assert index(folder, model, videos).videos == 5


@pytest.mark.parametrize("options", [{"feature": "token_max"}, {"dtype": "float16"}])
def test_a_part_of_another_index_is_refused_and_nothing_is_changed(model, videos, tmp_path, options):
    folder, other = tmp_path / "index", tmp_path / "other"
    index(folder, model, videos)
    before = contents(folder)
    write(videos / "more.mp4", seed=8)
    index(other, model, videos, **options)
    [strange] = (other / index_stores.STORES).iterdir()
    shutil.copytree(strange, folder / index_stores.STORES / strange.name)
    for call in (lambda: SearchIndex.open(folder), lambda: index(folder, model, videos)):
        with pytest.raises(
            DataError, match=rf"{strange.name} holds features that differ from those in \S+, .*; remove it and"
        ):
            call()
    shutil.rmtree(folder / index_stores.STORES / strange.name)
    assert_same(contents(folder), before)


def test_an_index_whose_header_has_another_dimension_is_refused(model, videos, tmp_path):
    folder = tmp_path / "index"
    index(folder, model, videos)
    header = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(header | {"width": 48}))
    with pytest.raises(DataError, match=r"holds features that differ from those in \S+"):
        SearchIndex.open(folder)
    with pytest.raises(ResumeError, match="width was 48, is now 96"):
        index(folder, model, videos)


def brute_force(opened, vectors, queries, top, per_video=0, without=()):
    """All windows, best first; one that is nearer than a stride to a better one of its video is the same moment."""
    scores = (unit(queries - opened.centre) @ vectors.T).max(axis=0)
    found = []
    for number in np.argsort(-scores, kind="stable"):
        video, (start, end) = opened.videos[opened.video_of[number]], opened.times[number]
        own = [moment for moment in found if moment[0] == video]
        near = any(start < others_end + 0.4 and others_start < end + 0.4 for _, others_start, others_end, _ in own)
        if video not in without and not near and len(own) < (per_video or 99):
            found.append((video, start, end, scores[number]))
    return found[:top]


@pytest.mark.parametrize("options", [{}, {"per_video": 1}, {"without": 1}, {"queries": 3, "top": 60}])
def test_moments_are_the_best_windows_without_their_neighbours(model, tmp_path, monkeypatch, options):
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(6):
        write(folder / f"{number}.mp4", seed=number, frames=40)
    index(tmp_path / "index", model, folder)
    opened = SearchIndex.open(tmp_path / "index")
    vectors = np.stack(list(contents(tmp_path / "index").values()))
    monkeypatch.setattr("vidjax.search.search_index._FIRST", 2)  # so that more neighbours are asked for
    queries = vectors[5 : 5 + options.get("queries", 1)] + 0.05
    chosen = {"per_video": options.get("per_video", 0), "without": opened.videos[: options.get("without", 0)]}
    top = options.get("top", 8)
    found = opened.search(queries, top, **chosen)
    wanted = brute_force(opened, vectors, queries, top, **chosen)
    assert [moment[:3] for moment in found] == [moment[:3] for moment in wanted]
    np.testing.assert_allclose([moment.score for moment in found], [moment[3] for moment in wanted], atol=1e-5)
    assert len(found) > 4


def test_clusters_are_searched_while_they_match_the_present_windows(model, videos, tmp_path):
    folder = tmp_path / "index"
    index(folder, model, videos)
    with pytest.raises(ConfigError, match="no clusters of its current windows for approximate search"):
        SearchIndex.open(folder, approximate=True)
    write_clusters(folder)
    exact, clusters = SearchIndex.open(folder), SearchIndex.open(folder, approximate=True)
    queries = np.eye(96)[:3]
    assert [moment[:3] for moment in clusters.search(queries, 5)] == [moment[:3] for moment in exact.search(queries, 5)]
    (videos / "0.mp4").unlink()
    index(folder, model, videos)
    with pytest.raises(ConfigError, match="no clusters of its current windows for approximate search"):
        SearchIndex.open(folder, approximate=True)


def test_a_query_video_is_computed_as_the_index_was(model, videos, tmp_path):
    folder = tmp_path / "index"
    index(folder, model, videos)
    asker = Asker.of(model, open_header(folder), folder)
    vectors, times = asker.of_video(videos / "2.mp4")
    found = contents(folder)
    assert times.tolist() == [[0.0, 0.8], [0.4, 1.2], [0.8, 1.6]]
    centred = unit(vectors - SearchIndex.open(folder).centre)
    for vector, window in zip(centred, times.tolist(), strict=True):
        np.testing.assert_allclose(vector, found[str(videos / "2.mp4"), *window], atol=2e-3)  # kept as float16
    [best, *_] = SearchIndex.open(folder).search(vectors, 3)
    assert (best.video, round(best.score, 2)) == (str(videos / "2.mp4"), 1.0)


def test_texts_need_an_index_that_shares_their_space(model, videos, tmp_path):
    folder = tmp_path / "index"
    index(folder, model, videos)
    with pytest.raises(ConfigError, match="pooled features of videomae_tiny, which cannot be compared with texts"):
        check_text(open_header(folder), folder)


def test_the_words_that_name_the_videos_are_kept_for_messages(model, videos, tmp_path):
    index(tmp_path / "index", model, videos)
    assert json.loads((tmp_path / "index" / FILE).read_text())["words"] == [str(videos)]
    assert open_header(tmp_path / "index").command("index") == (
        f"vidjax index {videos} --model videomae_tiny --every 0.4 --feature pooled --dtype float32 --window 0.8 "
        "--out index"
    )


def test_a_text_finds_the_windows_whose_embeddings_are_nearest(videos, tmp_path):
    """With random weights: the order is that of the products of the model's own embeddings."""
    texts = ["a red seven moves left", "a blue two turns"]
    options = {"text_options": {"vocab_size": 600, "context": 40}, "num_frames": 4, "image_size": 16}
    module = build_video_text("videomae_tiny", projection=12, depth=2, **options)
    clips, tokens = np.zeros((1, *module.spec.video.clip_shape)), np.full((1, 40), 599)
    params = jax.jit(module.init)(jax.random.key(3), clips, tokens)["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), params)
    base = windowed()
    encoder = learn_vocabulary(texts, context=40, vocab_size=600)
    model = dataclasses.replace(
        base, module=module, params=params, spec=module.spec.video, source="two towers", text_encoder=encoder
    )
    folder = tmp_path / "index"
    assert index(folder, model, videos).header.feature == "embedding"
    check_text(open_header(folder), folder)
    asker, opened = Asker.of(model, open_header(folder), folder), SearchIndex.open(folder)
    embedded = [model.embed(path, features=["embedding"], every=0.4, window=0.8) for path in listed(videos)[:5]]
    for text in texts:
        best = [float((found["embedding"] @ model.embed_text([text])[0]).max()) for found in embedded]
        moments = opened.search(asker.of_text(text), 5, per_video=1)
        assert [moment.video for moment in moments] == [listed(videos)[place] for place in np.argsort(best)[::-1]]
        np.testing.assert_allclose([moment.score for moment in moments], sorted(best)[::-1], atol=2e-3)  # float16
    with pytest.raises(ConfigError, match="the text to search for is empty"):
        asker.of_text(" ")


@pytest.mark.slow
def test_an_index_in_a_bucket_is_that_of_a_disk(model, videos, tmp_path):
    with bucket.emulated() as address:
        there = located(address) / "index"
        for folder in (tmp_path / "index", there):
            index(folder, model, videos)
            write_clusters(folder)
        (videos / "0.mp4").unlink()
        for folder in (tmp_path / "index", there):
            assert index(folder, model, videos).dropped == 1
        assert_same(contents(there), contents(tmp_path / "index"))
        assert {path.name for path in there.iterdir()} >= {FILE, "approximate.faiss"}
        update_index(there, model, Indexing([str(videos / "1.mp4")], [str(videos)], dtype="float32"))
        assert SearchIndex.open(there).videos == (str(videos / "1.mp4"),)
