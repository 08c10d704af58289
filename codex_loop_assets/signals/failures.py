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
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import polars as pl

from codex_loop_assets.signals.command_line import Step, deciding_steps
from codex_loop_assets.signals.patterns import any_of, matching

_HEADER = re.compile(
    r"^(?:Exit code: |Wall time: |Total output lines: |Chunk ID: |Process exited |Original token count: |Output:\s*$)"
)
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_TAIL_LINES = 60
_SHORTEST_ERROR = 8
_HEADER_LINES = 8
_LOOK_AT = 4_000
_READ_AT_ONCE = 1_000  # outputs whose lines are looked through together
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


class Printed(NamedTuple):
    """Whether a failing command itself printed anything (see `plain_output`), and what the head of it says."""

    silent: bool
    harmless: bool
    reader_error: bool
    absence: bool
    error: bool


def printed(outputs: Sequence[str], patterns: FailurePatterns) -> list[Printed]:
    """The outputs of failing commands as `excuse` wants them, read all at once."""
    heads = _column([plain_output(output)[:_LOOK_AT] for output in outputs])
    wanted = (patterns.harmless, patterns.reader_errors, patterns.absence, patterns.error_lines)
    said = (found.to_list() for found in matching(heads, *wanted))
    return list(map(Printed, (heads == "").to_list(), *said))


def excuse(command: str, exit_code: int, output: Printed, patterns: FailurePatterns) -> str | None:
    """Why this failure is no friction by itself, in words; None when something went wrong.

    The steps that can have set the exit code are looked at (see `deciding_steps`). Where only some steps of an `&&`
    chain have an excuse: a chain that stopped without a word stopped at one of those; a chain of programs that only
    look ended with the last, because what they print is what they looked at; otherwise what is printed speaks against
    them.
    """
    if exit_code in patterns.stopped:
        return "stopped by a signal"
    if exit_code == _TIMED_OUT and patterns.own_limit.search(command):
        return "ran into a limit that the agent set"
    if output.harmless:
        return "nothing to do"
    steps = [step for step in deciding_steps(command) if step.program not in _SILENT]
    reasons = [_step_excuse(step, exit_code, output, patterns) for step in steps]
    given = [reason for reason in reasons if reason]
    if not given:
        return None
    only_looks = all(step.program in patterns.readers or step.program in patterns.searches for step in steps)
    says_nothing_wrong = output.silent or only_looks or not output.error
    if len(given) == len(reasons) or output.silent or (reasons[-1] and says_nothing_wrong):
        return given[-1]
    return None


def _step_excuse(step: Step, exit_code: int, output: Printed, patterns: FailurePatterns) -> str | None:
    line = " ".join(step.words)[:300]
    if exit_code in patterns.searches.get(step.program, ()) or (
        step.program == "git" and line.startswith("git grep") and exit_code == 1
    ):
        return "a search or test with a negative answer"
    if step.program in patterns.readers and output.reader_error:
        return "looked for something that is not there"
    if step.program in ("ls", "find") and output.silent:
        return "looked for something that is not there"
    if patterns.probes.search(line) or (output.absence and patterns.absence_probes.search(line)):
        return "a probe with a negative answer"
    return None


def telling_lines(outputs: Sequence[str], patterns: FailurePatterns) -> list[str]:
    """Of each output the line that best says what went wrong: the first that names an error exactly, else the last that
    mentions one, else the last that says anything."""
    pieces = (outputs[start : start + _READ_AT_ONCE] for start in range(0, len(outputs), _READ_AT_ONCE))
    return [line for piece in pieces for line in _telling_lines(piece, patterns)]


def _telling_lines(outputs: Sequence[str], patterns: FailurePatterns) -> list[str]:
    tails = [[line for line in plain_output(output).splitlines()[-_TAIL_LINES:] if line.strip()] for output in outputs]
    lines = _column([line for tail in tails for line in tail])
    noise, error, exact = matching(lines, _NOISE, patterns.error_lines, _EXACT)
    error &= lines.str.strip_chars().str.len_chars() > _SHORTEST_ERROR
    marks = list(zip(noise.to_list(), error.to_list(), exact.to_list(), strict=True))
    ends = accumulate(map(len, tails), initial=0)
    return [_telling(tail, marks[start:end]) for tail, (start, end) in zip(tails, pairwise(ends), strict=True)]


def _telling(tail: Sequence[str], marks: Sequence[tuple[bool, bool, bool]]) -> str:
    """The telling one of some lines; `marks` of each: only frames an error, mentions one, names one exactly."""
    kept = [(line, error, exact) for line, (noise, error, exact) in zip(tail, marks, strict=True) if not noise]
    lines = [line for line, _, _ in kept]
    errors = [line for line, error, _ in kept if error]
    exactly = [line for line, error, exact in kept if error and exact]
    chosen = next(iter((*exactly[:1], *errors[-1:], *lines[-1:])), "")
    after = lines[lines.index(chosen) + 1 :][:1] if chosen.endswith(":") else []
    return " ".join((chosen, *after)).strip(" -=*#|>\t")


def _column(texts: Sequence[str]) -> pl.Series:
    """The texts as a column, which holds no lone surrogates (JSON in an output can spell them)."""
    try:
        return pl.Series(texts, dtype=pl.String)
    except UnicodeEncodeError:
        return pl.Series([_SURROGATES.sub("\ufffd", text) for text in texts], dtype=pl.String)


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
