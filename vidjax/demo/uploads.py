"""The visitors' videos: one per visitor at a time, each in a folder that is deleted when the visitor leaves."""

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

KEPT = 3600  # seconds that a video is kept after its last use
_UNCLAIMED = 120  # seconds that an unclaimed file is kept; its visitor may have left, or dropped ten files at once
_ROUND = 30.0  # seconds between sweeps
_VISIT = "visit-"  # prefix of visitors' folders
Tell = Callable[[float, str], None]  # called with the share of the work that is done and a description


class RefusedError(UserError):
    """A rejected video; the message is shown on the page."""


@dataclasses.dataclass(eq=False)
class Upload:
    """A visitor's video.

    Attributes:
      path: path of the file; name: the visitor's name for it; info: its metadata.
      player: the file that the page plays: the video itself, or a copy that browsers can play.
      notes: messages for the visitor.
      drawn: numbers of the steps that already show it.
      found: results by model name and kind.
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
        """Return the central view of the video by a model's recipe; cached for the last few recipes.

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
        """Return the times of the frames of `clip`."""
        [indices] = eval_indices(self.info.frames, self.info.fps, recipe.one_view())
        return [float(index) / self.info.fps for index in indices]

    def seen(self, recipe: ClipRecipe, most: int) -> tuple[UInt8[np.ndarray, "n h w 3"], list[float]]:
        """Return up to `most` frames, evenly chosen from the central crops of a model's clips, and their times.

        For a model that slides windows, they come from the middle clip.

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
        """Replace the video's path in a sentence by the visitor's name for it."""
        return sentence.replace(self.path, self.name)


class Uploads:
    """The store of visitors' videos: it takes over the files that gradio receives, and deletes them when unused."""

    def __init__(self, folder: str | os.PathLike, limits: Limits):
        """Keep everything in a dedicated folder; files in it that belong to no visitor are deleted."""
        self._folder, self._limits = Path(folder), limits
        self._of: dict[str, Upload] = {}
        self._taking: set[Path] = set()  # folders of videos under inspection, not yet assigned to a visitor
        self._lock = threading.Lock()

    def take(self, visitor: str, path: str, name: str, tell: Tell = lambda share, words: None) -> Upload:
        """Check a received file; it replaces the visitor's last one, and is deleted at once if it is rejected.

        Args:
          visitor: the session.
          path: path of the file, which is moved; the visitor's browser sends it, so it is checked.
          name: the visitor's name for the file, also from the browser.

        Raises:
          RefusedError: when the file is rejected.
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
        """Give a visitor a copy of an example, exempt from the limits."""
        self.forget(visitor)
        own = str(shutil.copy(path, self._new_folder()))
        return self._keep(visitor, Upload(own, name, probe_video(own), own))

    def of(self, visitor: str) -> Upload | None:
        """Return the visitor's video, if any."""
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
        """Delete videos unused for an hour, and files that no visitor has claimed."""
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
            except OSError:  # already deleted, or the folder is not empty
                continue

    @contextlib.contextmanager
    def kept_swept(self) -> Generator[None]:
        """Sweep regularly in a thread while the context is open."""
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
            os.link(path, player)  # browsers rely on the file name
            return Upload(path, name, info, player)
        whole = write_preview(path, info, player, lambda share: tell(share, "making a copy that browsers can play"))
        copy = "a small, silent copy" if whole else "a copy of its key frames"
        note = f"Browsers cannot play {name}: the player shows {copy}; the model sees the original."
        return Upload(path, name, info, player, (note,))

    def _move(self, path: Path, own: str) -> None:
        """Move a file out of the folder that gradio created for it, and delete the folder; refuse any other file."""
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
        """Yield a folder that is exempt from sweeps, because a playable copy may take minutes."""
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
