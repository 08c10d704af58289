"""`forget`: remove a thread, or everything older than the retention, from every place that could hold a trace of it."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.console import Console

from codex_loop_assets.cli.options import Problem, home_options, today
from codex_loop_assets.resources.homes import Home


@click.command()
@click.argument("thread", required=False)
@click.option(
    "--older-than-days", type=click.IntRange(min=1), help="Forget every session that started longer ago than this."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_options()
def forget(home: Home, thread: str | None, older_than_days: int | None, yes: bool) -> None:
    """Remove THREAD from the lake, the vectors, the caches, tasks, tickets, reports and Dagster's metadata. Codex's own files
    are not touched; a forgotten thread is not read again."""
    from codex_loop_assets.resources.forget import forget_threads, threads_before

    if bool(thread) == bool(older_than_days):
        raise Problem("name one THREAD, or --older-than-days N")
    threads = [thread] if thread else threads_before(home, today() - timedelta(days=older_than_days))
    if thread and not home.lake.read("spines").filter(thread_id=thread).height:
        raise Problem(f"no thread {thread!r} in {home.root}; list them with: SELECT thread_id FROM sessions")
    if not threads:
        click.echo("nothing is that old")
        return
    if not yes:
        click.confirm(f"Remove {len(threads)} thread(s) from {home.root} for good?", abort=True)
    removed = forget_threads(home, threads)
    home.refresh_catalogue()
    console = Console()
    for place, count in sorted(removed.items()):
        console.print(f"{place}: {count}")
