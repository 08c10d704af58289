"""daily_report: a page per day that needs no network and no other file."""

from datetime import date

import dagster as dg

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import DAILY, store, table_spec
from codex_loop_assets.loop.report import day_page
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.freshness import inputs
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.report_inputs import report_inputs
from codex_loop_assets.tables import TABLES

_DEPS = ["spines", "sessions", "signals", "judge_coverage", "clusters", "cluster_members", "schema_proposals"]


@dg.multi_asset(name="daily_report", specs=[table_spec("daily_report", "report", _DEPS, kinds={"html"})], **DAILY)
@guarded
def daily_report(context: dg.AssetExecutionContext, home: HomeResource):
    """Render the day's page and keep its numbers."""
    codex = home.home
    made_from = {day: inputs(codex.lake, "daily_report", day) for day in context.partition_keys}  # Before reading.
    given = report_inputs(codex, list(context.partition_keys))
    for day in context.partition_keys:
        html, row = day_page(given, date.fromisoformat(day))
        path = write_text(codex.root / row["path"], html)
        numbers = {key: value for key, value in row.items() if key not in ("dt", "path")}
        store(
            context,
            codex,
            "daily_report",
            day,
            TABLES["daily_report"].frame([row]),
            made_from[day],
            page=dg.MetadataValue.path(path),
            open_page=dg.MetadataValue.url(path.as_uri()),
            **numbers,
        )
