"""What a person should look at in a home: the lake's tables and the run history brought to the rules of `measure.alerts`."""

from __future__ import annotations

from datetime import UTC, date

import dagster as dg

from codex_loop_assets import clock
from codex_loop_assets.measure.alerts import Alert, alerts
from codex_loop_assets.resources.freshness import unfinished_days
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.registry import stale_clusters
from codex_loop_assets.resources.run_history import Unfinished, failed_runs


def alerts_now(home: Home, instance: dg.DagsterInstance, current: str | None = None) -> list[Alert]:
    """Every alert as of now. `current`: id of the run that asks, which makes good what it is about to make."""
    lake, settings = home.lake, home.section("report")
    return alerts(
        lake.read("trends"),
        lake.read("clusters", lake.keys("clusters")[-1:]),
        lake.read("judge_coverage"),
        {date.fromisoformat(day) for day in lake.keys("signals")},
        failed_runs(
            instance,
            settings["alerts"]["look_back_days"],
            Unfinished(unfinished_days(lake), stale_clusters(lake)),
            current,
        ),
        clock.now().astimezone(UTC).date(),
        settings,
    )
