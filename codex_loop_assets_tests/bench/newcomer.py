"""A newcomer's path: from an installed checkout to an open report, on the fixtures, in a process of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOAL_SECONDS = 120


def main() -> None:
    """Run the demo in a new folder, read the report that it leaves, and print wall and CPU time, beside the time that importing
    Dagster takes and the goal. CPU time is what a busy machine leaves comparable: its wall time says more about its load."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import dagster"], check=True)
    baseline, before = time.perf_counter() - started, _cpu_of_children()
    with tempfile.TemporaryDirectory(prefix="codex-loop-bench-") as directory:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, str(ROOT / "demo.py"), "--use-fixtures", "--skip-openai", "--output", directory],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        site = Path(directory) / "home" / "reports" / "site"
        pages = [len(page.read_text("utf-8")) for page in (site / "index.html", *site.glob("tickets/*.html"))]
        wall = time.perf_counter() - started
    cpu = _cpu_of_children() - before
    print(
        f"demo on fixtures to an open report ({len(pages) - 1} tickets): {wall:.0f} s wall, {cpu:.0f} s CPU ="
        f" {wall / baseline:.0f}x `import dagster` ({baseline:.1f} s); goal {GOAL_SECONDS} s on 2 cores:"
        f" {'reached' if wall < GOAL_SECONDS else 'missed'} (load of the last minute: {os.getloadavg()[0]:.1f})"
    )


def _cpu_of_children() -> float:
    """Seconds of CPU, user and system, of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
