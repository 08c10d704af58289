"""`schema-…`: look at proposed categories, decide about them, and see what is looked for now.

Decisions are appended to `decisions.jsonl` under a lock: who, when, why. They change what is detected from the next day on;
`codex-loop signals --reschema --from DAY` applies them to earlier days.
"""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import click
import polars as pl
from rich.table import Table

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options
from codex_loop_assets.discovery import governance
from codex_loop_assets.discovery.propose import by_impact
from codex_loop_assets.discovery.waiting import proposals_waiting
from codex_loop_assets.resources import proposals
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.schema import current_schema

_who = click.option("--who", default=getpass.getuser, help="Who decides (default: your user name).")


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those already decided.")
@home_options()
def schema_proposals(home: Home, everything: bool) -> None:
    """List proposed categories with their evidence."""
    frame = proposals.proposals_now(home)
    shown = frame if everything else frame.filter(pl.col("status") == "open")
    console = open_console()
    days = home.lake.keys("proposals_waiting")
    for line in proposals_waiting(home.lake.read("proposals_waiting", days[-1:])):
        console.print(f"patterns waiting for evidence: {line}", highlight=False)
    if shown.is_empty():
        console.print("no open proposal; patterns that no category explains are proposed by: codex-loop cluster")
        return
    limit = shown.height if everything else home.section("discovery")["proposals"]["shown"]
    for row in by_impact(shown).head(limit).iter_rows(named=True):
        console.print(f"[bold]{row['proposal_id']}[/]  {row['name']} ({row['type']}, {row['status']})", highlight=False)
        console.print(f"  {row['definition']}", markup=False, highlight=False)
        console.print(
            f"  {row['sample_count']} signals in {row['session_count']} sessions, confidence {row['confidence']:.2f}: "
            + "; ".join(row["confidence_reasons"]),
            markup=False,
            highlight=False,
        )
        for example in json.loads(row["positives"])[:3]:
            console.print(f"    + {example['text']}", markup=False, highlight=False)
        for example in json.loads(row["hard_negatives"])[:2]:
            console.print(f"    - {example['text']}", markup=False, highlight=False)
    if shown.height > limit:
        console.print(f"{shown.height - limit} more open proposals of less impact: codex-loop schema-proposals --all")


@click.command()
@click.option("--proposal-id", required=True)
@click.option("--reason", default="", help="Why.")
@_who
@home_options()
def schema_approve(home: Home, proposal_id: str, reason: str, who: str) -> None:
    """Promote a proposal: from the next day on it is detected in every turn."""
    with _decisions():
        entry = proposals.decide(home, proposal_id, approve=True, who=who, reason=reason)
    click.echo(
        f"{entry['category_name']} is detected from the next day on; for earlier days: codex-loop signals --reschema --from DAY"
    )


@click.command()
@click.option("--proposal-id", required=True)
@click.option("--reason", required=True, help="Why.")
@_who
@home_options()
def schema_reject(home: Home, proposal_id: str, reason: str, who: str) -> None:
    """Turn a proposal down; it does not come back unchanged."""
    with _decisions():
        proposals.decide(home, proposal_id, approve=False, who=who, reason=reason)
    click.echo(f"{proposal_id} rejected")


@click.command()
@click.option(
    "--confidence", type=click.FloatRange(0, 1), help="Least confidence; else `confidence` of [discovery.governance]."
)
@click.option("--min-samples", type=click.IntRange(min=1), help="Least signals; else `minimum_samples` there.")
@click.option(
    "--min-sessions", type=click.IntRange(min=1), help="Least distinct sessions; else `minimum_sessions` there."
)
@home_options()
def schema_auto_promote(
    home: Home, confidence: float | None, min_samples: int | None, min_sessions: int | None
) -> None:
    """Promote every open proposal that is confident, large and widespread enough (never by size alone). The defaults are
    the table `discovery.governance` of the configuration."""
    asked = {"confidence": confidence, "minimum_samples": min_samples, "minimum_sessions": min_sessions}
    given = {name: value for name, value in asked.items() if value is not None}
    with _decisions():
        entries = proposals.promote_by_rule(home, **home.section("discovery")["governance"] | given)
    for entry in entries:
        click.echo(f"promoted {entry['category_name']} ({entry['proposal_id']})")
    if not entries:
        click.echo("no open proposal reaches the bar")


@click.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why.")
@_who
@home_options()
def schema_retire(home: Home, name: str, reason: str, who: str) -> None:
    """Stop looking for a category; what it found stays readable."""
    with _decisions():
        proposals.retire(home, name, who=who, reason=reason)
    click.echo(f"{name} is retired")


@click.command()
@home_options()
def schema_categories(home: Home) -> None:
    """List the categories that are looked for."""
    schema = current_schema(home)
    table = Table(title=f"Categories, schema version {schema.version}", title_justify="left")
    for heading in ("name", "type", "detector", "status", "definition"):
        table.add_column(heading)
    for name, category in sorted(schema.categories.items(), key=lambda item: (item[1].type, item[0])):
        table.add_row(name, category.type, category.detector, category.status, category.definition)
    open_console().print(table)


@click.command()
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
@home_options()
def schema_export(home: Home, output: Path) -> None:
    """Write the categories as JSON, for version control."""
    click.echo(f"{proposals.export(home, output)} categories: {output}")


class _decisions:
    """Context manager: a decision that cannot be taken is a message, not a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, governance.DecisionError):
            raise Problem(str(error)) from error
