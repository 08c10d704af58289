"""Why a failing command is, or is not, a sign that something went wrong: judged from its words, exit code and output
alone.

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

_HEADER = re.compile(
    r"^(?:Exit code: |Wall time: |Total output lines: |Chunk ID: |Process exited |Original token count: |Output:\s*$)"
)
_TAIL_LINES = 60
_HEADER_LINES = 8
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
    harmless: re.Pattern[str]
    stopped: frozenset[int]
    sandbox: re.Pattern[str]
    expected: re.Pattern[str]
    test_paths: re.Pattern[str]
    error_lines: re.Pattern[str]

    @classmethod
    def read(cls, thresholds: Mapping[str, Any]) -> FailurePatterns:
        return cls(
            searches=thresholds["searches"],
            readers=frozenset(thresholds["readers"]),
            reader_errors=re.compile(thresholds["reader_errors"]),
            probes=re.compile("|".join(f"(?:{pattern})" for pattern in thresholds["probes"]), re.M),
            harmless=re.compile(
                "|".join(f"(?:{pattern.removeprefix('(?i)')})" for pattern in thresholds["harmless_outputs"]), re.I
            ),
            stopped=frozenset(thresholds["stopped_exit_codes"]),
            sandbox=re.compile(thresholds["sandbox_denials"]),
            expected=re.compile(thresholds["expected"]),
            test_paths=re.compile(thresholds["test_paths"]),
            error_lines=re.compile(thresholds["error_lines"]),
        )


def excuse(command: str, exit_code: int, output: str, patterns: FailurePatterns) -> str | None:
    """Why this failure is no friction by itself, in words; None when something went wrong.

    The steps that can have set the exit code are looked at (see `deciding_steps`): the last of them decides, unless an
    earlier one of an `&&` chain speaks in the output.
    """
    output = plain_output(output)
    if exit_code in patterns.stopped:
        return "stopped by a signal"
    if patterns.harmless.search(output[:2_000]):
        return "nothing to do"
    deciding = deciding_steps(command)
    if not deciding:
        return None
    reasons = [
        _step_excuse(step, exit_code, output, patterns)
        for step in deciding
        if step.program not in ("cd", "echo", "set", "export", "true")
    ]
    if reasons and all(reasons):
        return reasons[-1]
    if reasons and reasons[-1] and not patterns.error_lines.search(output[:4_000]):
        return reasons[-1]
    return None


def _step_excuse(step: Step, exit_code: int, output: str, patterns: FailurePatterns) -> str | None:
    line = " ".join(step.words)[:300]
    if exit_code in patterns.searches.get(step.program, ()) or (
        step.program == "git" and line.startswith("git grep") and exit_code == 1
    ):
        return "a search or test with a negative answer"
    if step.program in patterns.readers and patterns.reader_errors.search(output[:4_000]):
        return "looked for something that is not there"
    if step.program in ("ls", "find") and not output:
        return "looked for something that is not there"
    if patterns.probes.search(line):
        return "a probe with a negative answer"
    return None


def telling_line(output: str, patterns: FailurePatterns) -> str:
    """The line of an output that best says what went wrong: the first that names an error exactly, else the last that
    mentions one, else the last that says anything."""
    lines = [
        line for line in plain_output(output).splitlines()[-_TAIL_LINES:] if line.strip() and not _NOISE.match(line)
    ]
    named = [line for line in lines if patterns.error_lines.search(line) and len(line.strip()) > 8]
    exact = next((line for line in named if _EXACT.search(line)), None)
    chosen = exact or (named[-1] if named else lines[-1] if lines else "")
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
