"""Checks (tests, builds, linters, type checks), and what the agent changed around them: the ground of signs of success.

What belongs here: telling a check from other commands, and its result. What does not: what a result means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from codex_loop_assets.signals.command_line import deciding_steps
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.patterns import alternatives, any_of, matching, perhaps_matching, whole_words

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
    syntax: re.Pattern[str]
    verdicts: re.Pattern[str]
    words: tuple[str, ...]

    @classmethod
    def read(cls, thresholds: Mapping[str, Any]) -> CheckPatterns:
        return cls(
            whole_words(thresholds["tests"]),
            whole_words(thresholds["checks"]),
            whole_words(thresholds["syntax_checks"]),
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
        return any(self.tests.search(line) or self.checks.search(line) for line in _lines(command))

    def only_parses(self, command: str) -> bool:
        """Whether all that a check looks at is that the text can be parsed: a failure tells something, a pass does not."""
        checks = [line for line in _lines(command) if self.tests.search(line) or self.checks.search(line)]
        return bool(checks) and all(self.syntax.search(line) for line in checks)

    def likely(self, commands: pl.Series) -> pl.Series:
        """Those of the commands in which a check may be named, and those too long to tell by their words alone."""
        tested, checked = perhaps_matching(commands, self.tests, self.checks)
        return commands.filter(tested | checked | (commands.str.len_chars() > _LINE_LIMIT))

    def reported(self, outputs: Sequence[str | None]) -> list[bool]:
        """Which outputs say that checks ran and did not hold, rather than that they could not run."""
        texts = pl.Series(outputs, dtype=pl.String)
        ends = texts.str.head(_OUTPUT_END) + "\n" + texts.str.tail(_OUTPUT_END)
        seen = pl.select(pl.when(texts.str.len_chars() <= 2 * _OUTPUT_END).then(texts).otherwise(ends)).to_series()
        return matching(seen, self.verdicts)[0].to_list()


def _lines(command: str) -> list[str]:
    return [" ".join(step.words)[:_LINE_LIMIT] for step in deciding_steps(command)]


def with_checks(canon: CanonTables, calls: pl.DataFrame, patterns: CheckPatterns) -> pl.DataFrame:
    """`calls` (rows of the tool calls of `canon`) with the columns `check`: whether the command's exit code is that of a
    check, and `only_parses`: of one that only parses."""
    checks = canon.once(("checks", patterns), lambda: _checks(canon, patterns))
    shell = pl.col("name") == "shell"
    parsing = checks.filter("only_parses")["command"]
    return calls.with_columns(
        (shell & pl.col("command").is_in(checks["command"].implode())).fill_null(False).alias("check"),
        (shell & pl.col("command").is_in(parsing.implode())).fill_null(False).alias("only_parses"),
    )


def _checks(canon: CanonTables, patterns: CheckPatterns) -> pl.DataFrame:
    """The commands (once each) whose exit code is that of a check."""
    maybe = canon.tool_calls.lazy().filter((pl.col("name") == "shell") & patterns.maybe_check())
    commands = maybe.select(pl.col("command").unique(maintain_order=True)).collect()["command"]
    sure = [command for command in patterns.likely(commands) if patterns.is_check(command)]
    parses = [patterns.only_parses(command) for command in sure]
    return pl.DataFrame({"command": sure, "only_parses": parses}, {"command": pl.String, "only_parses": pl.Boolean})


def work(canon: CanonTables, threads: pl.Series, thresholds: Mapping[str, Any]) -> pl.DataFrame:
    """Edits, checks and commits of the agent in these threads, one row each in order.

    Columns: those of `tool_calls` that place it, and `what`: `edit` (an applied patch), `check_passed`, `check_failed`,
    `committed`, `ran` (a program run by name that worked).
    """
    patterns = CheckPatterns.read(thresholds)
    done = canon.once(("work", patterns), lambda: _work(canon, patterns, thresholds["verdicts"]))
    return done.filter(pl.col("thread_id").is_in(threads.implode()))


def _work(canon: CanonTables, patterns: CheckPatterns, verdicts: Sequence[str]) -> pl.DataFrame:
    """`work` of all threads with an edit."""
    by_agent = (pl.col("actor") != "user") & pl.col("name").is_in(("shell", "apply_patch"))
    edit = (pl.col("name") == "apply_patch") & pl.col("success").fill_null(False)
    edited = canon.tool_calls.lazy().filter(by_agent & edit).select(pl.col("thread_id").unique()).collect()["thread_id"]
    columns = (*_PLACE, "name", "success", "exit_code", "output")
    calls = canon.tool_calls.lazy().filter(by_agent & pl.col("thread_id").is_in(edited.implode())).select(columns)
    checked = with_checks(canon, calls.collect(), patterns)
    what = _what("(?im)" + alternatives(verdicts)).alias("what")
    told = _without_mere_parsing(checked.sort("thread_id", "run", "seq_start").with_columns(what))
    passed = pl.when(pl.col("what") == "check_passed").then(pl.col("output"))
    proves_something = ~passed.str.contains(_EMPTY_RUN).fill_null(False)
    return told.filter(proves_something).select(*_PLACE, "what")


def _without_mere_parsing(told: pl.DataFrame) -> pl.DataFrame:
    """That a text can be parsed shows that something works only where the same check had failed."""
    if not (told["what"] == "parsed").any():
        return told.filter(pl.col("what").is_not_null())
    failed_before = (pl.col("what") == "check_failed").cum_sum().over("thread_id", "command") > 0
    mended = pl.when(failed_before).then(pl.lit("check_passed"))
    what = pl.when(pl.col("what") == "parsed").then(mended).otherwise("what")
    return told.with_columns(what.alias("what")).filter(pl.col("what").is_not_null())


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
        .when(shown_only & ~pl.col("only_parses") & output.str.contains(_PASSED).fill_null(False))
        .then(pl.lit("check_passed"))
        .when(shown_only)
        .then(None)
        .when(pl.col("only_parses") & passed)
        .then(pl.lit("parsed"))
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
