"""Toy runs in this process, the files they leave, and a scheduler that stops them."""

import json
import os
import signal

import toy

from vidjax.training import loop


def run(workdir, objective=None, source=None, batches=toy.ToyBatches, **changes):
    return loop.train(
        toy.toy_config(**changes),
        workdir,
        source=source or toy.ToySource(),
        objective=objective or toy.ToyObjective(),
        make_batches=batches,
    )


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def losses(workdir):
    return {line["step"]: line["train/loss"] for line in lines(workdir) if "train/loss" in line}


class StoppingBatches(toy.ToyBatches):
    """Sends this process a signal when a batch is requested, as a scheduler would."""

    stop_at, signal = 4, signal.SIGTERM

    def __next__(self):
        if self._step == self.stop_at:
            os.kill(os.getpid(), self.signal)
        return super().__next__()


def saved_steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())


def events_of(folder):
    """Step and value of every entry in TensorBoard's event file."""
    from tensorboardX import proto

    (path,) = (folder / "tensorboard").iterdir()
    data, at = path.read_bytes(), 0
    while at < len(data):  # records: length (8 bytes), its checksum (4), an event, its checksum (4)
        size = int.from_bytes(data[at : at + 8], "little")
        event = proto.event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
        yield from ((event.step, value) for value in event.summary.value)
        at += 16 + size
