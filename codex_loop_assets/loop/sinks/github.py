"""Tickets as GitHub issues, one issue per ticket for ever.

What belongs here: finding a ticket's issue and bringing it up to date. What does not: HTTP, authentication, paging
and rate limits (PyGithub has them).

The issue is found by a marker in its body, not by its title, which people may edit. The marker holds a digest of what
was written last: an unchanged ticket costs no write. What people add in comments, assignees or further labels stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from codex_loop_assets.loop.sinks.delivery import Delivery, Outgoing

_MARKER = re.compile(r"<!-- codex-loop ticket=(tkt_[0-9a-f]+) digest=([0-9a-f]+) -->")
BODY_LIMIT = 65_000  # GitHub refuses bodies of more than 65,536 characters.
_QUERIES = "\n## Queries\n"


@dataclass(frozen=True)
class GitHubTarget:
    """A repository (`owner/name`) and how to reach its API. `label` finds the issues; every ticket carries it."""

    repository: str
    token: str
    label: str = "codex-loop"
    base_url: str = "https://api.github.com"
    seconds_between_writes: float = 1.0


def deliver(tickets: Iterable[Outgoing], target: GitHubTarget, *, dry_run: bool = True) -> list[Delivery]:
    """Create, update, close or reopen the issue of each ticket; with `dry_run` (the default) only say what would be
    done.

    Raises github.GithubException when the API refuses (bad token, no such repository, issues switched off).
    """
    repository = _repository(target)
    issues = _issues(repository, target.label)
    deliveries = []
    for ticket in tickets:
        found = issues.get(ticket.ticket_id)
        action = _action(ticket, *found) if found else "none" if ticket.closed else "create"
        place = f"{target.repository}#{found[0].number}" if found else target.repository
        if action != "none" and not dry_run:
            place = f"{target.repository}#{_write(repository, ticket, found[0] if found else None)}"
        deliveries.append(Delivery(ticket.ticket_id, action, place, action != "none" and not dry_run, ticket.status))
    return deliveries


def _repository(target: GitHubTarget):
    from github import Auth, Github

    client = Github(
        auth=Auth.Token(target.token),
        base_url=target.base_url,
        seconds_between_writes=target.seconds_between_writes,
        per_page=100,
    )
    return client.get_repo(target.repository)


def _issues(repository, label: str) -> dict:
    """ticket_id -> (issue, digest of what was written last). Of two issues with one marker the older one is the
    ticket's."""
    found: dict[str, tuple] = {}
    for issue in repository.get_issues(state="all", labels=[label], sort="created", direction="asc"):
        marker = _MARKER.search(issue.body or "")
        if marker and issue.pull_request is None:
            found.setdefault(marker[1], (issue, marker[2]))
    return found


def _action(ticket: Outgoing, issue, digest: str) -> str:
    if ticket.closed and issue.state == "open":
        return "close"
    # Somebody may close an issue by hand; only a problem that came back opens it again.
    if ticket.status == "regressed" and issue.state == "closed":
        return "reopen"
    return "none" if digest == ticket.digest else "update"


def _write(repository, ticket: Outgoing, issue) -> int:
    body = f"{_fitting(ticket.body)}\n<!-- codex-loop ticket={ticket.ticket_id} digest={ticket.digest} -->\n"
    if issue is None:
        return repository.create_issue(title=ticket.title, body=body, labels=list(ticket.labels)).number
    labels = sorted({label.name for label in issue.labels} | set(ticket.labels))
    wanted = "closed" if ticket.closed else "open" if ticket.status == "regressed" else issue.state
    changed = {"state": wanted, "state_reason": _state_reason(ticket, wanted)} if wanted != issue.state else {}
    issue.edit(title=ticket.title, body=body, labels=labels, **changed)
    return issue.number


def _state_reason(ticket: Outgoing, state: str) -> str:
    if state == "open":
        return "reopened"
    return "completed" if ticket.status == "verified" else "not_planned"


def _fitting(body: str) -> str:
    """The body within GitHub's limit: the queries go first, since the catalogue's own copy of the ticket has them."""
    if len(body) <= BODY_LIMIT:
        return body
    shorter = body.partition(_QUERIES)[0] + f"{_QUERIES}\nToo long for an issue; the ticket's file has them.\n"
    return shorter if len(shorter) <= BODY_LIMIT else shorter[:BODY_LIMIT]
