"""Files to signals: CPU against `orjson.loads` of the same lines, peak memory, a one-session file of 1 GB.

Data: synthetic sessions shaped like real ones (see real_shaped.py), and, where there is a folder of real rollouts beside
the checkout, those too, copied under new thread ids until the asked size is reached; of both is printed what a parser's
speed depends on: bytes per line, and how many bytes in a thousand are backslashes or belong to characters beyond ASCII.
Days of some 75 MB (real) or 100 MB (synthetic) are built one after the other, each stage's tables in memory as the next
one reads them. Each measurement is a process of its own, because peak memory is a property of a process.

Counted: everything after the imports at the top of the modules. The first use of each stage (late imports, compiled
patterns, detectors) is paid once in a process: it is in the total and told apart, as the difference between the first
and the second run over a session of 1 MB. What that second run costs is what a day costs however little it holds, and
is told too: with many small days it is most of the time.
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
_BEYOND_ASCII = bytes(range(128, 256))


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
    base, first, lines, size = (figures[key] for key in ("baseline_s", "first_use_s", "lines", "bytes"))
    total = sum(figures["stages"].values()) + first
    stages = ", ".join(f"{stage} {seconds / base:.2f}x" for stage, seconds in figures["stages"].items())
    peaks = ", ".join(f"{stage} {megabytes:.0f}" for stage, megabytes in figures["peaks_mb"].items())
    per_stage = f" (up to the end of each stage: {peaks})" if figures["days"] == 1 else ""
    per_thousand = " and ".join(f"{1000 * figures[key] / size:.0f} {key}" for key in ("escapes", "beyond_ascii"))
    print(
        f"{name}: {size / 1e6:.0f} MB, {lines:,} lines of {size / lines:.0f} bytes, of a thousand bytes {per_thousand}, "
        f"{figures['days']} days\n"
        f"    CPU: orjson.loads {base:.2f} s, files to signals {total:.2f} s = {total / base:.2f}x "
        f"({stages}, first use {first / base:.2f}x); a day of 1 MB {figures['small_day_s']:.2f} s\n"
        f"    peak memory {max(figures['peaks_mb'].values()):.0f} MB{per_stage}",
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

    peaks: dict[str, float] = {}

    def pipeline(refs: list) -> dict[str, float]:
        """CPU seconds of each stage on one day's files."""
        clock = [time.process_time()]

        def done(stage: str) -> None:
            clock.append(time.process_time())
            peaks[stage] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000

        traces = build_day(date(2026, 1, 1), refs)
        done("traces")
        built = canon.everything.build(traces.events, traces.spines)
        done("canon")
        tables = CanonTables(traces.spines, traces.events, built.sessions, built.turns, built.tool_calls)
        detect(tables, load_schema([]))
        done("rules")
        return dict(zip(STAGES, (after - before for before, after in pairwise(clock)), strict=True))

    with tempfile.TemporaryDirectory(prefix="codex-loop-bench-") as directory:
        real_shaped.write_home(Path(directory), 1)
        small = discover([CodexHome("first use", Path(directory))])
        first, second = (sum(pipeline(small).values()) for _ in range(2))
    by_day: dict[str, list] = {}
    for ref in discover([CodexHome("bench", home)]):
        by_day.setdefault(str(Path(ref.path).parent), []).append(ref)
    seconds, counted = Counter(), Counter()
    for refs in by_day.values():
        seconds.update(pipeline(refs))
        # Day by day as well, so that what else the machine does slows both alike.
        counted.update(baseline([home / file.path for ref in refs for file in ref.files]))
    figures = {"stages": seconds, "peaks_mb": peaks, "first_use_s": first - second, "small_day_s": second}
    figures |= {"days": len(by_day), **counted}
    sample = next(iter(by_day.values())) if figures["bytes"] < PROFILED_MEGABYTES * 1_000_000 * len(by_day) else []
    print(json.dumps({**figures, "costliest": costliest(pipeline, sample)}))


def baseline(paths: list[Path]) -> dict[str, float]:
    """`baseline_s`: CPU seconds of orjson.loads over all lines (reading the files is not counted); number of `lines`,
    `bytes`, backslashes (`escapes`) and bytes `beyond_ascii`."""
    import orjson

    found = {"baseline_s": 0.0, "lines": 0, "bytes": 0, "escapes": 0, "beyond_ascii": 0}
    for path in paths:
        with path.open("rb") as file:
            while lines := file.readlines(16_000_000):
                started = time.process_time()
                for line in lines:
                    try:
                        orjson.loads(line)
                    except orjson.JSONDecodeError:
                        continue
                found["baseline_s"] += time.process_time() - started
                found["lines"] += len(lines)
                found["bytes"] += sum(map(len, lines))
                found["escapes"] += sum(line.count(b"\\") for line in lines)
                found["beyond_ascii"] += sum(len(line) - len(line.translate(None, _BEYOND_ASCII)) for line in lines)
    return found


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
