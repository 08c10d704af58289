"""What commands print at the end: tables for the terminal, made from the lake."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table

from codex_loop_assets.discovery.waiting import proposals_waiting, types_waiting
from codex_loop_assets.measure.alerts import Alert
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.signals.judges.local.shipping import left_out


def coverage(home: Home, days: list[str] | tuple[str, ...]) -> Group:
    """Every source found and what became of it, every line and what became of it."""
    spines = home.lake.read("spines")
    table = Table(title="Session sources", title_justify="left")
    for heading in ("status", "sources", "lines", "read", "skipped", "torn"):
        table.add_column(heading, justify="left" if heading == "status" else "right")
    sums = spines.group_by("status").agg(
        pl.len().alias("sources"), pl.col("lines", "lines_read", "lines_skipped", "lines_torn").sum()
    )
    for row in sums.sort("status").iter_rows():
        table.add_row(row[0], *(f"{number:,}" for number in row[1:]))
    sessions = home.lake.read("sessions")
    span = (
        f"{days[0]} to {days[-1]}, {len(days)} day(s) brought up to date"
        if days
        else "nothing has changed since the last run"
    )
    return Group(
        span,
        table,
        f"{sessions.height:,} sessions, {int(sessions['human'].sum()):,} of them by a person",
        *_problems(spines),
    )


def categories(home: Home) -> Group:
    """Signals by category, friction first, and what the judge did not look for."""
    signals = home.lake.read("signals")
    tables = [_category_table(signals, kind) for kind in ("friction", "delight")]
    left_out_somewhere = home.lake.read("judge_coverage")["left_out"].list.len().sum()
    return Group(*tables, *([not_looked_for(home)] if left_out_somewhere else []))


def patterns(home: Home) -> Group:
    """The live clusters of the newest state, and what waits for more signals."""
    days = home.lake.keys("clusters")
    if not days:
        return Group("no cluster state yet: run codex-loop signals first")
    live = home.lake.read("clusters", days[-1]).filter(pl.col("status") == "live").sort("size", descending=True)
    members = home.lake.read("cluster_members", days[-1])
    minimum = home.section("discovery")["clusters"]["minimum_signals"]
    waiting = types_waiting(members, minimum)
    if live.is_empty():
        return Group(*(waiting or [f"no pattern yet: no {minimum} signals of a type resemble each other"]))
    table = Table(title=f"Patterns as of {days[-1]}", title_justify="left")
    for heading, justify in (
        ("cluster", "left"),
        ("type", "left"),
        ("label", "left"),
        ("size", "right"),
        ("sessions", "right"),
        ("action", "left"),
    ):
        table.add_column(heading, justify=justify, no_wrap=heading == "cluster")
    for row in live.iter_rows(named=True):
        table.add_row(
            row["cluster_id"], row["type"], row["label"], str(row["size"]), str(row["session_count"]), row["action"]
        )
    lacking = proposals_waiting(home.lake.read("proposals_waiting", home.lake.keys("proposals_waiting")[-1:]))
    unproposed = f"Patterns that no category explains and that wait for evidence: {'; '.join(lacking)}"
    return Group(table, *waiting, *([unproposed] if lacking else []))


def overview(home: Home, console: Console) -> None:
    """The summary that `report` and `daily` end with."""
    lake = home.lake
    spines, sessions, signals = lake.read("spines"), lake.read("sessions"), lake.read("signals")
    days = lake.keys("clusters")
    live = lake.read("clusters", days[-1]).filter(pl.col("status") == "live").height if days else 0
    count = dict(signals.group_by("type").len().iter_rows())
    processed = (
        lake.read("judge_coverage").filter(pl.col("status").is_in(["judged", "nothing_to_judge", "excluded"])).height
    )
    lines = [
        f"Sessions: {sessions.height} total, {processed} processed",
        f"Signals: {count.get('friction', 0)} friction, {count.get('delight', 0)} delight",
        f"Clusters: {live}",
        f"Sources: {spines.height}, lines: {spines['lines'].sum():,}, all accounted for: {'yes' if _reconciled(spines) else 'NO'}",
    ]
    console.print(Panel("\n".join(lines), title="Analysis Summary", expand=False))
    console.print(categories(home))
    console.print(patterns(home))
    for problem in _problems(spines):
        console.print(problem)


def not_looked_for(home: Home) -> str:
    """One line: the categories that nobody looks for without a key."""
    names = left_out(home.section("local_categories"))
    if not names:
        return "Without a key every category of people's words is looked for."
    return (
        f"Without a key not looked for (unknown, not absent): {', '.join(names)}: the local judge is not shown to beat a "
        "regex baseline there. codex-loop scorecard has the figures."
    )


def show_alerts(console: Console, found: Sequence[Alert], limit: int = 8) -> None:
    """What is worth a look, the most urgent first; how many more there are."""
    if not found:
        return
    console.print("Worth a look:")
    for alert in found[:limit]:
        console.print(
            f"  {alert.kind.replace('_', ' ')}: {alert.message}", markup=False, highlight=False, soft_wrap=True
        )
    if len(found) > limit:
        console.print(f"  … and {len(found) - limit} more: the site's page of trends has all")


def _reconciled(spines: pl.DataFrame) -> bool:
    return spines.filter(
        pl.col("lines") != pl.col("lines_read") + pl.col("lines_skipped") + pl.col("lines_torn")
    ).is_empty()


def _problems(spines: pl.DataFrame) -> list[str]:
    quarantined = spines.filter(pl.col("status") == "quarantined")
    shown = [
        f"quarantined  {row['home']}/{row['path']}: {row['reason']}"
        for row in quarantined.head(10).iter_rows(named=True)
    ]
    more = quarantined.height - len(shown)
    return shown + (
        [f"… and {more} more: SELECT path, reason FROM spines WHERE status = 'quarantined'"] if more > 0 else []
    )


def _category_table(signals: pl.DataFrame, kind: str) -> Table:
    table = Table(title=f"{kind.capitalize()} Signals by Category", title_justify="left")
    table.add_column("Category")
    table.add_column("Count", justify="right")
    table.add_column("Sessions", justify="right")
    counted = (
        signals.filter(pl.col("type") == kind)
        .group_by("category")
        .agg(pl.len(), pl.col("thread_id").n_unique().alias("sessions"))
    )
    for category, count, sessions in counted.sort("len", "category", descending=[True, False]).iter_rows():
        table.add_row(category, str(count), str(sessions))
    return table
