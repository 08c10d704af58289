"""From a tool call's arguments to the command a person would read, its directory and the files it names."""

from __future__ import annotations

import re
import shlex
from typing import Any

import orjson

from codex_loop_assets.traces.values import mapping, plain_path, sequence, string

SHELL_TOOLS = frozenset(
    {"shell", "container.exec", "local_shell", "shell_command", "exec_command", "functions.exec_command"}
)
_SCRIPT_FLAGS = frozenset({"-lc", "-c", "-Command", "/c", "/C", "-ic", "-lic"})
_PATCH_FILE = re.compile(r"\*\*\* (?:(?:Add|Update|Delete) File|Move to): ([^\n]+)")


def display(argv: Any) -> str | None:
    """Command line for people: the script of `bash -lc script`, else the shell-quoted words."""
    if type(argv) is str:
        return argv
    words = [word if type(word) is str else string(word) or "" for word in sequence(argv)]
    if not words:
        return None
    if len(words) >= 3 and words[-2] in _SCRIPT_FLAGS:
        return words[-1]
    return shlex.join(words)


def arguments(raw: Any) -> dict:
    """The arguments object of a call; {} when they are no JSON object (models write invalid JSON at times)."""
    if type(raw) is dict:
        return raw
    if type(raw) is not str:
        return {}
    try:
        return mapping(orjson.loads(raw))
    except ValueError:
        return {}


def command_of(args: dict) -> str | None:
    """The command of a shell tool's arguments (`command` list or string, `cmd`)."""
    return display(args.get("command", args.get("cmd")))


def directory_of(args: dict) -> str | None:
    return plain_path(args.get("workdir") or args.get("cwd"))


def patch_files(patch: str | None) -> list[str]:
    """Files named by an apply_patch text, in order, once each."""
    if not patch:
        return []
    found = _PATCH_FILE.finditer(patch)
    at_line_start = (match[1].strip() for match in found if match.start() == 0 or patch[match.start() - 1] == "\n")
    return list(dict.fromkeys(at_line_start))


def patch_text(args: dict, raw: Any) -> str | None:
    """The patch in an apply_patch call's arguments, whichever key the version used."""
    for key in ("input", "patch", "command", "cmd"):
        value = args.get(key)
        if type(value) is str and "*** Begin Patch" in value:
            return value
        if type(value) is list and value and type(value[-1]) is str:
            return value[-1]
    return raw if type(raw) is str and not args else None


def parsed_files(parsed: Any) -> list[str]:
    """Files and directories named by Codex's own reading of a command."""
    paths = (mapping(entry).get("path") or mapping(entry).get("name") for entry in sequence(parsed))
    return list(dict.fromkeys(path for path in paths if type(path) is str))


def parsed_kinds(parsed: Any) -> list[str]:
    """Codex's own reading of a command: read, list_files, search, unknown, once each in order."""
    return list(dict.fromkeys(k for k in (mapping(entry).get("type") for entry in sequence(parsed)) if type(k) is str))
