"""Files to signals: CPU against `orjson.loads` of the same lines, peak memory, a one-session file of 1 GB.

Data: the fixtures' sessions, and, where there is a folder of real rollouts beside the checkout, those too, each copied
under new thread ids until the asked size is reached. Each measurement is a process of its own, because peak memory is a
property of a process.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "corpus" / "rollouts"
THREAD = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MEGABYTES = 300


def main() -> None:
    """Measure both inputs and print one line each."""
    with tempfile.TemporaryDirectory(prefix="codex-loop-bench-") as directory:
        for name, source in (("fixtures", ROOT / "fixtures" / "codex_home" / "sessions"), ("real rollouts", REAL)):
            if source.is_dir():
                home = Path(directory) / name.replace(" ", "_")
                multiply(source, home, MEGABYTES)
                _report(name, _measured("throughput", home))
                shutil.rmtree(home)
        home = Path(directory) / "one_file"
        one_large_file(home, 1000)
        _report("one session file of 1 GB", _measured("throughput", home))


def multiply(source: Path, home: Path, megabytes: int) -> None:
    """Copy rollouts under new thread ids until there are that many megabytes."""
    files = sorted(path for path in source.rglob("rollout-*.jsonl") if THREAD.search(path.name))
    written, copy = 0, 0
    while written < megabytes * 1_000_000:
        for path in files:
            old = THREAD.search(path.name)[0]
            new = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{old}/{copy}"))
            target = home / "sessions" / "2026" / "01" / f"{copy % 28 + 1:02d}" / path.name.replace(old, new)
            target.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes().replace(old.encode(), new.encode())
            target.write_bytes(data)
            written += len(data)
        copy += 1


def one_large_file(home: Path, megabytes: int) -> None:
    """One thread whose lines are those of the fixtures' rollouts, again and again."""
    thread = str(uuid.uuid5(uuid.NAMESPACE_URL, "one large file"))
    target = home / "sessions" / "2026" / "01" / "05" / f"rollout-2026-01-05T10-00-00-{thread}.jsonl"
    target.parent.mkdir(parents=True)
    meta = {
        "id": thread,
        "timestamp": "2026-01-05T10:00:00.000Z",
        "cwd": "/w",
        "originator": "codex_cli_rs",
        "cli_version": "0.80.0",
    }
    bodies = [
        line
        for path in sorted((ROOT / "fixtures" / "codex_home" / "sessions").rglob("rollout-*.jsonl"))
        for line in path.read_bytes().splitlines(keepends=True)
        if b'"payload"' in line and b'"session_meta"' not in line and line.endswith(b"\n")
    ]
    block = b"".join(bodies)
    with target.open("wb") as file:
        file.write(
            json.dumps({"timestamp": meta["timestamp"], "type": "session_meta", "payload": meta}).encode() + b"\n"
        )
        while file.tell() < megabytes * 1_000_000:
            file.write(block)


def _measured(what: str, home: Path) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "codex_loop_assets_tests.bench.ingest", what, str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _report(name: str, figures: dict) -> None:
    print(
        f"{name}: {figures['megabytes']:.0f} MB, {figures['lines']:,} lines; orjson.loads {figures['baseline_s']:.2f} s CPU, "
        f"files to signals {figures['pipeline_s']:.2f} s CPU = {figures['pipeline_s'] / figures['baseline_s']:.2f}x; "
        f"peak memory {figures['peak_mb']:.0f} MB"
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

    def pipeline(day: date, refs: list) -> None:
        traces = build_day(day, refs)
        built = canon.everything.build(traces.events, traces.spines)
        detect(CanonTables(traces.spines, traces.events, built.sessions, built.turns, built.tool_calls), schema)

    by_day: dict[str, list] = {}
    for ref in discover([CodexHome("bench", home)]):
        by_day.setdefault(str(Path(ref.path).parent), []).append(ref)
    started = time.process_time()
    for position, refs in enumerate(by_day.values(), start=1):
        pipeline(date(2026, 1, min(position, 28)), refs)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    baseline, lines, size = baseline_seconds(home)
    figures = {"megabytes": size / 1e6, "lines": lines, "baseline_s": baseline, "pipeline_s": seconds, "peak_mb": peak}
    print(json.dumps({**figures, "costliest": costliest(pipeline, next(iter(by_day.values())))}))


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
    """The three functions of this package with the most CPU time of their own, on one day's files."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(pipeline, date(2026, 1, 1), refs)
    own = [
        (f"{Path(place[0]).relative_to(ROOT)}:{place[1]} {place[2]}", figures[2])
        for place, figures in pstats.Stats(profile).stats.items()
        if "codex_loop_assets" in place[0]
    ]
    return sorted(own, key=lambda item: -item[1])[:3]


if __name__ == "__main__":
    throughput(Path(sys.argv[2]))
