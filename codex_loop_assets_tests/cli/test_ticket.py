"""Laws of `ticket`: what people say goes to its history with a reason, and the calendar keeps its word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from click.testing import CliRunner

from codex_loop_assets import automation, clock
from codex_loop_assets.cli import main
from codex_loop_assets.cli.refresh import refresh_clusters
from codex_loop_assets.cli.tasks import partition
from codex_loop_assets.resources import ticket_history
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets_tests.cli.conftest import ticket_of
from codex_loop_assets_tests.loop import world


def run(*arguments: str):
    result = CliRunner().invoke(main, ["ticket", "--who", "ada", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def status(home) -> str:
    return ticket_history.states(home)[ticket_of(home)].status


def scheduled(home, day) -> list:
    with dg.DagsterInstance.get() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(day.year, day.month, day.day, 4, tzinfo=UTC),
            resources={"home": HomeResource()},
        )
        return list(automation.tickets_schedule(context))


@pytest.mark.parametrize(
    ("options", "becomes"),
    [(("--fixing",), "fixing"), (("--ignore-until", "2026-04-01"), "ignored"), (("--reopen",), "new")],
)
def test_what_a_person_says_is_in_the_history_the_table_and_the_text(planted, options, becomes):
    result = run(ticket_of(planted), *options, "--reason", "as agreed on Monday")
    assert result.exit_code == 0, result.output
    said = ticket_history.events(planted)[-1]
    assert (said.who, said.reason) == ("ada", "as agreed on Monday")
    assert planted.lake.read("tickets", world.CLUSTER)["status"].item() == becomes == status(planted)
    assert "as agreed on Monday" in (planted.root / f"tickets/{ticket_of(planted)}.md").read_text("utf-8")


@pytest.mark.parametrize("options", [("--fixing",), ("--ignore-until", "2026-04-01"), ("--reopen",)])
def test_nothing_is_said_without_a_reason(planted, options):
    before = ticket_history.events(planted)
    result = run(ticket_of(planted), *options)
    assert result.exit_code != 0 and "--reason" in result.output
    assert ticket_history.events(planted) == before


def test_two_things_at_once_are_refused(planted):
    result = run(ticket_of(planted), "--fixing", "--reopen", "--reason", "both")
    assert result.exit_code == 2 and "at most one" in result.output


def test_an_unknown_ticket_is_named_with_the_way_to_list_them(planted):
    result = run("tkt_unknown", "--fixing", "--reason", "x")
    assert result.exit_code != 0 and "tkt_unknown" in result.output and "SELECT ticket_id" in result.output


def test_an_ignored_ticket_wakes_on_its_day_although_its_cluster_never_changes(planted, monkeypatch):
    partition(planted, None, world.CLUSTER)
    refresh_clusters(planted)
    until = world.TODAY + timedelta(days=10)
    assert run(ticket_of(planted), "--ignore-until", until.isoformat(), "--reason", "not now").exit_code == 0
    monkeypatch.setenv(clock.VARIABLE, (until - timedelta(days=1)).isoformat())
    assert refresh_clusters(planted) == [] and status(planted) == "ignored"
    assert isinstance(scheduled(planted, until - timedelta(days=1))[0], dg.SkipReason)
    monkeypatch.setenv(clock.VARIABLE, until.isoformat())
    [request] = scheduled(planted, until)
    assert request.partition_key == world.CLUSTER and request.asset_selection == [dg.AssetKey("tickets")]
    assert refresh_clusters(planted) == [] and status(planted) == "new"
    assert planted.lake.read("tickets", world.CLUSTER)["status"].item() == "new"
    assert ticket_history.due_clusters(planted) == []
