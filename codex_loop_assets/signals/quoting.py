"""Words of a session as a finding quotes them: redacted first, then shortened.

The order matters: a secret cut in half is no longer recognised as one. What does not belong here: what to quote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.command_line import shortened
from codex_loop_assets.signals.model import one_line
from codex_loop_assets.signals.redaction import redact

# Enough to shorten from; a message may hold a whole pasted file.
_LOOK_AT = 4_000
_REQUEST_LIMIT = 90


def show(text: str | None, thread_id: str, limit: int) -> str:
    """`text` redacted, on one line, cut at `limit` characters; '' for None."""
    return one_line(redact((text or "")[:_LOOK_AT], thread_id), limit)


def show_command(text: str | None, thread_id: str, limit: int = 110) -> str:
    """A command redacted and shortened to what a reader wants to see of it (see `command_line.shortened`)."""
    return shortened(redact((text or "")[:_LOOK_AT], thread_id), limit)


def during(row: Mapping[str, Any]) -> str:
    """` during the request “…”` for a row with `request` and `thread_id`; '' when there are no words to quote."""
    words = show(row["request"], row["thread_id"], _REQUEST_LIMIT)
    return f" during the request “{words}”" if words else ""
