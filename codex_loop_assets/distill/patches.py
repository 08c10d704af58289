"""Codex's two patch notations, read as edits and applied to a tree.

`patch_apply_end` records an object path -> {"type": "add" | "delete" | "update", ...} where an update holds the hunks
of a unified diff without file headers. The `apply_patch` tool's own input is an envelope (`*** Begin Patch` … `*** End
Patch`) whose hunks carry context instead of line numbers. Both become the same `Edit`s here. Deciding which edits
apply when belongs in `replay`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from codex_loop_assets.distill.tree import Entry, Tree, relative_to

_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
_ENVELOPE = re.compile(r"^\*\*\* Begin Patch[ \t]*\r?\n(.*?)^\*\*\* End Patch", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^\*\*\* (Add|Delete|Update) File: (.+?)\s*$")


class PatchError(ValueError):
    """A patch cannot be read, or does not fit the tree it is applied to."""


@dataclass(frozen=True)
class Hunk:
    """Lines to find and what to put in their place; `line` (1-based) and `anchor` (a line above it) say where to
    look.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    line: int | None = None
    anchor: str | None = None
    at_end: bool = False


@dataclass(frozen=True)
class Edit:
    """One file's change: whole content (add), removal (delete), or hunks (update), with the new name after a move."""

    kind: str
    path: str
    content: str = ""
    hunks: tuple[Hunk, ...] = ()
    move_to: str | None = None


def from_changes(changes: str) -> list[Edit]:
    """Edits of a recorded `changes` object (JSON text), in path order. Raises PatchError when it is not one."""
    try:
        record = json.loads(changes)
        return [_from_change(path, change) for path, change in sorted(record.items())]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise PatchError(f"unreadable changes: {error}") from error


def _from_change(path: str, change: dict) -> Edit:
    kind = change["type"]
    if kind == "update":
        return Edit(
            "update", path, hunks=tuple(_unified_hunks(change["unified_diff"])), move_to=change.get("move_path")
        )
    if kind in ("add", "delete"):
        return Edit(kind, path, content=change.get("content") or "")
    raise PatchError(f"unknown change {kind!r}")


def _unified_hunks(text: str) -> Iterable[Hunk]:
    old: list[str] = []
    new: list[str] = []
    line: int | None = None
    for row in _lines(text):
        start = _HUNK.match(row)
        if start:
            if line is not None:
                yield Hunk(tuple(old), tuple(new), line)
            old, new, line = [], [], int(start.group(1))
        elif line is None or row.startswith("\\"):
            continue
        elif row.startswith("-"):
            old.append(row[1:])
        elif row.startswith("+"):
            new.append(row[1:])
        else:
            old.append(row[1:])
            new.append(row[1:])
    if line is not None:
        yield Hunk(tuple(old), tuple(new), line)


def from_envelope(text: str) -> list[Edit]:
    """Edits of the first `*** Begin Patch` envelope in the text. Raises PatchError when there is none."""
    envelope = _ENVELOPE.search(text)
    if envelope is None:
        raise PatchError("no patch envelope")
    edits: list[Edit] = []
    body: list[str] = []
    header: re.Match[str] | None = None
    for row in _lines(envelope.group(1)):
        start = _FILE.match(row)
        if start:
            edits += [_from_section(header, body)] if header else []
            header, body = start, []
        else:
            body.append(row)
    return edits + ([_from_section(header, body)] if header else [])


def _from_section(header: re.Match[str], body: list[str]) -> Edit:
    kind, path = header.group(1).lower(), header.group(2)
    if kind == "add":
        return Edit("add", path, content="".join(row[1:] + "\n" for row in body if row.startswith("+")))
    if kind == "delete":
        return Edit("delete", path)
    move = body[0].removeprefix("*** Move to: ").strip() if body and body[0].startswith("*** Move to: ") else None
    return Edit("update", path, hunks=tuple(_context_hunks(body[1:] if move else body)), move_to=move)


def _context_hunks(body: list[str]) -> Iterable[Hunk]:
    hunk = Hunk((), ())
    for row in body:
        if row.startswith("@@"):
            if hunk.old or hunk.new:
                yield hunk
            hunk = Hunk((), (), anchor=row[2:].strip() or None)
        elif row.startswith("*** End of File"):
            hunk = replace(hunk, at_end=True)
        elif row.startswith("-"):
            hunk = replace(hunk, old=(*hunk.old, row[1:]))
        elif row.startswith("+"):
            hunk = replace(hunk, new=(*hunk.new, row[1:]))
        else:
            hunk = replace(hunk, old=(*hunk.old, row[1:]), new=(*hunk.new, row[1:]))
    if hunk.old or hunk.new:
        yield hunk


def apply(tree: Tree, edits: Iterable[Edit], root: str, cwd: str | None = None) -> dict[str, Entry]:
    """The tree after the edits. Raises PatchError where one does not fit and UnsafePath where one leaves the tree."""
    result = dict(tree)
    for edit in edits:
        path = relative_to(edit.path, root, cwd)
        if edit.kind == "add":
            result[path] = Entry(_encoded(edit.content), result[path].mode if path in result else "100644")
            continue
        if path not in result:
            raise PatchError(f"{path}: no such file")
        if edit.kind == "delete":
            del result[path]
            continue
        before = result.pop(path)
        if before.text is None:
            raise PatchError(f"{path}: not a text file")
        target = relative_to(edit.move_to, root, cwd) if edit.move_to else path
        result[target] = Entry(_encoded(_patched(before.text, edit.hunks, path)), before.mode)
    return result


def _patched(text: str, hunks: tuple[Hunk, ...], path: str) -> str:
    lines = _lines(text)
    cursor = 0
    shift = 0
    for hunk in hunks:
        if hunk.anchor is not None:
            cursor = _anchor(lines, hunk.anchor, cursor, path)
        if not hunk.old:
            position = len(lines) if hunk.line is None else min(len(lines), hunk.line + shift)
        else:
            hint = None if hunk.line is None else hunk.line - 1 + shift
            position = _locate(lines, hunk, cursor, hint, path)
        lines[position : position + len(hunk.old)] = hunk.new
        cursor = position + len(hunk.new)
        shift += len(hunk.new) - len(hunk.old)
    return "".join(line + "\n" for line in lines)


def _anchor(lines: list[str], anchor: str, start: int, path: str) -> int:
    for index in range(start, len(lines)):
        if lines[index].strip() == anchor:
            return index + 1
    raise PatchError(f"{path}: context {anchor!r} not found")


def _locate(lines: list[str], hunk: Hunk, cursor: int, hint: int | None, path: str) -> int:
    """Where the hunk's old lines stand: at the hint, else the place nearest to it, else the first after the cursor.

    Codex itself compares exactly, then without trailing blanks, then without surrounding blanks; so does this.
    """
    size = len(hunk.old)
    for form in (str, str.rstrip, str.strip):
        wanted = [form(line) for line in hunk.old]
        found = [
            index
            for index in range(cursor, len(lines) - size + 1)
            if [form(line) for line in lines[index : index + size]] == wanted
        ]
        if hunk.at_end and found:
            return found[-1]
        if found:
            return found[0] if hint is None else min(found, key=lambda index: abs(index - hint))
    raise PatchError(f"{path}: {hunk.old[0]!r} and what follows not found")


def _lines(text: str) -> list[str]:
    """Lines without their ends; only newlines end a line (form feeds and Unicode separators are content)."""
    rows = text.split("\n")
    return rows[:-1] if rows and rows[-1] == "" else rows


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
