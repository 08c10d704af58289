"""`make bench`: speed and memory as ratios against a baseline measured in the same run, on stated data.

python -m codex_loop_assets_tests.bench [NAME ...]
"""

from __future__ import annotations

import sys

from codex_loop_assets_tests.bench import discovery, ingest, judging, memory, newcomer, redaction, statistics

BENCHES = {
    "ingest": ingest.main,
    "memory": memory.main,
    "judging": judging.main,
    "discovery": lambda: discovery.main([]),
    "redaction": redaction.main,
    "newcomer": newcomer.main,
    "statistics": statistics.main,
}

if __name__ == "__main__":
    names = sys.argv[1:] or list(BENCHES)
    unknown = set(names) - BENCHES.keys()
    if unknown:
        sys.exit(f"no bench {sorted(unknown)}; there are {sorted(BENCHES)}")
    for name in names:
        print(f"== {name}", flush=True)
        BENCHES[name]()
