"""Later work that solved what a segment left unsolved: in the same thread, or in a later session on the same
repository.

What counts as the same problem: the very check that failed here passes there; or, where nothing was checked here, the
request shares its words and the edits their files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from codex_loop_assets.distill import checks
from codex_loop_assets.distill.replay import Step
from codex_loop_assets.distill.segment import Row, Segment, intents, place
from codex_loop_assets.distill.threads import Threads

_WORD = re.compile(r"\w{3,}")


@dataclass(frozen=True)
class Later:
    """A later segment that solved it: its edits, and the check that proves them. `cwd` is where it stood."""

    segment: Segment
    session: Row
    steps: tuple[Step, ...]
    proof: checks.Proof


def solutions(
    segment: Segment, session: Row, root: str, threads: Threads, settings: Mapping[str, Any]
) -> Iterator[Later]:
    """Later segments that solved the problem, earliest first. `root` is where the repository stood in the session."""
    own = _Work(segment, threads, root, settings)
    if not own.files and all(run.passed for run in own.runs):
        return  # nothing to recognise the problem by
    for other in _later_sessions(segment, session, threads.started, settings["segments"]["later_session_days"]):
        thread = other["thread_id"]
        # A checkout elsewhere (another machine, another person): paths are compared relative to its own directory.
        there = root if other["cwd"] == session["cwd"] else other["cwd"] or root
        for candidate in intents(threads.turns(thread), threads.known_signals, settings["segments"]):
            if thread == segment.thread_id and candidate.start <= segment.end:
                continue
            work = _Work(candidate, threads, there, settings)
            if work.proof and work.steps and _same_problem(own, work, settings):
                # In the same thread, what was tried in between stands in the files too.
                begun = segment.start if thread == segment.thread_id else candidate.start
                done = tuple(step for step in work.applied if begun <= step.at < work.proof.passed_at)
                yield Later(candidate, other, done, work.proof)


class _Work:
    """What a segment did: its edits and its checks."""

    def __init__(self, segment: Segment, threads: Threads, root: str, settings: Mapping[str, Any]) -> None:
        self.words = set(_WORD.findall(segment.turns[0]["user_message"].lower()))
        self.applied = threads.steps(segment.thread_id)
        self.steps = [step for step in self.applied if segment.start <= step.at <= segment.end]
        own = [call for call in threads.calls(segment.thread_id) if segment.start <= place(call) <= segment.end]
        self.runs = checks.outcomes(own, root, settings)
        self.proof = checks.choose(self.runs, [step.at for step in self.steps])
        self.files = {path.rsplit("/", 1)[-1] for step in self.steps for path in step.paths}


def _same_problem(own: _Work, other: _Work, settings: Mapping[str, Any]) -> bool:
    failed = {run.check for run in own.runs if not run.passed}
    if failed:
        return other.proof is not None and other.proof.check in failed
    shared = len(own.words & other.words) / max(1, min(len(own.words), len(other.words)))
    return bool(own.files & other.files) and shared >= settings["segments"]["continuation_overlap"]


def _later_sessions(segment: Segment, session: Row, sessions: pl.DataFrame, days: int) -> list[Row]:
    """The session itself and later ones on the same repository, in order of their start."""
    started = session["started_at"]
    found = [session]
    for other in sessions.iter_rows(named=True):
        if other["thread_id"] == segment.thread_id or other["excluded"] or not started or not other["started_at"]:
            continue
        same = (
            other["repository_url"] == session["repository_url"]
            if session["repository_url"]
            else other["cwd"] == session["cwd"]
        )
        if same and started < other["started_at"] <= started + timedelta(days=days):
            found.append(other)
    return sorted(found, key=lambda row: (row["thread_id"] != segment.thread_id, row["started_at"], row["thread_id"]))
