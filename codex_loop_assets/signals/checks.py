"""What the agent changed and how its checks went, turn by turn: the ground on which signs of success stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.settings import section
from codex_loop_assets.signals.failures import FailurePatterns
from codex_loop_assets.signals.model import CanonTables

_COMMIT = r"\bgit (commit|push)\b"
# Runs of a program by name; whether it is one that the agent wrote is for the caller to say.
_PROGRAM_RUN = r"(^|[\s;&|(])((python3?|node|bash|sh|ruby|php|deno run|bun|go run)\s+[\w./-]+\.\w+|\./[\w./-]+)"
# A test run that ran nothing proves nothing.
_EMPTY_RUN = (
    r"(?i)no tests? (ran|found|to run|collected|files? found)|collected 0 items|ran 0 tests|\b0 total"
    r"|\b0 (passed|tests? passed|passing)\b"
)


def work(canon: CanonTables) -> pl.DataFrame:
    """Edits, checks and commits of the agent, one row each in order.

    Columns: those of `tool_calls` that place it, and `what`: `edit` (an applied patch), `check_passed`, `check_failed`,
    `committed`, `ran` (a program run by name that worked), `failed` (any other failing command).
    """
    patterns = FailurePatterns.read(section("rules")["exec_failure"])
    calls = canon.tool_calls.filter((pl.col("actor") != "user") & pl.col("name").is_in(("shell", "apply_patch")))
    shell = pl.col("name") == "shell"
    command = pl.col("command").fill_null("")
    candidates = calls.with_columns(
        (shell & (command.str.contains(patterns.tests.pattern) | command.str.contains(patterns.checks.pattern))).alias(
            "maybe_check"
        )
    )
    is_check = {
        text: patterns.is_check(text) for text in candidates.filter("maybe_check")["command"].unique().to_list() if text
    }
    checked = candidates.with_columns(
        pl.col("command")
        .replace_strict(is_check, default=False, return_dtype=pl.Boolean)
        .fill_null(False)
        .alias("check")
    )
    passed = (pl.col("exit_code") == 0) & ~pl.col("output").str.contains(_EMPTY_RUN).fill_null(False)
    what = (
        pl.when((pl.col("name") == "apply_patch") & pl.col("success").fill_null(False))
        .then(pl.lit("edit"))
        .when(pl.col("check") & passed)
        .then(pl.lit("check_passed"))
        .when(pl.col("check") & (pl.col("exit_code") != 0))
        .then(pl.lit("check_failed"))
        .when(shell & (pl.col("exit_code") == 0) & command.str.contains(_COMMIT))
        .then(pl.lit("committed"))
        .when(shell & (pl.col("exit_code") == 0) & command.str.contains(_PROGRAM_RUN))
        .then(pl.lit("ran"))
        .when(shell & (pl.col("exit_code") != 0))
        .then(pl.lit("failed"))
    )
    placed = (
        "thread_id",
        "run",
        "turn_id",
        "call_id",
        "seq_start",
        "seq_end",
        "occurred_at",
        "command",
        "exit_code",
        "paths",
    )
    return (
        checked.with_columns(what.alias("what"))
        .filter(pl.col("what").is_not_null())
        .select(*placed, "what")
        .sort("thread_id", "run", "seq_start")
    )


def taken_back(turn: Mapping[str, Any]) -> bool:
    """Whether the person stopped, undid or rolled back this turn, or it ended badly."""
    return bool(
        turn["interrupted"] or turn["undone"] or turn["rolled_back"] or turn["end_state"] in ("aborted", "errored")
    )
