"""The grid of heads of an attentive probe, in a report: the validation accuracy of each learning rate and decay."""

from __future__ import annotations

from vidjax.files import Place, read_json
from vidjax.viz.document import Block, Heading, Table, Text

HEADS = "heads.json"  # in a run's folder: the settings and validation accuracy of each head, and the chosen one


def head_blocks(workdir: Place) -> list[Block]:
    """The "Heads" section of a report; empty for a run without a grid."""
    found = read_json(workdir / HEADS)
    if not found:
        return []
    heads = found["heads"]
    rates, decays = ([*dict.fromkeys(head[name] for head in heads)] for name in ("learning_rate", "weight_decay"))
    chosen = heads[found["chosen"]]
    cells = {(head["learning_rate"], head["weight_decay"]): f"{head['top1']:.1%}" for head in heads}
    cells[chosen["learning_rate"], chosen["weight_decay"]] += " (chosen)"
    rows = [[f"{rate:g}", *(cells.get((rate, decay), "") for decay in decays)] for rate in rates]
    text = (
        f"Top-1 accuracy of each head on one view of {found['videos']} videos of {found['split']}. The best was chosen "
        f"(learning rate {chosen['learning_rate']:g}, weight decay {chosen['weight_decay']:g}) and scored."
    )
    return [Heading("Heads"), Text(text), Table(("learning rate", *(f"decay {decay:g}" for decay in decays)), rows)]
