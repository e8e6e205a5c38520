"""A feature store that the machines of a cluster write together, a part at a time, through Apache Beam."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import TypeAlias

from vidjax.data.runners import Runner, run_pieces, watching
from vidjax.evaluation.features.extraction import Backbone
from vidjax.evaluation.features.parts import part_path
from vidjax.evaluation.features.writer import Split, Storage, StoreWriter, Written

Opener: TypeAlias = Callable[[], tuple[Backbone, Split]]
_ONE_AT_A_TIME = threading.Lock()  # parts of a process: they share its devices


def write_on_cluster(
    runner: Runner, opener: Opener, writer: StoreWriter, on_row: Callable[[], None] = lambda: None
) -> Written:
    """Write the parts that a store lacks, each on some machine.

    Args:
      opener: gives what the writer has been made of, in each process of the cluster once; picklable and hashable.
      writer: of a folder that all machines see.
      on_row: called for each row that is done, when its part is there.

    Raises:
      UserError: as `vidjax.evaluation.features.writer.write_features` and `vidjax.data.runners.run_pieces`.
    """
    missing = writer.missing()

    def is_written(part: int) -> bool:
        return part_path(writer.folder, part).exists()

    def tell(part: int) -> None:
        for _ in writer.header.rows_of(part):
            on_row()

    for _ in range(writer.header.num_rows - writer.count(missing)):
        on_row()
    if missing:
        work = _WritePart(opener, writer.storage, writer.batch, repr(writer.header.facts()))
        with watching(missing, is_written, tell):
            run_pieces(work, missing, runner, is_written)
    return writer.summary(missing, missing)


@dataclasses.dataclass(frozen=True)
class _WritePart:
    """Writes one part, on any machine; refuses where its weights or videos are not those of the store.

    Attributes:
      facts: of the store. A process that lives on opens weights and videos anew when they have changed.
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
    """One for all parts of a process."""
    return StoreWriter(*work.opener(), work.storage, work.batch)
