"""Write a feature store on a cluster through Apache Beam; each process writes one part at a time."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import TypeAlias

from vidjax.data.runners import Runner, run_pieces, watching
from vidjax.evaluation.features.extraction import Backbone, OnRow
from vidjax.evaluation.features.parts import part_path
from vidjax.evaluation.features.writer import Split, Storage, StoreWriter, Written

Opener: TypeAlias = Callable[[], tuple[Backbone, Split]]
_ONE_AT_A_TIME = threading.Lock()  # the parts of a process share its devices


def write_on_cluster(runner: Runner, opener: Opener, writer: StoreWriter, on_row: OnRow = lambda rows: None) -> Written:
    """Write the missing parts of a store, each on any machine of the cluster.

    Args:
      opener: opens the writer's backbone and split, once in each process of the cluster; picklable and hashable.
      writer: a writer for a folder that all machines see.
      on_row: called with 1 for each row when its part is written, at once for parts that exist.

    Raises:
      UserError: as in `vidjax.evaluation.features.writer.write_features` and `vidjax.data.runners.run_pieces`.
    """
    missing = writer.missing()

    def is_written(part: int) -> bool:
        return part_path(writer.folder, part).exists()

    def tell(part: int) -> None:
        for _ in writer.header.rows_of(part):
            on_row(1)

    for _ in range(writer.header.num_rows - writer.count(missing)):
        on_row(1)
    if missing:
        work = _WritePart(opener, writer.storage, writer.batch, repr(writer.header.facts()))
        with watching(missing, is_written, tell):
            run_pieces(work, missing, runner, is_written)
    return writer.summary(missing, missing)


@dataclasses.dataclass(frozen=True)
class _WritePart:
    """Write one part on any machine; rejects a machine whose weights or videos differ from the store's.

    Attributes:
      facts: the store's facts, as text. If they change, a long-lived process opens weights and videos again.
    """

    opener: Opener
    storage: Storage
    batch: int
    facts: str

    def __call__(self, part: int) -> None:
        with _ONE_AT_A_TIME:
            writer = _writer(self)
            if not part_path(writer.folder, part).exists():
                writer.write([part])


@functools.lru_cache(maxsize=1)
def _writer(work: _WritePart) -> StoreWriter:
    """Return the writer that a process uses for all its parts."""
    return StoreWriter(*work.opener(), work.storage, work.batch)
