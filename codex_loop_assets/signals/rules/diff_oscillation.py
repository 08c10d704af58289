"""diff_oscillation: the agent changes the same lines back and forth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.edits import FileEdit, edits_by_file, repeated_patches
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during, show
from codex_loop_assets.signals.reading import groups
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="diff_oscillation",
    version="1",
    looks_for="Within one request, an edit whose exact reverse is made, and then reversed again: the same lines "
    "swapped for each other at least the configured number of times.",
    evidence="Every edit of the to and fro.",
    near_misses=(
        "one experiment that was reverted once",
        "breaking code on purpose once to see a test fail",
        "a revert that the person asked for in a new message",
        "renaming or moving lines",
    ),
    needs=("patch_changes",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    patches = repeated_patches(canon, thresholds["minimum_reversals"] + 1)
    moments = []
    for rows in groups(patches, "thread_id", "run", "request_seq"):
        for path, edits in edits_by_file(rows).items():
            swaps = _longest_to_and_fro(edits)
            if len(swaps) > thresholds["minimum_reversals"]:
                moments.append(_moment(path, swaps))
    return moments


def _longest_to_and_fro(edits: list[FileEdit]) -> list[FileEdit]:
    """The longest run of edits of one file, in order, each of which is the exact reverse of the one before."""
    chains: dict[frozenset[tuple[str, ...]], list[FileEdit]] = {}
    for edit in edits:
        if edit.removed == edit.added:
            continue
        chain = chains.setdefault(frozenset((edit.removed, edit.added)), [])
        if not chain or (chain[-1].removed, chain[-1].added) == (edit.added, edit.removed):
            chain.append(edit)
    return max(chains.values(), key=len, default=[])


def _moment(path: str, edits: list[FileEdit]) -> Moment:
    first, last = edits[0].call, edits[-1].call
    line = next(iter((*edits[0].added, *edits[0].removed)), "")
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["seq_start"],
        seq_end=last["seq_end"],
        occurred_at=first["occurred_at"],
        severity=2,
        confidence=0.8,
        description=f"The agent changed the same lines of {path.rsplit('/', 1)[-1]} back and forth {len(edits)} times "
        f"(`{show(line, first['thread_id'], 60)}`)" + during(first),
        evidence=tuple(Evidence(edit.call["seq_start"], edit.call["call_id"]) for edit in edits),
    )
