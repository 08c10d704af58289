"""Whether the expected content of the changed files is a fair demand, and the verifier that makes it.

Equal content is only asked for where the request settles it: few files, few lines, and nearly all added words standing
in the request or in the files as they were. Equal means: the same JSON, TOML or Python syntax tree, else the same
lines without trailing blanks.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.distill.render import render
from codex_loop_assets.distill.tree import Tree

_WORD = re.compile(r"\d+(?:\.\d+)+|\w+(?:-\w+)*|(?<!\S)-+\w+")


@dataclass(frozen=True)
class Expected:
    """What the files must hold in the end: content by path, None where the file must be gone."""

    files: Mapping[str, bytes | None]

    @property
    def kind(self) -> str:
        return "file_state"


class Undetermined(ValueError):
    """The request leaves the content open; the message says by how much."""


def expect(before: Tree, after: Tree, paths: tuple[str, ...], words: str, settings: Mapping[str, Any]) -> Expected:
    """The expected state of the changed files. `settings` is the `file_state` part. Raises Undetermined."""
    if len(paths) > settings["maximum_files"]:
        raise Undetermined(f"{len(paths)} files changed: equal content is no fair demand")
    if any(tree[path].text is None for tree in (before, after) for path in paths if path in tree):
        raise Undetermined("a changed file is not text")
    changes = [change for path in paths for change in _line_changes(before, after, path)]
    if len(changes) > settings["maximum_changed_lines"]:
        raise Undetermined(f"{len(changes)} lines changed: equal content is no fair demand")
    spans = [span for old, new in changes for span in _own_words(old, new)]
    total = sum(len(span) for span in spans)
    request = _words(words)
    share = sum(_covered(span, request) for span in spans) / total if total else 0.0
    if share < settings["minimum_determined"]:
        raise Undetermined(f"the request settles only {share:.0%} of the words of the expected content")
    return Expected({path: after[path].data if path in after else None for path in paths})


def _line_changes(before: Tree, after: Tree, path: str) -> list[tuple[str, str]]:
    """Changed lines as (old, new): a replaced line with its successor, an added one with the line it is most like, a
    removed one with nothing."""
    old = _text(before, path).split("\n")
    new = _text(after, path).split("\n")
    changes = []
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        gone, come = old[i1:i2], new[j1:j2]
        changes += [(one, other) for one, other in zip(gone, come, strict=False)]
        changes += [(line, "") for line in gone[len(come) :]]
        changes += [((difflib.get_close_matches(line, old, 1, 0.6) or [""])[0], line) for line in come[len(gone) :]]
    return [(one, other) for one, other in changes if one.strip() != other.strip()]


def _text(tree: Tree, path: str) -> str:
    return (tree[path].text or "") if path in tree else ""


def _own_words(old: str, new: str) -> list[list[str]]:
    """Runs of words that the change brought in, or took out without replacement."""
    one, other = _words(old), _words(new)
    spans = []
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind in ("insert", "replace"):
            spans.append(other[j1:j2])
        elif kind == "delete":
            spans.append(one[i1:i2])
    return spans


def _covered(span: list[str], request: list[str]) -> int:
    """How many words of the run stand in the request in this order, side by side: its longest common stretch."""
    return difflib.SequenceMatcher(None, span, request, autojunk=False).find_longest_match().size


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def files(expected: Expected, settings: Mapping[str, Any]) -> dict[str, bytes]:
    """The files under tests/."""
    result: dict[str, bytes] = {}
    manifest: dict[str, str | None] = {}
    for number, (path, data) in enumerate(sorted(expected.files.items())):
        manifest[path] = None if data is None else f"expected/{number}"
        if data is not None:
            result[f"expected/{number}"] = data
    result["expected.json"] = json.dumps(manifest, indent=2, sort_keys=True).encode() + b"\n"
    result["compare.py"] = render("compare.py", {})
    result["check.sh"] = render("check_files.sh.jinja", {"workdir": settings["workdir"]})
    return result
