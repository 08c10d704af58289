"""`report`: the summary in the terminal, and where the pages are."""

from __future__ import annotations

import click

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import home_options, parse_day
from codex_loop_assets.resources.homes import Home


@click.command()
@click.option("--day", callback=parse_day, help="Build this day's page again and print its path (default: the newest).")
@home_options()
def report(home: Home, day: str | None) -> None:
    """Print the analysis summary and the paths of the day's page and the site."""
    from codex_loop_assets.cli.summaries import overview, show_alerts
    from codex_loop_assets.resources.alerts import alerts_now
    from codex_loop_assets.resources.instances import open_instance

    console = open_console()
    overview(home, console)
    with open_instance() as instance:
        show_alerts(console, alerts_now(home, instance))
    if day:
        from codex_loop_assets.cli.runs import materialise

        materialise(home, ["daily_report"], days=[day])
    written = [day] if day else home.lake.keys("daily_report")
    if written:
        page = home.lake.read("daily_report", written[-1])["path"].item()
        console.print(f"page of {written[-1]}: {home.root / page}", soft_wrap=True)
    site = home.root / "reports" / "site" / "index.html"
    if site.is_file():
        console.print(f"site: {site}", soft_wrap=True)
