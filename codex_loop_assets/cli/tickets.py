"""`ticket`: the ticket of one cluster, as Markdown."""

from __future__ import annotations

from pathlib import Path

import click

from codex_loop_assets.cli.options import Problem, home_options
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.cli.tasks import partition
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home


@click.command()
@click.option("--cluster-id", required=True)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the Markdown here (default: print it)."
)
@click.option("--force", is_flag=True, help="Open the ticket although the thresholds would not.")
@home_options()
def ticket(home: Home, cluster_id: str, output: Path | None, force: bool) -> None:
    """Write the cluster's ticket: problem, evidence, dataset, the command to validate, a suggested approach."""
    key = partition(home, None, cluster_id)
    if not home.lake.has("harbor_datasets", key):
        materialise(home, ["harbor_datasets", "task_validations"], clusters=[key])
    materialise(home, ["tickets"], clusters=[key], config={"tickets": {"config": {"force": force}}})
    rows = home.lake.read("tickets", key)
    if rows.is_empty() or not rows["path"].item():
        reason = rows["reason"].item() if rows.height else "it is part of another cluster's ticket"
        raise Problem(f"no ticket is opened for {cluster_id}: {reason}. Open it all the same with --force")
    text = (home.root / rows["path"].item()).read_text("utf-8")
    if output:
        write_text(output, text)
        click.echo(f"{rows['title'].item()}: {output}")
    else:
        click.echo(text)
