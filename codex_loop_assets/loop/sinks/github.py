"""Tickets as GitHub issues, one issue per ticket for ever.

What belongs here: finding a ticket's issue and bringing it up to date. What does not: HTTP, authentication, paging
and rate limits (PyGithub has them).

The issue is found by a marker in its body, not by its title, which people may edit. The marker holds what was written
last: a digest of the ticket (an unchanged one costs no write), whether it was closed, and its title. So what people do
stays: a title, comments, assignees, further labels, and an issue that they close or open again by hand.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.loop.sinks.delivery import Delivery, Outgoing

_MARKER = re.compile(
    r"<!-- codex-loop ticket=(tkt_[0-9a-f]+) digest=([0-9a-f]+)(?: state=(open|closed) title=([0-9a-f]+))? -->"
)
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


@dataclass(frozen=True)
class _Known:
    """An issue and what its marker says was written last: digest, state and hash of the title (None in issues older
    than those)."""

    issue: Any
    digest: str
    state: str | None
    title: str | None


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
        action = _action(ticket, found) if found else "none" if ticket.closed else "create"
        place = f"{target.repository}#{found.issue.number}" if found else target.repository
        if action != "none" and not dry_run:
            number = _update(ticket, found, action) if found else _create(repository, ticket)
            place = f"{target.repository}#{number}"
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


def _issues(repository, label: str) -> dict[str, _Known]:
    """ticket_id -> its issue. Of two issues with one marker the older one is the ticket's."""
    found: dict[str, _Known] = {}
    for issue in repository.get_issues(state="all", labels=[label], sort="created", direction="asc"):
        marker = _MARKER.search(issue.body or "")
        if marker and issue.pull_request is None:
            found.setdefault(marker[1], _Known(issue, *marker.groups()[1:]))
    return found


def _action(ticket: Outgoing, known: _Known) -> str:
    # An issue that was closed with its ticket and is open now was opened by a person.
    if ticket.closed and known.issue.state == "open" and known.state != "closed":
        return "close"
    # One that somebody closed by hand opens only when the problem came back; one that was closed with its ticket (ignored
    # for a while) opens with it.
    if (
        not ticket.closed
        and known.issue.state == "closed"
        and (ticket.status == "regressed" or known.state == "closed")
    ):
        return "reopen"
    return "none" if known.digest == ticket.digest else "update"


def _create(repository, ticket: Outgoing) -> int:
    return repository.create_issue(title=ticket.title, body=_body(ticket), labels=list(ticket.labels)).number


def _update(ticket: Outgoing, known: _Known, action: str) -> int:
    issue = known.issue
    changed: dict[str, Any] = {"labels": sorted({label.name for label in issue.labels} | set(ticket.labels))}
    if known.title in (None, _hash(issue.title)):
        changed["title"] = ticket.title
    if action in ("close", "reopen"):
        changed |= {"state": "closed" if action == "close" else "open", "state_reason": _state_reason(ticket, action)}
    issue.edit(body=_body(ticket), **changed)
    return issue.number


def _body(ticket: Outgoing) -> str:
    state = "closed" if ticket.closed else "open"
    marker = f"ticket={ticket.ticket_id} digest={ticket.digest} state={state} title={_hash(ticket.title)}"
    return f"{_fitting(ticket.body)}\n<!-- codex-loop {marker} -->\n"


def _hash(title: str) -> str:
    return hashlib.sha256(title.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _state_reason(ticket: Outgoing, action: str) -> str:
    if action == "reopen":
        return "reopened"
    return "completed" if ticket.status == "verified" else "not_planned"


def _fitting(body: str) -> str:
    """The body within GitHub's limit: the queries go first, since the catalogue's own copy of the ticket has them."""
    if len(body) <= BODY_LIMIT:
        return body
    shorter = body.partition(_QUERIES)[0] + f"{_QUERIES}\nToo long for an issue; the ticket's file has them.\n"
    return shorter if len(shorter) <= BODY_LIMIT else shorter[:BODY_LIMIT]
