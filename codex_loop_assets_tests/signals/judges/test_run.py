"""Laws of a judged day: every session is accounted for, and what was not judged is never a finding."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from codex_loop_assets.signals.judges.base import Finding, JudgeResult, Transcript
from codex_loop_assets.signals.judges.run import judge_day
from codex_loop_assets.signals.model import signal_id
from codex_loop_assets.signals.schema import SignalSchema, load_schema
from codex_loop_assets_tests.signals.judges.conversation import STARTED, canon

SCHEMA = load_schema()
LATER = STARTED + timedelta(days=2)
TALK = [("make the header blue", "Done."), ("no, the footer", "Moved.")]


class Echo:
    """Calls every second message a correction, quoting it whole; breaks on the thread `broken`."""

    name = "local_judge"
    version = "echo-1"

    def judge(self, transcript: Transcript, schema: SignalSchema) -> JudgeResult:
        if transcript.thread_id == "broken":
            raise ZeroDivisionError("in the judge")
        turns = transcript.spoken_turns[1::2]
        return JudgeResult(
            "judged",
            tuple(
                Finding(t.run, t.seq_start, "correction", 2, 0.7, "The user corrects", t.user_message) for t in turns
            ),
        )


class Deferring(Echo):
    """A judge of many that cannot pay for anything, says so for `poor`, and forgets the others."""

    def judge_many(self, transcripts: Sequence[Transcript], schema: SignalSchema) -> Mapping[str, JudgeResult]:
        found = (Finding(0, 11, "correction", 2, 0.9, "never kept", "no, the footer"),)
        return {"poor": JudgeResult("deferred", found, reason="daily budget reached")}


def statuses(coverage) -> dict[str, str]:
    return dict(coverage.select("thread_id", "status").iter_rows())


def test_every_session_has_one_coverage_row_that_says_what_became_of_it() -> None:
    tables = canon(
        {"quiet": TALK, "fresh": TALK, "trial": TALK, "machine": TALK, "silent": [("", "")], "broken": TALK},
        fresh={"ended_at": LATER - timedelta(hours=1)},
        trial={"excluded": True, "exclusion_reason": "evaluation trial"},
        machine={"human": False},
    )
    signals, coverage = judge_day(tables, SCHEMA, Echo(), LATER)
    assert statuses(coverage) == {
        "quiet": "judged",
        "fresh": "active",
        "trial": "excluded",
        "machine": "nothing_to_judge",
        "silent": "nothing_to_judge",
        "broken": "failed",
    }
    assert signals["thread_id"].to_list() == ["quiet"]
    assert coverage.filter(coverage["status"] != "judged")["reason"].null_count() == 0


def test_one_session_that_breaks_the_judge_does_not_stop_the_others() -> None:
    signals, coverage = judge_day(canon({"broken": TALK, "fine": TALK}), SCHEMA, Echo(), LATER)
    assert signals["thread_id"].to_list() == ["fine"]
    assert "ZeroDivisionError" in coverage.filter(coverage["thread_id"] == "broken")["reason"].item()


def test_a_finding_becomes_a_row_with_its_place_and_its_words() -> None:
    signals, coverage = judge_day(canon({"quiet": TALK}), SCHEMA, Echo(), LATER)
    row = signals.row(0, named=True)
    assert row["signal_id"] == signal_id("quiet", 0, 11, "correction")
    assert (row["turn_id"], row["occurred_at"]) == ("t1", STARTED + timedelta(minutes=1))
    assert json.loads(row["evidence"]) == [{"seq": 11, "quote": "no, the footer"}]
    assert coverage["findings"].to_list() == [1]


def test_a_result_that_is_not_judged_gives_no_signal_even_with_findings() -> None:
    signals, coverage = judge_day(canon({"poor": TALK, "forgotten": TALK}), SCHEMA, Deferring(), LATER)
    assert signals.is_empty()
    assert statuses(coverage) == {"poor": "deferred", "forgotten": "failed"}


def test_a_secret_in_the_quoted_words_does_not_leave_the_tables() -> None:
    secret = "ghp_" + "a1B2" * 9
    tables = canon({"quiet": [("deploy it", "Done."), (f"no, use {secret} for it", "Done.")]})
    signals, _ = judge_day(tables, SCHEMA, Echo(), LATER)
    assert secret not in signals["evidence"].item()


@pytest.mark.parametrize(("hours", "status"), [(5, "active"), (7, "judged")])
def test_the_quiet_period_counts_from_the_last_record(hours: int, status: str) -> None:
    tables = canon({"quiet": TALK}, quiet={"ended_at": LATER - timedelta(hours=hours)})
    _, coverage = judge_day(tables, SCHEMA, Echo(), LATER, {"quiet_hours": 6})
    assert statuses(coverage) == {"quiet": status}


def test_an_empty_day_has_both_tables() -> None:
    signals, coverage = judge_day(canon({}), SCHEMA, Echo(), LATER)
    assert (signals.height, coverage.height) == (0, 0)
