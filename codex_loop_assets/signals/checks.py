"""Checks (tests, builds, linters, type checks), and what the agent changed around them: the ground of signs of success.

What belongs here: telling a check from other commands, and its result. What does not: what a result means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from codex_loop_assets.signals.command_line import deciding_steps
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.patterns import alternatives, any_of, whole_words

_LINE_LIMIT = 300
# A verdict stands at one end of an output.
_OUTPUT_END = 3_000
_COMMIT = r"\bgit (commit|push)\b"
# Runs of a program by name; whether it is one that the agent wrote is for the caller to say.
_PROGRAM_RUN = r"(^|[\s;&|(])((python3?|node|bash|sh|ruby|php|deno run|bun|go run)\s+[\w./-]+\.\w+|\./[\w./-]+)"
# A test run that ran nothing proves nothing.
_EMPTY_RUN = (
    r"(?i)no tests? (ran|found|to run|collected|files? found)|collected 0 items|ran 0 tests|\b0 total"
    r"|\b0 (passed|tests? passed|passing)\b"
)
# The exit code of a pipeline into one of these says nothing about the check; its output does.
_SHOWN_ONLY = r"\|&?\s*(head|tail|cat|tee|less|more|sort|uniq|wc|column|nl)\b[^|;&]*$"
_PASSED = r"(?im)\b[1-9]\d* (tests? )?pass(ed|ing)\b|^OK\b|test result: ok|^# pass [1-9]|BUILD SUCCESS|^PASS\b"
_PLACE = ("thread_id", "run", "turn_id", "call_id", "seq_start", "seq_end", "occurred_at", "command", "paths")


@dataclass(frozen=True)
class CheckPatterns:
    """The patterns of [every_rule] in config/rules.toml that tell checks, compiled."""

    tests: re.Pattern[str]
    checks: re.Pattern[str]
    verdicts: re.Pattern[str]
    words: tuple[str, ...]

    @classmethod
    def read(cls, thresholds: Mapping[str, Any]) -> CheckPatterns:
        return cls(
            whole_words(thresholds["tests"]),
            whole_words(thresholds["checks"]),
            any_of(thresholds["verdicts"]),
            tuple(thresholds["check_words"]),
        )

    def maybe_check(self) -> pl.Expr:
        """A first look at `command`: false where no check can be in it. Plain words cost a tenth of patterns."""
        return pl.col("command").str.contains_any(self.words, ascii_case_insensitive=True).fill_null(False)

    def is_test(self, command: str) -> bool:
        """Whether the exit code is that of a test run (and not, say, of a `grep` that the tests are piped into)."""
        return any(self.tests.search(line) for line in _lines(command))

    def is_check(self, command: str) -> bool:
        """Whether the exit code is that of a test, build, linter or type check."""
        if len(command) <= _LINE_LIMIT and not (self.tests.search(command) or self.checks.search(command)):
            return False
        return any(self.tests.search(line) or self.checks.search(line) for line in _lines(command))

    def reported(self, output: str) -> bool:
        """Whether the output says that checks ran and did not hold, rather than that they could not run."""
        seen = output if len(output) <= 2 * _OUTPUT_END else output[:_OUTPUT_END] + "\n" + output[-_OUTPUT_END:]
        return self.verdicts.search(seen) is not None


def _lines(command: str) -> list[str]:
    return [" ".join(step.words)[:_LINE_LIMIT] for step in deciding_steps(command)]


def with_checks(calls: pl.DataFrame, patterns: CheckPatterns) -> pl.DataFrame:
    """`calls` with the column `check`: whether the command's exit code is that of a check."""
    marked = calls.with_columns(((pl.col("name") == "shell") & patterns.maybe_check()).alias("check"))
    sure = {text: patterns.is_check(text) for text in marked.filter("check")["command"].unique()}
    confirmed = (
        pl.col("command").replace_strict(sure, default=False, return_dtype=pl.Boolean) if sure else pl.lit(False)
    )
    return marked.with_columns((pl.col("check") & confirmed).fill_null(False).alias("check"))


def work(canon: CanonTables, threads: pl.Series, thresholds: Mapping[str, Any]) -> pl.DataFrame:
    """Edits, checks and commits of the agent in these threads, one row each in order.

    Columns: those of `tool_calls` that place it, and `what`: `edit` (an applied patch), `check_passed`, `check_failed`,
    `committed`, `ran` (a program run by name that worked).
    """
    calls = canon.tool_calls.filter(
        pl.col("thread_id").is_in(threads.implode())
        & (pl.col("actor") != "user")
        & pl.col("name").is_in(("shell", "apply_patch"))
    )
    edited = calls.filter((pl.col("name") == "apply_patch") & pl.col("success").fill_null(False))["thread_id"].unique()
    checked = with_checks(calls.filter(pl.col("thread_id").is_in(edited.implode())), CheckPatterns.read(thresholds))
    told = checked.with_columns(_what("(?im)" + alternatives(thresholds["verdicts"])).alias("what")).filter(
        pl.col("what").is_not_null()
    )
    proves_nothing = (pl.col("what") == "check_passed") & pl.col("output").str.contains(_EMPTY_RUN).fill_null(False)
    return told.filter(~proves_nothing).select(*_PLACE, "what").sort("thread_id", "run", "seq_start")


def _what(verdicts: str) -> pl.Expr:
    command, passed = pl.col("command").fill_null(""), pl.col("exit_code") == 0
    shell = pl.col("name") == "shell"
    shown_only = pl.col("check") & command.str.contains(_SHOWN_ONLY)
    output = pl.when(shown_only).then(pl.col("output"))
    return (
        pl.when((pl.col("name") == "apply_patch") & pl.col("success").fill_null(False))
        .then(pl.lit("edit"))
        .when(shown_only & output.str.contains(verdicts).fill_null(False))
        .then(pl.lit("check_failed"))
        .when(shown_only & output.str.contains(_PASSED).fill_null(False))
        .then(pl.lit("check_passed"))
        .when(shown_only)
        .then(None)
        .when(pl.col("check") & passed)
        .then(pl.lit("check_passed"))
        .when(pl.col("check") & (pl.col("exit_code") != 0))
        .then(pl.lit("check_failed"))
        .when(shell & passed & command.str.contains(_COMMIT))
        .then(pl.lit("committed"))
        .when(shell & passed & command.str.contains(_PROGRAM_RUN))
        .then(pl.lit("ran"))
    )


def taken_back(turn: Mapping[str, Any]) -> bool:
    """Whether the person stopped, undid or rolled back this turn, or it ended badly."""
    return bool(
        turn["interrupted"] or turn["undone"] or turn["rolled_back"] or turn["end_state"] in ("aborted", "errored")
    )
