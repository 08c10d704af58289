"""Laws of what is said about what waits: what is needed and what there is."""

from __future__ import annotations

from datetime import date

import polars as pl

from codex_loop_assets.discovery.waiting import proposals_waiting, types_waiting
from codex_loop_assets.tables import TABLES

DAY = date(2026, 3, 1)


def members(**counts: int) -> pl.DataFrame:
    rows = [{"type": type_, "via": None} for type_, count in counts.items() for _ in range(count)]
    return pl.DataFrame(rows, schema={"type": pl.String, "via": pl.String})


def lacking(*rows: tuple[str, str, float, float]) -> pl.DataFrame:
    names = ("cluster_id", "lacks", "need", "have")
    return TABLES["proposals_waiting"].frame([{"dt": DAY} | dict(zip(names, row, strict=True)) for row in rows])


def test_a_type_with_too_few_signals_says_what_it_needs_and_has():
    assert types_waiting(members(friction=5, delight=3), 5) == ["delight: need 5 signals, have 3"]
    assert types_waiting(members(), 5) == ["friction: need 5 signals, have 0", "delight: need 5 signals, have 0"]


def test_withdrawn_signals_do_not_count():
    frame = members(friction=5, delight=5).with_columns(
        via=pl.when(pl.col("type") == "delight").then(pl.lit("withdrawn"))
    )
    assert types_waiting(frame, 5) == ["delight: need 5 signals, have 0"]


def test_patterns_that_wait_are_counted_by_what_they_lack():
    frame = lacking(("a", "samples", 8, 5), ("b", "samples", 8, 7), ("c", "found_again", 3, 2))
    assert proposals_waiting(frame) == ["2 lack samples: need 8, have 5 to 7", "1 lack found again: need 3, have 2"]
    assert proposals_waiting(lacking()) == []
