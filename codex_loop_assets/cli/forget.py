"""`forget`: remove a thread, or everything older than the retention, from every place that could hold a trace of it."""

from __future__ import annotations

import click

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options
from codex_loop_assets.resources.homes import Home


@click.command()
@click.argument("thread", required=False)
@click.option(
    "--older-than-days", type=click.IntRange(min=1), help="Forget every session that started longer ago than this."
)
@click.option(
    "--retention", is_flag=True, help="Forget what is older than `[retention] days_kept` of the home's config.toml."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_options()
def forget(home: Home, thread: str | None, older_than_days: int | None, retention: bool, yes: bool) -> None:
    """Remove THREAD and its sub-agents from the lake, the vectors, the caches, tasks, trials, tickets, reports and Dagster's
    metadata. Codex's own files are not touched; a forgotten thread is not read again. Run again after a kill, it completes
    the work; so does the next daily."""
    from codex_loop_assets.resources.forget import forget_threads

    threads = _chosen(home, thread, older_than_days, retention)
    if not threads:
        click.echo("nothing is that old")
        return
    if not yes:
        click.confirm(f"Remove {len(threads)} thread(s) from {home.root} for good?", abort=True)
    removed = forget_threads(home, threads)
    home.refresh_catalogue()
    console = open_console()
    console.print(f"threads forgotten: {len(threads)}")
    for place, count in sorted(removed.items()):
        console.print(f"{place}: {count}")


def _chosen(home: Home, thread: str | None, older_than_days: int | None, retention: bool) -> list[str]:
    """The threads that the arguments name. Raises Problem for none or several ways of naming, an unknown thread, and a
    retention that is not set."""
    from codex_loop_assets.resources.forgotten import forgotten_hashes, thread_hash
    from codex_loop_assets.resources.retention import days_kept, due

    if [bool(thread), bool(older_than_days), retention].count(True) != 1:
        raise Problem("name one THREAD, or --older-than-days N, or --retention")
    if thread:
        known = home.lake.read("spines").filter(thread_id=thread).height
        if not known and thread_hash(thread) not in forgotten_hashes(home):
            raise Problem(f"no thread {thread!r} in {home.root}; list them with: SELECT thread_id FROM sessions")
        return [thread]
    kept = days_kept(home) if retention else older_than_days
    if kept is None:
        raise Problem(f"no retention is set; write [retention] and days_kept = 90 into {home.config_path}")
    return due(home, kept)
