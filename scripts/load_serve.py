"""Measure requests per second and latencies of `vidjax serve` with eight clients against one, in one run.

    python scripts/load_serve.py exported video.mp4

A client sends each request when it has the answer to the last. Rounds of one and of eight clients take turns, so that
other work on the machine slows both.
"""

import argparse
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np


def start(source: str, most: int) -> tuple[subprocess.Popen, int]:
    """Start a server process; return it and its port."""
    words = [sys.executable, "-m", "vidjax.cli", "serve", source, "--port=0", f"--max-batch={most}"]
    server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
            return server, int(found[1])
        print(line, end="", file=sys.stderr)
    raise SystemExit("the server did not start")


def client(port: int, video: bytes, until: float, times: list[float]) -> None:
    """Send the video again and again, and add the seconds to each answer to `times`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    while (began := time.monotonic()) < until:
        connection.request("POST", "/predict", video, {"Content-Type": "video/mp4"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {body.decode()}")
        times.append(time.monotonic() - began)
    connection.close()


def measure(port: int, video: bytes, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Requests per second, and the seconds of each."""
    times: list[float] = []
    began = time.monotonic()
    threads = [threading.Thread(target=client, args=(port, video, began + seconds, times)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times) / (time.monotonic() - began), times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="as for vidjax serve")
    parser.add_argument("video")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of each half of a round")
    parser.add_argument("--max-batch", type=int, default=8)
    arguments = parser.parse_args()
    video = Path(arguments.video).read_bytes()
    server, port = start(arguments.source, arguments.max_batch)
    try:
        measure(port, video, 1, 1.0)
        rates: dict[int, list[float]] = {1: [], arguments.clients: []}
        times: dict[int, list[float]] = {1: [], arguments.clients: []}
        for _ in range(arguments.rounds):
            for clients in rates:
                rate, took = measure(port, video, clients, arguments.seconds)
                rates[clients].append(rate)
                times[clients] += took
    finally:
        server.terminate()
        server.wait()
    ratios = [many / one for one, many in zip(*rates.values(), strict=True)]
    for clients in rates:
        p50, p99 = np.percentile(times[clients], (50, 99)) * 1000
        rate, plural = np.median(rates[clients]), "s" * (clients > 1)
        print(f"{clients} client{plural}: {rate:.1f} requests/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(f"ratio {np.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    print(json.dumps({"rates": rates, "ratios": ratios, "requests": {n: len(took) for n, took in times.items()}}))


if __name__ == "__main__":
    main()
