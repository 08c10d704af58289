"""`ticket`: the ticket of one cluster as Markdown, and what people say about a ticket."""

from __future__ import annotations

import getpass
from datetime import date
from pathlib import Path

import click

from codex_loop_assets.cli.options import Problem, home_options, parse_day
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.cli.tasks import partition
from codex_loop_assets.resources import ticket_history
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home


@click.command()
@click.argument("ticket_id", metavar="[TICKET]", required=False)
@click.option("--cluster-id", help="The ticket of this cluster.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the Markdown here (default: print it)."
)
@click.option("--force", is_flag=True, help="Open the ticket although the thresholds would not.")
@click.option("--fixing", is_flag=True, help="A change for it reaches people from today on.")
@click.option("--ignore-until", callback=parse_day, help="Leave it alone until this day.")
@click.option("--reopen", is_flag=True, help="It is open again, whatever was said before.")
@click.option("--reason", default="", help="Why (with --fixing, --ignore-until, --reopen).")
@click.option("--who", default=getpass.getuser, help="Who says so (default: your user name).")
@home_options()
def ticket(
    home: Home,
    ticket_id: str | None,
    cluster_id: str | None,
    output: Path | None,
    force: bool,
    fixing: bool,
    ignore_until: str | None,
    reopen: bool,
    reason: str,
    who: str,
) -> None:
    """Write a ticket: problem, evidence, dataset, the command to validate, a suggested approach.

    Name it by its id or by its cluster. With --fixing, --ignore-until or --reopen, say what becomes of it: that goes to
    its history.
    """
    said = {"fixing": fixing, "ignored": bool(ignore_until), "unignored": reopen}
    if (ticket_id is None) == (cluster_id is None) or sum(said.values()) > 1:
        raise click.UsageError("name a ticket or a --cluster-id, and at most one thing that becomes of it")
    key = partition(home, None, cluster_id or _cluster_of(home, ticket_id))
    if any(said.values()):
        kind = next(name for name, given in said.items() if given)
        until = date.fromisoformat(ignore_until) if ignore_until else None
        _note(home, ticket_id or _ticket_of(home, key), kind, who, reason, until)
    if not home.lake.has("harbor_datasets", key):
        materialise(home, ["harbor_datasets", "task_validations"], clusters=[key])
    materialise(home, ["tickets"], clusters=[key], config={"tickets": {"config": {"force": force}}})
    rows = home.lake.read("tickets", key)
    if rows.is_empty() or not rows["path"].item():
        reason = rows["reason"].item() if rows.height else "it is part of another cluster's ticket"
        raise Problem(f"no ticket is opened for {key}: {reason}. Open it all the same with --force")
    text = (home.root / rows["path"].item()).read_text("utf-8")
    if output:
        write_text(output, text)
        click.echo(f"{rows['title'].item()}: {output}")
    else:
        click.echo(text)


def _note(home: Home, ticket_id: str, kind: str, who: str, reason: str, until: date | None) -> None:
    if not reason.strip():
        raise Problem("say why with --reason: the ticket's history is read by others")
    state = ticket_history.note(home, ticket_id, kind, who, reason.strip(), until)
    click.echo(f"{ticket_id} is {state.status}: {state.reason}", err=True)


def _cluster_of(home: Home, ticket_id: str) -> str:
    state = ticket_history.states(home).get(ticket_id)
    if state is None:
        raise Problem(f"no ticket {ticket_id!r}; list them with: SELECT ticket_id, status, title FROM tickets")
    return state.cluster_id


def _ticket_of(home: Home, cluster_id: str) -> str:
    for state in ticket_history.states(home).values():
        if state.cluster_id == cluster_id and state.status != "merged":
            return state.ticket_id
    raise Problem(f"{cluster_id} has no ticket; open one with: codex-loop ticket --cluster-id {cluster_id} --force")
