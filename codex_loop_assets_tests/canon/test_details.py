"""Fields of a record's detail, read together, are what each path finds by itself."""

import json

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.canon.details import text_fields

PATHS = {"who": "originator", "commit": "git.commit_hash", "branch": "git.branch"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
DETAIL = st.fixed_dictionaries(
    {},
    optional={
        "originator": TEXT,
        "git": st.fixed_dictionaries({}, optional={"commit_hash": TEXT, "branch": TEXT, "x": st.integers()}),
        "other": st.none() | st.lists(st.integers(), max_size=2),
    },
)


def by_path(details: list[dict | None]) -> list[tuple]:
    git = [(detail or {}).get("git", {}) for detail in details]
    who = [(detail or {}).get("originator") for detail in details]
    return [(name, found.get("commit_hash"), found.get("branch")) for name, found in zip(who, git, strict=True)]


def column(details: list[dict | None]) -> pl.Series:
    return pl.Series("detail", [None if one is None else json.dumps(one) for one in details], dtype=pl.String)


@given(st.lists(st.none() | DETAIL, max_size=6))
def test_fields_are_those_of_the_detail_and_null_where_it_lacks_them(details):
    assert text_fields(column(details), PATHS).rows() == by_path(details)


def test_a_value_that_is_no_text_costs_no_other_row_its_fields():
    found = text_fields(column([{"originator": {"a": 1}, "git": 5}, {"git": {"branch": "main"}}, None]), PATHS)
    assert found["branch"].to_list() == [None, "main", None]
    assert found["who"].to_list() == ['{"a":1}', None, None]
