"""Why a failing command is, or is not, a sign that something went wrong, from its words, exit code and output alone.

What belongs here: excuses that need no context. What does not: what happened before and after (see
rules/exec_failure.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from codex_loop_assets.signals.command_line import Step, deciding_steps
from codex_loop_assets.signals.patterns import any_of

_HEADER = re.compile(
    r"^(?:Exit code: |Wall time: |Total output lines: |Chunk ID: |Process exited |Original token count: |Output:\s*$)"
)
_TAIL_LINES = 60
_HEADER_LINES = 8
_LOOK_AT = 4_000
_TIMED_OUT = 124
# Steps whose own failure is not in question.
_SILENT = frozenset({"cd", "echo", "set", "export", "true"})
# Lines that only frame an error: PowerShell's position marks, hints where to read more, stack frames.
_NOISE = re.compile(
    r"^\s*(?:\+ |~+|Try |For more information|note: |help: |warning: |at .+:\d+|Now using node|npm notice)", re.I
)
_EXACT = re.compile(
    r"\b[A-Z]\w*(?:Error|Exception)\b|\berror(?:\[\w+\])?: |^E\s{2,}|not found|fatal: |panicked at|"
    r"^[\w./-]+: .*(?:option|invalid)"
)


@dataclass(frozen=True)
class FailurePatterns:
    """The patterns of [exec_failure] in config/rules.toml, compiled."""

    searches: Mapping[str, Sequence[int]]
    readers: frozenset[str]
    reader_errors: re.Pattern[str]
    probes: re.Pattern[str]
    absence_probes: re.Pattern[str]
    absence: re.Pattern[str]
    own_limit: re.Pattern[str]
    harmless: re.Pattern[str]
    stopped: frozenset[int]
    sandbox: re.Pattern[str]
    expected: re.Pattern[str]
    looks_first: re.Pattern[str]
    test_paths: re.Pattern[str]
    error_lines: re.Pattern[str]

    @classmethod
    def read(cls, thresholds: Mapping[str, Any]) -> FailurePatterns:
        return cls(
            searches=thresholds["searches"],
            readers=frozenset(thresholds["readers"]),
            reader_errors=any_of(thresholds["reader_errors"]),
            probes=any_of(thresholds["probes"]),
            absence_probes=any_of(thresholds["absence_probes"]),
            absence=any_of(thresholds["absence"]),
            own_limit=re.compile(thresholds["own_limit"]),
            harmless=any_of(thresholds["harmless_outputs"]),
            stopped=frozenset(thresholds["stopped_exit_codes"]),
            sandbox=any_of(thresholds["sandbox_denials"]),
            expected=any_of(thresholds["expected"]),
            looks_first=any_of(thresholds["looks_first"]),
            test_paths=re.compile(thresholds["test_paths"]),
            error_lines=any_of(thresholds["error_lines"]),
        )


def excuse(command: str, exit_code: int, output: str, patterns: FailurePatterns) -> str | None:
    """Why this failure is no friction by itself, in words; None when something went wrong.

    The steps that can have set the exit code are looked at (see `deciding_steps`). Where only some steps of an `&&`
    chain have an excuse: a chain that stopped without a word stopped at one of those; a chain of programs that only
    look ended with the last, because what they print is what they looked at; otherwise what is printed speaks against
    them.
    """
    output = plain_output(output)
    if exit_code in patterns.stopped:
        return "stopped by a signal"
    if exit_code == _TIMED_OUT and patterns.own_limit.search(command):
        return "ran into a limit that the agent set"
    if patterns.harmless.search(output[:_LOOK_AT]):
        return "nothing to do"
    steps = [step for step in deciding_steps(command) if step.program not in _SILENT]
    reasons = [_step_excuse(step, exit_code, output, patterns) for step in steps]
    given = [reason for reason in reasons if reason]
    if not given:
        return None
    only_looks = all(step.program in patterns.readers or step.program in patterns.searches for step in steps)
    says_nothing_wrong = not output or only_looks or patterns.error_lines.search(output[:_LOOK_AT]) is None
    if len(given) == len(reasons) or not output or (reasons[-1] and says_nothing_wrong):
        return given[-1]
    return None


def _step_excuse(step: Step, exit_code: int, output: str, patterns: FailurePatterns) -> str | None:
    line = " ".join(step.words)[:300]
    if exit_code in patterns.searches.get(step.program, ()) or (
        step.program == "git" and line.startswith("git grep") and exit_code == 1
    ):
        return "a search or test with a negative answer"
    if step.program in patterns.readers and patterns.reader_errors.search(output[:_LOOK_AT]):
        return "looked for something that is not there"
    if step.program in ("ls", "find") and not output:
        return "looked for something that is not there"
    asks_whether_there = patterns.absence_probes.search(line) and patterns.absence.search(output[:_LOOK_AT])
    if patterns.probes.search(line) or asks_whether_there:
        return "a probe with a negative answer"
    return None


def telling_line(output: str, patterns: FailurePatterns) -> str:
    """The line of an output that best says what went wrong: the first that names an error exactly, else the last that
    mentions one, else the last that says anything."""
    lines = [
        line for line in plain_output(output).splitlines()[-_TAIL_LINES:] if line.strip() and not _NOISE.match(line)
    ]

    def names_an_error(line: str) -> bool:
        return len(line.strip()) > 8 and patterns.error_lines.search(line) is not None

    # The long pattern last, and from the end: most outputs are settled by a line or two.
    chosen = next((line for line in lines if _EXACT.search(line) and names_an_error(line)), None)
    if chosen is None:
        chosen = next((line for line in reversed(lines) if names_an_error(line)), lines[-1] if lines else "")
    after = lines[lines.index(chosen) + 1 :] if chosen.endswith(":") else []
    return " ".join((chosen, *after[:1])).strip(" -=*#|>\t")


@lru_cache(maxsize=1_024)
def plain_output(output: str) -> str:
    """What the command itself printed, without the frame (JSON, header lines) in which Codex hands it to the model."""
    if output.startswith('{"output":'):
        try:
            output = str(json.loads(output)["output"])
        except ValueError:
            # Cut in the middle by whoever recorded it; the head is still escaped text.
            output = output.removeprefix('{"output":"').replace("\\r\\n", "\n").replace("\\n", "\n")
    lines = output.splitlines()
    start = 0
    while start < len(lines) and start < _HEADER_LINES and _HEADER.match(lines[start]):
        start += 1
    return "\n".join(lines[start:]).strip()
