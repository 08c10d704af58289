"""file_churn: the agent keeps rewriting what it has just written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.edits import FileEdit, edits_by_file, repeated_patches
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during
from codex_loop_assets.signals.reading import groups
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="file_churn",
    version="1",
    looks_for="Files that the agent patched many times within one turn, where several of those patches remove lines "
    "that an earlier patch of the same turn had added.",
    evidence="Every patch of the file in that turn.",
    near_misses=(
        "many patches of different places in one file, with a correction here and there",
        "a long file added in parts",
        "one edit per request of the person",
        "edits by shell commands, which no record shows",
    ),
    needs=("patch_changes",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    patches = repeated_patches(canon, thresholds["minimum_edits"])
    moments = []
    for rows in groups(patches, "thread_id", "run", "request_seq"):
        for path, edits in edits_by_file(rows).items():
            reworked = _reworks(edits)
            enough = len(edits) >= thresholds["minimum_edits"] and reworked >= thresholds["minimum_reworks"]
            if enough and reworked / (len(edits) - 1) >= thresholds["share_reworked"]:
                moments.append(_moment(path, edits, reworked))
    return moments


def _reworks(edits: list[FileEdit]) -> int:
    """How many edits take away a line that an earlier one of them had added."""
    standing: Counter[str] = Counter()
    reworks = 0
    for edit in edits:
        taken = [line for line in edit.removed if standing[line] > 0]
        reworks += bool(taken)
        standing.subtract(taken)
        standing.update(edit.added)
    return reworks


def _moment(path: str, edits: list[FileEdit], reworked: int) -> Moment:
    first, last = edits[0].call, edits[-1].call
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["seq_start"],
        seq_end=last["seq_end"],
        occurred_at=first["occurred_at"],
        severity=1 if len(edits) < 10 else 2,
        confidence=0.7,
        description=f"The agent edited {path.rsplit('/', 1)[-1]} {len(edits)} times, rewriting its own lines in "
        f"{reworked} of them," + (during(first) or " within one request"),
        evidence=tuple(Evidence(edit.call["seq_start"], edit.call["call_id"]) for edit in edits),
    )
