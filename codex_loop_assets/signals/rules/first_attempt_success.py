"""first_attempt_success: the first change passed its first check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.checks import taken_back, work
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during, show_command
from codex_loop_assets.signals.reading import groups, top_level, with_request
from codex_loop_assets.signals.rules.rule import rule

_REQUEST = ("thread_id", "run", "request_seq")


@rule(
    category="first_attempt_success",
    version="1",
    looks_for="Sessions of a person in which, in the first turn with an edit, the first test, build or other check "
    "after the edit passed and none failed.",
    evidence="The first edit and the check that passed.",
    near_misses=(
        "an edit that nothing checked",
        "a check that passed before the edit only",
        "a check that only parses (php -l, bash -n), unless it had failed before",
        "a test run that ran no test",
        "a check that failed first, or failed later in the turn",
        "a turn that was interrupted, undone or rolled back",
    ),
    needs=("exit_codes", "patch_results"),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    human = top_level(canon).filter(pl.col("human"))["thread_id"]
    done = work(canon, human, thresholds)
    threads = done.filter(pl.col("what") == "check_passed")["thread_id"].unique()
    placed = with_request(canon, done.filter(pl.col("thread_id").is_in(threads.implode())), "seq_start")
    first_edits = placed.filter(pl.col("what") == "edit").unique("thread_id", keep="first", maintain_order=True)
    # As Python objects only what belongs to the turn of a first edit: a long session has thousands of steps, and the
    # words of the request stand beside each.
    of_turn = placed.drop("request").join(first_edits, on=_REQUEST, how="semi", nulls_equal=True, maintain_order="left")
    asked = first_edits.select("thread_id", "run", pl.col("request_seq").alias("seq_start"))
    own_turns = canon.turns.join(asked, on=asked.columns, how="semi")
    turns = {(turn["thread_id"], turn["run"], turn["seq_start"]): turn for turn in own_turns.to_dicts()}
    moments = []
    for steps in groups(of_turn, "thread_id"):
        first_edit = next(step for step in steps if step["what"] == "edit")
        turn = turns.get((first_edit["thread_id"], first_edit["run"], first_edit["request_seq"]))
        if turn is not None and turn["human"] and not taken_back(turn):
            later = [step for step in steps if step["seq_start"] > first_edit["seq_start"]]
            moments += _moment({**first_edit, "request": turn["user_message"]}, later)
    return moments


def _moment(edit: Mapping[str, Any], later: list[dict[str, Any]]) -> list[Moment]:
    checks = [step for step in later if step["what"] in ("check_passed", "check_failed")]
    if not checks or any(step["what"] == "check_failed" for step in checks):
        return []
    check = checks[0]
    command = show_command(check["command"], check["thread_id"], 90)
    return [
        Moment(
            thread_id=edit["thread_id"],
            run=edit["run"],
            turn_id=edit["turn_id"],
            call_id=check["call_id"],
            seq_start=edit["seq_start"],
            seq_end=check["seq_end"],
            occurred_at=check["occurred_at"],
            severity=1,
            confidence=0.7,
            description=f"The agent's first edit passed its first check `{command}`" + during(edit),
            evidence=(
                Evidence(edit["seq_start"], edit["call_id"]),
                Evidence(check["seq_end"], check["call_id"], check["command"]),
            ),
        )
    ]
