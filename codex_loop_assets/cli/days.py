"""Which days a command works on. Flags choose days; what a day holds they never change."""

from __future__ import annotations

from datetime import datetime, timedelta

from codex_loop_assets.cli.options import Problem, today
from codex_loop_assets.resources.freshness import stale_days, unfinished_days, unsettled_days
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.sources import scan
from codex_loop_assets.stages import CANON


def changed(home: Home, since: datetime | None = None) -> list[str]:
    """Days with a new, grown, moved or vanished source; with `since`, only those that began or have a file changed then."""
    calendar = scan(home)
    if since is None:
        return calendar.changed

    def recent(day: str) -> bool:
        touched = (file.mtime_ns for ref in calendar.by_day.get(day, []) for file in ref.files)
        return day >= since.date().isoformat() or max(touched, default=0) >= since.timestamp() * 1e9

    return [day for day in calendar.changed if recent(day)]


def for_daily(home: Home, since: datetime | None = None) -> list[str]:
    """Changed days, days some judge has yet to finish, days whose work was cut off or is out of date, and yesterday."""
    yesterday = (today() - timedelta(days=1)).isoformat()
    return sorted({*changed(home, since), *unsettled_days(home.lake), *unfinished_days(home.lake), yesterday})


def for_ingest(home: Home, since: datetime | None = None) -> list[str]:
    """Changed days, and days that were read but whose sessions, turns and calls were not made from it."""
    return sorted({*changed(home, since), *stale_days(home.lake, *CANON)})


def needing_signals(home: Home) -> list[str]:
    """Ingested days whose signals are missing or were made from other turns."""
    return stale_days(home.lake, "mechanical_signals", "semantic_signals", "signals")


def needing_clusters(home: Home) -> list[str]:
    """Days with signals that no cluster state has taken in yet, and the newest day."""
    lake = home.lake
    days = lake.keys("signals")
    clustered = set(lake.keys("clusters"))
    waiting = [day for day in days if day not in clustered]
    return waiting or ([days[-1]] if days and _untaken_signals(home) else [])


def between(home: Home, first: str | None, last: str | None) -> list[str]:
    """Every day of a range that the home holds sources for; [] when no range is asked for. Raises Problem for one that is empty."""
    if not first and not last:
        return []
    days = [day for day in home.lake.keys("spines") if (first or day) <= day <= (last or day)]
    if not days:
        raise Problem(
            f"no ingested day between {first or 'the start'} and {last or 'now'}; run codex-loop ingest first"
        )
    return days


def _untaken_signals(home: Home) -> bool:
    members = home.lake.keys("cluster_members")
    if not members:
        return True
    known = home.lake.read("cluster_members", members[-1]).select("signal_id")
    signals = home.lake.read("signals").select("signal_id")
    return signals.join(known, on="signal_id", how="anti").height > 0
