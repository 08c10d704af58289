"""From one segment to a task: its start, how it ended, the candidate, the files.

A segment that cannot become a task raises why; the rows are written in `distil`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_loop_assets.distill import repository
from codex_loop_assets.distill.build import Built, build
from codex_loop_assets.distill.candidate import NotDistillable, assemble, ending
from codex_loop_assets.distill.later import solutions
from codex_loop_assets.distill.model import Model
from codex_loop_assets.distill.replay import ReplayError
from codex_loop_assets.distill.segment import Row, Segment
from codex_loop_assets.distill.start import NoStart, Redact, Start, hermetic, starting_diff, without_repository
from codex_loop_assets.distill.threads import Threads


@dataclass(frozen=True)
class Surroundings:
    """What distilling works with besides the segment: the tables, local repositories, registered Codex homes, the
    codex-loop home, a scratch object store, and a model while a key is set."""

    threads: Threads
    repositories: Mapping[str, Path]
    codex_homes: Mapping[str, Path]
    home: Path
    redact: Redact
    settings: Mapping[str, Any]
    store: repository.Store
    model: Model | None


def produce(cluster_id: str, segment: Segment, around: Surroundings, set_kind: str) -> Built:
    """The task of a segment. Raises NotDistillable, NoStart, RepositoryError, ReplayError, UnsafePath or UnsafeName."""
    threads, settings = around.threads, around.settings
    if len(segment.turns) > settings["segments"]["maximum_turns"]:
        raise NotDistillable("too many turns for one intent")
    session = threads.session(segment.thread_id)
    applied = threads.steps(segment.thread_id)
    if not any(segment.start <= step.at <= segment.end for step in applied) and not any(
        True for _ in solutions(segment, session, session["cwd"] or "/", threads, settings)
    ):
        # Cheap to see, and true whether or not a repository is at hand.
        raise NotDistillable("no recorded edit in the segment")
    calls, signals = threads.calls(segment.thread_id), threads.signals(segment.thread_id)
    start = _start(session, segment, calls, around)
    later = solutions(segment, session, start.root, threads, settings)
    try:
        end = ending(segment, start, applied, calls, later, signals, settings)
    except ReplayError as error:
        if start.kind == "hermetic":
            raise
        reason = f"the repository is not at hand, and the trace does not show all that was edited: {error}"
        raise NoStart(reason) from error
    candidate = assemble(segment, start, end, signals, around.redact, settings, around.store, around.model)
    return build(cluster_id, candidate, session, calls, around.redact, set_kind, settings)


def _start(session: Row, segment: Segment, calls: list[Row], around: Surroundings) -> Start:
    source = repository.find(around.repositories, session["repository_url"], session["repository"], session["cwd"])
    diff = starting_diff(session, around.codex_homes)
    steps = around.threads.steps(segment.thread_id)
    if source is None:
        return without_repository(session, segment, steps, calls, diff, around.settings)
    opened = repository.opened(source, around.home / "cache" / "repositories")
    return hermetic(
        session,
        segment,
        steps,
        opened,
        diff,
        lambda: around.threads.carried(session),
        calls,
        around.store,
        around.settings,
    )
