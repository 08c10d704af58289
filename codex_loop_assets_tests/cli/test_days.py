"""Laws of which days a command takes: what was cut off is completed by the next run, and nothing is done twice."""

from __future__ import annotations

import pytest

from codex_loop_assets import stages
from codex_loop_assets.cli.days import for_daily, for_ingest
from codex_loop_assets.cli.runs import materialise

DAY, YESTERDAY = "2026-03-01", "2026-03-09"


@pytest.fixture
def finished(home):
    materialise(home, [*stages.INGEST, *stages.CANON, *stages.SIGNALS, *stages.REPORT], days=[DAY, "2026-03-03"])
    return home


def test_finished_days_are_not_taken_again(finished):
    assert for_daily(finished) == [YESTERDAY] and for_ingest(finished) == []


@pytest.mark.parametrize("table", ["turns", "semantic_signals", "signals", "daily_report"])
def test_a_day_without_one_of_its_tables_is_taken_by_the_next_daily(finished, table):
    finished.lake.path(table, DAY).unlink()
    assert for_daily(finished) == [DAY, YESTERDAY]


def test_a_day_that_was_read_but_not_made_into_turns_is_taken_by_the_next_ingest(finished):
    finished.lake.path("turns", DAY).unlink()
    assert for_ingest(finished) == [DAY]
