"""The files under tests/: a script that grades the workspace, the check it runs, and the reference state of tests and
steering files.

Which check is used is decided in `checks`; what the expected files are is decided in `file_state`.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from codex_loop_assets.distill import file_state
from codex_loop_assets.distill.checks import Check
from codex_loop_assets.distill.llm_check import WrittenCheck
from codex_loop_assets.distill.render import render
from codex_loop_assets.distill.tree import Tree, archive


def pattern(glob: str) -> str:
    """An extended regular expression that matches whole paths as the glob does (`**/` any depth, `**` anything, `*`
    within a name).
    """
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    special = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "^" + "".join(special.get(part, re.sub(r"([.^$+(){}|\[\]\\])", r"\\\1", part)) for part in parts) + "$"


def matching(paths: Iterable[str], globs: Iterable[str]) -> list[str]:
    """The paths that match one of the globs, sorted."""
    compiled = [re.compile(pattern(glob)) for glob in globs]
    return sorted(path for path in paths if any(expression.match(path) for expression in compiled))


def test_paths(paths: Iterable[str], settings: Mapping[str, Any]) -> list[str]:
    """Which of the paths hold tests."""
    return matching(paths, settings["checks"]["test_files"])


def programs(verification: Check | file_state.Expected | WrittenCheck | None) -> tuple[str, ...]:
    """Programs that the verifier starts."""
    return verification.programs if isinstance(verification, Check) else ("python3",) if verification else ()


def files(
    verification: Check | file_state.Expected | None,
    reference: Tree,
    solved: Iterable[str],
    passed_output: str,
    settings: Mapping[str, Any],
) -> dict[str, bytes]:
    """The files under tests/. `solved`: the files that the solution itself changes; `passed_output`: what the check
    printed when it passed in the session.
    """
    context = {"workdir": settings["workdir"], "timeout_sec": int(settings["checks"]["timeout_sec"])}
    result = {"test.sh": render("test.sh.jinja", context)}
    if isinstance(verification, Check):
        return result | _command_files(verification, reference, solved, passed_output, settings)
    if verification is None:
        return result | {"check.sh": render("check_none.sh.jinja", {})}
    if isinstance(verification, WrittenCheck):
        return result | {"check.sh": verification.script.encode("utf-8", "replace")}
    return result | file_state.files(verification, settings)


def _command_files(
    check: Check, reference: Tree, solved: Iterable[str], passed_output: str, settings: Mapping[str, Any]
) -> dict[str, bytes]:
    """The check, and the reference state of tests and steering files.

    A steering file that the solution changes is left to the agent (it is the work to be done); a test file never is.
    """
    tests = settings["checks"]["test_files"]
    globs = [*tests, *settings["checks"]["steering_files"]]
    left = sorted(set(solved) - set(matching(solved, tests)))
    kept = {path: reference[path] for path in matching(reference, globs) if path not in left}
    directory = posixpath.join(settings["workdir"], check.directory) if check.directory else settings["workdir"]
    wanted = summary(check, passed_output, settings["checks"]["summaries"])
    context = {
        "directory": shlex.quote(directory),
        "line": check.line,
        "summary": shlex.quote(wanted) if wanted else "",
    }
    return {
        "check.sh": render("check.sh.jinja", context),
        "reference.tar": archive(kept) if kept else b"",
        "guarded.ere": "".join(f"{pattern(glob)}\n" for glob in globs).encode(),
        "solved.txt": "".join(f"{path}\n" for path in left).encode(),
    }


def summary(check: Check, passed_output: str, summaries: list[Mapping[str, Any]]) -> str | None:
    """The pattern of the line that the check's program prints when tests ran and passed; None where none is known.

    `{count}` in a pattern stands for any positive number, or with `exact` for the one that was printed in the session:
    a program that counts a file which ended early as one passed test must not be satisfied by that.
    """
    line = check.commands[-1].line
    found = next((item for item in summaries if line.startswith(tuple(item["starts"]))), None)
    if found is None:
        return None
    count = "[1-9][0-9]*"
    if found.get("exact"):
        seen = re.search(found["pattern"].replace("{count}", "(?P<count>[1-9][0-9]*)"), passed_output, re.MULTILINE)
        count = seen["count"] if seen else count
    return found["pattern"].replace("{count}", count)
