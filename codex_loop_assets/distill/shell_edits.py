"""Edits that a shell command makes in plain sight: a here-document written to a file, or handed to `apply_patch`.

Only here-documents whose text reaches the file unchanged are read (a quoted delimiter, or no character the shell would
expand), and only when the command does nothing but write them. Everything else a shell may do to files stays unknown.
"""

from __future__ import annotations

import re

from codex_loop_assets.distill.patches import Edit, PatchError, from_envelope

_OPEN = re.compile(
    r"""(?P<program>cat|tee|apply_patch)\s*
        (?:>\s*(?P<before>'[^'\n]+'|"[^"$`\\\n]+"|[\w./@%+-]+)\s*|(?P<operand>[\w./@%+-]+)\s*)?
        <<\s*(?P<quote>['"]?)(?P<word>\w+)(?P=quote)[ \t]*
        (?:>\s*(?P<after>'[^'\n]+'|"[^"$`\\\n]+"|[\w./@%+-]+)[ \t]*)?\n""",
    re.VERBOSE,
)
_ENTER = re.compile(r"""\s*(?:mkdir\s+-p\s+[\w./@%+-]+\s*&&\s*)?""")


def edits(command: str) -> list[Edit]:
    """The edits of a command that is nothing but here-documents; [] for any other."""
    found: list[Edit] = []
    position = 0
    while command[position:].strip():
        start = _ENTER.match(command, position)
        opened = _OPEN.match(command, start.end() if start else position)
        if opened is None:
            return []
        end = re.compile(rf"^{opened['word']}[ \t]*$\n?", re.MULTILINE).search(command, opened.end())
        if end is None:
            return []
        written = _written(opened, command[opened.end() : end.start()])
        if not written:
            return []
        found += written
        position = end.end()
    return found


def _written(opened: re.Match[str], body: str) -> list[Edit]:
    if not opened["quote"] and re.search(r"[$`\\]", body):
        return []
    if opened["program"] == "apply_patch":
        try:
            return from_envelope(body)
        except PatchError:
            return []
    targets = [name for name in (opened["before"], opened["after"], opened["operand"]) if name and name != "/dev/null"]
    if len(targets) != 1 or (opened["program"] == "cat" and opened["operand"]):
        return []
    return [Edit("add", targets[0].strip("'\""), content=body)]
