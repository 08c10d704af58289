"""`ingest`, `signals`, `cluster`, `daily`: run the stages for the days that need it."""

from __future__ import annotations

from datetime import datetime, timedelta

import click
from rich.console import Console

from codex_loop_assets import clock
from codex_loop_assets.cli import days as which
from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options, parse_day
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.retention import days_kept, due
from codex_loop_assets.stages import CANON, DISCOVERY, INGEST, REGISTRY, REPORT, RETENTION, SIGNALS, SITE, SUMMARIES

_codex_home = click.option(
    "--codex-home", multiple=True, type=click.Path(), help="Codex home to read (repeatable); remembered."
)
_lookback = click.option(
    "--lookback-hours",
    type=click.IntRange(min=1),
    help="Only days that began, or have files that changed, in the last N hours (default: all changed days).",
)
_day = click.option(
    "--day",
    multiple=True,
    callback=lambda c, p, v: tuple(parse_day(c, p, day) for day in v),
    help="Only this day (repeatable).",
)
_from = click.option("--from", "first", callback=parse_day, help="First day of a range.")
_to = click.option("--to", "last", callback=parse_day, help="Last day of a range.")


@click.command()
@_codex_home
@_lookback
@_day
@home_options(create=True)
def ingest(home: Home, codex_home: tuple[str, ...], lookback_hours: int | None, day: tuple[str, ...]) -> None:
    """Read new and grown session files into spines, events, sessions, turns and tool_calls."""
    from codex_loop_assets.cli.runs import materialise
    from codex_loop_assets.cli.summaries import coverage

    _register(home, codex_home)
    chosen = day or which.for_ingest(home, _since(lookback_hours))
    if chosen:
        materialise(home, [*INGEST, *CANON], days=chosen)
    home.refresh_catalogue()
    open_console().print(coverage(home, chosen))


@click.command()
@_day
@_from
@_to
@click.option(
    "--reschema", is_flag=True, help="Judge again with the current categories instead of those the day was made with."
)
@home_options()
def signals(home: Home, day: tuple[str, ...], first: str | None, last: str | None, reschema: bool) -> None:
    """Detect friction and delight in the ingested days that have none yet or have changed."""
    from codex_loop_assets.cli.runs import materialise
    from codex_loop_assets.cli.summaries import categories

    chosen = day or which.between(home, first, last) or which.needing_signals(home)
    if chosen:
        materialise(home, SIGNALS, days=chosen, config=_reschema(reschema))
    open_console().print(categories(home))


@click.command()
@_day
@_from
@_to
@home_options()
def cluster(home: Home, day: tuple[str, ...], first: str | None, last: str | None) -> None:
    """Embed signals and group them into patterns that keep their identity from day to day."""
    from codex_loop_assets.cli.runs import materialise
    from codex_loop_assets.cli.summaries import patterns

    chosen = day or which.between(home, first, last) or which.needing_clusters(home)
    if chosen:
        materialise(home, DISCOVERY, days=chosen)
        materialise(home, REGISTRY)
    open_console().print(patterns(home))


@click.command()
@_codex_home
@_lookback
@_day
@click.option("--reschema", is_flag=True, help="Judge again with the current categories.")
@click.option(
    "--tasks/--no-tasks",
    default=True,
    show_default=True,
    help="Also refresh Harbor tasks and tickets of changed patterns.",
)
@home_options(create=True)
def daily(
    home: Home,
    codex_home: tuple[str, ...],
    lookback_hours: int | None,
    day: tuple[str, ...],
    reschema: bool,
    tasks: bool,
) -> None:
    """Everything for every day that needs it: ingest, signals, clusters, proposals, tasks, tickets, report."""
    _register(home, codex_home)
    console = open_console()
    run_stages(home, console, days=day, since=_since(lookback_hours), reschema=reschema, tasks=tasks)
    finish(home, console)


def run_stages(
    home: Home,
    console: Console,
    *,
    days: tuple[str, ...] = (),
    since: datetime | None = None,
    reschema: bool = False,
    tasks: bool = True,
) -> None:
    """Every stage but the site, for the days that need it."""
    from codex_loop_assets.cli.refresh import refresh_clusters
    from codex_loop_assets.cli.runs import materialise

    chosen = days or which.for_daily(home, since)
    materialise(home, [*INGEST, *CANON, *SIGNALS, *DISCOVERY], days=chosen, config=_reschema(reschema))
    kept = days_kept(home)
    old = len(due(home, kept))
    materialise(home, [*RETENTION, *REGISTRY])
    if kept:
        console.print(f"Retention: {old} session(s) older than {kept} days forgotten.")
    if tasks:
        refresh_clusters(home)
    materialise(home, SUMMARIES)
    materialise(home, REPORT, days=chosen)


def finish(home: Home, console: Console) -> None:
    """Make the site, last: it shows the days' reports, and which failed run has not been made good. Then the overview."""
    from codex_loop_assets.cli.runs import materialise
    from codex_loop_assets.cli.summaries import overview

    materialise(home, SITE)
    home.refresh_catalogue()
    overview(home, console)


def _register(home: Home, codex_home: tuple[str, ...]) -> None:
    for path in codex_home:
        home.register(path)
    if not home.codex_homes():
        raise Problem("no Codex home is registered; name one with --codex-home ~/.codex")


def _since(lookback_hours: int | None) -> datetime | None:
    return clock.now() - timedelta(hours=lookback_hours) if lookback_hours else None


def _reschema(reschema: bool) -> dict:
    return (
        {name: {"config": {"reschema": True}} for name in ("mechanical_signals", "semantic_signals")}
        if reschema
        else {}
    )
