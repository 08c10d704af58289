"""Laws of automation: a changed day is asked for once per state of its files, quiet files only, with bounded tries and ticks."""

import json
from datetime import UTC, datetime

import dagster as dg
import pytest

from codex_loop_assets import automation, clock, stages
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.definitions import defs
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets_tests.conftest import write_rollout


@pytest.fixture
def instance(home):
    with dg.DagsterInstance.get() as instance:
        yield instance


def tick(sensor, instance, cursor=None):
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"home": HomeResource()}, definitions=defs
    )
    return sensor(context)


def test_new_quiet_days_are_asked_for_and_committed_ones_are_not(home, instance):
    result = tick(automation.session_files, instance)
    assert [request.partition_key for request in result.run_requests] == ["2026-03-01", "2026-03-03"]
    materialise(home, stages.INGEST, days=["2026-03-01"])
    result = tick(automation.session_files, instance, result.cursor)
    assert {request.partition_key for request in result.run_requests} <= {"2026-03-03"}
    assert set(json.loads(result.cursor)) == {"2026-03-03"}


def test_a_grown_session_gets_a_new_run_key_because_a_run_key_deduplicates_for_ever(home, codex_home, instance):
    first = tick(automation.session_files, instance)
    materialise(home, stages.INGEST, days=["2026-03-01", "2026-03-03"])
    write_rollout(codex_home, "2026-03-01", 2, ["add a flag", "and a test"], mtime=1_772_500_000.0)
    second = tick(automation.session_files, instance, first.cursor)
    assert [request.partition_key for request in second.run_requests] == ["2026-03-01"]
    assert second.run_requests[0].run_key not in {request.run_key for request in first.run_requests}


def test_files_still_being_written_wait(home, codex_home, instance, monkeypatch):
    write_rollout(
        codex_home, "2026-03-03", 3, ["rename the module"], mtime=datetime(2026, 3, 9, 23, 59, tzinfo=UTC).timestamp()
    )
    assert [request.partition_key for request in tick(automation.session_files, instance).run_requests] == [
        "2026-03-01"
    ]
    monkeypatch.setenv(clock.VARIABLE, "2026-03-10T00:30:00+00:00")
    assert "2026-03-03" in [request.partition_key for request in tick(automation.session_files, instance).run_requests]


def test_a_day_that_keeps_failing_is_tried_a_bounded_number_of_times(home, instance):
    cursor, asked = None, []
    for _ in range(6):
        result = tick(automation.session_files, instance, cursor)
        asked += [request.run_key for request in result.run_requests or [] if request.partition_key == "2026-03-01"]
        cursor = result.cursor
    assert len(asked) == automation.ATTEMPTS and len(set(asked)) == automation.ATTEMPTS


def test_a_tick_asks_for_a_bounded_number_of_days(home, codex_home, instance):
    for number in range(automation.DAYS_PER_TICK + 5):
        write_rollout(codex_home, f"2025-{5 + number // 28:02d}-{1 + number % 28:02d}", 100 + number, ["hello"])
    assert len(tick(automation.session_files, instance).run_requests) == automation.DAYS_PER_TICK


def test_the_schedule_asks_for_yesterday_and_for_changed_days(home, instance):
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 3, 10, 3, tzinfo=UTC),
        resources={"home": HomeResource()},
    )
    requests = list(automation.daily_schedule(context))
    assert [request.partition_key for request in requests] == ["2026-03-01", "2026-03-03", "2026-03-09"]


def test_a_running_attempt_is_not_asked_for_again_and_a_new_state_starts_from_one():
    running = automation.next_attempt(["f", 1], "f", lambda key: True, "day")
    assert running is None
    assert automation.next_attempt(["f", 1], "f", lambda key: False, "day") == ["f", 2]
    assert automation.next_attempt(["f", 3], "f", lambda key: False, "day") is None
    assert automation.next_attempt(["f", 3], "g", lambda key: False, "day") == ["g", 1]


def test_without_a_key_the_batch_sensor_says_so(home, instance):
    assert "no key" in tick(automation.judge_batches, instance).skip_message
