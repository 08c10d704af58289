"""retention: forget the sessions that are older than the home keeps them (off unless the home's `config.toml` says otherwise),
and Dagster's runs that are older than it keeps those."""

from datetime import UTC, datetime

import dagster as dg

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import OWNERS, describe
from codex_loop_assets.resources import retention as retaining
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.run_retention import drop_old_runs


@dg.asset(
    group_name="ingest",
    owners=OWNERS,
    description=(
        "Forgets sessions that started longer ago than `[retention] days_kept` of config.toml (0, the default: none), and"
        " removes Dagster's runs with their logs that ended longer ago than `runs_kept_days`. The run that made the newest"
        " version of a partition stays, so that the partition still shows as made."
    ),
)
@guarded
def retention(context: dg.AssetExecutionContext, home: HomeResource) -> None:
    result = retaining.apply(home.home)
    runs = drop_old_runs(home.home, context.instance, datetime.now(UTC))
    places = {f"removed: {place}": count for place, count in result.removed.items()}
    describe(
        context,
        "retention",
        None,
        {"days_kept": result.days_kept or "all", "threads_forgotten": result.threads, "runs_removed": runs, **places},
    )
