"""The visitors' videos: each visitor has one at a time, in a folder of its own that goes when they do."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vidjax.data.clips.eval_views import window_views
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.sampling import eval_indices
from vidjax.data.video.decode import VideoInfo, probe_video
from vidjax.data.video.readers import open_video
from vidjax.data.video.strangers import refusal
from vidjax.demo.limits import Limits, shown_name
from vidjax.demo.preview import is_playable, write_preview
from vidjax.errors import UserError, VideoError

KEPT = 3600  # seconds that a video is kept after it was last asked about
_UNCLAIMED = 120  # seconds that a file is kept that no visitor has claimed, because they left or dropped ten at once
_ROUND = 30.0  # seconds between two looks for files to delete
_VISIT = "visit-"  # begins the names of folders of visitors
Tell = Callable[[float, str], None]  # is given a share of the work that is done, and words for it


class RefusedError(UserError):
    """A video that is not answered; the message is for the page."""


@dataclasses.dataclass(eq=False)
class Upload:
    """A visitor's video.

    Attributes:
      path: of the file; name: what the visitor calls it; info: what it is.
      player: the file that the page plays: itself, or a copy that browsers can play.
      notes: sentences for the visitor.
      drawn: the parts of the page that show it.
      found: what models have found in it, by their names and what was asked.
    """

    path: str
    name: str
    info: VideoInfo
    player: str
    notes: tuple[str, ...] = ()
    drawn: set[int] = dataclasses.field(default_factory=set)
    found: dict[tuple[str, str], Any] = dataclasses.field(default_factory=dict)
    used: float = dataclasses.field(default_factory=time.monotonic)
    _clips: dict[ClipRecipe, np.ndarray] = dataclasses.field(default_factory=dict)

    def clip(self, recipe: ClipRecipe) -> UInt8[np.ndarray, "t h w 3"]:
        """The central view of the video, as a model takes it; those of the last few recipes are kept.

        Raises:
          VideoError: when it cannot be decoded.
        """
        recipe = recipe.one_view()
        if recipe not in self._clips:
            with open_video(self.path) as video:
                [[clip]] = window_views(video, recipe, [None])
            while len(self._clips) > 3:
                self._clips.pop(next(iter(self._clips)))
            self._clips[recipe] = clip
        return self._clips[recipe]

    def seconds(self, recipe: ClipRecipe) -> list[float]:
        """When the frames of `clip` are shown."""
        [indices] = eval_indices(self.info.frames, self.info.fps, recipe.one_view())
        return [float(index) / self.info.fps for index in indices]

    def seen(self, recipe: ClipRecipe, most: int) -> tuple[UInt8[np.ndarray, "n h w 3"], list[float]]:
        """Frames of all clips that a model takes, in their central crop: up to `most`, evenly chosen, and their times.

        A model that answers by windows is shown with the clip in the middle.

        Raises:
          VideoError: when it cannot be decoded.
        """
        recipe = recipe.one_view() if recipe.windows else dataclasses.replace(recipe, crops=1)
        with open_video(self.path) as video:
            [views] = window_views(video, recipe, [None])
        indices = eval_indices(self.info.frames, self.info.fps, recipe).reshape(-1)
        chosen = np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(int)
        seconds = [float(index) / self.info.fps for index in indices[chosen]]
        return views.reshape(-1, *views.shape[2:])[chosen], seconds

    def plain(self, sentence: str) -> str:
        """A sentence that names the video as its visitor does."""
        return sentence.replace(self.path, self.name)


class Uploads:
    """Takes over what gradio has received, and deletes it in time."""

    def __init__(self, folder: str | os.PathLike, limits: Limits):
        """Keep everything in a folder, in which nothing else may be: what is in it and belongs to no visitor goes."""
        self._folder, self._limits = Path(folder), limits
        self._of: dict[str, Upload] = {}
        self._taking: set[Path] = set()  # folders of videos that are being checked and have no visitor yet
        self._lock = threading.Lock()

    def take(self, visitor: str, path: str, name: str, tell: Tell = lambda share, words: None) -> Upload:
        """Check a file that was received; it replaces the visitor's last one, and is gone at once if it is refused.

        Args:
          visitor: the session; path: of the file, which is moved; name: that the visitor gave it. The visitor's
            browser sends both.

        Raises:
          RefusedError: when it is not answered.
        """
        self.forget(visitor)
        name = shown_name(name)
        with self._unclaimed_folder() as folder:
            own = str(folder / f"video{Path(path).suffix[:8]}")
            try:
                self._move(Path(path), own)
                return self._keep(visitor, self._checked(own, name, tell))
            except VideoError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise RefusedError(f"{refusal(error, name, own)}.") from error

    def show(self, visitor: str, path: str, name: str) -> Upload:
        """Give a visitor a copy of an example, which has no limits."""
        self.forget(visitor)
        own = str(shutil.copy(path, self._new_folder()))
        return self._keep(visitor, Upload(own, name, probe_video(own), own))

    def of(self, visitor: str) -> Upload | None:
        """The visitor's video."""
        with self._lock:
            if upload := self._of.get(visitor):
                upload.used = time.monotonic()
            return upload

    def forget(self, visitor: str) -> None:
        """Delete the visitor's video."""
        with self._lock:
            upload = self._of.pop(visitor, None)
        if upload:
            self._delete(upload)

    def sweep(self) -> None:
        """Delete what nobody has asked about for an hour, and files that no visitor has claimed."""
        with self._lock:
            old = [visitor for visitor, upload in self._of.items() if time.monotonic() - upload.used > KEPT]
            held = {Path(upload.path).parent for upload in self._of.values()} | self._taking
        for visitor in old:
            self.forget(visitor)
        for path in list(self._folder.rglob("*")):
            if not held.isdisjoint(path.parents) or not path.is_file():
                continue
            try:
                if time.time() - path.stat().st_mtime > _UNCLAIMED:
                    path.unlink()
                    path.parent.rmdir()
            except OSError:  # gone meanwhile, or the folder holds something yet
                continue

    @contextlib.contextmanager
    def kept_swept(self) -> Generator[None]:
        """Sweep now and then, in a thread."""
        over = threading.Event()

        def sweep_again():
            while not over.wait(_ROUND):
                self.sweep()

        threading.Thread(target=sweep_again, daemon=True, name="uploads").start()
        try:
            yield
        finally:
            over.set()

    def _checked(self, path: str, name: str, tell: Tell) -> Upload:
        info = self._limits.probe(path)
        player = str(Path(path).with_name("player.mp4"))
        if is_playable(path):
            if path.lower().endswith((".mp4", ".webm")):
                return Upload(path, name, info, path)
            os.link(path, player)  # browsers go by the name
            return Upload(path, name, info, player)
        whole = write_preview(path, info, player, lambda share: tell(share, "making a copy that browsers play"))
        copy = "a small, silent copy" if whole else "a copy of its key frames"
        note = f"Browsers do not play {name} as it is: the player shows {copy}; the model sees the original."
        return Upload(path, name, info, player, (note,))

    def _move(self, path: Path, own: str) -> None:
        """Move a file out of the folder that gradio has made for it alone; nothing else is touched."""
        path = path.resolve()
        alone = path.parent
        if alone.parent != self._folder.resolve() or alone.name.startswith(_VISIT) or not path.is_file():
            raise VideoError("missing", f"{path} was not received")
        try:
            os.replace(path, own)
        except OSError as error:
            raise VideoError("missing", str(path)) from error
        shutil.rmtree(alone, ignore_errors=True)

    @contextlib.contextmanager
    def _unclaimed_folder(self) -> Generator[Path]:
        """A folder that is not swept meanwhile: a copy that browsers play may take minutes."""
        folder = self._new_folder()
        with self._lock:
            self._taking.add(folder)
        try:
            yield folder
        finally:
            with self._lock:
                self._taking.discard(folder)

    def _new_folder(self) -> Path:
        folder = self._folder / f"{_VISIT}{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        return folder

    def _keep(self, visitor: str, upload: Upload) -> Upload:
        with self._lock:
            self._of[visitor] = upload
        return upload

    def _delete(self, upload: Upload) -> None:
        folder = Path(upload.path).parent
        if folder.parent == self._folder and folder.name.startswith(_VISIT):
            shutil.rmtree(folder, ignore_errors=True)
