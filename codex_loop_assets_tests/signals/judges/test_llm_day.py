"""The LLM judge under judge_day: what becomes rows of semantic_signals and judge_coverage, and what never does."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from codex_loop_assets.signals.judges.costs import cost_summary
from codex_loop_assets.signals.judges.run import judge_day
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.openai_server import Fault, OpenAiServer
from codex_loop_assets_tests.openai_server.model import FACETS, finding
from codex_loop_assets_tests.signals.judges.llm_world import (
    BATCH,
    MODEL,
    PROCESSES,
    SESSIONS,
    judge_then_wait,
    open_judge,
    schema,
    wait_and_kill,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEXT_DAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
HIDDEN = "".join(("tiger!", "Qx8812"))
MESSAGES = {
    "one": ["fix the test", "no, that is not what I asked"],
    "two": ["add a flag", f"thank you so much, DB_PASSWORD={HIDDEN} works"],
    "three": ["add a test"],
}


def filled(table, **values):
    """A row of a table: the given values, and an empty one of the right type wherever a null is not allowed."""
    empty = {pl.String: "", pl.Boolean: False, pl.Int32: 0, pl.Int64: 0}
    columns = TABLES[table].columns
    return {column.name: empty[column.dtype] for column in columns if not column.nullable} | values


def canon() -> CanonTables:
    sessions, turns = [], []
    for thread_id, messages in MESSAGES.items():
        sessions.append(filled("sessions", thread_id=thread_id, human=True, started_at=NOON, ended_at=NOON))
        turns += [
            filled(
                "turns", thread_id=thread_id, turn_id=f"t{number}", turn_index=number, seq_start=10 * number,
                seq_end=10 * number + 9, occurred_at=NOON, user_message=message, final_message="Done.",
                end_state="completed", kind="prompt", human=True,
            )
            for number, message in enumerate(messages)
        ]  # fmt: skip
    return CanonTables(
        TABLES["spines"].empty(),
        TABLES["events"].empty(),
        TABLES["sessions"].frame(sessions),
        TABLES["turns"].frame(turns),
        TABLES["tool_calls"].empty(),
    )


@pytest.fixture
def server():
    with OpenAiServer(MODEL) as running:
        yield running


def test_findings_and_coverage_of_a_day(tmp_path, server):
    signals, coverage = judge_day(canon(), schema(), open_judge(tmp_path, server.environment), NEXT_DAY)
    assert signals.select("thread_id", "category", "type", "seq_start").rows() == [
        ("one", "correction", "friction", 10),
        ("two", "positive_feedback", "delight", 10),
    ]
    assert set(signals["detector"]) == {"llm_judge"} and set(signals["model"]) == {"gpt-5-mini-2025-08-07"}
    assert coverage["status"].to_list() == ["judged"] * 3 and coverage["findings"].sum() == 2
    assert json.loads(coverage["facets"][0])["outcome"] == "done"
    summary = cost_summary(coverage)
    assert summary["calls"] == 3 and summary["rejected_citations"] == 0
    assert summary["usd_per_signal"] == pytest.approx(coverage["cost_usd"].sum() / 2)


def test_a_quotation_of_hidden_text_is_kept_and_stays_hidden(tmp_path, server):
    def quoting(body):
        turns = [json.loads(line) for line in body["input"][0]["content"][1]["text"].split("\n")[1:-1]]
        if "thank you" not in turns[-1]["user"]:
            return {"findings": [], "facets": FACETS}
        return {"findings": [finding(turns[-1]["turn"], "positive_feedback", turns[-1]["user"])], "facets": FACETS}

    server.model = quoting
    signals, coverage = judge_day(canon(), schema(), open_judge(tmp_path, server.environment), NEXT_DAY)
    assert signals.height == 1 and coverage["rejected"].sum() == 0
    assert HIDDEN not in json.dumps(server.requests) and HIDDEN not in signals.write_json()
    assert "[secret:password:" in signals["evidence"][0]


@pytest.mark.parametrize(
    ("changes", "fault", "status"),
    [
        ({}, Fault("status", times=99, status=400), "failed"),
        ({}, Fault("refusal", times=99), "failed"),
        ({"daily_budget_usd": 0.0}, None, "deferred"),
        (BATCH, None, "pending_batch"),
    ],
    ids=["error", "refusal", "no budget", "batch"],
)
def test_what_was_not_judged_is_a_coverage_row_and_no_signal(tmp_path, server, changes, fault, status):
    if fault:
        server.faults.add(fault)
    signals, coverage = judge_day(canon(), schema(), open_judge(tmp_path, server.environment, changes), NEXT_DAY)
    assert signals.height == 0 and coverage["status"].to_list() == [status] * 3
    assert coverage["findings"].sum() == 0 and all(coverage["reason"])
    summary = cost_summary(coverage)
    assert summary["sessions_not_judged"] == 3 and summary["usd_per_1000_sessions"] is None


def test_a_second_run_of_the_day_gives_the_same_rows_and_no_call(tmp_path, server):
    first, _ = judge_day(canon(), schema(), open_judge(tmp_path, server.environment), NEXT_DAY)
    second, coverage = judge_day(canon(), schema(), open_judge(tmp_path, server.environment), NEXT_DAY)
    assert second.equals(first) and coverage["calls"].sum() == 0 and coverage["cost_usd"].sum() > 0
    assert server.count("POST", "/v1/responses") == 3


def test_batch_and_calls_at_once_give_the_same_rows(tmp_path, server):
    at_once, _ = judge_day(canon(), schema(), open_judge(tmp_path / "sync", server.environment), NEXT_DAY)
    server.batches.at_once = True
    by_batch = open_judge(tmp_path / "batch", server.environment, BATCH)
    judge_day(canon(), schema(), by_batch, NEXT_DAY)
    batched, _ = judge_day(canon(), schema(), by_batch, NEXT_DAY)
    assert batched.equals(at_once)


def test_a_session_that_is_not_quiet_yet_is_not_sent(tmp_path, server):
    _, coverage = judge_day(canon(), schema(), open_judge(tmp_path, server.environment), NOON)
    assert coverage["status"].to_list() == ["active"] * 3 and server.calls == []


def test_a_kill_during_calls_at_once_keeps_what_arrived_and_counts_what_may_have_been_charged(tmp_path, server):
    server.faults.add(Fault("slow_after", seconds=20, when=lambda body: "add a test" in json.dumps(body)))
    done = PROCESSES.Event()
    process = PROCESSES.Process(
        target=judge_then_wait, args=(tmp_path, server.environment, done, {"concurrency": 1, "timeout_seconds": 60})
    )
    wait_and_kill(process, lambda: server.holding)
    assert not done.is_set() and server.count("POST", "/v1/responses") == 3
    judge = open_judge(tmp_path, server.environment)
    open_reservation = judge._accounting.governor.spent()
    assert open_reservation > 0.012
    results = judge.judge_many(SESSIONS, schema())
    assert {result.status for result in results.values()} == {"judged"}
    assert server.count("POST", "/v1/responses") == 4 and judge._accounting.governor.spent() > open_reservation
