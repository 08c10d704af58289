"""The agent's edits by patch, file by file: which lines each took away and which it put there.

What belongs here: reading applied patches. What does not: what a pattern of edits means. Edits made by shell commands
are
invisible in every record Codex writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.reading import with_request

_PLACE = ("thread_id", "run", "turn_id", "call_id", "seq_start", "seq_end", "occurred_at")
_FILE_HEADER = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+)$")
# Braces, blank lines and the like come and go without meaning.
_MEANINGFUL = re.compile(r"\w.*\w.*\w")


@dataclass(frozen=True)
class FileEdit:
    """One file's part of one applied patch; lines without their indentation, insignificant ones left out."""

    call: dict[str, Any]
    path: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


def repeated_patches(canon: CanonTables, minimum: int) -> pl.DataFrame:
    """Applied patches of the agent, in order, that touch a file patched at least `minimum` times for one request, with
    the request (see `with_request`)."""
    placed = canon.once("applied patches", lambda: _applied(canon))
    files = ("thread_id", "run", "request_seq", "paths")
    touched = placed.lazy().select("row", *files).explode("paths")
    often = touched.filter(pl.len().over(files) >= minimum).select(pl.col("row").unique()).collect()
    busy = placed.drop("paths").filter(pl.col("row").is_in(often["row"].implode()))
    # The patches themselves last, and only these: a day's patches are a good part of its text.
    return pl.concat([busy, canon.tool_calls.select("changes", "arguments")[busy["row"]]], how="horizontal").drop("row")


def _applied(canon: CanonTables) -> pl.DataFrame:
    """Applied patches of the agent in order: their `row` in the tool calls, place, paths and request."""
    is_applied = (pl.col("name") == "apply_patch") & pl.col("success").fill_null(False) & (pl.col("actor") != "user")
    numbered = canon.tool_calls.lazy().with_row_index("row").filter(is_applied)
    applied = numbered.select("row", *_PLACE, "paths").collect().sort("thread_id", "run", "seq_start")
    return with_request(canon, applied, "seq_start")


def edits_by_file(patches: list[dict[str, Any]]) -> dict[str, list[FileEdit]]:
    """Edits of each path in order, from rows of `repeated_patches`."""
    found: dict[str, list[FileEdit]] = {}
    for call in patches:
        for edit in _edits(call):
            found.setdefault(edit.path, []).append(edit)
    return found


def _edits(call: dict[str, Any]) -> Iterator[FileEdit]:
    changes = json.loads(call["changes"]) if call["changes"] else {}
    for path, change in changes.items():
        if not isinstance(change, dict):
            continue
        if isinstance(change.get("unified_diff"), str):
            lines = change["unified_diff"].splitlines()
            removed, added = _side(lines, "-"), _side(lines, "+")
        else:
            content = _meaningful(str(change.get("content") or "").splitlines())
            removed, added = ((), content) if change.get("type") == "add" else (content, ())
        yield FileEdit(call, path, removed, added)
    if not changes and call["arguments"]:
        yield from _edits_of_patch_text(call, _patch_text(call["arguments"]))


def _edits_of_patch_text(call: dict[str, Any], text: str) -> Iterator[FileEdit]:
    """Edits read from the patch that the model wrote, where the record holds no changes."""
    lines = text.splitlines()
    # Line by line only where a header can be: patches are a good part of a day's text.
    starred = [index for index, line in enumerate(lines) if line.startswith("*** ")]
    headers = [(index, found) for index in starred if (found := _FILE_HEADER.match(lines[index]))]
    for (index, header), (end, _) in pairwise([*headers, (len(lines), None)]):
        if path := header[2].strip():
            part = lines[index + 1 : end]
            yield FileEdit(call, path, _side(part, "-"), _side(part, "+"))


def _patch_text(arguments: str) -> str:
    """The patch inside a call's arguments, which are the patch itself, or JSON that holds it."""
    if not arguments.lstrip().startswith("{"):
        return arguments
    try:
        values = json.loads(arguments)
    except ValueError:
        return arguments
    found = [value for value in values.values() if isinstance(value, str) and "*** Begin Patch" in value]
    return found[0] if found else ""


def _side(lines: list[str], sign: str) -> tuple[str, ...]:
    file_name = sign * 3
    return _meaningful([line[1:] for line in lines if line[:1] == sign and line[:3] != file_name])


def _meaningful(lines: list[str]) -> tuple[str, ...]:
    # Most lines start with a word, which the pattern would take longer to see.
    return tuple(
        [line for line in map(str.strip, lines) if (line[:3].isalnum() and line[2:]) or _MEANINGFUL.search(line)]
    )
