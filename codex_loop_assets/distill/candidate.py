"""From a segment and its starting state to the parts of a task: the end state, what proves it, the words, the patch.

A candidate that cannot become a task says why; nothing is dropped. The writing of files is `build`'s business.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.distill import checks, file_state, instruction, repository, verifier
from codex_loop_assets.distill.later import Later
from codex_loop_assets.distill.llm_check import NoCheck, WrittenCheck, written
from codex_loop_assets.distill.llm_instruction import condensed
from codex_loop_assets.distill.model import Model
from codex_loop_assets.distill.replay import ReplayError, Step, replay
from codex_loop_assets.distill.segment import Row, Segment, place
from codex_loop_assets.distill.start import Redact, Start, redacted
from codex_loop_assets.distill.tree import Tree, changed

Verification = checks.Check | file_state.Expected | WrittenCheck | None


class NotDistillable(ValueError):
    """The segment cannot become a task; the message says why, `stage` how far it came."""

    def __init__(self, reason: str, stage: str = "segment") -> None:
        super().__init__(reason)
        self.stage = stage


@dataclass(frozen=True)
class Candidate:
    """All that a task is made of, redacted. `note` says what is wrong with it where nothing verifies it; `words_by` names the
    model that condensed the words, None for the user's own."""

    candidate_id: str
    segment: Segment
    start: Start
    before: Tree
    after: Tree
    changed: tuple[str, ...]
    patch: bytes
    words: str
    verification: Verification
    failed_before: bool
    solution_thread: str
    redacted_files: tuple[str, ...]
    note: str = ""
    passed_output: str = ""
    start_patches: tuple[bytes, ...] = ()
    words_by: str | None = None

    @property
    def solution_from(self) -> str:
        return "session" if self.solution_thread == self.segment.thread_id else "later_session"

    @property
    def verifier_kind(self) -> str:
        if self.verification is None:
            return "none"
        if isinstance(self.verification, WrittenCheck):
            return "llm"
        return "file_state" if isinstance(self.verification, file_state.Expected) else "command"


@dataclass(frozen=True)
class Ending:
    """An end state and the check that proves it (None: nothing does); `thread_id` is whose work it is."""

    tree: Tree
    proof: checks.Proof | None
    thread_id: str
    note: str = ""


def candidate_id(segment: Segment, commit: str | None) -> str:
    """Hash of thread, segment and commit: the same whatever else is known about it."""
    text = json.dumps([segment.thread_id, list(segment.start), commit or ""], ensure_ascii=True)
    return "cand_" + hashlib.sha256(text.encode()).hexdigest()[:16]


def ending(
    segment: Segment,
    start: Start,
    steps: list[Step],
    calls: list[Row],
    later: Iterable[Later],
    signals: list[Row],
    settings: Mapping[str, Any],
) -> Ending:
    """How the segment's problem was solved: by its own edits with a check, by later work, or by its own edits alone.

    `steps`, `calls`, `signals`: all of the thread's. Raises NotDistillable and ReplayError.
    """
    own_calls = [call for call in calls if segment.start <= place(call) <= segment.end]
    own_steps = [step for step in steps if segment.start <= step.at <= segment.end]
    runs = checks.outcomes(own_calls, start.root, settings)
    proof = checks.choose(runs, [step.at for step in own_steps])
    if proof:
        done = [step for step in own_steps if step.at < proof.passed_at]
        return Ending(replay(start.tree, done, start.root), proof, segment.thread_id)
    unsolved = _unsolved(segment, own_steps, runs, signals, settings)
    if unsolved is None:
        return Ending(replay(start.tree, own_steps, start.root), None, segment.thread_id, _why_no_proof(runs))
    misfit = ""
    for solution in later:
        try:
            # Its edits are read relative to its own checkout, which need not stand where this session's did.
            there = start.root if solution.session["cwd"] is None else _root(solution, start)
            return Ending(replay(start.tree, solution.steps, there), solution.proof, solution.session["thread_id"])
        except ReplayError:
            misfit = "; a later session solved it, but on files that differ"
    raise NotDistillable(unsolved + misfit)


def _root(solution: Later, start: Start) -> str:
    return start.root if solution.session["cwd"].startswith(start.root) else solution.session["cwd"]


