"""From a candidate to a Harbor task: its files, and the provenance written into task.toml and the dataset's
evidence.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.distill import environment, verifier
from codex_loop_assets.distill.candidate import Candidate
from codex_loop_assets.distill.checks import Check
from codex_loop_assets.distill.environment import Environment
from codex_loop_assets.distill.instruction import with_definition_of_done
from codex_loop_assets.distill.llm_check import WrittenCheck
from codex_loop_assets.distill.segment import Row, place
from codex_loop_assets.distill.start import Redact
from codex_loop_assets.distill.task import Task, configuration, slug, solution_files


@dataclass(frozen=True)
class Built:
    """A task with what its row and its evidence say about it."""

    candidate: Candidate
    task: Task
    environment: Environment
    metadata: Mapping[str, Any]

    @property
    def substance(self) -> str:
        """Hash of what the task demands: its environment, verifier and solution, whoever asked for it in which
        words.
        """
        parts = sorted((path, data) for path, data in self.task.files.items() if "/" in path)
        return hashlib.sha256(b"".join(path.encode() + b"\0" + data for path, data in parts)).hexdigest()


def build(
    cluster_id: str,
    candidate: Candidate,
    session: Row,
    calls: list[Row],
    redact: Redact,
    set_kind: str,
    settings: Mapping[str, Any],
) -> Built:
    """The task of a candidate. Raises UnsafeName for an image, package or URL that may not stand in a Dockerfile."""
    made = _environment(candidate, calls, redact, settings)
    short = candidate.candidate_id.removeprefix("cand_")
    name = f"{slug(session['repository'] or 'task', 20)}-{short[:10]}"
    # Harbor runs the valid task folders directly below a dataset: one level deeper, a task without verifier is not
    # among them.
    directory = name if candidate.verification else f"needs_review/{name}"
    name = f"{settings['organisation']}/{name}"
    metadata = _metadata(cluster_id, candidate, session, made, redact, set_kind)
    files = {
        "instruction.md": with_definition_of_done(_moved(candidate, settings), _done(candidate, settings)).encode(
            "utf-8", "replace"
        ),
        "task.toml": configuration(name, candidate.words.split("\n", 1)[0][:200], metadata, settings),
        **_under(
            "environment", environment.files(made, settings["workdir"], candidate.before, candidate.start_patches)
        ),
        **_under(
            "tests",
            verifier.files(
                candidate.verification, candidate.after, candidate.changed, candidate.passed_output, settings
            ),
        ),
        **_under("solution", solution_files(candidate.patch, settings)),
    }
    return Built(candidate, Task(directory, name, files), made, metadata)


def _environment(candidate: Candidate, calls: list[Row], redact: Redact, settings: Mapping[str, Any]) -> Environment:
    known = settings["environment"]
    earlier = [call for call in calls if place(call) <= candidate.segment.end]
    # A line with a secret (an index with a password) would not work redacted: better without it.
    lines = environment.setup_commands(earlier, candidate.before, known)
    setup = tuple(line for line in lines if redact(line, candidate.segment.thread_id) == line)
    programs = [*verifier.programs(candidate.verification), *(line.split(" ", 1)[0] for line in setup)]
    language = environment.language_of(candidate.before, candidate.changed, known)
    packages = environment.packages(candidate.before, language, programs, known)
    return Environment(
        candidate.start.kind,
        language,
        environment.base_image(known),
        packages,
        setup,
        url=candidate.start.url,
        commit=candidate.start.commit,
    )


def _metadata(
    cluster_id: str, candidate: Candidate, session: Row, made: Environment, redact: Redact, set_kind: str
) -> dict[str, Any]:
    segment = candidate.segment
    lead = segment.signals[0]
    thread = segment.thread_id
    check = candidate.verification if isinstance(candidate.verification, Check) else None
    return {
        "signal_type": lead["type"],
        "signal_category": lead["category"],
        # Harbor's literal key; a stretch that a person chose may belong to no cluster.
        "cluster_id": cluster_id or None,
        "candidate_id": candidate.candidate_id,
        "signal_ids": [signal["signal_id"] for signal in segment.signals],
        "source_thread_id": thread,
        "source_run": segment.run,
        "source_turn_ids": [turn["turn_id"] for turn in segment.turns if turn["turn_id"]],
        "seq_range": f"{segment.turns[0]['seq_start']}-{segment.turns[-1]['seq_end']}",
        "source_record": session["source"],
        "source_cli_version": redact(session["cli_version"] or "", thread) or None,
        "source_model": redact(session["model"] or "", thread) or None,
        "source_repository": redact(session["repository"] or "", thread) or None,
        "source_repo_url": redact(session["repository_url"] or "", thread) or None,
        "source_commit_hash": redact(candidate.start.commit or "", thread) or None,
        "source_starting_diff": bool(candidate.start.starting_diff.strip()),
        "environment_kind": made.kind,
        "language": made.language,
        "verifier_kind": candidate.verifier_kind,
        "verifier_model": candidate.verification.model if isinstance(candidate.verification, WrittenCheck) else None,
        "instruction_model": candidate.words_by,
        "check_kind": check.kind if check else None,
        "verifier_command": redact(check.line, thread) if check else None,
        "failed_before_in_session": candidate.failed_before,
        "solution_from": candidate.solution_from,
        "solution_thread_id": candidate.solution_thread,
        "note": candidate.note or None,
        "redacted_files": list(candidate.redacted_files),
        "set_kind": set_kind,
    }


def _moved(candidate: Candidate, settings: Mapping[str, Any]) -> str:
    """The user's words with the repository's place on their machine replaced by its place in the container."""
    root = candidate.start.root.rstrip("/")
    return candidate.words.replace(root, settings["workdir"]) if root.count("/") > 1 else candidate.words


def _done(candidate: Candidate, settings: Mapping[str, Any]) -> str:
    """The definition of done: the command that must pass, or the files that must be as asked for."""
    check = candidate.verification
    if not isinstance(check, Check):
        names = ", ".join(f"`{path}`" for path in candidate.changed if "`" not in path)
        return f"The change asked for is made in `{settings['workdir']}`" + (
            f" (files concerned: {names})." if names else "."
        )
    directory = posixpath.join(settings["workdir"], check.directory) if check.directory else settings["workdir"]
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", check.line)), default=0))
    return f"This command, run in `{directory}`, exits with 0:\n\n{fence}\n{check.line}\n{fence}"


def _under(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}
