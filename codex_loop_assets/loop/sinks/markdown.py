"""Tickets as Markdown files with an index: the default sink, which needs nothing and sends nothing.

What belongs here: file names and the index. What does not: writing the files (the caller owns the directory).
"""

from __future__ import annotations

from collections.abc import Iterable

from codex_loop_assets.loop.excerpt import escape
from codex_loop_assets.loop.sinks.delivery import Outgoing

_ORDER = ("regressed", "escalating", "new", "fixing", "verified", "ignored", "merged")


def files(tickets: Iterable[Outgoing]) -> dict[str, str]:
    """File name -> text: one file per ticket and README.md, which lists them, open ones first. Equal tickets give equal
    files, so that writing them again changes nothing."""
    ordered = sorted(tickets, key=lambda ticket: (_ORDER.index(ticket.status), ticket.priority, ticket.ticket_id))
    pages = {f"{ticket.ticket_id}.md": ticket.body for ticket in ordered}
    rows = [
        f"| [{escape(ticket.title)}]({ticket.ticket_id}.md) | {ticket.status} | {ticket.priority}"
        f" | {escape(ticket.reason)} |"
        for ticket in ordered
    ]
    table = (
        "\n".join(["| Ticket | Status | Priority | Why |", "|---|---|---|---|", *rows]) if rows else "No ticket yet."
    )
    return pages | {"README.md": f"# Tickets\n\n{table}\n"}
