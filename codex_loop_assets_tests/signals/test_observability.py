"""What cannot be seen is unknown, never zero."""

from __future__ import annotations

import polars as pl
import pytest

from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.observability import SOURCES, facts, observability, session_observability
from codex_loop_assets.signals.rules.docs import markdown
from codex_loop_assets.signals.rules.registry import rules
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.session_tables import SessionTables

SCHEMA = load_schema()


def session(era: str, **fields) -> CanonTables:
    source = "spine" if era == "spine_v1" else "rollout"
    tables = SessionTables(approvals_observable=era == "spine_v1", **fields).ask().tables()
    spines = tables.spines.with_columns(pl.lit(era).alias("era"), pl.lit(source).alias("source"))
    return CanonTables(spines, tables.events, tables.sessions, tables.turns, tables.tool_calls)


def observable(tables: CanonTables, category: str) -> bool:
    rows = session_observability(tables, SCHEMA).filter(pl.col("category") == category)
    assert rows.height == 1
    return rows["observable"].item()


def test_every_fact_is_stated_for_every_source():
    for name, fact in facts().items():
        assert {fact[era] for _, era in SOURCES} <= {"yes", "no", "seen"}, name
        if "seen" in fact.values():
            assert fact.get("kinds") or fact.get("tools"), f"{name}: nothing says when it was seen"


def test_every_need_of_every_category_is_a_known_fact():
    for category in SCHEMA.categories.values():
        assert category.needs and set(category.needs) <= facts().keys(), category.name


def test_the_table_covers_every_category_source_and_era_once():
    table = observability(SCHEMA)
    assert table.height == len(SCHEMA.active()) * len(SOURCES)
    assert not table.select(pl.struct("category", "source", "era").is_duplicated().any()).item()


@pytest.mark.parametrize("category", ["zero_denial", "rapid_approvals", "stream_error"])
def test_no_stock_rollout_can_show_approvals_or_stream_errors(category):
    rows = observability(SCHEMA).filter((pl.col("category") == category) & (pl.col("source") == "rollout"))
    assert set(rows["observable"]) == {"no"}
    assert not observable(session("D"), category)
    assert observable(session("spine_v1"), category)


def test_an_interrupt_is_unknown_where_the_era_records_no_turn_ends():
    assert not observable(session("B"), "interrupt")
    assert observable(session("C"), "interrupt")


def test_what_an_era_records_only_sometimes_counts_where_it_was_recorded():
    quiet = SessionTables(approvals_observable=False).ask().tables()
    told = SessionTables(approvals_observable=False).ask().event("error", text="x").tables()
    as_rollout = [pl.lit("D").alias("era"), pl.lit("rollout").alias("source")]
    for tables, expected in ((quiet, False), (told, True)):
        rollout = CanonTables(
            tables.spines.with_columns(as_rollout), tables.events, tables.sessions, tables.turns, tables.tool_calls
        )
        assert observable(rollout, "error_event") is expected


def test_a_session_without_a_readable_source_can_show_nothing():
    tables = session("C")
    nothing = CanonTables(
        tables.spines.with_columns(pl.lit("quarantined").alias("status")),
        tables.events, tables.sessions, tables.turns, tables.tool_calls,
    )  # fmt: skip
    assert not session_observability(nothing, SCHEMA)["observable"].any()


def test_the_documentation_states_every_rule_category_threshold_and_fact():
    page = markdown()
    for rule in rules():
        assert f"### {rule.category}\n" in page
        assert rule.looks_for in page and rule.evidence in page
        assert all(f"- {miss}" in page for miss in rule.near_misses)
    for category in SCHEMA.categories.values():
        assert category.definition in page
    assert all(f"| `{name}` |" in page for name in facts())
    assert page == markdown()
