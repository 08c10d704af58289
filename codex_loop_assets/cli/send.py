"""`send`: tickets to GitHub Issues, to a webhook, to a folder of Markdown. Nothing leaves without `--yes`.

What belongs here: choosing sinks and showing what they did or would do. What does not: protocols (`loop.sinks`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import click
from rich.table import Table
from rich.text import Text

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options, today
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.cli.tasks import partition
from codex_loop_assets.loop.sinks import github, markdown, webhook
from codex_loop_assets.loop.sinks.delivery import Delivery, Outgoing, outgoing
from codex_loop_assets.loop.tickets import Ticket
from codex_loop_assets.resources import outbox
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@click.command()
@click.option("--github", "repository", metavar="OWNER/REPO", help="One issue per ticket; needs GITHUB_TOKEN.")
@click.option(
    "--webhook",
    "url",
    metavar="URL",
    envvar="CODEX_LOOP_WEBHOOK",
    help="A digest of what changed, as Slack's incoming webhooks take it. The URL is a secret: better set CODEX_LOOP_WEBHOOK.",
)
@click.option(
    "--markdown", "folder", type=click.Path(file_okay=False, path_type=Path), help="One file per ticket and an index."
)
@click.option("--yes", is_flag=True, help="Really send. Without it you see what would be sent.")
@home_options()
def send(home: Home, repository: str | None, url: str | None, folder: Path | None, yes: bool) -> None:
    """Send tickets out: redacted, each change once, by default only shown.

    A ticket whose claims do not hold is withheld. Running it again sends nothing new.
    """
    if not (repository or url or folder):
        raise Problem("name where to: --github OWNER/REPO, --webhook URL or --markdown DIR")
    target = _target(repository) if repository else None
    if url and not (urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname):
        raise Problem("the webhook is no http(s) address")
    tickets = _current(home)
    ready = [item for item in map(outgoing, tickets) if item]
    deliveries = withheld(tickets)
    if folder:
        deliveries += _to_folder(ready, folder, yes)
    if target:
        deliveries += _to_github(ready, target, yes)
    if url:
        deliveries += _to_webhook(home, ready, url, yes)
    open_console().print(shown(deliveries))
    if not yes:
        click.echo("Nothing was sent; send it with --yes.")


def withheld(tickets: Iterable[Ticket]) -> list[Delivery]:
    """A line for each ticket that the checker of claims keeps back."""
    return [
        Delivery(
            ticket.row["ticket_id"], "withheld", "", False, "; ".join(finding.message for finding in ticket.findings)
        )
        for ticket in tickets
        if ticket.findings
    ]


def shown(deliveries: Iterable[Delivery]) -> Table:
    """What was done, or would be."""
    table = Table(title="Deliveries", title_justify="left")
    for heading in ("ticket", "action", "where", "sent", "detail"):
        table.add_column(heading, overflow="fold")
    for item in deliveries:
        row = (item.ticket_id or "all that changed", item.action, item.place, "yes" if item.sent else "no", item.detail)
        table.add_row(*map(Text, row))
    return table


def _current(home: Home) -> list[Ticket]:
    """The tickets as the tables give them, after writing anew those that were behind: what is sent is what lies in the
    home and is in the tickets' history."""
    tickets = outbox.opened(home)
    behind = outbox.stale(home, tickets)
    if not behind:
        return tickets
    click.echo(f"writing {len(behind)} ticket(s) anew that are behind their tables", err=True)
    for cluster_id in behind:
        partition(home, None, cluster_id)
    materialise(home, ["tickets"], clusters=behind)
    return outbox.opened(home)


def _target(repository: str) -> github.GitHubTarget:
    token = os.environ.get("GITHUB_TOKEN")
    if not _REPOSITORY.fullmatch(repository):
        raise Problem(f"{repository!r} is no repository; write OWNER/REPO")
    if not token:
        raise Problem("set GITHUB_TOKEN to a token that may read and write the repository's issues")
    # GitHub's own runners name the API's address here, and so does GitHub Enterprise.
    return github.GitHubTarget(
        repository, token, base_url=os.environ.get("GITHUB_API_URL") or github.GitHubTarget.base_url
    )


def _to_github(ready: list[Outgoing], target: github.GitHubTarget, yes: bool) -> list[Delivery]:
    from github import GithubException

    try:
        return github.deliver(ready, target, dry_run=not yes)
    except GithubException as error:
        message = error.data.get("message") if isinstance(error.data, dict) else None
        raise Problem(f"GitHub refused {target.repository}: {error.status} {message or ''}".rstrip()) from error
    except OSError as error:
        raise Problem(f"GitHub cannot be reached: {type(error).__name__}") from error


def _to_webhook(home: Home, ready: list[Outgoing], url: str, yes: bool) -> list[Delivery]:
    import httpx

    fresh = outbox.news(ready, outbox.told(home, url))
    try:
        delivery = webhook.deliver(webhook.digest(fresh, today()), url, dry_run=not yes)
    except httpx.HTTPError as error:
        raise Problem(str(error)) from error
    if delivery.sent:
        outbox.remember(home, url, fresh)
    return [delivery]


def _to_folder(ready: list[Outgoing], folder: Path, yes: bool) -> list[Delivery]:
    pages = markdown.files(ready)
    old = {name: (folder / name).read_text("utf-8") for name in pages if (folder / name).is_file()}
    changed = [name for name in pages if old.get(name) != pages[name]]
    if yes:
        for name in changed:
            write_text(folder / name, pages[name])
    return [
        Delivery(name.removesuffix(".md"), "update" if name in old else "create", str(folder), yes) for name in changed
    ]
