"""The registered Codex homes as a calendar: which day holds which session files, and which days changed."""

from __future__ import annotations

from datetime import UTC

from codex_loop_assets import clock
from codex_loop_assets.partitions import FIRST_DAY
from codex_loop_assets.resources.forgotten import forgotten_hashes, thread_hash
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.traces.assign import Calendar, assign
from codex_loop_assets.traces.discover import discover, locate, opening


def scan(home: Home) -> Calendar:
    """List all session files (names, sizes and times only) and sort them into days. Opens the head of files whose thread
    no day holds yet, and nothing else. Forgotten threads are passed over."""
    lake = home.lake
    known = {day: lake.read("spines", day) for day in lake.keys("spines")}
    today = clock.now().astimezone(UTC).date().isoformat()
    gone = forgotten_hashes(home)
    refs = [ref for ref in discover(home.codex_homes()) if not gone or thread_hash(ref.thread_id) not in gone]
    return assign(refs, known, locate, FIRST_DAY, today, opening)
