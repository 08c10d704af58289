"""Batches: the same findings at half the price, and no instant at which a kill loses an answer or buys it twice."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from codex_loop_assets_tests.openai_server import Fault, OpenAiServer
from codex_loop_assets_tests.openai_server.model import asked_categories, transcript_turns
from codex_loop_assets_tests.signals.judges.llm_world import (
    BATCH,
    MODEL,
    PROCESSES,
    SESSIONS,
    STYLE,
    friction,
    judge_then_wait,
    open_judge,
    schema,
    wait_and_kill,
)


@pytest.fixture
def server():
    with OpenAiServer(MODEL) as running:
        yield running


def statuses(results):
    return {thread_id: result.status for thread_id, result in results.items()}


def bought(server):
    """How often each session was put to the model."""
    return Counter((transcript_turns(body)[-1]["user"], tuple(asked_categories(body))) for body in server.requests)


def test_a_batch_and_calls_at_once_give_the_same_signals_at_half_the_price(tmp_path, server):
    at_once = open_judge(tmp_path / "sync", server.environment).judge_many(SESSIONS, schema())
    judge = open_judge(tmp_path / "batch", server.environment, BATCH)
    waiting = judge.judge_many(SESSIONS, schema())
    assert set(statuses(waiting).values()) == {"pending_batch"}
    assert "batch_000001" in waiting["one"].reason and waiting["one"].findings == ()
    assert judge.waiting() == {"one", "two", "three"}
    server.batches.run()
    assert judge.collect() == {"one", "two", "three"} and judge.waiting() == set()
    batched = judge.judge_many(SESSIONS, schema())
    for thread_id, result in at_once.items():
        assert batched[thread_id].status == "judged"
        assert batched[thread_id].findings == result.findings and batched[thread_id].facets == result.facets
        assert batched[thread_id].usage.cost_usd == pytest.approx(result.usage.cost_usd / 2)
    assert judge.collect() == set() and set(bought(server).values()) == {2}


def test_waiting_sessions_are_not_sent_again_and_new_ones_are(tmp_path, server):
    judge = open_judge(tmp_path, server.environment, BATCH)
    judge.judge_many(SESSIONS[:2], schema())
    judge.judge_many(SESSIONS, schema())
    judge.judge_many(SESSIONS, schema())
    assert server.count("POST", "/v1/batches") == 2
    server.batches.run()
    assert set(statuses(judge.judge_many(SESSIONS, schema())).values()) == {"judged"}
    assert set(bought(server).values()) == {1}


def test_changing_to_calls_at_once_does_not_buy_what_is_under_way(tmp_path, server):
    open_judge(tmp_path, server.environment, BATCH).judge_many(SESSIONS[:2], schema())
    results = open_judge(tmp_path, server.environment).judge_many(SESSIONS, schema())
    assert statuses(results) == {"one": "pending_batch", "two": "pending_batch", "three": "judged"}
    server.batches.run()
    assert set(statuses(open_judge(tmp_path, server.environment).judge_many(SESSIONS, schema())).values()) == {"judged"}
    assert set(bought(server).values()) == {1}


def test_a_new_category_is_asked_about_alone_in_a_batch_too(tmp_path, server):
    judge = open_judge(tmp_path, server.environment, BATCH)
    server.batches.at_once = True
    judge.judge_many(SESSIONS, schema())
    judge.judge_many(SESSIONS, schema())
    judge.judge_many(SESSIONS, schema(STYLE))
    assert set(statuses(judge.judge_many(SESSIONS, schema(STYLE))).values()) == {"judged"}
    assert [asked_categories(body) for body in server.requests[3:]] == [["style"]] * 3


def test_what_expired_is_sent_again_and_what_was_answered_is_kept(tmp_path, server):
    judge = open_judge(tmp_path, server.environment, BATCH)
    judge.judge_many(SESSIONS, schema())
    server.batches.expire(keep=1)
    after = statuses(judge.judge_many(SESSIONS, schema()))
    assert sorted(after.values()) == ["judged", "pending_batch", "pending_batch"]
    server.batches.run()
    assert set(statuses(judge.judge_many(SESSIONS, schema())).values()) == {"judged"}
    assert set(bought(server).values()) == {1}


def test_what_expires_again_and_again_fails_and_costs_nothing(tmp_path, server):
    judge = open_judge(tmp_path, server.environment, BATCH)
    for _ in range(4):
        results = judge.judge_many(SESSIONS, schema())
        server.batches.expire()
    results = judge.judge_many(SESSIONS, schema())
    assert set(statuses(results).values()) == {"failed"} and "batch_expired" in results["one"].reason
    assert server.count("POST", "/v1/batches") == 3 and judge._accounting.governor.spent() == 0


@pytest.mark.parametrize("fault", ["refusal", "malformed", "status"])
def test_one_bad_line_harms_no_other(tmp_path, server, fault):
    wrong = Fault(fault, path="batch", times=9, status=400, when=lambda body: "thank you" in json.dumps(body))
    server.faults.add(wrong)
    judge = open_judge(tmp_path, server.environment, BATCH)
    server.batches.at_once = True
    for _ in range(5):
        results = judge.judge_many(SESSIONS, schema())
    assert statuses(results) == {"one": "judged", "two": "failed", "three": "judged"}


def test_a_batch_that_fails_its_validation_gives_its_reason(tmp_path, server):
    judge = open_judge(tmp_path, server.environment, BATCH)
    for _ in range(4):
        judge.judge_many(SESSIONS, schema())
        server.batches.fail("bad line")
    assert "bad line" in judge.judge_many(SESSIONS, schema())["one"].reason


def test_an_answer_may_hold_any_line_separator(tmp_path, server):
    def model(body):
        answer = MODEL(body)
        for one in answer["findings"]:
            one["description"] = "first\u2028second\x85third"
        return answer

    server.model, server.batches.at_once, server.batches.ascii = model, True, False
    judge = open_judge(tmp_path, server.environment, BATCH)
    judge.judge_many(SESSIONS, schema())
    assert set(statuses(judge.judge_many(SESSIONS, schema())).values()) == {"judged"}


def test_requests_are_split_over_batches_by_number_and_size(tmp_path, server):
    changes = {"mode": "batch", "batch": {**BATCH["batch"], "max_requests": 2}}
    open_judge(tmp_path, server.environment, changes).judge_many([friction(f"t{n}") for n in range(5)], schema())
    assert server.count("POST", "/v1/batches") == 3


def test_the_budget_holds_for_batches(tmp_path, server):
    now = [datetime(2026, 3, 1, 12, tzinfo=UTC)]
    sessions = [friction(f"t{number}") for number in range(6)]
    judge = open_judge(tmp_path, server.environment, {**BATCH, "daily_budget_usd": 0.02}, clock=lambda: now[0])
    first = statuses(judge.judge_many(sessions, schema()))
    assert 0 < list(first.values()).count("pending_batch") < 6 and "deferred" in first.values()
    assert judge._accounting.governor.spent() <= 0.02
    server.batches.run()
    for _ in range(6):
        now[0] += timedelta(days=1)
        judge.judge_many(sessions, schema())
        server.batches.run()
    assert set(statuses(judge.judge_many(sessions, schema())).values()) == {"judged"}
    assert set(bought(server).values()) == {1}


def test_an_unreachable_provider_leaves_everything_waiting_and_says_so(tmp_path, server):
    judge = open_judge(tmp_path, server.environment, BATCH)
    server.faults.add(Fault("status", path="/v1/files", times=1, status=503))
    assert "503" in str(judge.judge_many(SESSIONS, schema())["one"].reason)
    server.faults.add(Fault("status", path="/v1/batches", times=1, status=500))
    assert set(statuses(judge.judge_many(SESSIONS, schema())).values()) == {"pending_batch"}
    judge.judge_many(SESSIONS, schema())
    server.batches.run()
    assert set(statuses(judge.judge_many(SESSIONS, schema())).values()) == {"judged"}
    assert set(bought(server).values()) == {1}


def test_an_answer_to_create_that_got_lost_does_not_make_a_second_batch(tmp_path, server):
    judge = open_judge(tmp_path, server.environment, BATCH)
    server.faults.add(Fault("drop_after", path="/v1/batches"))
    judge.judge_many(SESSIONS, schema())
    server.batches.run()
    assert set(statuses(judge.judge_many(SESSIONS, schema())).values()) == {"judged"}
    assert server.count("POST", "/v1/batches") == 1 and set(bought(server).values()) == {1}


def test_a_forgotten_session_that_is_under_way_leaves_nothing(tmp_path, server):
    judge = open_judge(tmp_path, server.environment, BATCH)
    judge.judge_many(SESSIONS, schema())
    judge.forget("one")
    server.batches.run()
    assert judge.collect() == {"two", "three"}
    assert "not what I asked" not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("sessions", [SESSIONS[:1], SESSIONS], ids=["alone", "with others"])
def test_a_forgotten_session_that_was_not_sent_yet_is_never_sent(tmp_path, server, sessions):
    judge = open_judge(tmp_path, server.environment, BATCH)
    server.faults.add(Fault("status", path="/v1/files", status=503))
    judge.judge_many(sessions, schema())
    judge.forget("one")
    assert "not what I asked" not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    server.batches.at_once = True
    judge.judge_many(SESSIONS[1:], schema())
    judge.judge_many(SESSIONS[1:], schema())
    assert not [body for body in server.requests if "not what I asked" in json.dumps(body)]
    assert set(statuses(judge.judge_many(SESSIONS[1:], schema())).values()) == {"judged"}


def test_no_transcript_is_left_behind_here_or_there(tmp_path, server):
    judge = open_judge(tmp_path, server.environment, BATCH)
    server.batches.at_once = True
    judge.judge_many(SESSIONS, schema())
    judge.collect()
    assert server.batches.files == {} and not list((tmp_path / "batches").glob("*[!l].jsonl"))


# Where the process is when it is killed: the server holds it there.
HELD = {
    "before the upload is done": {"kind": "slow", "path": "/v1/files"},
    "after the upload, before its answer": {"kind": "slow_after", "path": "/v1/files"},
    "before the batch is created": {"kind": "slow", "path": "/v1/batches", "method": "POST"},
    "after the batch is created, before its answer": {"kind": "slow_after", "path": "/v1/batches", "method": "POST"},
    "between submit and collect": None,
    "collecting: before any result": {"kind": "slow", "path": "/v1/files/*/content"},
    "collecting: between two result files": {"kind": "slow", "path": "/v1/files/*/content", "skip": 1},
    "collecting: all filed, files being removed": {"kind": "slow_after", "path": "/v1/files/*", "method": "DELETE"},
}


@pytest.mark.parametrize("where", HELD)
def test_a_kill_at_any_point_loses_nothing_and_buys_nothing_twice(tmp_path, where):
    with OpenAiServer(MODEL) as server:
        if where.startswith("collecting"):
            open_judge(tmp_path, server.environment, BATCH).judge_many(SESSIONS, schema())
            server.batches.expire(keep=2)
        if HELD[where] is not None:
            server.faults.add(Fault(**HELD[where], seconds=20))
        kill_when_held(tmp_path, server, ends=HELD[where] is None)
        judge = open_judge(tmp_path, server.environment, BATCH)
        judge.judge_many(SESSIONS, schema())
        server.batches.run()
        results = judge.judge_many(SESSIONS, schema())
        assert set(statuses(results).values()) == {"judged"}
        assert [one.category for result in results.values() for one in result.findings] == [
            "correction",
            "positive_feedback",
        ]
        assert set(bought(server).values()) == {1} and len(bought(server)) == 3
        assert not [batch for batch in server.batches.batches.values() if batch["status"] == "validating"]


def kill_when_held(home: Path, server: OpenAiServer, ends: bool) -> None:
    """Judge in a process of its own and kill it once the server holds it, or once it has done its work."""
    done = PROCESSES.Event()
    changes = {**BATCH, "timeout_seconds": 60}
    process = PROCESSES.Process(target=judge_then_wait, args=(home, server.environment, done, changes))
    wait_and_kill(process, done.is_set if ends else lambda: server.holding)
    assert done.is_set() == ends
