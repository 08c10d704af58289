"""Files to signals: CPU against `orjson.loads` of the same lines, peak memory, a one-session file of 1 GB.

Data: synthetic sessions shaped like real ones (see real_shaped.py), and, where there is a folder of real rollouts beside
the checkout, those too, copied under new thread ids until the asked size is reached. Each measurement is a process of
its own, because peak memory is a property of a process. Not counted, as loading the package is not: the first use of the
rules (imports, compiled patterns), which a small session pays before the clock starts. Days of some 75 MB
are built one after the other; each day costs about a tenth of a second whatever it holds.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path

from codex_loop_assets_tests.bench import real_shaped

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "corpus" / "rollouts"
THREAD = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MEGABYTES = 300
DAYS = 4
PROFILED_MEGABYTES = 200
STAGES = ("traces", "canon", "rules")


def main() -> None:
    """Measure each input and print its figures and its three largest costs."""
    with tempfile.TemporaryDirectory(prefix="codex-loop-bench-") as directory:
        home = Path(directory) / "synthetic"
        real_shaped.write_home(home, MEGABYTES)
        _report("synthetic sessions", _measured(home))
        shutil.rmtree(home)
        if REAL.is_dir():
            multiply(REAL, home, MEGABYTES)
            _report("real rollouts, copied", _measured(home))
            shutil.rmtree(home)
        real_shaped.write_one_session(home, 1000)
        _report("one synthetic session of 1 GB", _measured(home))


def multiply(source: Path, home: Path, megabytes: int) -> None:
    """Copy rollouts under new thread ids until there are that many megabytes."""
    files = sorted(path for path in source.rglob("rollout-*.jsonl") if THREAD.search(path.name))
    written, copy = 0, 0
    while written < megabytes * 1_000_000:
        for path in files:
            old = THREAD.search(path.name)[0]
            new = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{old}/{copy}"))
            target = home / "sessions" / "2026" / "01" / f"{copy % DAYS + 1:02d}" / path.name.replace(old, new)
            target.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes().replace(old.encode(), new.encode())
            target.write_bytes(data)
            written += len(data)
        copy += 1


def _measured(home: Path) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "codex_loop_assets_tests.bench.ingest", str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _report(name: str, figures: dict) -> None:
    total, base = sum(figures["stages"].values()), figures["baseline_s"]
    stages = ", ".join(f"{stage} {seconds / base:.2f}x" for stage, seconds in figures["stages"].items())
    print(
        f"{name}: {figures['megabytes']:.0f} MB, {figures['lines']:,} lines, {figures['days']} days; orjson.loads "
        f"{base:.2f} s CPU, files to signals {total:.2f} s CPU = {total / base:.2f}x ({stages}); "
        f"peak memory {figures['peak_mb']:.0f} MB",
        flush=True,
    )
    for place, seconds in figures["costliest"]:
        print(f"    {seconds:6.2f} s  {place}")


def throughput(home: Path) -> None:
    """Pipeline first, so that its peak memory is not the baseline's; prints one line of JSON."""
    from codex_loop_assets import canon
    from codex_loop_assets.signals.model import CanonTables
    from codex_loop_assets.signals.rules import detect
    from codex_loop_assets.signals.schema import load_schema
    from codex_loop_assets.traces.day import build_day
    from codex_loop_assets.traces.discover import discover
    from codex_loop_assets.traces.homes import CodexHome

    schema = load_schema([])

    def pipeline(refs: list) -> dict[str, float]:
        """CPU seconds of each stage on one day's files."""
        clock = [time.process_time()]
        traces = build_day(date(2026, 1, 1), refs)
        clock.append(time.process_time())
        built = canon.everything.build(traces.events, traces.spines)
        clock.append(time.process_time())
        detect(CanonTables(traces.spines, traces.events, built.sessions, built.turns, built.tool_calls), schema)
        clock.append(time.process_time())
        return dict(zip(STAGES, (after - before for before, after in pairwise(clock)), strict=True))

    with tempfile.TemporaryDirectory(prefix="codex-loop-bench-") as directory:
        real_shaped.write_home(Path(directory), 1)
        pipeline(discover([CodexHome("first use", Path(directory))]))
    by_day: dict[str, list] = {}
    for ref in discover([CodexHome("bench", home)]):
        by_day.setdefault(str(Path(ref.path).parent), []).append(ref)
    seconds = Counter()
    for refs in by_day.values():
        seconds.update(pipeline(refs))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    baseline, lines, size = baseline_seconds(home)
    figures = {"megabytes": size / 1e6, "lines": lines, "baseline_s": baseline, "stages": seconds, "peak_mb": peak}
    sample = next(iter(by_day.values())) if size < PROFILED_MEGABYTES * 1_000_000 * len(by_day) else []
    print(json.dumps({**figures, "days": len(by_day), "costliest": costliest(pipeline, sample)}))


def baseline_seconds(home: Path) -> tuple[float, int, int]:
    """(CPU seconds of orjson.loads over all lines, lines, bytes). Reading the files is not counted."""
    import orjson

    seconds, count, size = 0.0, 0, 0
    for path in home.rglob("*.jsonl"):
        with path.open("rb") as file:
            while lines := file.readlines(16_000_000):
                started = time.process_time()
                for line in lines:
                    try:
                        orjson.loads(line)
                    except orjson.JSONDecodeError:
                        continue
                seconds += time.process_time() - started
                count += len(lines)
                size += sum(map(len, lines))
    return seconds, count, size


def costliest(pipeline, refs: list) -> list[tuple[str, float]]:
    """The three functions of this package with the most CPU time of their own (with what they call in C), on one day."""
    if not refs:
        return []
    profile = cProfile.Profile(time.process_time, builtins=False)
    profile.runcall(pipeline, refs)
    package = str(ROOT / "codex_loop_assets") + os.sep
    own = [
        (f"{Path(place[0]).relative_to(ROOT)}:{place[1]} {place[2]}", figures[2])
        for place, figures in pstats.Stats(profile).stats.items()
        if place[0].startswith(package)
    ]
    return sorted(own, key=lambda item: -item[1])[:3]


if __name__ == "__main__":
    throughput(Path(sys.argv[1]))
