"""From a segment and its starting state to the parts of a task: the end state, the check that proves it, the words, the patch.

A candidate that cannot become a task says why; nothing is dropped. The writing of files is `build`'s business.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.distill import checks, instruction, repository, verifier
from codex_loop_assets.distill.replay import Step, replay
from codex_loop_assets.distill.segment import Row, Segment, place
from codex_loop_assets.distill.start import Redact, Start, redacted
from codex_loop_assets.distill.tree import Tree, changed


class NotDistillable(ValueError):
    """The segment cannot become a task; the message says why, `stage` how far it came."""

    def __init__(self, reason: str, stage: str = "segment") -> None:
        super().__init__(reason)
        self.stage = stage


@dataclass(frozen=True)
class Candidate:
    """All that a task is made of, redacted."""

    candidate_id: str
    segment: Segment
    start: Start
    before: Tree
    after: Tree
    changed: tuple[str, ...]
    patch: bytes
    words: str
    check: checks.Check | None
    failed_before: bool
    solution_from: str
    solution_thread: str | None
    redacted_files: tuple[str, ...]


def candidate_id(segment: Segment, commit: str | None) -> str:
    """Hash of thread, segment and commit: the same whatever else is known about it."""
    text = json.dumps([segment.thread_id, list(segment.start), commit or ""], ensure_ascii=True)
    return "cand_" + hashlib.sha256(text.encode()).hexdigest()[:16]


def propose(
    segment: Segment,
    start: Start,
    steps: list[Step],
    calls: list[Row],
    signals: list[Row],
    redact: Redact,
    settings: Mapping[str, Any],
) -> Candidate:
    """The candidate of a segment that the session itself solved. `steps`, `calls`, `signals`: all of the thread's.

    Raises NotDistillable, ReplayError, RepositoryError.
    """
    own_calls = [call for call in calls if segment.start <= place(call) <= segment.end]
    own_steps = [step for step in steps if segment.start <= step.at <= segment.end]
    if not own_steps:
        raise NotDistillable("no recorded edit in the segment")
    runs = checks.outcomes(own_calls, start.root, settings)
    proof = checks.choose(runs, [step.at for step in own_steps])
    if proof is None:
        raise NotDistillable(_why_no_proof(runs))
    after = replay(start.tree, [step for step in own_steps if step.at < proof.passed_at], start.root)
    return assemble(segment, start, after, proof, signals, redact, settings)


def assemble(
    segment: Segment, start: Start, after: Tree, proof: checks.Proof, signals: list[Row], redact: Redact, settings: Mapping[str, Any],
    solution_thread: str | None = None,
) -> Candidate:  # fmt: skip
    """The redacted candidate for a known end state. Raises NotDistillable and RepositoryError."""
    clean_before, hidden = redacted(start.tree, segment.thread_id, redact, settings)
    clean_after, hidden_after = redacted(after, segment.thread_id, redact, settings)
    paths = changed(clean_before, clean_after)
    if not paths:
        raise NotDistillable("the edits leave no change")
    if not set(paths) - set(verifier.test_paths(paths, settings)):
        raise NotDistillable("the solution changes tests only: the check would prove nothing")
    with repository.scratch_store() as store:
        patch = store.diff(clean_before, clean_after)
    try:
        words = instruction.request(segment, signals, _added_lines(patch), settings["instruction"], redact)
    except instruction.NoInstruction as error:
        raise NotDistillable(str(error)) from error
    return Candidate(
        candidate_id(segment, start.commit), segment, start, clean_before, clean_after, tuple(paths), patch, words, proof.check,
        proof.failed_at is not None, "later_session" if solution_thread else "session", solution_thread,
        tuple(sorted(set(hidden) | set(hidden_after))),
    )  # fmt: skip


def _why_no_proof(runs: list[checks.Outcome]) -> str:
    if not runs:
        return "no test, build or lint command in the segment"
    if not runs[-1].passed:
        return "the last check of the segment failed"
    return "no check passed after the segment's edits"


def _added_lines(patch: bytes) -> set[str]:
    rows = patch.decode("utf-8", "replace").split("\n")
    return {row[1:] for row in rows if row.startswith("+") and not row.startswith("+++")}
