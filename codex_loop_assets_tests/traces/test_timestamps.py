"""Times read as a column are those that a slower reading finds one by one."""

import string
from datetime import UTC, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.tables import TIMESTAMP
from codex_loop_assets.traces.timestamps import parse_timestamp, parse_timestamps

USUAL = st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")
OTHER = st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())


@st.composite
def mistyped(draw):
    text = draw(USUAL)
    place = draw(st.integers(0, len(text) - 1))
    return text[:place] + draw(st.sampled_from(string.digits + "+- .:TZé")) + text[place + 1 :]


def slowly(text: str | None) -> object:
    """With any fraction, as Codex's relatives write it, else in any ISO form."""
    column = pl.Series([text], dtype=pl.String)
    found = column.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False).dt.replace_time_zone("UTC")
    found = found.set(found < datetime(1971, 1, 1, tzinfo=UTC), None)
    return found if found.null_count() == 0 else pl.Series([parse_timestamp(text)], dtype=TIMESTAMP)


@given(st.lists(st.none() | USUAL | OTHER | mistyped() | st.text(max_size=5), min_size=1, max_size=8))
def test_a_column_of_times_is_each_of_them(texts):
    assert parse_timestamps(pl.Series(texts, dtype=pl.String)).equals(pl.concat(map(slowly, texts)))
