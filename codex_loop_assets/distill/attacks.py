"""Wrong solutions that a sound verifier must score 0: nothing, each part missing, a wrong value, planted markers,
edited tests.

Each attack replaces the files under solution/ of a task; it is then run like the reference solution. What its score
means is `validate`'s.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.distill.render import render
from codex_loop_assets.distill.verifier import matching, test_paths

_HEADER = re.compile(r"^diff --git ", re.MULTILINE)
_HUNK = re.compile(r"^@@ ", re.MULTILINE)
_NEW_PATH = re.compile(r'^\+\+\+ "?b/(.*?)"?\t?$', re.MULTILINE)
_OLD_PATH = re.compile(r'^--- "?a/(.*?)"?\t?$', re.MULTILINE)
_SWAPS = {
    "==": "!=",
    "!=": "==",
    "<=": ">",
    ">=": "<",
    " < ": " >= ",
    " > ": " <= ",
    " + ": " - ",
    " - ": " + ",
    " and ": " or ",
    " or ": " and ",
    "&&": "||",
    "||": "&&",
    "True": "False",
    "False": "True",
    "true": "false",
    "false": "true",
    " not ": " ",
}
_SWAP = re.compile("|".join(sorted((re.escape(text) for text in _SWAPS), key=len, reverse=True)))
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_STRING = re.compile(r"""(["'])(\w[^"'\\]*)\1""")
_COMMENT = re.compile(r"\s*(#|//|/\*|\*|--|<!--|$)")


@dataclass(frozen=True)
class Attack:
    """One wrong solution: the check it is recorded under, its number, and the files under solution/."""

    check: str
    attempt: int
    files: Mapping[str, bytes]


def attacks(patch: bytes, tests: list[str], settings: Mapping[str, Any]) -> list[Attack]:
    """The attacks on a task with this reference patch. `tests` are the paths of its reference test and steering
    files.
    """
    text = patch.decode("utf-8", "surrogateescape")
    limits = settings["validation"]
    result = [Attack("empty", 0, _patch_solution("", settings))]
    dropped = list(_without_each_hunk(text, settings))
    for number, mutant in enumerate(dropped[: limits["maximum_hunk_attacks"]] if len(dropped) > 1 else []):
        result.append(Attack(f"drop_hunk_{number}", 0, _patch_solution(mutant, settings)))
    for number, mutant in enumerate(_wrong_values(text, settings)):
        if number == limits["maximum_value_attacks"]:
            break
        result.append(Attack("wrong_value", number, _patch_solution(mutant, settings)))
    context = {"workdir": settings["workdir"], "tests": [shlex.quote(path) for path in tests if "\n" not in path]}
    result.append(Attack("touch_markers", 0, {"solve.sh": render("attack_markers.sh.jinja", context)}))
    touched = [shlex.quote(_path(part)) for part in _sections(text) if _counts(part, settings)]
    if touched:
        files = {"workdir": settings["workdir"], "files": touched}
        result.append(Attack("early_exit", 0, {"solve.sh": render("attack_exit.sh.jinja", files)}))
    if tests:
        result.append(Attack("edit_tests", 0, {"solve.sh": render("attack_tests.sh.jinja", context)}))
    return result


def _patch_solution(text: str, settings: Mapping[str, Any]) -> dict[str, bytes]:
    if not text.strip():
        return {"solve.sh": b"#!/bin/bash\nexit 0\n"}
    return {
        "solve.sh": render("solve.sh.jinja", {"workdir": settings["workdir"]}),
        "solution.patch": text.encode("utf-8", "surrogateescape"),
    }


def _sections(text: str) -> list[str]:
    starts = [match.start() for match in _HEADER.finditer(text)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _path(section: str) -> str:
    found = _NEW_PATH.search(section) or _OLD_PATH.search(section)
    return found.group(1) if found else section.split("\n", 1)[0].split(" b/", 1)[-1]


def _counts(section: str, settings: Mapping[str, Any]) -> bool:
    """Whether leaving this part out makes a solution wrong: tests are put back anyway, and prose is not checked."""
    path = _path(section)
    return not test_paths([path], settings) and not matching([path], settings["validation"]["prose_files"])


def _without_each_hunk(text: str, settings: Mapping[str, Any]) -> Iterator[str]:
    sections = _sections(text)
    for index, section in enumerate(sections):
        if not _counts(section, settings):
            continue
        starts = [match.start() for match in _HUNK.finditer(section)]
        others = "".join(sections[:index]), "".join(sections[index + 1 :])
        if len(starts) < 2:
            yield others[0] + others[1]
            continue
        for start, end in zip(starts, [*starts[1:], len(section)], strict=True):
            yield others[0] + section[:start] + section[end:] + others[1]


def _wrong_values(text: str, settings: Mapping[str, Any]) -> Iterator[str]:
    offset = 0
    for section in _sections(text):
        rows = section.split("\n")
        position = offset
        for row in rows:
            if _counts(section, settings) and row.startswith("+") and not row.startswith("+++"):
                mutant = _mutated(row[1:])
                if mutant is not None:
                    yield text[: position + 1] + mutant + text[position + len(row) :]
            position += len(row) + 1
        offset += len(section)


def _mutated(line: str) -> str | None:
    """The line with one value or operator changed; None for comments and lines that hold none."""
    if _COMMENT.match(line) or posixpath.commonprefix([line.lstrip(), "import "]) == "import ":
        return None
    found = _SWAP.search(line)
    if found:
        return line[: found.start()] + _SWAPS[found.group()] + line[found.end() :]
    found = _NUMBER.search(line)
    if found:
        return f"{line[: found.start()]}{int(found.group()) + 1}{line[found.end() :]}"
    found = _STRING.search(line)
    return f"{line[: found.end(2)]}_{line[found.end(2) :]}" if found else None
