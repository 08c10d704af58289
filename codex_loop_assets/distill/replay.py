"""Rebuilding the files as they stood at a moment of a session, by replaying its recorded patches on the commit it
began with.

Edits come from `tool_calls`: the recorded `changes` of an applied patch, else the patch envelope among the call's
arguments, and what shell commands write in plain sight (`shell_edits`). What else a shell did to files is not known;
where that matters, a later patch does not fit, and the replay says so instead of guessing.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.distill import shell_edits
from codex_loop_assets.distill.patches import Edit, PatchError, apply, from_changes, from_envelope
from codex_loop_assets.distill.segment import Place, place
from codex_loop_assets.distill.tree import Entry, Tree, UnsafePath, relative_to

Row = Mapping[str, Any]


class ReplayError(ValueError):
    """The files cannot be rebuilt; the message says which edit does not fit."""


@dataclass(frozen=True)
class Step:
    """The edits of one applied patch: where in the thread, relative to which directory."""

    at: Place
    cwd: str | None
    edits: tuple[Edit, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths as the trace names them."""
        return tuple(posixpath.join(self.cwd or "", edit.path) for edit in self.edits)


def steps(calls: Iterable[Row], turns: Iterable[Row]) -> list[Step]:
    """The applied patches among a thread's tool calls, in order. Patches of a turn that was undone are left out."""
    undone = {(turn["run"], turn["turn_id"]) for turn in turns if turn["undone"] and turn["turn_id"] is not None}
    result = []
    for call in sorted(calls, key=place):
        if (call["run"], call["turn_id"]) in undone:
            continue
        edits = _edits(call)
        if edits:
            result.append(Step(place(call), call["cwd"], tuple(edits)))
    return result


def _edits(call: Row) -> list[Edit]:
    if call["name"] == "shell":
        return shell_edits.edits(call["command"] or "") if call["exit_code"] == 0 else []
    if call["name"] != "apply_patch" or call["success"] is not True:
        return []
    for reader, text in ((from_changes, call["changes"]), (from_envelope, _envelope(call["arguments"]))):
        try:
            if text:
                return reader(text)
        except PatchError:
            continue
    return []


def _envelope(arguments: str | None) -> str | None:
    """The patch text among a call's arguments: bare, or inside a JSON object or argument vector."""
    if not arguments or "*** Begin Patch" not in arguments:
        return None
    try:
        values: list[Any] = [json.loads(arguments)]
    except ValueError:
        return arguments
    while values:
        value = values.pop()
        if isinstance(value, str) and "*** Begin Patch" in value:
            return value
        values += value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return None


def root_of(cwd: str, known: Iterable[Step], tree: Tree) -> str:
    """Where the repository stood in the session: the directory, `cwd` or above it, under which most edited files exist
    in the tree.
    """
    paths = [path for step in known for path in step.paths]
    candidates = [posixpath.normpath(cwd)]
    while candidates[-1] not in ("/", "", "."):
        candidates.append(posixpath.dirname(candidates[-1]))
    return max(
        candidates[:-1] or candidates, key=lambda root: (sum(_exists(path, root, tree) for path in paths), len(root))
    )


def _exists(path: str, root: str, tree: Tree) -> bool:
    try:
        return relative_to(path, root) in tree
    except UnsafePath:
        return False


def replay(tree: Tree, chosen: Iterable[Step], root: str) -> dict[str, Entry]:
    """The tree after the steps. Edits of files outside the repository are passed over. Raises ReplayError."""
    result = dict(tree)
    for step in chosen:
        for edit in step.edits:
            try:
                relative_to(edit.path, root, step.cwd)
            except UnsafePath:
                continue
            try:
                result = apply(result, [edit], root, step.cwd)
            except (PatchError, UnsafePath) as error:
                raise ReplayError(
                    f"a patch does not fit the files as recorded (changed outside patches?): {error}"
                ) from error
    return result
