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

_WORD = re.compile(r"[^\W_]+(?:\.\d+)*")


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
    added = [line for path in paths for line in _added(before, after, path)]
    if len(added) > settings["maximum_changed_lines"]:
        raise Undetermined(f"{len(added)} lines added: equal content is no fair demand")
    known = set(_words(words)) | {word for path in paths if path in before for word in _words(before[path].text or "")}
    wanted = [word for line in added for word in _words(line)]
    share = sum(word in known for word in wanted) / len(wanted) if wanted else 1.0
    if share < settings["minimum_determined"]:
        raise Undetermined(f"the request settles only {share:.0%} of the words of the expected content")
    return Expected({path: after[path].data if path in after else None for path in paths})


def _added(before: Tree, after: Tree, path: str) -> list[str]:
    old = (before[path].text or "").split("\n") if path in before else []
    new = (after[path].text or "").split("\n") if path in after else []
    return [row[2:] for row in difflib.ndiff(old, new) if row.startswith("+ ")]


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
