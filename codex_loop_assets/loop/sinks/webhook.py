"""A digest of the day's tickets to a webhook that speaks Slack's incoming-webhook format.

What belongs here: the message and its delivery. What does not: choosing the tickets, remembering what was sent (the
caller keeps the keys of earlier deliveries).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from urllib.parse import urlsplit

import orjson

from codex_loop_assets.loop.sinks.delivery import Delivery, Outgoing
from codex_loop_assets.signals.redaction import redact

_BLOCKS = 40  # Slack takes 50 blocks at most, and 3,000 characters in one.
_CHARACTERS = 2_900


def digest(tickets: Iterable[Outgoing], day: date, link: str | None = None) -> dict | None:
    """The message for the tickets that changed on `day`; None when there is none. `link` leads to the day's report."""
    chosen = sorted(tickets, key=lambda ticket: (ticket.priority, ticket.ticket_id))
    if not chosen:
        return None
    heading = f"codex-loop, {day}: {len(chosen)} ticket{'s' if len(chosen) != 1 else ''} changed"
    blocks = [{"type": "header", "text": {"type": "plain_text", "text": heading}}]
    blocks += [_section(ticket) for ticket in chosen[:_BLOCKS]]
    if len(chosen) > _BLOCKS:
        blocks.append(_words(f"… and {len(chosen) - _BLOCKS} more."))
    if link:
        blocks.append(_words(f"<{_escaped(link)}|The day's report>"))
    return {"text": heading, "blocks": blocks}


def key(message: dict) -> str:
    """Hash of a message: the same digest is sent once."""
    return hashlib.sha256(orjson.dumps(message, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]


def deliver(message: dict | None, url: str, delivered: Iterable[str] = (), *, dry_run: bool = True) -> Delivery:
    """Post the digest unless its key is among those `delivered` before; with `dry_run` (the default) only say so.

    A webhook's URL is a credential: only its host is ever shown. Raises httpx.HTTPStatusError when the other side
    refuses, httpx.TransportError when it cannot be reached (after three attempts), both without the URL in the message.
    """
    host = urlsplit(url).hostname or "?"
    if message is None:
        return Delivery("", "none", host, False, "nothing changed")
    name = key(message)
    if name in set(delivered):
        return Delivery("", "none", host, False, f"{name} was delivered before")
    if not dry_run:
        _post(message, url, name, host)
    return Delivery("", "create", host, not dry_run, name)


def _post(message: dict, url: str, name: str, host: str) -> None:
    import httpx

    headers = {"Content-Type": "application/json", "Idempotency-Key": name}
    with httpx.Client(transport=httpx.HTTPTransport(retries=2), timeout=20) as client:
        try:
            response = client.post(url, content=orjson.dumps(message), headers=headers)
        except httpx.TransportError as error:
            raise httpx.TransportError(f"webhook at {host}: {type(error).__name__}") from None
    if not response.is_success:
        raise httpx.HTTPStatusError(
            f"webhook at {host} answered {response.status_code}", request=response.request, response=response
        ) from None


def _section(ticket: Outgoing) -> dict:
    return _words(
        f"*{_escaped(ticket.title)}*\n{ticket.status} · {ticket.priority} · `{ticket.ticket_id}`\n"
        f"{_escaped(ticket.reason)}"
    )


def _words(text: str) -> dict:
    return {"type": "section", "text": {"type": "mrkdwn", "text": redact(text)[:_CHARACTERS]}}


def _escaped(text: str) -> str:
    """Slack's three control characters; with them escaped, text can neither link nor call a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
