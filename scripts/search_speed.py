"""Time nearest-neighbour search among many vectors: exact, and approximate with its recall.

    python scripts/search_speed.py --vectors=1000000 --width=768

The vectors are those of synthetic films: each film has a random direction, and its windows lie around it. A query is
a further window of such a film, not among the vectors. The script prints one JSON object.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from vidjax.data.machine import usable_cores
from vidjax.search import neighbours

_FILM = 100  # windows per film
_SPREAD = 1.0  # distance of a film's windows from its direction, as a share of the direction's length
_BLOCK = 50_000


def blocks(vectors: int, width: int) -> Iterator[Float32[np.ndarray, "n d"]]:
    """Yield unit vectors, film by film."""
    rng = np.random.default_rng(0)
    for start in range(0, vectors, _BLOCK):
        count = min(_BLOCK, vectors - start)
        films = rng.standard_normal((-(-count // _FILM), width), np.float32).repeat(_FILM, axis=0)[:count]
        yield unit(films + _SPREAD * rng.standard_normal((count, width), np.float32))


def queries(vectors: int, width: int, count: int) -> Float32[np.ndarray, "q d"]:
    """Return further windows of the first films, none of them among the vectors."""
    films = np.random.default_rng(0).standard_normal((-(-min(_BLOCK, vectors) // _FILM), width), np.float32)[:count]
    return unit(films + _SPREAD * np.random.default_rng(1).standard_normal((len(films), width), np.float32))


def unit(found: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """Scale vectors to length 1."""
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def milliseconds(index: neighbours.Nearest, asked: Float32[np.ndarray, "q d"], top: int) -> dict[str, float]:
    """Time one query at a time."""
    took = []
    for query in asked:
        since = time.perf_counter()
        index.search(query[None], top)
        took.append(1000 * (time.perf_counter() - since))
    return {"fastest_ms": round(min(took), 1), "median_ms": round(float(np.median(took)), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--top", type=int, default=128)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--only-exact", action="store_true", help="skip the approximate index, which takes minutes")
    options = parser.parse_args()
    asked = queries(options.vectors, options.width, options.queries)
    exact = neighbours.exact(options.width, options.vectors, blocks(options.vectors, options.width))
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = {"vectors": options.vectors, "width": options.width, "cores": usable_cores()}
    found["exact"] = milliseconds(exact, asked, options.top) | {"peak_gib": round(gigabytes, 2)}
    if not options.only_exact:
        wanted = exact.search(asked, 10)[1]
        del exact
        kept = np.empty((options.vectors, options.width), np.float16)
        for number, block in enumerate(blocks(options.vectors, options.width)):
            kept[number * _BLOCK : number * _BLOCK + len(block)] = block
        since = time.process_time()
        index = neighbours.approximate(options.width, kept)
        seconds = round(time.process_time() - since)
        near = index.search(asked, 10)[1]
        recall = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(wanted, near, strict=True)])
        about = {"recall_at_10": round(float(recall), 3), "build_cpu_seconds": seconds}
        found["approximate"] = milliseconds(index, asked, options.top) | about
    print(json.dumps(found))


if __name__ == "__main__":
    main()
