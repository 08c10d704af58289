"""What a trace alone tells about files: content seen by reading commands, and what patches made of it.

Used where no repository is at hand. A file is known only from a whole, uncut reading or from the patch that added it;
nothing is made up for the rest.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.distill.patches import PatchError, apply
from codex_loop_assets.distill.replay import Step
from codex_loop_assets.distill.segment import Place, place
from codex_loop_assets.distill.tree import Entry, UnsafePath, relative_to

Row = Mapping[str, Any]

_CUT = re.compile(
    r"\[\.\.\. \d+ characters cut \.\.\.\]|\[\.\.\. omitted \d+"
    r"|\d+ (tokens|chars|characters|lines) truncated|^Total output lines:",
    re.MULTILINE,
)
_FROM_FIRST_LINE = re.compile(r"1,(\d+|\$)p")
_NUMBERED = re.compile(r"^ *\d+\t", re.MULTILINE)


@dataclass(frozen=True)
class Known:
    """Files known from the trace: as first seen in the session, and at the start of the segment."""

    first: Mapping[str, Entry]
    start: Mapping[str, Entry]


def known_files(calls: Iterable[Row], steps: Iterable[Step], start: Place, end: Place, root: str) -> Known:
    """Files of the repository at `root` that the thread's calls up to `end` reveal."""
    first: dict[str, Entry] = {}
    at_start: dict[str, Entry] = {}
    now: dict[str, Entry] = {}
    touched: set[str] = set()
    by_place = {step.at: step for step in steps}
    for call in sorted(calls, key=place):
        at = place(call)
        if at > end:
            break
        if at in by_place:
            touched |= _edit(now, by_place[at], root)
            if at < start:
                at_start = dict(now)
            continue
        seen = _reading(call, root)
        if seen and seen[0] not in touched and seen[0] not in now:
            path, entry = seen
            first[path] = at_start[path] = now[path] = entry
    return Known(first, at_start)


def _edit(now: dict[str, Entry], step: Step, root: str) -> set[str]:
    """Apply a step to what is known; the paths it touched. What does not fit makes its file unknown again."""
    touched = set()
    for edit in step.edits:
        try:
            touched.add(relative_to(edit.path, root, step.cwd))
            after = apply(now, [edit], root, step.cwd)
        except PatchError:
            now.pop(relative_to(edit.path, root, step.cwd), None)
        except UnsafePath:
            continue
        else:
            now.clear()
            now.update(after)
    return touched


def _reading(call: Row, root: str) -> tuple[str, Entry] | None:
    """The path and content that a reading command shows in whole; None for anything else."""
    output = call["output"]
    if call["name"] != "shell" or call["exit_code"] != 0 or not output or _CUT.search(output):
        return None
    try:
        words = shlex.split(call["command"] or "")
    except ValueError:
        return None
    found = _whole_file(words, output)
    if found is None:
        return None
    name, text = found
    try:
        return relative_to(name, root, call["cwd"]), Entry((text.rstrip("\n") + "\n").encode("utf-8", "replace"))
    except UnsafePath:
        return None


def _whole_file(words: list[str], output: str) -> tuple[str, str] | None:
    lines = output.count("\n") + 1
    if len(words) == 2 and words[0] == "cat" and not words[1].startswith("-"):
        return words[1], output
    if len(words) == 4 and words[:2] == ["sed", "-n"] and _reaches_end(words[2], lines):
        return words[3], output
    numbered = len(words) == 7 and words[:2] == ["nl", "-ba"] and words[3:6] == ["|", "sed", "-n"]
    if numbered and _reaches_end(words[6], lines):
        return words[2], _NUMBERED.sub("", output)
    return None


def _reaches_end(address: str, lines: int) -> bool:
    """Whether `1,120p` showed everything: fewer lines came out than were asked for."""
    match = _FROM_FIRST_LINE.fullmatch(address)
    return match is not None and (match.group(1) == "$" or lines < int(match.group(1)))
