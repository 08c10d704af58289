"""Which commands of a session are checks (test, build, lint), and which check failed before an edit and passed after
it.

What belongs here: recognising and choosing. Rendering the verifier is `verifier`'s; what counts as a check is data
(`[checks]`).
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from codex_loop_assets.distill.segment import Place, place
from codex_loop_assets.distill.shell_words import NotSimple, Simple, parse, render
from codex_loop_assets.distill.tree import UnsafePath, relative_to

KINDS = ("test", "build", "lint")


@dataclass(frozen=True)
class Check:
    """A check as it will run: its kind, the directory (relative to the repository, '' for its root), and its
    commands.
    """

    kind: str
    directory: str
    commands: tuple[Simple, ...]

    @property
    def line(self) -> str:
        """The check as one line of bash, to be run in `directory`."""
        return " && ".join(render(command) for command in self.commands)

    @property
    def programs(self) -> tuple[str, ...]:
        """Names of the programs it starts."""
        return tuple(posixpath.basename(command.words[0]) for command in self.commands)


def recognise(command: str | None, cwd: str | None, root: str, settings: Mapping[str, Any]) -> Check | None:
    """The check that a command line is, or None. Reads nothing but the line.

    `root` is the repository's place in the session; `settings` is the whole `distill` section.
    """
    if not command:
        return None
    try:
        parsed = parse(command, settings["checks"]["display_filters"])
        directory, simple = _enter(parsed, cwd or root, root)
    except (NotSimple, UnsafePath):
        return None
    simple = [
        replace(item, words=_inside(item.words, root, settings["workdir"])) for item in simple if not _activates(item)
    ]
    kinds = [_kind(item, settings["checks"]) for item in simple]
    if not simple or None in kinds:
        return None
    return Check(min(kinds, key=KINDS.index), directory, tuple(simple))


def _enter(commands: list[Simple], cwd: str, root: str) -> tuple[str, list[Simple]]:
    """Directory after the leading `cd`s, relative to the root, and the commands that follow."""
    here = cwd
    rest = list(commands)
    while rest and rest[0].words[0] == "cd" and len(rest[0].words) == 2:
        here = posixpath.normpath(posixpath.join(here, rest.pop(0).words[1]))
    if any(command.words[0] in ("cd", "pushd", "popd") for command in rest):
        raise NotSimple("changes directory between commands")
    return ("" if posixpath.normpath(here) == posixpath.normpath(root) else relative_to(here, root)), rest


def _inside(words: tuple[str, ...], root: str, workdir: str) -> tuple[str, ...]:
    """Words with absolute paths into the repository moved to where it stands in the container."""
    base = posixpath.normpath(root)
    return tuple(word.replace(base + "/", workdir + "/") if base != "/" else word for word in words)


def _activates(command: Simple) -> bool:
    # A virtual environment's activation: the container has one environment only.
    return command.words[0] in ("source", ".") and command.words[-1].endswith("bin/activate")


def _kind(command: Simple, settings: Mapping[str, Any]) -> str | None:
    if set(command.words) & set(settings["asking_words"]):
        return None
    line = command.line
    interpreter = posixpath.basename(command.words[0])
    if "/" in command.words[0] and ".venv/bin/" in command.words[0]:
        line = " ".join((interpreter, *command.words[1:]))
    best: tuple[int, str] | None = None
    for kind in KINDS:
        for prefix in settings[kind]:
            if _starts(line, prefix) and (best is None or len(prefix) > best[0]):
                best = (len(prefix), kind)
    return best[1] if best else _script_kind(line.split(" "), settings)


def _script_kind(words: list[str], settings: Mapping[str, Any]) -> str | None:
    """The kind of a script that is named after what it checks: `sh scripts/lint.sh`, `./ci/run-tests`."""
    script = words[1] if words[0] in settings["interpreters"] and len(words) > 1 else words[0]
    if "/" not in script and "." not in script:
        return None
    name = posixpath.basename(script).lower()
    return next(
        (kind for kind in KINDS if any(fnmatch.fnmatch(name, glob) for glob in settings["scripts"][kind])), None
    )


def _starts(line: str, prefix: str) -> bool:
    if not line.startswith(prefix):
        return False
    rest = line[len(prefix) :]
    # `bash test` also stands for `bash tests/run.sh` and `bash test_all.sh`; `make` does not stand for `makedirs`.
    return rest == "" or rest[0] in " /_-." or prefix[-1] == "/"


@dataclass(frozen=True)
class Outcome:
    """One run of a check in the session."""

    check: Check
    at: Place
    passed: bool
    output: str = ""


def outcomes(calls: Iterable[Mapping[str, Any]], root: str, settings: Mapping[str, Any]) -> list[Outcome]:
    """Runs of checks among tool calls (rows of `tool_calls`), in order; calls that never ran or timed out are left out.

    A command piped into a display filter reports the filter's exit code, so it proves nothing and is left out too.
    """
    found = []
    for call in calls:
        code = call["exit_code"]
        if call["name"] != "shell" or code is None or code in (-1, 124, 126, 127) or "|" in (call["command"] or ""):
            continue
        check = recognise(call["command"], call["cwd"], root, settings)
        if check:
            found.append(Outcome(check, place(call), code == 0, call.get("output") or ""))
    return found


@dataclass(frozen=True)
class Proof:
    """The check that tells done from not done, with the runs that show it."""

    check: Check
    failed_at: Place | None
    passed_at: Place
    passed_output: str = ""


def choose(runs: list[Outcome], edits: list[Place]) -> Proof | None:
    """The check whose newest run passed after an edit that its newest earlier failure preceded.

    `edits` are the places of edits. Tests go before builds, builds before lints; then the later pass wins. A check
    that was only seen to pass after the last edit is a last resort (`failed_at` None): whether it fails before is then
    for the validation to show.
    """
    proofs = []
    for check in dict.fromkeys(run.check for run in runs):
        own = [run for run in runs if run.check == check]
        last = own[-1]
        failures = [run.at for run in own if not run.passed and any(run.at < edit < last.at for edit in edits)]
        if last.passed and (failures or (edits and last.at > max(edits))):
            proofs.append(Proof(check, failures[-1] if failures else None, last.at, last.output))
    return max(
        proofs,
        key=lambda proof: (proof.failed_at is not None, -KINDS.index(proof.check.kind), proof.passed_at),
        default=None,
    )