def _unsolved(
    segment: Segment, own_steps: list[Step], runs: list[checks.Outcome], signals: list[Row], settings: Mapping[str, Any]
) -> str | None:
    """Why the segment's own work is no solution; None when nothing speaks against it."""
    if not own_steps:
        return "no recorded edit in the segment"
    if runs and not runs[-1].passed:
        return "the last check of the segment failed"
    last = segment.turns[-1]
    if last["interrupted"] or last["undone"] or last["end_state"] in ("aborted", "errored"):
        return "the segment's last turn was cut off or undone"
    edited_at = own_steps[-1].at
    against = set(settings["segments"]["refusal_categories"])
    if any(
        place(signal) > edited_at and signal["category"] in against and place(signal) <= segment.end
        for signal in signals
    ):
        return "the user was not content with the last edit"
    return None


def assemble(
    segment: Segment,
    start: Start,
    end: Ending,
    signals: list[Row],
    redact: Redact,
    settings: Mapping[str, Any],
    store: repository.Store,
    model: Model | None,
) -> Candidate:
    """The redacted candidate for a known end state; `model`, while a key is set, may condense the request, and write a check
    where the session shows none.

    Raises NotDistillable and RepositoryError.
    """
    before, hidden = redacted(start.tree, segment.thread_id, redact, settings)
    after, hidden_after = redacted(end.tree, segment.thread_id, redact, settings)
    paths = tuple(changed(before, after))
    if not paths:
        raise NotDistillable("the edits leave no change")
    patch = store.diff(before, after)
    patches = _start_patches(store, start, before, segment, redact, settings) if start.kind == "clone" else ()
    try:
        words = instruction.request(segment, signals, _added_lines(patch), settings["instruction"], redact)
    except instruction.NoInstruction as error:
        raise NotDistillable(str(error)) from error
    secret = end.proof is not None and redact(end.proof.check.line, segment.thread_id) != end.proof.check.line
    verification, note = _verification(end, secret, before, after, paths, words, settings)
    if verification is None and model is not None:
        verification, note = _written(model, words, patch, segment.thread_id, note, settings)
    told, told_by = words, None
    if not isinstance(verification, file_state.Expected):
        # Where content is compared, the user's exact words are what determines it.
        added = _added_lines(patch)
        told, told_by = condensed(words, added, segment.thread_id, model, settings["instruction"])
    return Candidate(
        candidate_id=candidate_id(segment, start.commit),
        segment=segment,
        start=start,
        before=before,
        after=after,
        changed=paths,
        patch=patch,
        words=told,
        words_by=told_by,
        verification=verification,
        failed_before=end.proof is not None and end.proof.failed_at is not None,
        solution_thread=end.thread_id,
        redacted_files=tuple(sorted(set(hidden) | set(hidden_after))),
        note=note,
        passed_output=end.proof.passed_output if end.proof else "",
        start_patches=patches,
    )


def _start_patches(
    store: repository.Store, start: Start, before: Tree, segment: Segment, redact: Redact, settings: Mapping[str, Any]
) -> tuple[bytes, ...]:
    """What a fresh clone lacks: the starting diff, and what the session had changed before the segment."""
    first, _ = redacted(start.first, segment.thread_id, redact, settings)
    diff = redact(start.starting_diff.decode("utf-8", "replace"), segment.thread_id).encode("utf-8", "replace")
    return diff, store.diff(first, before)


def _verification(
    end: Ending,
    secret: bool,
    before: Tree,
    after: Tree,
    paths: tuple[str, ...],
    words: str,
    settings: Mapping[str, Any],
) -> tuple[Verification, str]:
    """What proves the end state, and where nothing does, why. `secret`: the check's command line holds a secret."""
    tests_only = not set(paths) - set(verifier.test_paths(paths, settings))
    if end.proof and not tests_only and not secret:
        return end.proof.check, ""
    note = end.note
    if end.proof:
        note = (
            "the solution changes tests only: its check would prove nothing" if tests_only else "its check has a secret"
        )
    try:
        return file_state.expect(before, after, paths, words, settings["file_state"]), ""
    except file_state.Undetermined as error:
        return None, f"{note}; {error}"


def _written(
    model: Model, words: str, patch: bytes, thread_id: str, note: str, settings: Mapping[str, Any]
) -> tuple[Verification, str]:
    try:
        return written(words, patch.decode("utf-8", "replace"), thread_id, model, settings["llm_verifier"]), ""
    except NoCheck as error:
        return None, f"{note}; {error}"


def _why_no_proof(runs: list[checks.Outcome]) -> str:
    return "no check passed after the segment's edits" if runs else "no test, build or lint command in the segment"


def _added_lines(patch: bytes) -> set[str]:
    rows = patch.decode("utf-8", "replace").split("\n")
    return {row[1:] for row in rows if row.startswith("+") and not row.startswith("+++")}
