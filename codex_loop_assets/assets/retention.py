"""retention: forget the sessions that are older than the home keeps them. Off unless the home's `config.toml` says otherwise."""

import dagster as dg

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import OWNERS, describe
from codex_loop_assets.resources import retention as retaining
from codex_loop_assets.resources.homes import HomeResource


@dg.asset(
    group_name="ingest",
    owners=OWNERS,
    description="Forgets sessions that started longer ago than `[retention] days_kept` of config.toml; does nothing where that is 0.",
)
@guarded
def retention(context: dg.AssetExecutionContext, home: HomeResource) -> None:
    result = retaining.apply(home.home)
    places = {f"removed: {place}": count for place, count in result.removed.items()}
    describe(
        context,
        "retention",
        None,
        {"days_kept": result.days_kept or "all", "threads_forgotten": result.threads, **places},
    )
