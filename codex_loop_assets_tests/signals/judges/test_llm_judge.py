"""Asking at once: one call per session, nothing bought twice, failures kept apart, a budget that holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.base import ManyJudge
from codex_loop_assets.signals.judges.llm import open_llm_judge
from codex_loop_assets_tests.openai_server import Fault, OpenAiServer
from codex_loop_assets_tests.openai_server.model import FACETS, asked_categories, finding
from codex_loop_assets_tests.signals.judges.llm_world import (
    MODEL,
    STYLE,
    friction,
    open_judge,
    schema,
    session,
)


@pytest.fixture
def server():
    with OpenAiServer(MODEL) as running:
        yield running


def mine(thread_id):
    """Whether a request is about the session of this thread."""
    return lambda body: thread_id in json.dumps(body)


def test_one_call_per_session_with_findings_facets_and_cost(tmp_path, server):
    judge = open_judge(tmp_path, server.environment)
    assert isinstance(judge, ManyJudge)
    sessions = [friction("one"), session("two", "add a flag", "thank you so much"), session("three", "add a test")]
    results = judge.judge_many(sessions, schema())
    assert server.count("POST", "/v1/responses") == 3
    assert [result.status for result in results.values()] == ["judged"] * 3
    assert [(one.seq_start, one.category, one.quote) for one in results["one"].findings] == [
        (20, "correction", "not what I asked")
    ]
    assert results["two"].findings[0].category == "positive_feedback" and results["three"].findings == ()
    assert results["one"].facets["languages"] == ["python"] and results["one"].model == "gpt-5-mini-2025-08-07"
    usage = results["one"].usage
    assert usage.calls == 1 and usage.input_tokens > 100 and 0 < usage.cost_usd < 0.01


def test_judging_again_makes_no_call_and_needs_no_client(tmp_path, server):
    sessions = [friction("one"), friction("two")]
    first = open_judge(tmp_path, server.environment).judge_many(sessions, schema())

    def no_client():
        raise AssertionError("a client was made although everything is known")

    again = open_llm_judge(tmp_path, no_client, section("llm_judge")).judge_many(sessions, schema())
    assert server.count("POST", "/v1/responses") == 2
    for thread_id, result in first.items():
        assert again[thread_id].findings == result.findings and again[thread_id].facets == result.facets
        assert again[thread_id].usage.calls == 0 and again[thread_id].usage.cost_usd == result.usage.cost_usd


def test_a_new_category_costs_only_a_question_about_it(tmp_path, server):
    sessions = [friction("one"), session("two", "please use tabs everywhere, as I said")]
    judge = open_judge(tmp_path, server.environment)
    judge.judge_many(sessions, schema())
    results = judge.judge_many(sessions, schema(STYLE))
    assert server.count("POST", "/v1/responses") == 4
    assert [asked_categories(body) for body in server.requests[2:]] == [["style"], ["style"]]
    assert results["two"].findings[0].category == "style" and results["one"].findings[0].category == "correction"
    assert results["two"].facets is not None
    judge.judge_many(sessions, schema(STYLE))
    judge.judge_many(sessions, schema())
    assert server.count("POST", "/v1/responses") == 4


def test_a_reworded_category_is_asked_anew_and_its_old_findings_are_gone(tmp_path, server):
    judge = open_judge(tmp_path, server.environment)
    judge.judge(friction("one"), schema())
    server.model = lambda body: {"findings": [], "facets": None}
    reworded = schema().categories["correction"].model_copy(update={"definition": "Something narrower."})
    result = judge.judge(friction("one"), schema(reworded))
    assert asked_categories(server.requests[-1]) == ["correction"]
    assert result.status == "judged" and result.findings == () and result.rejected == 0


def test_a_novel_moment_gives_way_to_the_category_that_explains_it(tmp_path, server):
    novel = finding("T1", "novel", "use tabs everywhere")
    server.model = lambda body: {"findings": [novel], "facets": FACETS}
    judge, transcript = open_judge(tmp_path, server.environment), session("one", "use tabs everywhere")
    assert [one.category for one in judge.judge(transcript, schema()).findings] == ["novel"]
    server.model = MODEL
    assert [one.category for one in judge.judge(transcript, schema(STYLE)).findings] == ["style"]


def test_a_session_that_grew_asks_only_about_its_last_windows(tmp_path, server):
    messages = [f"message {number} " + "x" * 300 for number in range(30)]
    judge = open_judge(tmp_path, server.environment, {"window_characters": 2500})
    judge.judge(session("one", *messages), schema())
    before = server.count("POST", "/v1/responses")
    result = judge.judge(session("one", *messages, "no, not what I asked"), schema())
    assert server.count("POST", "/v1/responses") - before == 1 < before
    assert len(result.findings) == 1


def test_a_moment_in_two_windows_is_claimed_at_one_place(tmp_path, server):
    messages = ["x" * 600, "x" * 600, "no, not what I asked", "x" * 600, "x" * 600]
    judge = open_judge(tmp_path, server.environment, {"window_characters": 2200, "overlap_turns": 2})
    result = judge.judge(session("one", *messages), schema())
    assert len(server.requests) > 1
    assert {(one.run, one.seq_start, one.category) for one in result.findings} == {(0, 30, "correction")}


def test_sessions_with_the_very_same_words_share_one_call(tmp_path, server):
    judge = open_judge(tmp_path, server.environment)
    results = judge.judge_many([session("a", "not what I asked"), session("b", "not what I asked")], schema())
    assert server.count("POST", "/v1/responses") == 1
    assert len(results["a"].findings) == len(results["b"].findings) == 1
    assert (results["a"].usage.calls, results["b"].usage.calls, results["b"].usage.cost_usd) == (1, 0, 0)
    judge.judge(session("b", "not what I asked"), schema())
    assert server.count("POST", "/v1/responses") == 1


def test_a_storm_of_rate_limits_completes(tmp_path, server):
    storm = Fault("status", times=12, status=429, headers={"retry-after-ms": "20"})
    server.faults.add(storm)
    results = open_judge(tmp_path, server.environment, {"max_attempts": 30}).judge_many(
        [friction(f"thread-{number}") for number in range(12)], schema()
    )
    assert {result.status for result in results.values()} == {"judged"} and storm.times == 0
    assert server.most_running <= section("llm_judge")["concurrency"]


def test_retry_after_is_waited_for(tmp_path, server, monkeypatch):
    waits = []
    server.faults.add(Fault("status", status=429, headers={"Retry-After": "7"}))
    server.faults.add(Fault("status", status=503, headers={"Retry-After": "3"}))
    judge = open_judge(tmp_path, server.environment)
    monkeypatch.setattr(judge._synchronous, "_sleep", waits.append)
    assert judge.judge(friction("one"), schema()).status == "judged"
    assert [round(wait) for wait in waits if wait > 1] in ([7, 3], [7, 3, 7])


def test_server_errors_and_broken_connections_are_tried_again(tmp_path, server):
    server.faults.add(
        Fault("status", status=500), Fault("drop"), Fault("drop_after"), Fault("status", status=502), Fault("no_usage")
    )
    result = open_judge(tmp_path, server.environment).judge(friction("one"), schema())
    assert result.status == "judged" and len(result.findings) == 1 and result.usage.input_tokens == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", times=99, status=500), "gave up after 6 attempts"),
        (Fault("refusal", times=99), "refused"),
        (Fault("malformed", times=99), "malformed"),
        (Fault("not_json", times=99), "malformed"),
        (Fault("incomplete", times=99), "max_output_tokens"),
        (Fault("status", times=99, status=400), "HTTP 400"),
        (Fault("status", times=99, status=429, headers={"Retry-After": "9999"}), "told to wait 9999 s"),
        (Fault("slow", times=99, seconds=2.0), "timed out"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_a_session_that_fails_says_why_and_stops_no_other(tmp_path, server, fault, words):
    fault.when = mine("broken")
    server.faults.add(fault)
    judge = open_judge(
        tmp_path, server.environment, {"timeout_seconds": 0.3, "max_attempts": 2 if fault.kind == "slow" else 6}
    )
    results = judge.judge_many([friction("good"), friction("broken"), friction("fine")], schema())
    assert results["good"].status == results["fine"].status == "judged"
    assert results["broken"].status == "failed" and words in results["broken"].reason
    assert results["broken"].findings == ()


def test_unusable_answers_are_paid_for_only_so_often(tmp_path, server):
    server.faults.add(Fault("refusal", times=99))
    for _ in range(3):
        result = open_judge(tmp_path, server.environment).judge(friction("one"), schema())
        assert result.status == "failed"
    assert server.count("POST", "/v1/responses") == section("llm_judge")["max_unusable_answers"]
    assert result.usage.calls == 0


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (429, "insufficient_quota")])
def test_what_would_meet_every_session_is_met_once_or_so(tmp_path, server, status, code):
    server.faults.add(Fault("status", times=99, status=status, code=code))
    results = open_judge(tmp_path, server.environment).judge_many(
        [friction(f"thread-{n}") for n in range(20)], schema()
    )
    assert {result.status for result in results.values()} == {"failed"}
    assert server.count("POST", "/v1/responses") <= section("llm_judge")["concurrency"]


def test_what_does_not_fit_the_budget_is_deferred_until_another_day(tmp_path, server):
    now = [datetime(2026, 3, 1, 12, tzinfo=UTC)]
    sessions = [friction(f"thread-{number}") for number in range(10)]
    judge = open_judge(
        tmp_path, server.environment, {"daily_budget_usd": 0.0175, "concurrency": 3}, clock=lambda: now[0]
    )
    first = judge.judge_many(sessions, schema())
    judged = [result for result in first.values() if result.status == "judged"]
    deferred = [result for result in first.values() if result.status == "deferred"]
    assert judged and deferred and len(judged) + len(deferred) == 10
    assert "budget" in deferred[0].reason and deferred[0].usage.calls == 0
    assert judge._accounting.governor.spent() <= 0.0175
    for _ in range(10):
        now[0] += timedelta(days=1)
        final = judge.judge_many(sessions, schema())
    assert {result.status for result in final.values()} == {"judged"}
    assert server.count("POST", "/v1/responses") == 10


def test_a_model_without_a_price_is_never_called(tmp_path, server):
    result = open_judge(tmp_path, server.environment, {"model": "unheard-of"}).judge(friction("one"), schema())
    assert result.status == "deferred" and "no price" in result.reason and server.calls == []


def test_the_estimate_bounds_the_cost_and_knows_what_is_answered(tmp_path, server):
    judge = open_judge(tmp_path, server.environment)
    judge.judge(friction("one"), schema())
    estimate = judge.estimate([friction("one"), friction("two")], schema())
    cost = judge.judge(friction("two"), schema()).usage.cost_usd
    assert (estimate.sessions, estimate.answered, estimate.calls) == (2, 1, 1)
    assert cost <= estimate.worst_usd and estimate.typical_usd < estimate.worst_usd


def test_a_forgotten_session_leaves_no_answer(tmp_path, server):
    judge = open_judge(tmp_path, server.environment)
    judge.judge_many([friction("one"), friction("two")], schema())
    assert judge.forget("one") and not judge.forget("one")
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert "not what I asked" in kept and len(list((tmp_path / "answers").iterdir())) == 1
    judge.judge_many([friction("one"), friction("two")], schema())
    assert server.count("POST", "/v1/responses") == 3


def test_nothing_of_the_prompt_depends_on_time_or_place(tmp_path, server):
    open_judge(tmp_path / "a", server.environment).judge(friction("one"), schema())
    open_judge(tmp_path / "b", server.environment).judge(friction("one"), schema())
    assert server.requests[0] == server.requests[1]
