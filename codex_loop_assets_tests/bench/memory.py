"""Peak memory of the product's own steps on one session of a gigabyte: a Dagster run per step, each a process of its own.

Data: see `real_shaped.write_one_session`. The steps hand over through the lake, as every run does; Dagster itself is counted.
The judge is not measured here: what it does grows with what people wrote (see `judging`).
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from codex_loop_assets_tests.bench import real_shaped

MEGABYTES = 1000
STEPS = {
    "reading": ("spines", "events"),
    "canonical tables": ("turns", "tool_calls", "sessions"),
    "rules": ("mechanical_signals",),
}


def main() -> None:
    """Print CPU seconds and peak memory of each step."""
    with tempfile.TemporaryDirectory(prefix="codex-loop-bench-") as directory:
        codex, root = Path(directory) / "codex", Path(directory) / "home"
        # Elsewhere as well: a process starts with the peak of the one that started it.
        _in_a_process(root, str(codex))
        print(f"one synthetic session of {MEGABYTES} MB, step by step through the lake:")
        for name, tables in STEPS.items():
            seconds, megabytes = re.findall(r"[\d.]+", _in_a_process(root, *tables).splitlines()[-1])
            print(f"    {name}: {seconds} s CPU, peak memory {megabytes} MB", flush=True)


def _in_a_process(root: Path, *what: str) -> str:
    command = [sys.executable, "-W", "ignore", "-m", "codex_loop_assets_tests.bench.memory", str(root), *what]
    environment = {**os.environ, "CODEX_LOOP_HOME": str(root), "DAGSTER_HOME": str(root / "dagster")}
    # Polars sets it where it is imported before the product, which sets another value.
    environment.pop("_RJEM_MALLOC_CONF", None)
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def step(root: Path, what: list[str]) -> None:
    """Write the session and make the home, or materialise these tables for its only day."""
    from codex_loop_assets.cli.runs import materialise
    from codex_loop_assets.resources.homes import Home
    from codex_loop_assets.resources.sources import scan

    home = Home(root)
    if not root.exists():
        real_shaped.write_one_session(Path(what[0]), MEGABYTES)
        home.initialise()
        home.register(Path(what[0]), name="bench")
        return
    materialise(home, what, days=home.lake.keys("spines") or scan(home).changed)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{used.ru_utime + used.ru_stime:.1f} {used.ru_maxrss / 1000:.0f}")


if __name__ == "__main__":
    step(Path(sys.argv[1]), sys.argv[2:])
