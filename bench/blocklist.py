"""How fast, how large and how exact is the blocklist's index, beside a plain scan?

`python bench/blocklist.py [entries]`: a million random hashes; queries are entries with 0 to 40
bits flipped. Times are the processor's: a busy machine lengthens them little. Recall is against the
scan: 1.0 or the index is wrong.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.hash_index import HashIndex

DISTANCE = 31
QUERIES = 400
RESULTS = Path(__file__).parent / "results" / "blocklist.json"


def main(entries: int) -> None:
    """Measure, print the table, write the results."""
    random = np.random.default_rng(7)
    hashes = random.integers(0, 256, (entries, 32), np.uint8)
    words = hashes.view(np.uint64)
    began = time.process_time()
    index = HashIndex(hashes.tobytes(), DISTANCE)
    built_s = time.process_time() - began
    index_ms, scan_ms, agreed = [], [], 0
    for number in range(QUERIES):
        query = _flipped(hashes[number % entries], number % 41, random)
        began = time.process_time()
        found = index.nearest(query.tobytes().hex())
        index_ms.append((time.process_time() - began) * 1000)
        began = time.process_time()
        nearest = int(np.bitwise_count(words ^ query.view(np.uint64)).sum(axis=1).min())
        scan_ms.append((time.process_time() - began) * 1000)
        agreed += (found.distance if found else None) == (nearest if nearest <= DISTANCE else None)
    result = {
        "entries": entries,
        "max_distance": DISTANCE,
        "recall_vs_scan": agreed / QUERIES,
        "query_cpu_ms": _quantiles(index_ms),
        "scan_cpu_ms": _quantiles(scan_ms),
        "times_faster": round(statistics.median(scan_ms) / statistics.median(index_ms), 1),
        "memory_mb": round(index.size_bytes / 1e6, 1),
        "build_cpu_s": round(built_s, 2),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result.items():
        print(f"{name:>16}  {value}")


def _flipped(entry: NDArray[np.uint8], bits: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """`entry` with so many of its bits turned over."""
    unpacked = np.unpackbits(entry)
    unpacked[random.choice(256, bits, replace=False)] ^= 1
    return np.packbits(unpacked)


def _quantiles(times: list[float]) -> dict[str, Any]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3)}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
