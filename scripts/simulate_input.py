"""Simulate how long a step waits for its videos, before a single host is rented.

    $ python scripts/simulate_input.py --hosts=1000 --batch=16000 --step-ms=300 --decode-ms=25 --latency-ms=40 \\
        --latency-p99-ms=250 --megabytes=0.43 --megabytes-per-second=1250 --workers=16 --threads=4 --cores=16

The model has four stations for every host of a synchronous job; each serves videos in the order in which they arrive:

1. A reader asks the store for a video and waits. Readers are threads of one process, or of each of `workers` processes,
   which take packs of rows in turn. The latency is log-normal, with the given median and 99th percentile.
2. The bytes pass through the host's network, one video after the other, at `megabytes-per-second`.
3. One of the host's `cores` decodes and augments; each video takes `decode-ms` of its time.
4. Rows are joined in order into batches, `prefetch` of them ahead of the step, as in `vidjax.data.loader`. A process
   reads at most two rows (or packs) per reader ahead of the joined rows; a worker process may read four more packs.

While a step runs, the next batch is taken, as in the training loop. A step begins when the one before it has ended and
every host has its part of the batch; the time in between is the data wait.

Measure the inputs: `vidjax bench loader` prints clips per second and core, and a store's own tool its latencies.
Retries, throttling by the store and other work on the cores are left out. tests/test_simulate_input.py compares the
model with the real loader, in threads and in workers, on a deliberately slow store; docs/scale.md has the comparison.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import heapq
import json

import numpy as np

Z99 = 2.3263478740408408  # the 99th percentile of a standard normal
PACK, PACKS_AHEAD = 4, 4  # as in vidjax.data.loader


@dataclasses.dataclass(frozen=True)
class Setting:
    """A job and its store; times in seconds.

    Attributes:
      batch: videos per step over all hosts.
      step: time of a step once its batch is ready.
      decode: core time for the clips of one video.
      latency, latency_p99: median and 99th percentile of the time from a request to its first byte.
      transfer: network time for one video.
      workers, threads, prefetch: data.workers, data.threads, data.prefetch.
    """

    hosts: int = 1
    batch: int = 32
    step: float = 0.3
    decode: float = 0.025
    latency: float = 0.0
    latency_p99: float = 0.0
    transfer: float = 0.0
    workers: int = 0
    threads: int = 2
    prefetch: int = 2
    cores: int = 16


def data_wait(setting: Setting, steps: int = 50, seed: int = 0) -> np.ndarray:
    """Return the seconds that each step waits for its batch, except the first, whose readers have only just started.

    Raises:
      ValueError: if the hosts do not divide the batch.
    """
    if setting.batch % setting.hosts or not setting.batch:
        raise ValueError(
            f"a batch of {setting.batch} cannot be shared equally by {setting.hosts} hosts; use a multiple"
        )
    hosts = [Host(setting, np.random.default_rng((seed, number))) for number in range(setting.hosts)]
    begun, ended, waits = 0.0, 0.0, []
    for _ in range(steps + 1):
        begun = max(ended, max(host.take(begun) for host in hosts))
        waits.append(begun - ended)
        ended = begun + setting.step
    return np.array(waits[1:])


class Host:
    """The readers, the network, the cores and the batches of a host."""

    def __init__(self, setting: Setting, rng: np.random.Generator):
        """Start reading as far ahead as readers may."""
        local, groups = setting.batch // setting.hosts, max(setting.workers, 1)
        most = min(PACK, local // groups) if setting.workers else 1
        self.pack = next(size for size in range(max(most, 1), 0, -1) if local % size == 0)
        self.setting, self.rng, self.per_batch = setting, rng, local // self.pack
        self.spread = np.log(max(setting.latency_p99 / setting.latency, 1.0)) / Z99 if setting.latency else 0.0
        self.arriving: list[tuple[float, int, int]] = []  # time, pack, row in the pack
        self.network, self.cores = 0.0, [0.0] * setting.cores
        self.free = [[0.0] * setting.threads for _ in range(groups)]  # by process, when its free readers became free
        self.allowed: list[collections.deque[tuple[int, float]]] = [collections.deque() for _ in range(groups)]
        self.decoded: dict[int, float] = {}
        self.joined, self.put = 0, 0.0
        self.room = collections.deque([0.0] * max(1, setting.prefetch - 1))  # when the queue of batches has room
        self.lead = groups * (2 * setting.threads + (PACKS_AHEAD if setting.workers else 0))
        for number in range(self.lead):
            self.allow(number, 0.0)

    def take(self, asked: float) -> float:
        """Return the time at which the next batch is taken, if it is asked for at `asked`."""
        now = self.put
        for _ in range(self.per_batch):
            self.allow(self.joined + self.lead, now)  # when a pack is asked for, another may be read
            while self.joined not in self.decoded:
                self.arrive()
            now = max(now, self.decoded.pop(self.joined))
            self.joined += 1
        self.put = max(now, self.room.popleft())
        self.room.append(max(asked, self.put))
        return self.room[-1]

    def allow(self, number: int, time: float) -> None:
        """Allow a pack to be read from a given time on."""
        self.allowed[number % len(self.free)].append((number, time))
        self.read(number % len(self.free))

    def read(self, group: int) -> None:
        """Give packs to the free readers of a process."""
        while self.free[group] and self.allowed[group]:
            number, time = self.allowed[group].popleft()
            self.ask(max(time, heapq.heappop(self.free[group])), number, 0)

    def ask(self, time: float, number: int, row: int) -> None:
        """Ask the store for a row."""
        latency = self.setting.latency * np.exp(self.spread * self.rng.standard_normal())
        heapq.heappush(self.arriving, (time + latency, number, row))

    def arrive(self) -> None:
        """Take the next row to arrive through the network and a core, and let its reader continue."""
        time, number, row = heapq.heappop(self.arriving)
        self.network = max(time, self.network) + self.setting.transfer
        decoded = max(self.network, self.cores[0]) + self.setting.decode
        heapq.heapreplace(self.cores, decoded)
        if row + 1 < self.pack:
            self.ask(decoded, number, row + 1)
            return
        self.decoded[number] = decoded
        heapq.heappush(self.free[number % len(self.free)], decoded)
        self.read(number % len(self.free))


def main() -> None:
    """Print the data wait of a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("hosts", 1), ("batch", 32), ("workers", 0), ("threads", 2), ("prefetch", 2), ("cores", 16)):
        parser.add_argument(f"--{name}", type=int, default=default, help="default %(default)s")
    for name, default in (("step", 300.0), ("decode", 25.0), ("latency", 0.0), ("latency-p99", 0.0)):
        parser.add_argument(f"--{name}-ms", type=float, default=default, help="default %(default)s")
    parser.add_argument("--megabytes", type=float, default=0.43, help="per video; default %(default)s")
    parser.add_argument("--megabytes-per-second", type=float, default=1250.0, help="per host; default %(default)s")
    parser.add_argument("--steps", type=int, default=50, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    numbers = {name: given[name] for name in ("hosts", "batch", "workers", "threads", "prefetch", "cores")}
    times = {name: given[f"{name}_ms"] / 1000 for name in ("step", "decode", "latency", "latency_p99")}
    setting = Setting(**numbers, **times, transfer=given["megabytes"] / given["megabytes_per_second"])
    try:
        waits = data_wait(setting, given["steps"], given["seed"])
    except ValueError as error:
        parser.error(str(error))
    answer = {
        "data_wait_ms": 1000 * waits.mean(),
        "data_wait_p95_ms": 1000 * np.quantile(waits, 0.95),
        "share_of_step": waits.mean() / (waits.mean() + setting.step),
        "videos_per_second": setting.batch / (waits.mean() + setting.step),
        "megabytes_per_second": setting.batch * given["megabytes"] / (waits.mean() + setting.step),
    }
    print(json.dumps({name: round(float(value), 4) for name, value in answer.items()}))


if __name__ == "__main__":
    main()
