"""Compare `vidjax serve` with eight clients and with one: requests per second and latencies, in one run.

    python scripts/load_serve.py exported video.mp4

Each client sends its next request once the previous one is answered. Rounds of one and of eight clients take turns, so
that other work on the machine slows both. On a busy machine, the server's processor time says more than the rates:
eight clients get at most cores / (processor seconds per request) answers per second.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import re
import subprocess
import sys
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
    """Send the video again and again, and append the seconds until each answer to `times`."""
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
    """Return the requests per second, and the seconds of each request."""
    times: list[float] = []
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        sent = [pool.submit(client, port, video, began + seconds, times) for _ in range(clients)]
    for each in sent:
        each.result()  # raises the error of a client
    return len(times) / (time.monotonic() - began), times


def processor_seconds(process: int) -> float:
    """Return the user and system time of a process (proc(5), fields 14 and 15 of its stat)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
        used = dict.fromkeys(rates, 0.0)
        for _ in range(arguments.rounds):
            for clients in rates:
                before = processor_seconds(server.pid)
                rate, took = measure(port, video, clients, arguments.seconds)
                used[clients] += processor_seconds(server.pid) - before
                rates[clients].append(rate)
                times[clients] += took
    finally:
        server.terminate()
        server.wait()
    ratios = [many / one for one, many in zip(*rates.values(), strict=True)]
    for clients in rates:
        p50, p99 = np.percentile(times[clients], (50, 99)) * 1000
        rate, plural = np.median(rates[clients]), "s" * (clients > 1)
        cost = 1000 * used[clients] / len(times[clients])
        print(
            f"{clients} client{plural}: {rate:.1f} requests/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms, {cost:.0f} ms of "
            "processor time per request"
        )
    print(f"ratio {np.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    print(f"load of the machine {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    requests = {clients: len(took) for clients, took in times.items()}
    print(json.dumps({"rates": rates, "ratios": ratios, "requests": requests, "processor_seconds": used}))


if __name__ == "__main__":
    main()
