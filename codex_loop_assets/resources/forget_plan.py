"""What a forget is going to remove, written down before it removes anything.

Each step destroys what a later one would need to find its own part: once the rows of a cluster's members are gone, nobody
knows which proposal quoted them. A forget that was killed is therefore completed from this file, which goes last. It holds
words of the threads, as the lake does, until then.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from codex_loop_assets.resources import forget_clusters
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home


@dataclass(frozen=True)
class ForgetPlan:
    """`threads` with their sub-agents; ids of their `signals`; `clusters` that those touched; `words` as other tables repeat
    them; `days` on which the threads started."""

    threads: frozenset[str] = frozenset()
    signals: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    days: frozenset[str] = frozenset()


def begin(home: Home, threads: Collection[str]) -> ForgetPlan:
    """The plan for these threads and for whatever a killed forget left undone; on the disk when this returns."""
    left = pending(home)
    made = _made(home, {*threads, *left.threads})
    plan = ForgetPlan(**{name: values | getattr(left, name) for name, values in vars(made).items()})
    write_text(_path(home), json.dumps({name: sorted(values) for name, values in asdict(plan).items()}))
    return plan


def pending(home: Home) -> ForgetPlan:
    """What a killed forget left undone; an empty plan where there is nothing."""
    try:
        written = json.loads(_path(home).read_text("utf-8"))
    except FileNotFoundError:
        return ForgetPlan()
    return ForgetPlan(**{name: frozenset(values) for name, values in written.items()})


def end(home: Home) -> None:
    """Nothing is left to do."""
    _path(home).unlink(missing_ok=True)


def _path(home: Home) -> Path:
    return home.root / "forgetting.json"


def _made(home: Home, threads: set[str]) -> ForgetPlan:
    lake = home.lake
    threads = _with_sub_agents(lake.read("sessions"), _with_saves(lake.read("spines"), threads))
    signals = lake.read("detections").filter(pl.col("thread_id").is_in(threads))
    return ForgetPlan(
        threads=frozenset(threads),
        signals=frozenset(signals["signal_id"]),
        clusters=frozenset(forget_clusters.touched(home, signals, threads)),
        words=frozenset(forget_clusters.words_of(home, signals)),
        days=frozenset(
            key for key in lake.keys("spines") if lake.read("spines", key)["thread_id"].is_in(threads).any()
        ),
    )


def _with_saves(spines: pl.DataFrame, threads: set[str]) -> set[str]:
    """The threads and all other saves of their sessions, which would count in their place once they are gone."""
    saves = spines.select("thread_id", holder=pl.col("coverage").str.json_path_match("$.save_of")).drop_nulls()
    of_one = saves.filter(pl.col("thread_id").is_in(threads))["holder"]
    holders = {*threads, *of_one}
    return holders | set(saves.filter(pl.col("holder").is_in(holders))["thread_id"])


def _with_sub_agents(sessions: pl.DataFrame, threads: set[str]) -> set[str]:
    """The threads and all that they started: a sub-agent's session repeats what it was asked."""
    while True:
        children = set(sessions.filter(pl.col("parent_thread_id").is_in(threads))["thread_id"])
        if children <= threads:
            return threads
        threads = threads | children
