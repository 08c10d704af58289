"""A newcomer's path: from an installed checkout to an open report, on the fixtures, in a process of its own."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run the demo in a new folder and print wall and CPU time, beside the time that importing Dagster takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import dagster"], check=True)
    baseline = time.perf_counter() - started
    with tempfile.TemporaryDirectory(prefix="codex-loop-bench-") as directory:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, str(ROOT / "demo.py"), "--use-fixtures", "--skip-openai", "--output", directory],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wall = time.perf_counter() - started
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"demo on fixtures: {wall:.0f} s wall, {cpu.ru_utime + cpu.ru_stime:.0f} s CPU = {wall / baseline:.0f}x `import dagster` ({baseline:.1f} s)"
    )
