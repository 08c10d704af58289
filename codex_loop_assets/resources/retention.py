"""Retention: how long a home keeps what it knows of a session, and forgetting what is older.

Off unless the home's `config.toml` sets `[retention] days_kept`. What does not belong here: where a thread's words lie
(`forget`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta

from codex_loop_assets import clock, settings
from codex_loop_assets.resources import forget_plan
from codex_loop_assets.resources.forget import forget_threads
from codex_loop_assets.resources.forgotten import returned
from codex_loop_assets.resources.homes import Home


@dataclass(frozen=True)
class Retained:
    """What a run of the retention did. `days_kept` is None where it is off; `removed`: place -> count."""

    days_kept: int | None
    threads: int
    removed: dict[str, int]


def days_kept(home: Home) -> int | None:
    """Days for which sessions are kept, or None: for ever. Raises SettingsError for anything but a whole number >= 0."""
    value = home.section("retention")["days_kept"]
    if type(value) is not int or value < 0:
        raise settings.SettingsError(
            f"retention: days_kept is {value!r}; write a number of days, or 0 to keep everything"
        )
    return value or None


def due(home: Home, kept: int | None) -> list[str]:
    """Threads whose session started on a day longer ago than `kept` days, in order; [] where nothing is to be forgotten."""
    if kept is None:
        return []
    oldest = (clock.now().astimezone(UTC).date() - timedelta(days=kept)).isoformat()
    days = [key for key in home.lake.keys("spines") if key < oldest]
    return sorted(set(home.lake.read("spines", days)["thread_id"]))


def apply(home: Home) -> Retained:
    """Forget the threads that are older than the home's setting allows, and complete what an earlier forget could not: it was
    killed, or a run beside it wrote back what it had read."""
    kept = days_kept(home)
    threads = sorted({*due(home, kept), *forget_plan.pending(home).threads, *returned(home)})
    return Retained(kept, len(threads), forget_threads(home, threads) if threads else {})
