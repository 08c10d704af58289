"""The one clock. `--as-of` (or CODEX_LOOP_AS_OF) stands in for the present, so that a replay gives what the day gave."""

from __future__ import annotations

import os
from datetime import UTC, datetime

VARIABLE = "CODEX_LOOP_AS_OF"


def now() -> datetime:
    """The present in UTC, or the moment that CODEX_LOOP_AS_OF names. Raises ValueError when that is no date or time."""
    value = os.environ.get(VARIABLE)
    return parse(value) if value else datetime.now(UTC)


def parse(value: str) -> datetime:
    """An ISO date (its midnight, UTC) or date and time. Raises ValueError with an example."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is no date or time; write 2026-03-24 or 2026-03-24T06:00:00") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
